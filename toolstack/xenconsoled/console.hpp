// SPDX-License-Identifier: Apache-2.0
/// One console as a pure state machine over its shared page: guest output to a backlog and a log, input to the guest,
/// and a limit on how often a guest may keep us busy. No I/O; tests drive it over plain memory.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "abi/xen/console.hpp"
#include "lib/proto/ring.hpp"
#include "toolstack/xenconsoled/backlog.hpp"

namespace xenconsoled {

inline constexpr size_t default_backlog = 1024 * 1024;

/// Bytes both ways through the page.
class ConsoleRing {
public:
    /// `page`: 4 KiB, mapped for as long as this object lives. The guest may write anything into it.
    explicit ConsoleRing(void* page);

    /// Takes all output there is now (at most one ring's worth). Impossible indexes: everything is dropped and `broken` is
    /// counted; the console goes on. True if the guest should be notified.
    bool take_output(const std::function<void(std::string_view)>& sink);
    /// Room for input, in bytes.
    size_t input_room();
    /// Gives input to the guest; returns how much it took.
    size_t put_input(std::string_view bytes);
    size_t broken() const { return broken_; }

private:
    proto::ByteRing out_, in_;
    size_t broken_ = 0;
};

/// At most `events` turns per `period`; then the guest's event channel stays masked until the period ends.
class RateLimit {
public:
    static constexpr unsigned events = 300;
    static constexpr int64_t period_ms = 200;

    /// Counts one turn at time `now`; false when it was one too many.
    bool allow(int64_t now) {
        if (now - start_ >= period_ms) {
            start_ = now;
            used_ = 0;
        }
        return ++used_ <= events;
    }
    /// When the present period ends.
    int64_t end() const { return start_ + period_ms; }

private:
    int64_t start_ = -period_ms;
    unsigned used_ = 0;
};

/// A file name part from a domain's name, whatever the name holds: no slash, no leading dot, bounded.
std::string safe_file_name(std::string_view name);

}  // namespace xenconsoled
