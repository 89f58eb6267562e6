// SPDX-License-Identifier: Apache-2.0
/// mmuext_op: pinning, roots, TLB and cache, LDT.
#include <cstring>

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/descriptors.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/pv/mmu.hpp"
#include "hypervisor/hypercall/pv/mmu_refusal.hpp"
#include "hypervisor/hypercall/row.hpp"
#include "hypervisor/mm/dirty.hpp"

namespace hv {
namespace {

constexpr uint32_t preempted = 1u << 31;  ///< in the count argument of a call that goes on

/// One element of a list, and for whom.
struct Call {
    Vcpu& v;
    MmuTarget& t;
    const xen::MmuextOp& op;

    Gfn gfn() const { return Gfn(op.arg1.mfn); }
    Mfn frame() const { return machine_frame(*t.pages, gfn()); }
};

template <PageType type>
Status pin(const Call& c) {
    Domain& d = *c.t.pages;
    Status s = pin_table(d, c.frame(), type);
    if (s || s.error() != Errc::intr) return s;
    postpone_release(c.v, d, c.frame());
    return Err{Errc::inval};
}

Status unpin(const Call& c) { return unpin_table(*c.t.pages, c.frame()); }
Status new_root(const Call& c) { return set_kernel_root(c.v, c.frame()); }
Status new_user_root(const Call& c) { return set_user_root(c.v, c.frame()); }
Status set_ldt(const Call& c) { return pv_set_ldt(c.v, c.op.arg1.linear_addr, c.op.arg2.nr_ents); }

Status flush_here(const Call&) {
    arch::flush_tlb_local();
    return ok;
}

Status flush_page_here(const Call& c) {
    arch::flush_tlb_page_local(c.op.arg1.linear_addr);
    return ok;
}

template <bool page>
Status flush_some(const Call& c) {
    const VcpuSet named = TRY(fetch_vcpu_set(c.v.domain, c.op.arg2.vcpumask.addr));
    flush_cpus(cpus_of(c.v.domain, named), {page, c.op.arg1.linear_addr});
    return ok;
}

/// The domain builder flushes on behalf of its guest too.
Status flush_all(const Call& c) {
    arch::flush_tlb(cpus_of(*c.t.pages).with(this_cpu().id));
    return ok;
}

Status flush_page_all(const Call& c) {
    flush_cpus(cpus_of(c.v.domain), {true, c.op.arg1.linear_addr});
    return ok;
}

Status flush_cache(const Call& c) {
    if (!authorised(c.v.domain, Who::control)) return Err{Errc::access};
    hw::wbinvd();
    return ok;
}

/// The page must not be a table.
Status fill_page(PageRef page, const void* from) {
    const auto to = WritableRef::of(std::move(page));
    if (!to) return Err{Errc::perm};
    if (from) memcpy(to.value().data(), from, page_size);
    else memset(to.value().data(), 0, page_size);
    dirtied(to.value().mfn());
    return ok;
}

Status clear_page(const Call& c) { return fill_page(TRY(guest_page(*c.t.pages, c.gfn())), nullptr); }

Status copy_page(const Call& c) {
    PageRef to = TRY(guest_page(*c.t.pages, c.gfn()));
    const PageRef from = TRY(guest_page(*c.t.pages, Gfn(c.op.arg2.src_mfn)));
    return fill_page(std::move(to), map_mfn(from.mfn()));
}

// clang-format off
using OnTables = FrequentOperations<
    Op<xen::MMUEXT_NEW_USER_BASEPTR,   new_user_root,     Who::anyone, Runs::in_parts>,
    Op<xen::MMUEXT_PIN_L1_TABLE,       pin<PageType::l1>>,
    Op<xen::MMUEXT_UNPIN_TABLE,        unpin,             Who::anyone, Runs::in_parts>,
    Op<xen::MMUEXT_TLB_FLUSH_LOCAL,    flush_here>,
    Op<xen::MMUEXT_INVLPG_LOCAL,       flush_page_here>,
    Op<xen::MMUEXT_NEW_BASEPTR,        new_root,          Who::anyone, Runs::in_parts>,
    Op<xen::MMUEXT_TLB_FLUSH_MULTI,    flush_some<false>>,
    Op<xen::MMUEXT_INVLPG_MULTI,       flush_some<true>>,
    Op<xen::MMUEXT_TLB_FLUSH_ALL,      flush_all>,
    Op<xen::MMUEXT_INVLPG_ALL,         flush_page_all>,
    Op<xen::MMUEXT_PIN_L2_TABLE,       pin<PageType::l2>, Who::anyone, Runs::in_parts>,
    Op<xen::MMUEXT_PIN_L3_TABLE,       pin<PageType::l3>, Who::anyone, Runs::in_parts>,
    Op<xen::MMUEXT_PIN_L4_TABLE,       pin<PageType::l4>, Who::anyone, Runs::in_parts>,
    Op<xen::MMUEXT_FLUSH_CACHE,        flush_cache>,
    Op<xen::MMUEXT_FLUSH_CACHE_GLOBAL, flush_cache>,
    Op<xen::MMUEXT_SET_LDT,            set_ldt>,
    Op<xen::MMUEXT_CLEAR_PAGE,         clear_page>,
    Op<xen::MMUEXT_COPY_PAGE,          copy_page>>;
// clang-format on

/// Operations that act on the calling vCPU make no sense for another domain.
bool own_only(uint32_t cmd) {
    return cmd == xen::MMUEXT_NEW_BASEPTR || cmd == xen::MMUEXT_NEW_USER_BASEPTR || cmd == xen::MMUEXT_SET_LDT;
}

[[gnu::always_inline]] inline Status run(const Call& c) { return OnTables::run<Status>("mmuext_op", c.op.cmd, c); }

[[gnu::noinline]] Answer run_list(Vcpu& v, MmuTarget& t, GuestPtr<xen::MmuextOp> list, uint32_t count, GuestPtr<uint32_t> done,
                                  uint32_t done_before, uint16_t pages) {
    Status s = ok;
    uint32_t i = 0;
    for (; i < count; ++i) {
        if (v.pv->pending_put || (i != 0 && arch::preempt_wanted())) {
            s = Err{Errc::restart};
        } else {
            xen::MmuextOp op;
            s = list.fetch_to(op, i);
            if (!s) break;
            if (own_only(op.cmd) && &*t.pages != &v.domain) s = Err{Errc::perm};
            else s = run(Call{v, t, op});
            if (!s && s.error() != Errc::restart) log_refused_operation(v, t, op, s.error());
        }
        if (!s) break;
    }
    if (!done.null()) TRY(done.store(done_before + i));
    if (!s && s.error() == Errc::restart) return restart_with(v, list + i, (count - i) | preempted, done, pages);
    TRY(s);
    return 0;
}

/// The same for whoever asks, and for calls that go on.
[[gnu::noinline]] Answer run_list_for(Vcpu& v, GuestPtr<xen::MmuextOp> list, uint32_t count, GuestPtr<uint32_t> done,
                                      uint16_t pages) {
    uint32_t done_before = 0;
    if ((count & preempted) && !done.null()) done_before = TRY(done.fetch());
    TRY(finish_pending_put(v));
    MmuTarget t = TRY(mmu_target(v, pages));
    if (!t.pages->pv) return Err{Errc::inval};
    return run_list(v, t, list, count & (preempted - 1), done, done_before, pages);
}

/// An element of a list with no other, of a kernel for itself.
[[gnu::noinline]] Status run_rare(Vcpu& v, const xen::MmuextOp& op) {
    MmuTarget own{DomainRef::borrow(v.domain), DomainRef::borrow(v.domain)};
    return run(Call{v, own, op});
}
/// Those of a switch to another process, or what is left of it, are done in place.
[[gnu::always_inline]] inline Status run_own(Vcpu& v, const xen::MmuextOp& op) {
    switch (op.cmd) {
        case xen::MMUEXT_TLB_FLUSH_LOCAL: arch::flush_tlb_local(); return ok;
        case xen::MMUEXT_INVLPG_LOCAL: arch::flush_tlb_page_local(op.arg1.linear_addr); return ok;
        case xen::MMUEXT_NEW_BASEPTR: return set_kernel_root(v, machine_frame(v.domain, Gfn(op.arg1.mfn)));
        default: return run_rare(v, op);
    }
}

/// It was not done, or not all of it.
[[gnu::noinline]] Answer own_refused(Vcpu& v, GuestPtr<xen::MmuextOp> list, const xen::MmuextOp& op, GuestPtr<uint32_t> done,
                                     Errc why) {
    if (why != Errc::restart) log_refused_operation(v, {DomainRef::borrow(v.domain), DomainRef::borrow(v.domain)}, op, why);
    if (!done.null()) TRY(done.store(0));
    if (why == Errc::restart) return restart_with(v, list, 1 | preempted, done, uint16_t{xen::DOMID_SELF});
    return Err{why};
}

}  // namespace

Answer hypercall_mmuext_op(Vcpu& v, GuestPtr<xen::MmuextOp> list, uint32_t count, GuestPtr<uint32_t> done, uint16_t pages) {
    xen::MmuextOp op;
    // What kernels ask for all day: one operation, for themselves.
    if (count != 1 || pages != xen::DOMID_SELF || v.pv->pending_put || !list.fetch_to(op)) [[unlikely]]
        return run_list_for(v, list, count, done, pages);
    if (const Status s = run_own(v, op); !s) [[unlikely]]
        return own_refused(v, list, op, done, s.error());
    if (!done.null()) TRY(done.store(1));
    return 0;
}

}  // namespace hv
