// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_nmi_op.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint64_t XEN_NMIREASON_io_error = std::uint64_t{1} << 0;
inline constexpr std::uint64_t XEN_NMIREASON_pci_serr = std::uint64_t{1} << 1;
inline constexpr std::uint64_t XEN_NMIREASON_unknown = std::uint64_t{1} << 2;

inline constexpr std::uint32_t XENNMI_register_callback = 0;

/// Entry point for virtual NMIs.
struct NmiCallback {
    std::uint64_t handler_address;
    std::uint64_t pad;
};
static_assert(exact_layout<NmiCallback, 16>);

inline constexpr std::uint32_t XENNMI_unregister_callback = 1;

}  // namespace xen
