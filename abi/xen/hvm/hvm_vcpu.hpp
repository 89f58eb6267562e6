// SPDX-License-Identifier: Apache-2.0
/// Initial state of an HVM vCPU, for VCPUOP_initialise.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

struct VcpuHvmX8632 {
    std::uint32_t eax;
    std::uint32_t ecx;
    std::uint32_t edx;
    std::uint32_t ebx;
    std::uint32_t esp;
    std::uint32_t ebp;
    std::uint32_t esi;
    std::uint32_t edi;
    std::uint32_t eip;
    std::uint32_t eflags;
    std::uint32_t cr0;
    std::uint32_t cr3;
    std::uint32_t cr4;
    std::uint32_t pad1;
    std::uint64_t efer;
    std::uint32_t cs_base;
    std::uint32_t ds_base;
    std::uint32_t ss_base;
    std::uint32_t es_base;
    std::uint32_t tr_base;
    std::uint32_t cs_limit;
    std::uint32_t ds_limit;
    std::uint32_t ss_limit;
    std::uint32_t es_limit;
    std::uint32_t tr_limit;
    std::uint16_t cs_ar;
    std::uint16_t ds_ar;
    std::uint16_t ss_ar;
    std::uint16_t es_ar;
    std::uint16_t tr_ar;
    std::uint16_t pad2[3];
};
static_assert(exact_layout<VcpuHvmX8632, 120>);

struct VcpuHvmX8664 {
    std::uint64_t rax;
    std::uint64_t rcx;
    std::uint64_t rdx;
    std::uint64_t rbx;
    std::uint64_t rsp;
    std::uint64_t rbp;
    std::uint64_t rsi;
    std::uint64_t rdi;
    std::uint64_t rip;
    std::uint64_t rflags;
    std::uint64_t cr0;
    std::uint64_t cr3;
    std::uint64_t cr4;
    std::uint64_t efer;
};
static_assert(exact_layout<VcpuHvmX8664, 112>);

inline constexpr std::uint32_t VCPU_HVM_MODE_32B = 0;
inline constexpr std::uint32_t VCPU_HVM_MODE_64B = 1;

/// First state of a vCPU of an HVM or PVH guest.
struct VcpuHvmContext {
    std::uint32_t mode;
    std::uint32_t pad;
    union {
        VcpuHvmX8632 x86_32;
        VcpuHvmX8664 x86_64;
    } cpu_regs;
};
static_assert(layout<VcpuHvmContext, 128>);

}  // namespace xen
