// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_callback_op.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t CALLBACKTYPE_event = 0;
inline constexpr std::uint32_t CALLBACKTYPE_failsafe = 1;
inline constexpr std::uint32_t CALLBACKTYPE_syscall = 2;
inline constexpr std::uint32_t CALLBACKTYPE_sysenter_deprecated = 3;
inline constexpr std::uint32_t CALLBACKTYPE_nmi = 4;
inline constexpr std::uint32_t CALLBACKTYPE_sysenter = 5;
inline constexpr std::uint32_t CALLBACKTYPE_syscall32 = 7;

inline constexpr std::uint32_t CALLBACKF_mask_events = 1u << 0;

inline constexpr std::uint32_t CALLBACKOP_register = 0;

/// An entry point of the guest kernel; flags: CALLBACKF_mask_events.
struct CallbackRegister {
    std::uint16_t type;
    std::uint16_t flags;
    std::uint32_t _pad;
    std::uint64_t address;
};
static_assert(exact_layout<CallbackRegister, 16>);

inline constexpr std::uint32_t CALLBACKOP_unregister = 1;

struct CallbackUnregister {
    std::uint16_t type;
    std::uint16_t _unused;
};
static_assert(exact_layout<CallbackUnregister, 4>);

}  // namespace xen
