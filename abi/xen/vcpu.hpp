// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_vcpu_op.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t VCPUOP_initialise = 0;
inline constexpr std::uint32_t VCPUOP_up = 1;
inline constexpr std::uint32_t VCPUOP_down = 2;
inline constexpr std::uint32_t VCPUOP_is_up = 3;
inline constexpr std::uint32_t VCPUOP_get_runstate_info = 4;

inline constexpr std::uint64_t XEN_RUNSTATE_UPDATE = 0x8000000000000000;

/// Time spent in each RUNSTATE_*, in ns; odd XEN_RUNSTATE_UPDATE bit in state_entry_time = being written.
struct VcpuRunstateInfo {
    std::int32_t state;
    std::uint32_t _pad;
    std::uint64_t state_entry_time;
    std::uint64_t time[4];
};
static_assert(exact_layout<VcpuRunstateInfo, 48>);

inline constexpr std::uint32_t RUNSTATE_running = 0;
inline constexpr std::uint32_t RUNSTATE_runnable = 1;
inline constexpr std::uint32_t RUNSTATE_blocked = 2;
inline constexpr std::uint32_t RUNSTATE_offline = 3;

inline constexpr std::uint32_t VCPUOP_register_runstate_memory_area = 5;

struct VcpuRegisterRunstateMemoryArea {
    union {
        Handle<VcpuRunstateInfo> h;
        std::uint64_t /* pointer */ v;
        std::uint64_t p;
    } addr;
};
static_assert(exact_layout<VcpuRegisterRunstateMemoryArea, 8>);

inline constexpr std::uint32_t VCPUOP_set_periodic_timer = 6;
inline constexpr std::uint32_t VCPUOP_stop_periodic_timer = 7;

struct VcpuSetPeriodicTimer {
    std::uint64_t period_ns;
};
static_assert(exact_layout<VcpuSetPeriodicTimer, 8>);

inline constexpr std::uint32_t VCPUOP_set_singleshot_timer = 8;
inline constexpr std::uint32_t VCPUOP_stop_singleshot_timer = 9;

/// timeout_abs_ns in system time; VCPU_SSHOTTMR_future refuses times in the past.
struct VcpuSetSingleshotTimer {
    std::uint64_t timeout_abs_ns;
    std::uint32_t flags;
    std::uint32_t _pad;
};
static_assert(exact_layout<VcpuSetSingleshotTimer, 16>);

inline constexpr std::uint32_t VCPU_SSHOTTMR_future = 1u << 0;

inline constexpr std::uint32_t VCPUOP_register_vcpu_info = 10;

/// Moves a vCPU's VcpuInfo to offset bytes into a frame of the guest's choice.
struct VcpuRegisterVcpuInfo {
    std::uint64_t mfn;
    std::uint32_t offset;
    std::uint32_t rsvd;
};
static_assert(exact_layout<VcpuRegisterVcpuInfo, 16>);

inline constexpr std::uint32_t VCPUOP_send_nmi = 11;
inline constexpr std::uint32_t VCPUOP_get_physid = 12;

struct VcpuGetPhysid {
    std::uint64_t phys_id;
};
static_assert(exact_layout<VcpuGetPhysid, 8>);

inline constexpr std::uint32_t VCPUOP_register_vcpu_time_memory_area = 13;

struct VcpuRegisterTimeMemoryArea {
    union {
        Handle<VcpuTimeInfo> h;
        std::uint64_t /* pointer */ v;
        std::uint64_t p;
    } addr;
};
static_assert(exact_layout<VcpuRegisterTimeMemoryArea, 8>);

constexpr std::uint32_t xen_vcpu_physid_to_x86_apicid(std::uint64_t physid) noexcept {
    return static_cast<std::uint32_t>(physid);
}
constexpr std::uint32_t xen_vcpu_physid_to_x86_acpiid(std::uint64_t physid) noexcept {
    return static_cast<std::uint32_t>(physid >> 32);
}

}  // namespace xen
