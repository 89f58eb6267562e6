// SPDX-License-Identifier: Apache-2.0
#include "tests/model/guest.hpp"

#include <cstdio>
#include <cstdlib>

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "tests/machine/host.hpp"
#include "tests/machine/mmu.hpp"

namespace hvmodel {

void broken(const char* what) {
    std::fprintf(stderr, "invariant broken: %s\n", what);
    std::abort();
}

namespace {

constexpr uint64_t table_bits = pte::present | pte::rw | pte::user | pte::accessed | pte::dirty;

/// The guest writes it itself.
void set_entry(Mfn table, unsigned i, uint64_t e) {
    map_mfn<uint64_t>(table)[i] = e;
    dirtied(table);
}

void leave(Vcpu& v) {
    if (!v.idle) v.running_on.store(-1, std::memory_order_seq_cst);
}

}  // namespace

void run_here(Vcpu& v) {
    Cpu& cpu = this_cpu();
    Vcpu& before = *cpu.current;
    if (&before == &v) return;
    arch::switch_to(before, v);
    leave(before);
    if (!v.idle) v.running_on.store(static_cast<int32_t>(cpu.id), std::memory_order_seq_cst);
}

void run_idle_here() { run_here(*this_cpu().idle); }

RealGuest::RealGuest(uint16_t id, unsigned vcpus, unsigned data_pages, DomainLimits limits) {
    limits.max_vcpus = vcpus;
    d = must(domain_create(DomId(id), pv_guest, limits, id == 0));
    d->max_pages = table_pages + data_pages + 64;
    const auto page = [&](uint64_t pfn) {
        const Mfn m = must(domain_alloc_pages(*d, 0, 64));
        set_m2p(m, pfn);
        return m;
    };
    Mfn* const tables[table_pages] = {&l4, &l3, &l2, &linear_l1, &scratch_l1};
    for (unsigned i = 0; i < table_pages; ++i) *tables[i] = page(i);
    for (unsigned i = 0; i < data_pages; ++i) data.push_back(page(table_pages + i));

    set_entry(l4, 0, l3.address() | table_bits);
    set_entry(l3, 1, l2.address() | table_bits);
    set_entry(l2, 0, linear_l1.address() | table_bits);
    set_entry(l2, 1, scratch_l1.address() | table_bits);
    for (unsigned i = 0; i < table_pages; ++i) set_entry(linear_l1, i, tables[i]->address() | (table_bits & ~pte::rw));
    for (unsigned i = 0; i < data_pages; ++i) set_entry(linear_l1, table_pages + i, data[i].address() | table_bits);

    for (unsigned i = 0; i < vcpus; ++i) {
        Vcpu& v = *must(vcpu_create(*d, VcpuId(i)));
        if (!set_kernel_root(v, l4)) broken("a guest's first page tables");
        v.initialised = true;
        v.period = {};
        v.pause_flags.fetch_and(~uint32_t{vpf_down});
    }
    d->creation_finished.store(true);
    if (!domain_unpause_by_controller(*d)) broken("a guest's first run");
}

void RealGuest::end() {
    if (!d) return;
    // Its vCPUs leave the CPUs they are on, as they would at the next look at their pause count.
    const unsigned self = this_cpu().id;
    for (unsigned c = 0; c < cpu_count; ++c) {
        host::become(c);
        if (!this_cpu().current->idle && &this_cpu().current->domain == &*d) run_idle_here();
    }
    host::become(self);
    if (dom0 == &*d) dom0 = nullptr;  // nothing ends the control domain but a test
    while (!domain_kill(*d)) {}
    d = DomainRef();
    domains_reap();
}

}  // namespace hvmodel
