// SPDX-License-Identifier: Apache-2.0
/// Making and ending the PV half of domains and vCPUs.
#include <cstring>

#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/arch/x86/speculation_plan.hpp"
#include "hypervisor/guest/pv/descriptors.hpp"
#include "hypervisor/guest/pv/kind.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/types.hpp"

namespace hv {
namespace {

constexpr uint64_t table_flags = pte::present | pte::rw | pte::accessed | pte::dirty;
constexpr unsigned vcpus_per_l1 = 16;
constexpr unsigned window_entries = 32;

Result<uint64_t*> descriptor_window(PvDomain& pv, VcpuId id) {
    auto* l2 = static_cast<uint64_t*>(pv.perdomain_l2);
    uint64_t& slot = l2[id.raw / vcpus_per_l1];
    if (!(slot & pte::present)) {
        void* l1 = TRY(heap::alloc_page_zeroed());
        slot = mfn_of(l1).address() | table_flags;
    }
    auto* l1 = map_mfn<uint64_t>(Mfn::of_address(slot & pte::frame_mask));
    return l1 + (id.raw % vcpus_per_l1) * window_entries;
}

}  // namespace

Status pv_domain_create(Domain& d) {
    d.pv = TRY(make<PvDomain>());
    d.pv->checks_nonpresent = d.privileged ? speculation.l1tf_dom0 : speculation.l1tf_domu;
    d.pv->isolated = d.privileged ? speculation.isolate_dom0 : speculation.isolate_domu;
    auto l3 = heap::alloc_page_zeroed();
    auto l2 = heap::alloc_page_zeroed();
    if (l3) d.pv->perdomain_l3 = l3.value();
    if (l2) d.pv->perdomain_l2 = l2.value();
    if (!l3 || !l2) {
        pv_domain_destroy(d);
        return Err{Errc::nomem};
    }
    static_cast<uint64_t*>(d.pv->perdomain_l3)[0] = mfn_of(d.pv->perdomain_l2).address() | table_flags;
    return ok;
}

void pv_domain_destroy(Domain& d) {
    if (!d.pv) return;
    if (auto* l2 = static_cast<uint64_t*>(d.pv->perdomain_l2)) {
        for (unsigned i = 0; i < 512; ++i)
            if (l2[i] & pte::present) heap::free_page(map_mfn(Mfn::of_address(l2[i] & pte::frame_mask)));
        heap::free_page(l2);
    }
    if (d.pv->perdomain_l3) heap::free_page(d.pv->perdomain_l3);
    destroy(d.pv);
    d.pv = nullptr;
}

Status pv_vcpu_create(Vcpu& v) {
    v.pv = TRY(make<PvVcpu>());
    v.pv->shared_info = &v.info;
    v.pv->runstate_stale = &v.runstate_stale;
    v.pv->assists = &v.domain.vm_assist;
    auto window = descriptor_window(*v.domain.pv, v.id);
    if (!window) {
        pv_vcpu_destroy(v);
        return Err{window.error()};
    }
    v.pv->descriptor_l1 = window.value();
    // Guests take a set OSXSAVE for the sign that XSAVE is theirs to use, and the CPU shows it to user code anyway.
    v.pv->cr4 = cpu_features.xsave ? hw::cr4_osxsave : 0;
    return ok;
}

void pv_vcpu_destroy(Vcpu& v) {
    destroy(v.pv);
    v.pv = nullptr;
}

namespace {

Status relinquish_vcpu(Vcpu& v) {
    if (!v.pv) return ok;
    pv_clear_descriptors(v);
    TRY(finish_pending_put(v));
    for (Mfn PvVcpu::*root : {&PvVcpu::user_root, &PvVcpu::kernel_root}) {
        const Mfn m = v.pv->*root;
        if (m.raw == 0) continue;
        v.pv->*root = Mfn(0);
        v.pv->*pv_cr3_of(root) = Mfn(0);
        Guard g(v.domain.pv->lock);
        const Status s = put_page_type(v.domain, page_of(m));
        put_page(page_of(m));
        // An interrupted release left a partial page, which the walk over all pages finds.
        TRY(s);
    }
    return ok;
}

/// The page after `at` on the domain's list (null: the first one), with a reference that keeps it on the list; the one
/// on `at` is dropped. Without it a page that its guest gave back while it was pinned would leave the list with its
/// pin, and the walk would go on through another domain's pages.
PageInfo* following_page(Domain& d, PageInfo* at) {
    PageInfo* found = nullptr;
    {
        Guard g(d.page_list_lock);
        uint32_t frame = at ? at->next : d.page_list_head;
        for (; frame != 0 && !found; frame = page_of(Mfn(frame)).next)
            if (get_page(page_of(Mfn(frame)), d.id)) found = &page_of(Mfn(frame));
    }
    if (at) put_page(*at);
    return found;
}

Status release_pins(Domain& d, PageInfo& p) {
    Guard g(d.pv->lock);
    const uint64_t before = p.type.fetch_and(~page::pinned, std::memory_order_acq_rel);
    if (before & page::pinned) {
        const Status s = put_page_type(d, p);
        put_page(p);
        return s;
    }
    if (before & page::partial) return finish_put(d, p);
    return ok;
}

}  // namespace

Status pv_relinquish(Domain& d) {
    if (!d.pv) return ok;
    for (uint32_t& i = d.pv->relinquished_vcpus; d.vcpus && i < d.limits.max_vcpus;) {
        if (d.vcpus[i]) TRY(relinquish_vcpu(*d.vcpus[i]));
        if (++i < d.limits.max_vcpus && arch::preempt_wanted()) return Err{Errc::restart};
    }
    // The pages stay on the list until their allocation references go, after this.
    PageInfo*& at = d.pv->relinquish_cursor;
    if (!at) at = following_page(d, nullptr);
    while (at) {
        TRY(release_pins(d, *at));
        at = following_page(d, at);
        if (at && arch::preempt_wanted()) return Err{Errc::restart};
    }
    return ok;
}

}  // namespace hv
