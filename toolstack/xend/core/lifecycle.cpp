// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/lifecycle.hpp"

namespace xend {

using config::ExitAction;
using xenctrl::ShutdownReason;

namespace {

ExitAction action_for(const StopFacts& facts) {
    switch (facts.reason) {
        case ShutdownReason::reboot: return facts.on_reboot;
        case ShutdownReason::crash: return facts.on_crash;
        case ShutdownReason::watchdog: return facts.on_watchdog.value_or(facts.on_crash);
        default: return facts.on_poweroff;
    }
}

}  // namespace

bool wants_dump(const StopFacts& facts, bool every_crash) {
    if (facts.preserved || facts.reason == ShutdownReason::suspend) return false;
    const ExitAction action = action_for(facts);
    return config::without_dump(action) != action || (every_crash && facts.reason == ShutdownReason::crash);
}

Follow after_stop(const StopFacts& facts) {
    if (facts.preserved || facts.reason == ShutdownReason::suspend) return Follow::nothing;
    const ExitAction action = config::without_dump(action_for(facts));
    if (action == ExitAction::destroy) return Follow::destroy;
    if (action == ExitAction::preserve) return Follow::preserve;
    const int64_t since = facts.now - facts.previous_restart;
    // A clock that went backwards must not block restarts for ever.
    if (facts.previous_restart != 0 && since >= 0 && since < facts.min_restart_seconds) return Follow::too_fast;
    return action == ExitAction::restart ? Follow::restart : Follow::rename_restart;
}

std::string too_fast_text(const std::string& name, const StopFacts& facts) {
    return "VM " + name + " restarting too fast (" + std::to_string(facts.now - facts.previous_restart) +
           " seconds since the last restart).  Refusing to restart to avoid loops.";
}

std::string refusal(Operation operation, const xenctrl::DomainInfo& info) {
    const bool dom0 = info.id == base::DomId{0};
    if (dom0) {
        switch (operation) {
            case Operation::pause: return "Cannot pause privileged domain";
            case Operation::unpause: return "Cannot unpause privileged domain";
            case Operation::destroy: return "Cannot destroy privileged domain 0";
            case Operation::shutdown: return "Domain 0 cannot be shutdown";
            case Operation::rename: return "Cannot rename privileged domain 0";
            case Operation::dump: return "Cannot dump privileged domain 0";
            case Operation::change_vcpus:
            case Operation::set_memory: return {};
            case Operation::save: return "Cannot save privileged domain 0";
            case Operation::migrate: return "Cannot migrate privileged domain 0";
            case Operation::change_devices: return "Devices of the privileged domain 0 cannot be changed";
        }
    }
    if (operation == Operation::destroy) return {};
    if (info.dying) return "The domain is being destroyed";
    const bool suspends = operation == Operation::save || operation == Operation::migrate;
    if (suspends && info.hvm)
        return operation == Operation::save ? "Only PV domains can be saved yet" : "Only PV domains can be migrated yet";
    if (suspends && info.paused) return "The domain is paused: it cannot suspend itself";
    const bool of_stopped = operation == Operation::rename || operation == Operation::dump;
    if (info.shutdown && !of_stopped) return "The domain has stopped already";
    return {};
}

std::string refusal(Operation operation, const Record& record) {
    if (!record.arriving) return {};
    const std::string comes = "Domain '" + record.arriving->name + "' is arriving from another host";
    if (record.state == RecordState::creating) return comes + ": it has no right to run here yet";
    switch (operation) {
        case Operation::pause:
        case Operation::unpause:
        case Operation::shutdown:
        case Operation::destroy:
        case Operation::dump: return {};
        default: return comes + ": try again when it has its name";
    }
}

}  // namespace xend
