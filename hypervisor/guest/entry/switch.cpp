// SPDX-License-Identifier: Apache-2.0
/// Switching a CPU from one vCPU to another, and the guest state of every kind that lives in CPU registers.
#include "hypervisor/guest/entry/switch.hpp"

#include <cstring>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/descriptors.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/guarded.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/arch/x86/speculation_plan.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/view.hpp"

namespace hv {

namespace {

constexpr uint64_t breakpoints_on = 0xff, dr7_fixed = 0x400;

void save_fpu(GuestState& s) {
    if (cpu_features.xsave) {
        if (s.xcr0 != cpu_features.xcr0) hw::xsetbv(cpu_features.xcr0);
        hw::xsave(s.fpu);
    } else {
        hw::fxsave(s.fpu);
    }
}

/// Whoever set this area did not check it: the domain ends, and nothing of another one's registers stays in it.
[[gnu::noinline]] void refuse_fpu(Vcpu& v) {
    memset(v.state.fpu, 0, cpu_features.xsave_size);
    (void)hw::xrstor(v.state.fpu);  // all components in their initial state
    domain_crash(v.domain, "a vCPU has floating-point registers that no CPU takes");
}

/// Where the CPU would leave them in place, the x87's pointers must not be those of the vCPU before.
void forget_x87_pointers(const uint8_t* area) {
    constexpr uint8_t exception_pending = 0x80;
    constexpr unsigned status_word = 2;  // SDM 1 table 10-2
    if (cpu_features.x87_pointers_stay && !(area[status_word] & exception_pending)) hw::overwrite_x87_pointers();
}

/// Leaves XCR0 at the guest's value.
void load_fpu(Vcpu& v) {
    const GuestState& s = v.state;
    hw::set_ts(false);
    forget_x87_pointers(s.fpu);
    if (cpu_features.xsave) {
        hw::xsetbv(cpu_features.xcr0);
        if (!hw::xrstor(s.fpu)) [[unlikely]]
            refuse_fpu(v);
        if (s.xcr0 != cpu_features.xcr0) hw::xsetbv(s.xcr0);
    } else {
        hw::fxrstor(s.fpu);
    }
}

}  // namespace

void save_guest_state(Vcpu& v) {
    save_fpu(v.state);
    // The debug registers were written through us, so only DR6 can have changed, and #DB saved it.
    if (v.state.debug[7] & breakpoints_on) hw::write_dr7(dr7_fixed);
}

void load_guest_state(Vcpu& v) {
    arch::load_guest_spec_ctrl(v);
    if (cpu_features.rdtscp) hw::wrmsr(hw::msr_tsc_aux, v.state.tsc_aux);
    load_fpu(v);
    if (v.state.debug[7] & breakpoints_on) arch::load_guest_debug(v);
}

void enter_idle(Cpu& cpu) {
    load_own_gdtr(cpu);
    load_ldt(cpu, 0, 0);
    set_root(cpu, idle_cr3(), [] { return false; });
}

Status prepare_for_guests(unsigned cpu) { return speculation.isolates() ? view_create(cpu, pages_for_entries(cpu)) : Status(ok); }

bool separate_domains(const Cpu& cpu, const Vcpu& v) {
    static uint64_t last_here[max_cpus];
    const uint64_t serial = v.domain.serial;
    if (last_here[cpu.id] == serial) return false;
    last_here[cpu.id] = serial;
    constexpr uint64_t ibpb = 1;
    if (speculation.ibpb_on_switch) hw::wrmsr(hw::msr_pred_cmd, ibpb);
    return true;
}

namespace arch {

void switch_to(Vcpu& prev, Vcpu& next) {
    Cpu& cpu = this_cpu();
    if (!prev.idle) guest_switch_out(prev);
    cpu.current = &next;
    if (next.idle) {
        enter_idle(cpu);
    } else {
        next.domain.dirty_cpus.set(cpu.id);
        guest_switch_in(next);
    }
    if (!prev.idle && &prev.domain != &next.domain) prev.domain.dirty_cpus.clear(cpu.id);
}

void load_guest_xcr0(const Vcpu& v) {
    if (cpu_features.xsave) hw::xsetbv(v.state.xcr0);
}

void load_guest_spec_ctrl(const Vcpu& v) { stack_top().guest_spec_ctrl = v.state.spec_ctrl; }

void load_guest_debug(const Vcpu& v) {
    for (unsigned i = 0; i < 4; ++i) hw::write_dr(i, v.state.debug[i]);
    hw::write_dr7(v.state.debug[7] | dr7_fixed);
}

}  // namespace arch
}  // namespace hv
