// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/record.hpp"

namespace xend {

namespace {

using enum RecordState;
using Row = std::array<std::optional<RecordState>, record_event_names.size()>;

constexpr std::nullopt_t never = std::nullopt;

// clang-format off
constexpr std::array<Row, record_state_names.size()> transitions = {{
    //                built   keep       restart     fail    take away
    /* creating   */ {live,   never,     never,      never,  destroying},
    /* live       */ {never,  preserved, restarting, never,  destroying},
    /* preserved  */ {never,  never,     never,      never,  destroying},
    /* restarting */ {live,   never,     never,      failed, destroying},
    /* destroying */ {never,  never,     never,      never,  destroying},  // again, after a xend that was killed
    /* failed     */ {never,  never,     never,      never,  destroying},
}};
// clang-format on

}  // namespace

std::optional<RecordState> next_state(RecordState state, RecordEvent event) {
    return transitions[static_cast<size_t>(state)][static_cast<size_t>(event)];
}

base::Outcome<> advance(Record& record, RecordEvent event) {
    const auto next = next_state(record.state, event);
    if (!next) {
        return base::fail(base::Errc::inval, "domain '" + record.config.name + "' is " +
                                                 std::string(record_state_names[static_cast<size_t>(record.state)]) + ": no '" +
                                                 std::string(record_event_names[static_cast<size_t>(event)]) + "' can follow");
    }
    record.state = *next;
    return base::ok;
}

}  // namespace xend
