// SPDX-License-Identifier: Apache-2.0
/// Exceptions of a PV guest: which ones the hypervisor takes for itself, and in which order they are tried.
#include "hypervisor/guest/pv/traps.hpp"

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/emulate.hpp"
#include "hypervisor/guest/pv/kind.hpp"
#include "hypervisor/guest/pv/mirror.hpp"
#include "hypervisor/guest/pv/pt_write.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/trace_points.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

void pv_compat_syscall(Vcpu& v, Regs& r);

namespace {

/// The same as fault_of_kernel_write(), with a record.
[[gnu::noinline, gnu::cold]] void fault_of_traced_write(Vcpu& v, Regs& r, uint64_t address) {
    const uint64_t rip = r.rip;
    uint64_t entry = 0;
    if (!pv_emulate_pt_write(v, r, address)) return pv_inject_page_fault(v, r, address, r.error_code);
    // The table can be read there, or this would have been another fault.
    (void)arch::load_from_guest(entry, address & ~uint64_t{7});
    trace::event(xen::TRC_PV_PTWR_EMULATION | xen::TRC_64_FLAG, entry, address, rip);
}

/// A write of the guest's kernel to a page that it may read.
[[gnu::noinline]] void fault_of_kernel_write(Vcpu& v, Regs& r, uint64_t address) {
    if (trace::on()) [[unlikely]]
        return fault_of_traced_write(v, r, address);
    if (!pv_emulate_pt_write(v, r, address)) pv_inject_page_fault(v, r, address, r.error_code);
}

/// True when it was only for lack of a mirror; else the error code becomes what the guest's own tables cause.
[[gnu::noinline]] bool fault_of_mirror(Vcpu& v, Regs& r, uint64_t address) {
    uint32_t error = r.error_code;
    const bool again = mirror_fault(v, address, error);
    r.error_code = error;
    return again;
}

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
    if (any_dirty_log()) [[unlikely]]
        if (fault_of_mirror(v, r, address)) return;
    constexpr uint32_t write_to_read_only = fault_present | fault_write;
    if ((r.error_code & write_to_read_only) == write_to_read_only && v.pv->in_kernel) return fault_of_kernel_write(v, r, address);
    pv_inject_page_fault(v, r, address, r.error_code);
}

constexpr uint32_t error_in_idt = 2;
constexpr uint64_t int_n_length = 2;

bool has_handler(const Vcpu& v, uint8_t vector) { return v.pv->traps.address[vector] != 0; }

/// Whether INT n may use the gate of the guest's own trap table.
bool gate_open(const Vcpu& v, uint8_t vector) {
    const unsigned needed = v.pv->in_kernel ? 1 : 3;
    return has_handler(v, vector) && v.pv->traps.privilege(vector) >= needed;
}

/// As the CPU does when the gate of an INT n is missing or closed: #GP at the instruction, which names the gate.
[[gnu::noinline]] void refuse_software_interrupt(Vcpu& v, Regs& r, uint8_t vector, uint64_t length) {
    r.rip -= length;
    pv_inject(v, r, trap_gp, uint32_t{vector} * 8 + error_in_idt);
}

/// Bytes of the instruction of which one form has an opcode of its own, the other is CD n. The two end differently.
uint64_t short_form_length(const Regs& r, uint8_t vector) {
    constexpr uint8_t int_n = 0xcd;
    uint8_t last[int_n_length];
    const bool read = arch::copy_from_guest(last, r.rip - sizeof last, sizeof last);
    return read && last[0] == int_n && last[1] == vector ? int_n_length : 1;
}

/// INT3, INTO: anybody may, if there is a handler.
[[gnu::noinline]] void refuse_breakpoint(Vcpu& v, Regs& r, uint8_t vector) {
    refuse_software_interrupt(v, r, vector, short_form_length(r, vector));
}
void breakpoint(Vcpu& v, Regs& r, uint8_t vector) {
    if (has_handler(v, vector)) pv_inject_software(v, r, vector);
    else refuse_breakpoint(v, r, vector);
}

[[gnu::noinline]] void general_protection(Vcpu& v, Regs& r) {
    // INT n through a gate of ours: the guest's own trap table decides.
    if ((r.error_code & 7) == error_in_idt) {
        const auto vector = static_cast<uint8_t>(r.error_code >> 3);
        if (gate_open(v, vector)) {
            r.rip += int_n_length;
            pv_inject_software(v, r, vector);
            return;
        }
    } else if (r.error_code == 0 && pv_emulate_privileged(v, r)) {
        pv_trace_emulation(r, xen::TRC_PV_EMULATE_PRIVOP);
        return;
    }
    pv_inject(v, r, trap_gp, r.error_code);
}

/// The one INT n whose gate is open in our own table.
void linux_system_call(Vcpu& v, Regs& r) {
    if (gate_open(v, linux_vector)) pv_inject_software(v, r, linux_vector);
    else refuse_software_interrupt(v, r, linux_vector, int_n_length);
}

[[gnu::noinline]] void forced_or_invalid(Vcpu& v, Regs& r) {
    if (pv_emulate_forced(v, r)) {
        pv_trace_emulation(r, xen::TRC_PV_FORCED_INVALID_OP);
        return;
    }
    pv_inject(v, r, trap_invalid_opcode, 0);
}

[[gnu::noinline]] void forced_cpuid_of_kernel(Vcpu& v, Regs& r) {
    pv_forced_cpuid(v, r);
    pv_trace_emulation(r, xen::TRC_PV_FORCED_INVALID_OP);
}

/// Whether it is one that is meant for us eight bytes say, nearly always: nothing is called before that is known.
[[gnu::noinline]] void invalid_opcode(Vcpu& v, Regs& r) {
    uint64_t bytes = 0;
    if (r.cs != xen::FLAT_RING3_CS64 || !arch::copy_words_from_guest<1>(&bytes, r.rip)) [[unlikely]]
        return forced_or_invalid(v, r);
    if (is_forced_cpuid(bytes)) return forced_cpuid_of_kernel(v, r);
    pv_inject(v, r, trap_invalid_opcode, 0);
}

void device_not_available(Vcpu& v, Regs& r) {
    v.pv->cr0_ts = 0;
    hw::set_ts(false);
    pv_inject(v, r, trap_no_device, 0);
}

constexpr uint64_t dr6_causes = 0xe00f;

/// ICEBP is the one #DB without a cause in DR6 that software asks for.
bool after_icebp(const Regs& r) {
    constexpr uint8_t icebp = 0xf1;
    uint8_t last = 0;
    return arch::copy_from_guest(&last, r.rip - 1, 1) && last == icebp;
}

void debug(Vcpu& v, Regs& r) {
    const uint64_t dr6 = hw::read_dr6();
    hw::write_dr6(hw::dr6_clear);
    v.state.debug[6] = (v.state.debug[6] & ~uint64_t{0xf}) | (dr6 & dr6_causes) | hw::dr6_clear;
    if (!has_handler(v, trap_debug) && (dr6 & dr6_causes) == 0 && after_icebp(r)) {
        refuse_software_interrupt(v, r, trap_debug, 1);
        return;
    }
    pv_inject(v, r, trap_debug, 0);
}

[[gnu::noinline]] void rare_trap(Vcpu& v, Regs& r) {
    switch (r.vector) {
        case trap_no_device: device_not_available(v, r); return;
        case trap_debug: debug(v, r); return;
        case trap_overflow: breakpoint(v, r, trap_overflow); return;
        case linux_vector: linux_system_call(v, r); return;
        case entry_syscall32: pv_compat_syscall(v, r); return;
        default: pv_inject(v, r, static_cast<uint8_t>(r.vector), r.error_code);
    }
}

}  // namespace

void pv_trap(Vcpu& v, Regs& r) {
    // The frequent ones first: there are no jump tables here.
    if (r.vector == trap_page_fault) return page_fault(v, r);
    if (r.vector == trap_gp) return general_protection(v, r);
    if (r.vector == trap_invalid_opcode) return invalid_opcode(v, r);
    if (r.vector == trap_breakpoint) return breakpoint(v, r, trap_breakpoint);
    rare_trap(v, r);
}

}  // namespace hv
