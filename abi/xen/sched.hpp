// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_sched_op.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t SCHEDOP_yield = 0;
inline constexpr std::uint32_t SCHEDOP_block = 1;
inline constexpr std::uint32_t SCHEDOP_shutdown = 2;
inline constexpr std::uint32_t SCHEDOP_poll = 3;
inline constexpr std::uint32_t SCHEDOP_remote_shutdown = 4;
inline constexpr std::uint32_t SCHEDOP_shutdown_code = 5;
inline constexpr std::uint32_t SCHEDOP_watchdog = 6;
inline constexpr std::uint32_t SCHEDOP_pin_override = 7;

/// reason: SHUTDOWN_*.
struct SchedShutdown {
    std::uint32_t reason;
};
static_assert(exact_layout<SchedShutdown, 4>);

/// Waits for one of these ports, or until timeout (ns of system time, 0 = none).
struct SchedPoll {
    Handle<evtchn_port_t> ports;
    std::uint32_t nr_ports;
    std::uint32_t _pad;
    std::uint64_t timeout;
};
static_assert(exact_layout<SchedPoll, 24>);

struct SchedRemoteShutdown {
    domid_t domain_id;
    std::uint16_t _pad;
    std::uint32_t reason;
};
static_assert(exact_layout<SchedRemoteShutdown, 8>);

/// A watchdog that shuts the domain down timeout seconds from now.
struct SchedWatchdog {
    std::uint32_t id;
    std::uint32_t timeout;
};
static_assert(exact_layout<SchedWatchdog, 8>);

struct SchedPinOverride {
    std::int32_t pcpu;
};
static_assert(exact_layout<SchedPinOverride, 4>);

inline constexpr std::uint32_t SHUTDOWN_poweroff = 0;
inline constexpr std::uint32_t SHUTDOWN_reboot = 1;
inline constexpr std::uint32_t SHUTDOWN_suspend = 2;
inline constexpr std::uint32_t SHUTDOWN_crash = 3;
inline constexpr std::uint32_t SHUTDOWN_watchdog = 4;
inline constexpr std::uint32_t SHUTDOWN_soft_reset = 5;
inline constexpr std::uint32_t SHUTDOWN_MAX = 5;

}  // namespace xen
