// SPDX-License-Identifier: Apache-2.0
/// What a guest can call: the whole interface on one screen, and the one place where errors become negative numbers.
#include "hypervisor/hypercall/table.hpp"
#include "abi/xen/basic.hpp"
#include "abi/xen/physdev.hpp"
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {
namespace {

struct Row {
    uint32_t number;
    const char* name;
    Handler handler;
};

constexpr Row rows[] = {
    {xen::HYPERVISOR_set_trap_table, "set_trap_table", hypercall_set_trap_table},
    {xen::HYPERVISOR_mmu_update, "mmu_update", hypercall_mmu_update},
    {xen::HYPERVISOR_set_gdt, "set_gdt", hypercall_set_gdt},
    {xen::HYPERVISOR_stack_switch, "stack_switch", hypercall_stack_switch},
    {xen::HYPERVISOR_set_callbacks, "set_callbacks", hypercall_set_callbacks},
    {xen::HYPERVISOR_fpu_taskswitch, "fpu_taskswitch", hypercall_fpu_taskswitch},
    {xen::HYPERVISOR_sched_op_compat, "sched_op_compat", hypercall_sched_op_compat},
    {xen::HYPERVISOR_platform_op, "platform_op", hypercall_platform_op},
    {xen::HYPERVISOR_set_debugreg, "set_debugreg", hypercall_set_debugreg},
    {xen::HYPERVISOR_get_debugreg, "get_debugreg", hypercall_get_debugreg},
    {xen::HYPERVISOR_update_descriptor, "update_descriptor", hypercall_update_descriptor},
    {xen::HYPERVISOR_memory_op, "memory_op", hypercall_memory_op},
    {xen::HYPERVISOR_multicall, "multicall", hypercall_multicall},
    {xen::HYPERVISOR_update_va_mapping, "update_va_mapping", hypercall_update_va_mapping},
    {xen::HYPERVISOR_set_timer_op, "set_timer_op", hypercall_set_timer_op},
    {xen::HYPERVISOR_event_channel_op_compat, "event_channel_op_compat", hypercall_event_channel_op_compat},
    {xen::HYPERVISOR_xen_version, "xen_version", hypercall_xen_version},
    {xen::HYPERVISOR_console_io, "console_io", hypercall_console_io},
    {xen::HYPERVISOR_grant_table_op, "grant_table_op", hypercall_grant_table_op},
    {xen::HYPERVISOR_vm_assist, "vm_assist", hypercall_vm_assist},
    {xen::HYPERVISOR_update_va_mapping_otherdomain, "update_va_mapping_otherdomain", hypercall_update_va_mapping_otherdomain},
    {xen::HYPERVISOR_iret, "iret", hypercall_iret},
    {xen::HYPERVISOR_vcpu_op, "vcpu_op", hypercall_vcpu_op},
    {xen::HYPERVISOR_set_segment_base, "set_segment_base", hypercall_set_segment_base},
    {xen::HYPERVISOR_mmuext_op, "mmuext_op", hypercall_mmuext_op},
    {xen::HYPERVISOR_xsm_op, "xsm_op", hypercall_xsm_op},
    {xen::HYPERVISOR_nmi_op, "nmi_op", hypercall_nmi_op},
    {xen::HYPERVISOR_sched_op, "sched_op", hypercall_sched_op},
    {xen::HYPERVISOR_callback_op, "callback_op", hypercall_callback_op},
    {xen::HYPERVISOR_event_channel_op, "event_channel_op", hypercall_event_channel_op},
    {xen::HYPERVISOR_physdev_op, "physdev_op", hypercall_physdev_op},
    {xen::HYPERVISOR_hvm_op, "hvm_op", hypercall_hvm_op},
    {xen::HYPERVISOR_sysctl, "sysctl", hypercall_sysctl},
    {xen::HYPERVISOR_domctl, "domctl", hypercall_domctl},
    {xen::HYPERVISOR_kexec_op, "kexec_op", hypercall_kexec_op},
    {xen::HYPERVISOR_tmem_op, "tmem_op", hypercall_tmem_op},
    {xen::HYPERVISOR_argo_op, "argo_op", hypercall_argo_op},
    {xen::HYPERVISOR_xenpmu_op, "xenpmu_op", hypercall_xenpmu_op},
    {xen::HYPERVISOR_dm_op, "dm_op", hypercall_dm_op},
    {xen::HYPERVISOR_hypfs_op, "hypfs_op", hypercall_hypfs_op},
    {xen::HYPERVISOR_arch_0, "mca", hypercall_mca},
};

constexpr unsigned table_size = 64;

/// Not constexpr: reaching it while the table is built is a compile error.
void number_out_of_range_or_given_twice() {}

struct Table {
    Handler entry[table_size] = {};
    consteval Table() {
        for (const Row& r : rows) {
            if (r.number >= table_size || entry[r.number]) number_out_of_range_or_given_twice();
            entry[r.number] = r.handler;
        }
    }
};
constexpr Table table;

Result<uint64_t> call(Vcpu& v, uint64_t number) {
    if (!index_below(number, table_size)) return Err{Errc::nosys};
    const Handler h = table.entry[number];
    if (!h) return Err{Errc::nosys};
    return h(v, v.hypercall.args);
}

constexpr uint64_t negative(Errc e) { return 0 - static_cast<uint64_t>(e); }

}  // namespace

bool hypercall_exists(uint64_t number) { return number < table_size && table.entry[number]; }

void hypercall_dispatch(Vcpu& v, Regs& r) {
    HypercallState& h = v.hypercall;
    h.args[0] = r.rdi;
    h.args[1] = r.rsi;
    h.args[2] = r.rdx;
    h.args[3] = r.r10;
    h.args[4] = r.r8;
    h.args[5] = r.r9;
    h.rearmed = false;
    const uint64_t number = r.rax;
    const auto result = call(v, number);
    if (result) {
        r.rax = result.value();
        return;
    }
    if (result.error() != Errc::restart) {
        r.rax = negative(result.error());
        return;
    }
    // The guest executes the call again, with what is left to do.
    r.rip -= v.domain.kind.hypercall_bytes;
    r.rdi = h.args[0];
    r.rsi = h.args[1];
    r.rdx = h.args[2];
    r.r10 = h.args[3];
    r.r8 = h.args[4];
    r.r9 = h.args[5];
}

/// Multicall: entries one after the other; results go into the entries.
Result<uint64_t> hypercall_multicall(Vcpu& v, const uint64_t (&args)[6]) {
    HypercallState& h = v.hypercall;
    if (h.in_multicall) return Err{Errc::inval};
    const auto list = GuestPtr<xen::MulticallEntry>::from_reg(args[0]);
    const auto count = static_cast<uint32_t>(args[1]);
    for (uint32_t i = 0; i < count; ++i) {
        if (i != 0 && arch::preempt_wanted()) return restart_with(v, (list + i).address(), uint64_t{count - i});
        const xen::MulticallEntry e = TRY(list.fetch(i));
        for (unsigned a = 0; a < 6; ++a) h.args[a] = e.args[a];
        h.in_multicall = true;
        h.rearmed = false;
        const auto result = call(v, e.op);
        h.in_multicall = false;
        const auto slot = list + i;
        if (!result && result.error() == Errc::restart) {
            xen::MulticallEntry again = e;
            for (unsigned a = 0; a < 6; ++a) again.args[a] = h.args[a];
            TRY(slot.store(again));
            return restart_with(v, slot.address(), uint64_t{count - i});
        }
        const uint64_t value = result ? result.value() : negative(result.error());
        // The guest has returned from the trap it made the call in, perhaps to another address space: the list is over, and
        // rax is that code's.
        if (e.op == xen::HYPERVISOR_iret) return value;
        TRY(slot.at<uint64_t>(offsetof(xen::MulticallEntry, result)).store(value));
    }
    return uint64_t{0};
}

}  // namespace hv
