// SPDX-License-Identifier: Apache-2.0
/// Which pages of a domain the control domain can write to by mappings that it made before a log of dirty pages began.
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/mirror.hpp"
#include "hypervisor/guest/pv/present.hpp"
#include "hypervisor/guest/pv/types.hpp"

namespace hv {
namespace {

void name_mapped(const Domain& d, const PageInfo& table) {
    const uint64_t* entries = map_mfn<uint64_t>(mfn_of(table));
    for (unsigned i = next_present(entries, 0); i < base::radix::entries; i = next_present(entries, i + 1)) {
        const uint64_t e = __atomic_load_n(entries + i, __ATOMIC_RELAXED);
        const Mfn m = Mfn::of_address(e & pte::frame_mask);
        if ((e & pte::rw) && mfn_valid(m) && page_of(m).owner.load(std::memory_order_relaxed) == d.id.raw) log_exposed(m);
    }
}

bool is_l1(const PageInfo& p) {
    const uint64_t x = p.type.load(std::memory_order_acquire);
    return type_of(x) == PageType::l1 && (x & page::users_mask) && (x & page::validated);
}

/// Looks at some pages of `of` from `at` on (null: the first one), and answers the next one; with a reference that keeps it on the list,
/// as `at` has one, which is dropped. Null: these were the last.
PageInfo* look_at_some(Domain& of, const Domain& d, PageInfo* at) {
    PageInfo* next = nullptr;
    {
        Guard g(of.pv->lock);
        Guard pages(of.page_list_lock);
        uint32_t frame = at ? static_cast<uint32_t>(mfn_of(*at).raw) : of.page_list_head;
        // A table takes as long as many other pages.
        for (unsigned work = 0; frame != 0; frame = page_of(Mfn(frame)).next) {
            PageInfo& p = page_of(Mfn(frame));
            if (work > 1024 && get_page(p, of.id)) {
                next = &p;
                break;
            }
            const bool table = is_l1(p);
            if (table) name_mapped(d, p);
            work += table ? 256 : 1;
        }
    }
    if (at) put_page(*at);
    return next;
}

}  // namespace

Status pv_log_exposed(Domain& d, PageInfo*& cursor) {
    if (!dom0 || !dom0->pv) return ok;
    // What is mapped from now on is named then (types.hpp); what was mapped, and CPUs may remember, they forget.
    if (!cursor) arch::flush_tlb(dom0->dirty_cpus.load_behind_writes());
    for (;;) {
        cursor = look_at_some(*dom0, d, cursor);
        if (!cursor) return ok;
        if (arch::preempt_wanted()) return Err{Errc::restart};
    }
}

}  // namespace hv
