// SPDX-License-Identifier: Apache-2.0
#pragma once

// What follows when a domain has stopped: a pure decision, so that the whole table can be tested.

#include <cstdint>
#include <string>

#include "toolstack/config/domain_config.hpp"
#include "toolstack/xenctrl/types.hpp"
#include "toolstack/xend/core/record.hpp"

namespace xend {

enum class Follow : uint8_t {
    nothing,  // suspended, or preserved before: leave it as it is
    destroy,
    restart,
    rename_restart,
    preserve,
    too_fast,  // a restart is due but the last one was moments ago: destroy and say so
};

struct StopFacts {
    xenctrl::ShutdownReason reason = xenctrl::ShutdownReason::poweroff;
    config::ExitAction on_poweroff = config::ExitAction::destroy;
    config::ExitAction on_reboot = config::ExitAction::restart;
    config::ExitAction on_crash = config::ExitAction::restart;
    std::optional<config::ExitAction> on_watchdog;  // not given: as on_crash
    bool preserved = false;                         // it was kept already
    int64_t now = 0;                                // Unix seconds
    int64_t previous_restart = 0;                   // 0: never
    int64_t min_restart_seconds = 20;
};

/// Whether its memory is written to a file before anything else is done: `coredump-*`, or any crash when xend is set so.
bool wants_dump(const StopFacts& facts, bool every_crash);

/// What to do with a domain that stopped like this.
Follow after_stop(const StopFacts& facts);

/// "VM demo restarting too fast (3 seconds since the last restart).  Refusing to restart to avoid loops."
std::string too_fast_text(const std::string& name, const StopFacts& facts);

/// Operations that a domain's owner asks for.
enum class Operation : uint8_t {
    pause,
    unpause,
    shutdown,
    destroy,
    rename,
    set_memory,
    change_devices,
    change_vcpus,
    dump,
    save,
    migrate
};

/// Why `operation` may not be done to a domain in this state; empty when it may.
std::string refusal(Operation operation, const xenctrl::DomainInfo& info);
/// The same for what is remembered of it.
std::string refusal(Operation operation, const Record& record);

}  // namespace xend
