// SPDX-License-Identifier: Apache-2.0
#pragma once

// What xend remembers of a domain, and the table of how its state may change. Pure.

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/outcome.hpp"
#include "lib/base/types.hpp"
#include "toolstack/config/domain_config.hpp"

namespace xend {

/// Where a domain stands, as far as xend must know it again after being killed.
enum class RecordState : uint8_t { creating, live, preserved, restarting, destroying, failed };
inline constexpr std::array<std::string_view, 6> record_state_names = {"creating",   "live",       "preserved",
                                                                       "restarting", "destroying", "failed"};

/// What happens to a domain that xend made.
enum class RecordEvent : uint8_t {
    built,     // it is there, with its devices
    keep,      // it stopped and stays for whoever wants to look at it
    restart,   // it stopped and is to be made again
    fail,      // it could not be made again
    take_away  // it is to go, whoever wants so
};
inline constexpr std::array<std::string_view, 5> record_event_names = {"built", "keep", "restart", "fail", "take away"};

/// What is under way with a device of a domain that runs.
enum class DeviceStep : uint8_t { none, attaching, detaching, asking };  // asking: the guest may keep it
inline constexpr std::array<std::string_view, 4> device_step_names = {"none", "attaching", "detaching", "asking"};

/// A device as xend meant to connect it, noted before anything was done for it. Those of a kind stand in the order of the
/// configuration's.
struct DeviceIntent {
    std::string kind;
    uint32_t devid = 0;
    uint32_t back = 0;    // the back end's domain
    std::string script;   // to be run with `remove` in the end, whatever became of it; empty: xend connected it itself
    std::string running;  // the tag of a run that may not have ended; empty: none
    DeviceStep step = DeviceStep::none;
    std::string server{};  // the tag of the process that serves an image's blocks, released in the end; empty: there is none

    base::DomId backend() const { return base::DomId{static_cast<uint16_t>(back)}; }
    bool operator==(const DeviceIntent&) const = default;
};

/// What has come of saving a domain, or of sending it elsewhere, noted before each step: what is known of it here decides, whoever is killed.
struct SaveIntent {
    enum class Step : uint8_t {
        asking,  // it was asked to suspend itself; it goes on, and there is no file
        whole,   // the file is whole, whatever its name is yet: it is kept, and the domain ends unless it stays
        late,    // given up, but the guest had taken the request and may suspend itself yet: until `until` it is waited for
        offered  // to another host; the guest has not been asked for anything yet
    };
    Step step = Step::asking;
    std::string file{};
    std::string identity{};  // of a whole file
    bool stays = false;      // the domain, whatever becomes of the file
    int64_t until = 0;       // Unix seconds
    std::string transfer{};  // it suspends itself to leave: by what name the other host knows that; there is no file then
    bool operator==(const SaveIntent&) const = default;
};
inline constexpr std::array<std::string_view, 4> save_step_names = {"asking", "whole", "late", "offered"};

/// A domain that is made of the file that it was suspended to. Before it runs that file goes: nobody resumes from it twice.
struct ResumeIntent {
    std::string file;
    bool runs = false;  // it is not left paused
    bool operator==(const ResumeIntent&) const = default;
};

/// A domain that comes from another host. Who it will be when its source's copy is gone; until then its name and uuid are others.
struct ArriveIntent {
    std::string name;
    config::Uuid uuid;
    bool operator==(const ArriveIntent&) const = default;
};

/// The rings of a domain that was built, whose nodes are not in the store yet.
struct RingIntent {
    uint64_t store_frame = 0;
    uint32_t store_port = 0;
    uint64_t console_frame = 0;
    uint32_t console_port = 0;
    bool operator==(const RingIntent&) const = default;
};

/// What xend remembers of a domain it made: kept in a file that lives as long as the domain, and when there is no domain any
/// more because it could not be made again.
struct Record {
    config::DomainConfig config;  // with uuid and MAC addresses filled in
    RecordState state = RecordState::creating;
    std::optional<uint32_t> domid;
    int64_t start_time = 0;  // Unix seconds
    int64_t previous_restart = 0;
    uint32_t restarts = 0;
    std::vector<DeviceIntent> devices;
    std::optional<SaveIntent> saving;
    std::optional<ResumeIntent> resuming;
    std::optional<ArriveIntent> arriving;
    std::optional<RingIntent>
        rings;             // of one that arrives: shown to the console's daemon when it runs, which has waited long enough
    bool dumping = false;  // it was paused for its core, and is to go on
    std::string medium;    // specifier of what goes back into the CD drive that is being changed; empty: none is
    std::string renaming;  // the name that it is being given; until config.name says so it has the old one everywhere
    std::string reason;    // why it is failed, or why the step that it is in did not succeed yet

    /// Domain 0, which is none of ours, when there is no domain of it.
    base::DomId id() const { return base::DomId{static_cast<uint16_t>(domid.value_or(0))}; }
    /// Whether something is under way with it while it runs, which whoever comes later has to finish.
    bool changes() const { return saving || resuming || arriving || dumping || !renaming.empty() || changes_devices(); }
    /// Whether a device of it, while it runs, was being connected or taken off.
    bool changes_devices() const {
        return !medium.empty() ||
               std::any_of(devices.begin(), devices.end(), [](const DeviceIntent& one) { return one.step != DeviceStep::none; });
    }
};

/// As the journal has it: many look at one at once, and who wants to change it makes a copy.
using RecordPtr = std::shared_ptr<const Record>;

/// The state that follows; nothing for an event that cannot come in this state.
std::optional<RecordState> next_state(RecordState state, RecordEvent event);

/// Moves `record` on. Errors: inval, "domain 'X' is STATE: no 'EVENT' can follow"; the record is as it was.
base::Outcome<> advance(Record& record, RecordEvent event);

}  // namespace xend
