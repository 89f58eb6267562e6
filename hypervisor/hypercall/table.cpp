// SPDX-License-Identifier: Apache-2.0
/// What a guest can call: the whole interface on one screen, and the one place where errors become negative numbers.
#include "hypervisor/hypercall/table.hpp"

#include <array>
#include <atomic>

#include "abi/xen/basic.hpp"
#include "abi/xenolith/copy_pages.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/trace_hypercall.hpp"
#include "hypervisor/hypercall/handlers.hpp"

namespace hv {
namespace {

struct Row {
    uint32_t number;
    Kinds kinds;
    Handler handler;
    RegsHandler of_registers;
};
template <uint32_t number, auto handler, Kinds kinds, Who who, Runs runs>
constexpr Row row{number, kinds, decoded<handler, who, runs, uint64_t[6]>, decoded<handler, who, runs, Regs>};

using enum Kinds;
using enum Who;
using enum Runs;

// `refused` are those whose service we do not have: the answer of a Xen without it, so that guests go on without.
// clang-format off
constexpr Row rows[] = {
    row<xen::HYPERVISOR_set_trap_table,                hypercall_set_trap_table,                pv,  anyone,  whole>,
    row<xen::HYPERVISOR_mmu_update,                    hypercall_mmu_update,                    pv,  anyone,  in_parts>,
    row<xen::HYPERVISOR_set_gdt,                       hypercall_set_gdt,                       pv,  anyone,  whole>,
    row<xen::HYPERVISOR_stack_switch,                  hypercall_stack_switch,                  pv,  anyone,  whole>,
    row<xen::HYPERVISOR_set_callbacks,                 hypercall_set_callbacks,                 pv,  anyone,  whole>,
    row<xen::HYPERVISOR_fpu_taskswitch,                hypercall_fpu_taskswitch,                pv,  anyone,  whole>,
    row<xen::HYPERVISOR_sched_op_compat,               hypercall_sched_op_compat,               pv,  anyone,  whole>,
    row<xen::HYPERVISOR_platform_op,                   hypercall_platform_op,                   all, control, in_parts>,
    row<xen::HYPERVISOR_set_debugreg,                  hypercall_set_debugreg,                  pv,  anyone,  whole>,
    row<xen::HYPERVISOR_get_debugreg,                  hypercall_get_debugreg,                  pv,  anyone,  whole>,
    row<xen::HYPERVISOR_update_descriptor,             hypercall_update_descriptor,             pv,  anyone,  whole>,
    row<xen::HYPERVISOR_memory_op,                     hypercall_memory_op,                     all, anyone,  in_parts>,
    row<xen::HYPERVISOR_multicall,                     hypercall_multicall,                     all, anyone,  in_parts>,
    row<xen::HYPERVISOR_update_va_mapping,             hypercall_update_va_mapping,             pv,  anyone,  in_parts>,
    row<xen::HYPERVISOR_set_timer_op,                  hypercall_set_timer_op,                  all, anyone,  whole>,
    row<xen::HYPERVISOR_event_channel_op_compat,       hypercall_event_channel_op_compat,       pv,  anyone,  in_parts>,
    row<xen::HYPERVISOR_xen_version,                   hypercall_xen_version,                   all, anyone,  whole>,
    row<xen::HYPERVISOR_console_io,                    hypercall_console_io,                    all, anyone,  in_parts>,
    row<xen::HYPERVISOR_grant_table_op,                hypercall_grant_table_op,                all, anyone,  in_parts>,
    row<xen::HYPERVISOR_vm_assist,                     hypercall_vm_assist,                     all, anyone,  whole>,
    row<xen::HYPERVISOR_update_va_mapping_otherdomain, hypercall_update_va_mapping_otherdomain, pv,  anyone,  in_parts>,
    row<xen::HYPERVISOR_iret,                          hypercall_iret,                          pv,  anyone,  whole>,
    row<xen::HYPERVISOR_vcpu_op,                       hypercall_vcpu_op,                       all, anyone,  in_parts>,
    row<xen::HYPERVISOR_set_segment_base,              hypercall_set_segment_base,              pv,  anyone,  whole>,
    row<xen::HYPERVISOR_mmuext_op,                     hypercall_mmuext_op,                     pv,  anyone,  in_parts>,
    row<xen::HYPERVISOR_xsm_op,                        refused<Errc::nosys>,                    all, anyone,  whole>,
    row<xen::HYPERVISOR_nmi_op,                        hypercall_nmi_op,                        pv,  anyone,  whole>,
    row<xen::HYPERVISOR_sched_op,                      hypercall_sched_op,                      all, anyone,  whole>,
    row<xen::HYPERVISOR_callback_op,                   hypercall_callback_op,                   pv,  anyone,  whole>,
    row<xen::HYPERVISOR_event_channel_op,              hypercall_event_channel_op,              all, anyone,  in_parts>,
    row<xen::HYPERVISOR_physdev_op,                    hypercall_physdev_op,                    all, anyone,  whole>,
    row<xen::HYPERVISOR_hvm_op,                        refused<Errc::nosys>,                    all, anyone,  whole>,
    row<xen::HYPERVISOR_sysctl,                        hypercall_sysctl,                        all, control, in_parts>,
    row<xen::HYPERVISOR_domctl,                        hypercall_domctl,                        all, control, in_parts>,
    row<xen::HYPERVISOR_kexec_op,                      refused<Errc::nosys>,                    pv,  anyone,  whole>,
    row<xen::HYPERVISOR_tmem_op,                       refused<Errc::nosys>,                    pv,  anyone,  whole>,
    row<xen::HYPERVISOR_argo_op,                       refused<Errc::nosys>,                    all, anyone,  whole>,
    row<xen::HYPERVISOR_xenpmu_op,                     refused<Errc::opnotsupp>,                all, anyone,  whole>,
    row<xen::HYPERVISOR_dm_op,                         refused<Errc::nosys>,                    all, anyone,  whole>,
    row<xen::HYPERVISOR_hypfs_op,                      hypercall_hypfs_op,                      all, control, in_parts>,
    row<xen::HYPERVISOR_arch_0,                        refused<Errc::nosys>,                    pv,  anyone,  whole>,
    row<xenolith::HYPERVISOR_copy_pages,               hypercall_copy_pages,                    all, control, in_parts>,
};
// clang-format on

constexpr unsigned table_size = 64;

/// Not constexpr: reaching it while the table is built is a compile error.
void number_out_of_range_or_given_twice() {}

/// What one kind of guest has.
struct Table {
    Handler entry[table_size] = {};
    RegsHandler of_registers[table_size] = {};
    consteval explicit Table(Kinds kind) {
        for (const Row& r : rows) {
            if (r.number >= table_size || entry[r.number]) number_out_of_range_or_given_twice();
            if (r.kinds != kind && r.kinds != Kinds::all) continue;
            entry[r.number] = r.handler;
            of_registers[r.number] = r.of_registers;
        }
    }
};
constexpr Table table(Kinds::pv);

template <class H, class From>
[[gnu::always_inline]] inline Answer call(const H* handlers, Vcpu& v, uint64_t number, const From& args) {
    if (!index_below(number, table_size)) return Err{Errc::nosys};
    const H h = handlers[number];
    if (!h) return Err{Errc::nosys};
    return h(v, args);
}

/// A call that leaves a record first, whatever its number.
Answer traced(Vcpu& v, const Regs& r) {
    trace_hypercall(xen::TRC_PV_HYPERCALL_V2, r.rax, r);
    return call(table.of_registers, v, r.rax, r);
}
constexpr auto all_traced = [] {
    std::array<RegsHandler, table_size> all{};
    all.fill(traced);
    return all;
}();

/// What calls go through: with tracing off, the only price of it.
std::atomic<const RegsHandler*> of_registers{table.of_registers};

constexpr uint64_t negative(Errc e) { return 0 - static_cast<uint64_t>(e); }

}  // namespace

void trace_hypercalls(bool wanted) {
    of_registers.store(wanted ? all_traced.data() : table.of_registers, std::memory_order_relaxed);
    arch::watch_doors(wanted);
}

Handler hypercall_handler(uint64_t number) { return number < table_size ? table.entry[number] : nullptr; }

void hypercall_dispatch(Vcpu& v, Regs& r) {
    const auto result = call(of_registers.load(std::memory_order_relaxed), v, r.rax, r);
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
    const unsigned changed = v.hypercall.take_changed();
    for (unsigned i = 0; i < changed; ++i) r.*argument_registers[i] = v.hypercall.args[i];
}

namespace {

/// Entries one after the other; results go into the entries.
template <bool tracing>
Answer multicall(Vcpu& v, GuestPtr<xen::MulticallEntry> list, uint32_t count) {
    HypercallState& h = v.hypercall;
    for (uint32_t i = 0; i < count; ++i) {
        if (i != 0 && arch::preempt_wanted()) return restart_with(v, list + i, count - i);
        const xen::MulticallEntry e = TRY(list.fetch(i));
        h.in_multicall = true;
        if constexpr (tracing) trace_hypercall(xen::TRC_PV_HYPERCALL_SUBCALL, e.op, e.args);
        const auto result = call(table.entry, v, e.op, e.args);
        h.in_multicall = false;
        const auto slot = list + i;
        if (!result && result.error() == Errc::restart) {
            xen::MulticallEntry again = e;
            const unsigned changed = h.take_changed();
            for (unsigned a = 0; a < changed; ++a) again.args[a] = h.args[a];
            TRY(slot.store(again));
            return restart_with(v, slot, count - i);
        }
        const uint64_t value = result ? result.value() : negative(result.error());
        // The guest has returned from the trap it made the call in, perhaps to another address space: the list is over, and
        // rax is that code's.
        if (e.op == xen::HYPERVISOR_iret) return value;
        TRY(slot.at<uint64_t>(offsetof(xen::MulticallEntry, result)).store(value));
    }
    return uint64_t{0};
}

}  // namespace

Answer hypercall_multicall(Vcpu& v, GuestPtr<xen::MulticallEntry> list, uint32_t count) {
    if (v.hypercall.in_multicall) return Err{Errc::inval};
    return trace::on() ? multicall<true>(v, list, count) : multicall<false>(v, list, count);
}

}  // namespace hv
