// SPDX-License-Identifier: Apache-2.0
/// Feature bit numbers, as XENVER_get_features returns them and ELF notes name them.
#pragma once

#include "abi/xen/types.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XENFEAT_writable_page_tables = 0;
inline constexpr std::uint32_t XENFEAT_writable_descriptor_tables = 1;
inline constexpr std::uint32_t XENFEAT_auto_translated_physmap = 2;
inline constexpr std::uint32_t XENFEAT_supervisor_mode_kernel = 3;
inline constexpr std::uint32_t XENFEAT_pae_pgdir_above_4gb = 4;
inline constexpr std::uint32_t XENFEAT_mmu_pt_update_preserve_ad = 5;
inline constexpr std::uint32_t XENFEAT_highmem_assist = 6;
inline constexpr std::uint32_t XENFEAT_gnttab_map_avail_bits = 7;
inline constexpr std::uint32_t XENFEAT_hvm_callback_vector = 8;
inline constexpr std::uint32_t XENFEAT_hvm_safe_pvclock = 9;
inline constexpr std::uint32_t XENFEAT_hvm_pirqs = 10;
inline constexpr std::uint32_t XENFEAT_dom0 = 11;
inline constexpr std::uint32_t XENFEAT_memory_op_vnode_supported = 13;
inline constexpr std::uint32_t XENFEAT_ARM_SMCCC_supported = 14;
inline constexpr std::uint32_t XENFEAT_linux_rsdp_unrestricted = 15;
inline constexpr std::uint32_t XENFEAT_not_direct_mapped = 16;
inline constexpr std::uint32_t XENFEAT_direct_mapped = 17;
inline constexpr std::uint32_t XENFEAT_NR_SUBMAPS = 1;

}  // namespace xen
