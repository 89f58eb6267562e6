// SPDX-License-Identifier: Apache-2.0
/// Exceptions that bounce to the kernel, upcalls, and privileged instructions that the hypervisor executes for it.
#include "abi/xen/arch_x86.hpp"
#include "abi/xen/callback.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/physdev.hpp"
#include "guests/bench/bench.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/user.hpp"

extern "C" {
// traps.S
void trap_invalid_opcode();
void trap_breakpoint();
void trap_overflow();
void trap_page_fault();
void event_upcall();
void user_page_fault();
void user_system_call();
void user_calls(uint64_t n);
void user_faults(uint64_t n);
xen::VcpuInfo* upcall_vcpu;
}

namespace bench {

using namespace xen;

namespace {

constexpr uint16_t kernel_cs = 0xe033;

void exceptions() {
    static TrapInfo table[] = {{3, 3, kernel_cs, 0, addr(trap_breakpoint)},
                               {4, 3, kernel_cs, 0, addr(trap_overflow)},
                               {6, 0, kernel_cs, 0, addr(trap_invalid_opcode)},
                               {14, 0, kernel_cs, 0, addr(trap_page_fault)},
                               {0, 0, 0, 0, 0}};
    expect("set_trap_table", hypercall(HYPERVISOR_set_trap_table, addr(table)) == 0);
    measure("exception #UD bounce", 1000, [] { asm volatile("ud2" : : : "memory"); });
    measure("exception int3 bounce", 1000, [] { asm volatile("int3" : : : "memory"); });
    measure("int 4 bounce, iret hypercall", 1000, [] { asm volatile("int $4" : : : "memory"); });
    measure("exception #PF bounce", 1000, [] {
        // The handler goes on at rbx.
        asm volatile("lea 1f(%%rip), %%rbx; movb $0, (%0); 1:" : : "r"(uint64_t{0x1000}) : "rbx", "memory");
    });
}

/// A program that goes `rounds` times to the kernel and back. What its start and its end cost is taken off.
void measure_user(const char* name, void (*program)(uint64_t)) {
    constexpr uint64_t rounds = 1000, few = 8;
    const auto run = [&](uint64_t n) {
        const uint64_t begin = ticks();
        expect("the user's program", run_user(program, n) == vector_syscall);
        return ticks() - begin;
    };
    run(few);
    const uint64_t start_and_end = run(few);
    report(name, (run(rounds + few) - start_and_end) * 10 / rounds);
}

void user_mode() {
    static TrapInfo table[] = {{14, 0, kernel_cs, 0, addr(user_page_fault)}, {0, 0, 0, 0, 0}};
    expect("user page tables", make_user_tables());
    CallbackRegister callback{CALLBACKTYPE_syscall, CALLBACKF_mask_events, 0, addr(user_system_call)};
    expect("callback_op", hypercall(HYPERVISOR_callback_op, CALLBACKOP_register, addr(&callback)) == 0);
    expect("set_trap_table", hypercall(HYPERVISOR_set_trap_table, addr(table)) == 0);
    measure_user("user system call, iret", user_calls);
    measure_user("user #PF, iret", user_faults);
}

void upcalls() {
    auto* shared = &shared_info();
    upcall_vcpu = &shared->vcpu_info[0];
    CallbackRegister callback{CALLBACKTYPE_event, 0, 0, addr(event_upcall)};
    expect("callback_op", hypercall(HYPERVISOR_callback_op, CALLBACKOP_register, addr(&callback)) == 0);
    EvtchnBindIpi ipi{0, 0};
    hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, addr(&ipi));
    EvtchnSend send{ipi.port};
    shared->vcpu_info[0].evtchn_upcall_pending = 0;
    shared->vcpu_info[0].evtchn_upcall_mask = 0;
    measure("evtchn send self+upcall", 1000, [&] {
        shared->evtchn_pending[0] = 0;
        shared->vcpu_info[0].evtchn_pending_sel = 0;
        hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_send, addr(&send));
    });
    shared->vcpu_info[0].evtchn_upcall_mask = 1;
}

uint64_t rdmsr(uint32_t msr) {
    uint32_t lo = 0, hi = 0;
    asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return uint64_t{hi} << 32 | lo;
}

void instructions() {
    constexpr uint32_t apic_base = 0x1b, efer = 0xc0000080, fs_base = 0xc0000100, gs_base = 0xc0000101;
    measure("emul rdmsr EFER", 1000, [] { (void)rdmsr(efer); });
    measure("emul rdmsr FS_BASE", 1000, [] { (void)rdmsr(fs_base); });
    measure("emul rdmsr APICBASE", 1000, [] { (void)rdmsr(apic_base); });
    measure("emul wrmsr GS_BASE", 1000, [] { asm volatile("wrmsr" : : "c"(gs_base), "a"(0x1000), "d"(0)); });
    measure("emul mov cr0", 1000, [] {
        uint64_t v = 0;
        asm volatile("mov %%cr0, %0" : "=r"(v));
    });
    measure("emul mov cr3", 1000, [] {
        uint64_t v = 0;
        asm volatile("mov %%cr3, %0" : "=r"(v));
    });
    PhysdevSetIopl iopl{1};
    expect("set_iopl", hypercall(HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, addr(&iopl)) == 0);
    measure("port in 0x61", 1000, [] {
        uint8_t v = 0;
        asm volatile("inb $0x61, %0" : "=a"(v));
    });
    measure("cpuid forced emulation", 1000, [] {
        uint32_t a = 1, c = 0;
        asm volatile("ud2; .ascii \"xen\"; cpuid" : "+a"(a), "+c"(c) : : "rbx", "rdx");
    });
}

}  // namespace

void traps() {
    exceptions();
    upcalls();
    instructions();
    user_mode();
}

}  // namespace bench
