// SPDX-License-Identifier: Apache-2.0
/// Exceptions of a PV guest: which ones the hypervisor takes for itself, and in which order they are tried.
#include "hypervisor/guest/pv/traps.hpp"

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/emulate.hpp"
#include "hypervisor/guest/pv/pt_write.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

void pv_compat_syscall(Vcpu& v, Regs& r);

namespace {

void page_fault(Vcpu& v, Regs& r) {
    constexpr uint32_t fault_present = 1, fault_write = 2, fault_reserved = 8;
    const uint64_t address = hw::read_cr2();
    if ((r.error_code & fault_reserved) != 0) {
        domain_crash(v.domain, "reserved bit set in a page table");
        return;
    }
    const bool hypervisor_area = address >= xen::HYPERVISOR_VIRT_START && address < xen::HYPERVISOR_VIRT_END;
    if (hypervisor_area) {
        // A selector beyond the guest's mapped descriptors: to the guest this is a bad selector, not a page.
        if (address >= perdomain_base && address < perdomain_base + uint64_t{pv_max_vcpus} * 32 * page_size) {
            const uint32_t selector = static_cast<uint32_t>(address & 0xfff8);
            pv_inject(v, r, trap_gp, selector);
            return;
        }
        pv_inject_page_fault(v, r, address, r.error_code);
        return;
    }
    constexpr uint32_t write_to_read_only = fault_present | fault_write;
    if ((r.error_code & write_to_read_only) == write_to_read_only && v.pv->in_kernel && pv_emulate_pt_write(v, r, address))
        return;
    pv_inject_page_fault(v, r, address, r.error_code);
}

void general_protection(Vcpu& v, Regs& r) {
    constexpr uint32_t in_idt = 2;
    // INT n through a gate the guest may not use: its own trap table decides.
    if ((r.error_code & 7) == in_idt) {
        const uint32_t vector = (r.error_code >> 3) & 0xff;
        const xen::TrapInfo& t = v.pv->traps[vector];
        const unsigned needed = v.pv->in_kernel ? 1 : 3;
        if (t.address != 0 && xen::TI_GET_DPL(t) >= needed) {
            r.rip += 2;
            pv_inject(v, r, static_cast<uint8_t>(vector), 0);
            return;
        }
    } else if (r.error_code == 0 && pv_emulate_privileged(v, r)) {
        return;
    }
    pv_inject(v, r, trap_gp, r.error_code);
}

void invalid_opcode(Vcpu& v, Regs& r) {
    if (pv_emulate_forced(v, r)) return;
    pv_inject(v, r, trap_invalid_opcode, 0);
}

void device_not_available(Vcpu& v, Regs& r) {
    v.pv->cr0_ts = 0;
    hw::set_ts(false);
    pv_inject(v, r, trap_no_device, 0);
}

void debug(Vcpu& v, Regs& r) {
    const uint64_t dr6 = hw::read_dr6();
    hw::write_dr6(hw::dr6_clear);
    v.pv->debug[6] = (v.pv->debug[6] & ~uint64_t{0xf}) | (dr6 & 0xe00f) | hw::dr6_clear;
    pv_inject(v, r, trap_debug, 0);
}

}  // namespace

void pv_trap(Vcpu& v, Regs& r) {
    switch (r.vector) {
        case trap_page_fault: page_fault(v, r); return;
        case trap_gp: general_protection(v, r); return;
        case trap_invalid_opcode: invalid_opcode(v, r); return;
        case trap_no_device: device_not_available(v, r); return;
        case trap_debug: debug(v, r); return;
        case entry_syscall32: pv_compat_syscall(v, r); return;
        default: pv_inject(v, r, static_cast<uint8_t>(r.vector), r.error_code);
    }
}

}  // namespace hv
