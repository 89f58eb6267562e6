// SPDX-License-Identifier: Apache-2.0
/// Where the HVM memory map lives.
#pragma once

#include "abi/xen/types.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t HVM_E820_PAGE = 0x00090000;
inline constexpr std::uint32_t HVM_E820_NR_OFFSET = 0x000001e8;
inline constexpr std::uint32_t HVM_E820_OFFSET = 0x000002d0;
inline constexpr std::uint32_t HVM_BELOW_4G_RAM_END = 0xf0000000;
inline constexpr auto HVM_BELOW_4G_MMIO_START = HVM_BELOW_4G_RAM_END;
inline constexpr std::uint64_t HVM_BELOW_4G_MMIO_LENGTH = 0x10000000;
inline constexpr std::uint32_t HVM_INFO_PFN = 0x09f;
inline constexpr std::uint32_t HVM_INFO_OFFSET = 0x800;
inline constexpr std::uint32_t HVM_INFO_PADDR = 0x9f800;
inline constexpr std::uint32_t HVM_MAX_VCPUS = 128;

struct HvmInfoTable {
    char signature[8];
    std::uint32_t length;
    std::uint8_t checksum;
    std::uint8_t apic_mode;
    std::uint16_t _pad;
    std::uint32_t nr_vcpus;
    std::uint32_t low_mem_pgend;
    std::uint32_t reserved_mem_pgstart;
    std::uint32_t high_mem_pgend;
    std::uint8_t vcpu_online[16];
};
static_assert(exact_layout<HvmInfoTable, 48>);

}  // namespace xen
