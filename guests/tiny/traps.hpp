// SPDX-License-Identifier: Apache-2.0
/// Exceptions: all are registered from the start; an expected one is caught, any other prints the registers and ends
/// the guest.
#pragma once

#include "guests/tiny/cpu.hpp"

namespace guest {

/// Ways into the kernel besides the 32 exceptions, numbered like them; 0x80 is registered for user mode too.
enum Vector : uint64_t {
    vector_none = ~uint64_t{0},
    vector_syscall = 256,
    vector_failsafe = 257,
    vector_sysenter = 258,
    vector_syscall32 = 259,
    vector_nmi = 260,
};

/// The registers as they were, and why the kernel was entered. cs is as the hypervisor pushed it: ring 0 for the kernel,
/// the saved upcall mask in bit 32.
struct TrapFrame {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/// What caught() saw: vector_none when nothing was raised. cr2 means something for a page fault alone.
struct Trap {
    uint64_t vector, error, rip, cr2;
    TrapFrame frame;
    bool operator==(uint64_t v) const { return vector == v; }
};

/// Registers every exception, INT 0x80 (user mode may raise 3, 4 and 0x80), and the entries for SYSCALL and the failsafe.
void install_traps();
/// Fills a virtual IDT as install_traps registers it, for a vCPU that is about to be made.
void fill_trap_table(xen::TrapInfo (&table)[256]);
/// The addresses of the kernel's entry points: events, failsafe, SYSCALL.
uint64_t event_entry();
uint64_t failsafe_entry();
uint64_t syscall_entry();

/// Replaces the handler of exceptions that are not caught; it returns to go on at frame.rip. Null: print and end.
using TrapHandler = void (*)(TrapFrame&);
void set_trap_handler(TrapHandler handler);

/// Runs fn(argument); the first exception ends it. The stack and the registers that calls preserve are as before;
/// segment registers and the upcall mask are as the exception found them.
Trap run_caught(void (*fn)(void*), void* argument);

/// Runs f and says which exception ended it: `caught([&] { *p = 1; }) == 14`.
template <class F>
Trap caught(F f) {
    return run_caught([](void* p) { (*static_cast<F*>(p))(); }, &f);
}

}  // namespace guest
