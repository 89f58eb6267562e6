// SPDX-License-Identifier: Apache-2.0
/// The register frame that the entry stubs build: a guest's registers while it is in the hypervisor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace x86 {

/// Field order is the push order of arch/x86/entry.S; offsets are checked below and used there.
struct Regs {
    uint64_t r15, r14, r13, r12, rbp, rbx;
    uint64_t r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint32_t error_code;
    uint32_t vector;  ///< exception or interrupt vector; entry_syscall for SYSCALL
    uint64_t rip;
    uint64_t cs;
    uint64_t rflags;
    uint64_t rsp;
    uint64_t ss;
};
static_assert(sizeof(Regs) == 21 * 8);
static_assert(offsetof(Regs, rax) == 80 && offsetof(Regs, error_code) == 120 && offsetof(Regs, rip) == 128);

/// `vector` values beyond the 256 of the CPU.
inline constexpr uint32_t entry_syscall = 0x100;
inline constexpr uint32_t entry_syscall32 = 0x101;

inline constexpr uint64_t eflags_cf = 1u << 0;
inline constexpr uint64_t eflags_tf = 1u << 8;
inline constexpr uint64_t eflags_if = 1u << 9;
inline constexpr uint64_t eflags_df = 1u << 10;
inline constexpr uint64_t eflags_iopl = 3u << 12;
inline constexpr unsigned eflags_iopl_shift = 12;
inline constexpr uint64_t eflags_nt = 1u << 14;
inline constexpr uint64_t eflags_rf = 1u << 16;
inline constexpr uint64_t eflags_vm = 1u << 17;
inline constexpr uint64_t eflags_ac = 1u << 18;
inline constexpr uint64_t eflags_vif = 1u << 19;
inline constexpr uint64_t eflags_vip = 1u << 20;

}  // namespace x86
