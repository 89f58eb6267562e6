// SPDX-License-Identifier: Apache-2.0
/// The CPUID leaves in which the hypervisor tells about itself.
#pragma once

#include "abi/xen/types.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XEN_CPUID_FIRST_LEAF = 0x40000000;
inline constexpr std::uint32_t XEN_CPUID_SIGNATURE_EBX = 0x566e6558;
inline constexpr std::uint32_t XEN_CPUID_SIGNATURE_ECX = 0x65584d4d;
inline constexpr std::uint32_t XEN_CPUID_SIGNATURE_EDX = 0x4d4d566e;
inline constexpr std::uint32_t XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 1u << 0;

inline constexpr std::uint32_t XEN_HVM_CPUID_APIC_ACCESS_VIRT = 1u << 0;
inline constexpr std::uint32_t XEN_HVM_CPUID_X2APIC_VIRT = 1u << 1;
inline constexpr std::uint32_t XEN_HVM_CPUID_IOMMU_MAPPINGS = 1u << 2;
inline constexpr std::uint32_t XEN_HVM_CPUID_VCPU_ID_PRESENT = 1u << 3;
inline constexpr std::uint32_t XEN_HVM_CPUID_DOMID_PRESENT = 1u << 4;
inline constexpr std::uint32_t XEN_HVM_CPUID_EXT_DEST_ID = 1u << 5;
inline constexpr std::uint32_t XEN_HVM_CPUID_UPCALL_VECTOR = 1u << 6;

inline constexpr std::uint32_t XEN_CPUID_MACHINE_ADDRESS_WIDTH_MASK = 0xff;
inline constexpr std::uint32_t XEN_CPUID_MAX_NUM_LEAVES = 5;

/// Leaf number `index` of the hypervisor's range when it starts at its usual place.
constexpr std::uint32_t XEN_CPUID_LEAF(std::uint32_t index) noexcept { return XEN_CPUID_FIRST_LEAF + index; }

}  // namespace xen
