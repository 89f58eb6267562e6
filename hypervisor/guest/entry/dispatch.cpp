// SPDX-License-Identifier: Apache-2.0
/// From the entry stubs to whoever handles an exception or interrupt, and the last steps before a guest runs.
#include <cstdint>

#include "hypervisor/arch/x86/apic.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/smp.hpp"
#include "hypervisor/dev/serial.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/domain/run.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/mirror.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "hypervisor/guest/pv/view.hpp"
#include "hypervisor/guest/trace_hypercall.hpp"
#include "hypervisor/irq/irq.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/rt/panic.hpp"
#include "hypervisor/time/timer.hpp"
#include "hypervisor/trace/counters.hpp"

namespace hv {
namespace {

struct FaultFixup {
    uint64_t fault, resume;
};

extern "C" const FaultFixup extable_start[];
extern "C" const FaultFixup extable_end[];
extern "C" const uint8_t guest_iret[], guarded_iret[];
extern "C" [[noreturn]] void enter_first_guest(Regs* r);

constexpr uint32_t first_interrupt = 0x20;

void interrupt(uint32_t vector) {
    ++this_cpu().interrupts;
    counters::count(counters::Counter::interrupts, vector);
    switch (vector) {
        case vector_timer:
            apic::eoi();
            this_cpu().raise(SoftIrq::timer);
            return;
        case vector_kick: apic::eoi(); return;  // its purpose was to get here: pending work is looked at on the way out
        case vector_flush:
            apic::eoi();
            smp_serve_requests();
            return;
        case vector_halt: hw::halt_forever();
        case vector_error: apic::eoi(); return;
        case vector_spurious: return;
        default: irq_dispatch(static_cast<uint8_t>(vector));
    }
}

/// A fault of IRETQ itself: the guest gave registers it cannot run with. Its own registers are in `r`, except those
/// of the frame that IRETQ read, which still lies on top of the stack.
[[noreturn]] void iret_faulted(const Regs& faulted) {
    const Regs copy = faulted;
    Regs& top = stack_top().regs;
    __builtin_memcpy(&top, &copy, offsetof(Regs, error_code));
    top.vector = copy.vector;
    top.error_code = copy.error_code;
    pv_iret_failed(current(), top);
    enter_first_guest(&top);
}

[[noreturn]] void fatal(const Regs& r) {
    static const char* const names[] = {"divide error",
                                        "debug",
                                        "NMI",
                                        "breakpoint",
                                        "overflow",
                                        "bound",
                                        "invalid opcode",
                                        "device not available",
                                        "double fault",
                                        "coprocessor overrun",
                                        "invalid TSS",
                                        "segment not present",
                                        "stack fault",
                                        "general protection",
                                        "page fault"};
    const char* name = r.vector < sizeof names / sizeof *names ? names[r.vector] : "exception";
    panic_regs(r, "Fatal %s in the hypervisor, error code %04x, address %016lx", name, r.error_code, hw::read_cr2());
}

}  // namespace

namespace {

/// The vCPU whose registers are `r`: at the top of the stack, next to the pointer to the CPU's data.
Vcpu& entered_from(const Regs& r) {
    static_assert(offsetof(CpuStackTop, regs) == 0);
    return *reinterpret_cast<const CpuStackTop*>(&r)->cpu->current;
}

constexpr uint32_t nmi = 2, double_fault = 8, machine_check = 18;

[[gnu::noinline]] void not_an_exception_of_the_guest(Regs* r) {
    if (r->vector >= first_interrupt && r->vector != linux_vector && r->vector < 256) {
        interrupt(r->vector);
        return;
    }
    if (r->vector == nmi) {
        log(LogLevel::warning, "NMI on CPU%u", this_cpu().id);
        return;
    }
    if (r->vector == double_fault || r->vector == machine_check) fatal(*r);
    pv_trap(current(), *r);
}

}  // namespace

// Of the stubs' guests, which are PV.

extern "C" void trap_from_guest(Regs* r) {
    constexpr uint32_t ours = 1u << nmi | 1u << double_fault | 1u << machine_check;
    if (r->vector < first_interrupt && !(ours >> r->vector & 1)) [[likely]]
        return pv_trap(entered_from(*r), *r);
    not_an_exception_of_the_guest(r);
}

namespace {

/// A copy to or from a guest's memory, or a frame of its, met a mirror that was not made yet: it is to be tried again.
[[gnu::noinline]] bool copy_faulted_at_mirror(const Regs& r) {
    constexpr uint32_t page_fault = 14;
    const Vcpu* v = this_cpu().current;
    if (r.vector != page_fault || v->idle || !entered_by_stubs(v->domain)) return false;
    uint32_t error = static_cast<uint32_t>(r.error_code);
    return mirror_fault(*this_cpu().current, hw::read_cr2(), error);
}

}  // namespace

extern "C" void trap_from_hypervisor(Regs* r) {
    if (r->vector >= first_interrupt) {
        interrupt(r->vector);
        return;
    }
    if (r->vector == 2) return;
    if (r->vector == 1) {
        // A guest's watchpoint on memory that we read or wrote for it, or one whose #DB it delayed by MOV SS until we had
        // been entered. Code breakpoints and single steps cannot name us, so going on is right.
        hw::write_dr6(hw::dr6_clear);
        return;
    }
    const bool at_iret = r->rip == reinterpret_cast<uint64_t>(guest_iret) || r->rip == reinterpret_cast<uint64_t>(guarded_iret);
    if (at_iret && r->vector != 8 && r->vector != 18) iret_faulted(*r);
    for (const FaultFixup* f = extable_start; f < extable_end; ++f) {
        if (f->fault != r->rip) continue;
        if (any_dirty_log() && copy_faulted_at_mirror(*r)) return;
        r->rip = f->resume;
        return;
    }
    fatal(*r);
}

extern "C" void syscall_from_guest(Regs* r) {
    Vcpu& v = entered_from(*r);
    if (!v.pv->in_kernel) {
        pv_system_call(v, *r);
    } else if (r->rax == xen::HYPERVISOR_iret) {
        trace_hypercall(xen::TRC_PV_HYPERCALL_V2, r->rax, *r);
        pv_return(v, *r);
    } else {
        hypercall_dispatch(v, *r);
    }
}

namespace {

bool work_pending(const Cpu& cpu) { return cpu.pending.load(std::memory_order_seq_cst) != 0 || cpu.flush_wanted(); }

void run_soft_interrupts(Cpu& cpu) {
    const uint32_t pending = cpu.pending.exchange(0, std::memory_order_acquire);
    if (cpu.flush_wanted()) smp_serve_requests();
    if (pending & static_cast<uint32_t>(SoftIrq::crash)) domain_crash(cpu.current->domain, "it did what is not allowed");
    if (pending & static_cast<uint32_t>(SoftIrq::timer)) timer::run_expired();
    if (pending & static_cast<uint32_t>(SoftIrq::report)) domain_report_crash();
    if (pending & static_cast<uint32_t>(SoftIrq::console)) serial_watch();
    if (pending & static_cast<uint32_t>(SoftIrq::trace)) send_global_virq(xen::VIRQ_TBUF);
    if (pending & static_cast<uint32_t>(SoftIrq::schedule)) schedule();
}

/// Waits for an interrupt, unless there is work. The check and the halt cannot be torn apart: interrupts open only with the HLT.
void wait_for_work(Cpu& cpu) {
    cpu.halted.store(true, std::memory_order_seq_cst);
    if (!work_pending(cpu)) hw::wait_for_interrupt();
    cpu.halted.store(false, std::memory_order_release);
}

/// Does what is pending, and waits for more as long as there is nothing to run but the idle vCPU.
void work_or_wait(Cpu& cpu) {
    do {
        run_soft_interrupts(cpu);
        if (cpu.current->idle) wait_for_work(cpu);
    } while (work_pending(cpu) || cpu.current->idle);
}

bool ready(Cpu& cpu, const Regs& r) {
    cpu.preempt_deadline = 0;
    return pv_can_sysret(r);
}

[[gnu::noinline]] bool work_and_prepare() {
    Cpu& cpu = this_cpu();
    Regs& r = stack_top().regs;
    for (;;) {
        work_or_wait(cpu);
        Vcpu& v = *cpu.current;
        if (!entered_by_stubs(v.domain)) [[unlikely]] {
            v.domain.kind.run(v);
            continue;
        }
        pv_before_entry(v, r);
        if (cpu.pending.load(std::memory_order_relaxed) == 0) return ready(cpu, r);
    }
}

[[gnu::noinline]] bool deliver_and_prepare() {
    Cpu& cpu = this_cpu();
    Regs& r = stack_top().regs;
    pv_deliver(*cpu.current, r);
    if (cpu.pending.load(std::memory_order_relaxed) != 0) return work_and_prepare();
    return ready(cpu, r);
}

}  // namespace

/// For doors.S: an NMI or an event waits.
extern "C" void deliver_after_syscall(Regs* r) { pv_deliver(entered_from(*r), *r); }

/// The kernel's page tables are loaded already.
extern "C" void no_system_call_frame(Regs* r) { domain_crash(entered_from(*r).domain, "kernel stack is not writable"); }

/// The last steps before a guest runs, and the idle loop. Returns to enter the guest by the stubs, so it runs those of other
/// kinds itself; only work leads to them. True when SYSRET can take the guest back.
extern "C" bool prepare_exit() {
    CpuStackTop& top = stack_top();
    Cpu& cpu = *top.cpu;
    // Nearly always there is nothing to do: no call stands in that way, so that no register has to be saved in it.
    if (work_pending(cpu) || cpu.current->idle) [[unlikely]]
        return work_and_prepare();
    if (pv_delivery_due(*cpu.current)) [[unlikely]]
        return deliver_and_prepare();
    return ready(cpu, top.regs);
}

namespace {

/// What prepare_exit() does, by the part of it that there is work for, may end with another vCPU.
template <class Prepare>
bool with_view(Prepare prepare) {
    const bool sysret = prepare();
    CpuStackTop& top = stack_top();
    if (!pv_view_is_ready(*top.cpu)) top.guest_cr3 = pv_view_to_leave_with(*top.cpu->current);
    return sysret;
}
[[gnu::noinline]] bool prepare_with_view() { return with_view(prepare_exit); }
[[gnu::noinline]] bool deliver_with_view() { return with_view(deliver_and_prepare); }

}  // namespace

/// The same for guarded entries: the guest's view is made ready too.
extern "C" bool prepare_guarded_exit() {
    CpuStackTop& top = stack_top();
    Cpu& cpu = *top.cpu;
    if (work_pending(cpu) || cpu.current->idle || !pv_view_is_ready(cpu)) [[unlikely]]
        return prepare_with_view();
    if (pv_delivery_due(*cpu.current)) [[unlikely]]
        return deliver_with_view();
    return ready(cpu, top.regs);
}

namespace arch {
[[noreturn]] void enter_guest_loop() { enter_first_guest(&stack_top().regs); }
Regs& guest_regs() { return stack_top().regs; }
}  // namespace arch

}  // namespace hv
