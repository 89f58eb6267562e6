// SPDX-License-Identifier: Apache-2.0
/// What can be chosen about the hypervisor's log.
#pragma once

#include <cstdint>

namespace base {

enum class LogLevel : uint8_t { error = 0, warning = 1, info = 2, debug = 3 };

/// How many levels are kept, from 0 (none) to 4 (all): so many always, and so many at a limited rate.
struct alignas(2) LogLevels {  // a word of its own, so that both change at once
    uint8_t always;
    uint8_t limited;
    static constexpr uint8_t up_to(LogLevel l) { return static_cast<uint8_t>(static_cast<unsigned>(l) + 1); }
    bool operator==(const LogLevels&) const = default;
};
inline constexpr LogLevels default_own_levels{LogLevels::up_to(LogLevel::info), LogLevels::up_to(LogLevel::info)};
inline constexpr LogLevels default_guest_levels{0, LogLevels::up_to(LogLevel::warning)};

/// What stands in brackets at the start of each line.
enum class Timestamps : uint8_t { none, date, date_ms, boot, raw };

inline constexpr uint32_t log_ring_size = 64 * 1024;  ///< bytes of the log that are kept, if nobody says otherwise

}  // namespace base
