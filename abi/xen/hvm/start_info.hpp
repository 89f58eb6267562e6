// SPDX-License-Identifier: Apache-2.0
/// The PVH start of day record.
#pragma once

#include "abi/xen/types.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XEN_HVM_START_MAGIC_VALUE = 0x336ec578;
inline constexpr std::uint32_t XEN_HVM_MEMMAP_TYPE_RAM = 1;
inline constexpr std::uint32_t XEN_HVM_MEMMAP_TYPE_RESERVED = 2;
inline constexpr std::uint32_t XEN_HVM_MEMMAP_TYPE_ACPI = 3;
inline constexpr std::uint32_t XEN_HVM_MEMMAP_TYPE_NVS = 4;
inline constexpr std::uint32_t XEN_HVM_MEMMAP_TYPE_UNUSABLE = 5;
inline constexpr std::uint32_t XEN_HVM_MEMMAP_TYPE_DISABLED = 6;
inline constexpr std::uint32_t XEN_HVM_MEMMAP_TYPE_PMEM = 7;

/// What a PVH guest finds at %ebx.
struct HvmStartInfo {
    std::uint32_t magic;
    std::uint32_t version;
    std::uint32_t flags;
    std::uint32_t nr_modules;
    std::uint64_t modlist_paddr;
    std::uint64_t cmdline_paddr;
    std::uint64_t rsdp_paddr;
    std::uint64_t memmap_paddr;
    std::uint32_t memmap_entries;
    std::uint32_t reserved;
};
static_assert(exact_layout<HvmStartInfo, 56>);

/// One module of a PVH guest; addresses are physical.
struct HvmModlistEntry {
    std::uint64_t paddr;
    std::uint64_t size;
    std::uint64_t cmdline_paddr;
    std::uint64_t reserved;
};
static_assert(exact_layout<HvmModlistEntry, 32>);

/// One range of a PVH guest's memory map.
struct HvmMemmapTableEntry {
    std::uint64_t addr;
    std::uint64_t size;
    std::uint32_t type;
    std::uint32_t reserved;
};
static_assert(exact_layout<HvmMemmapTableEntry, 24>);

}  // namespace xen
