// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/pt_update.hpp"

#include <utility>

#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/guest/pv/l1tf.hpp"
#include "hypervisor/guest/pv/mirror.hpp"
#include "hypervisor/guest/pv/view.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {
namespace {

/// Leaves the rest of an interrupted release to finish_pending_put(). Takes over a reference of the caller's: the page
/// must not become another's before that, who might have it partial for a reason of its own.
void postpone(Vcpu& v, PageInfo& p) {
    if (PageInfo* forgotten = std::exchange(v.pv->pending_put, &p)) put_page(*forgotten);
}

/// The answer for a table that is not allowed, whose undoing was interrupted. Takes over a reference.
Status give_up(Vcpu& v, PageInfo& p) {
    postpone(v, p);
    return Err{Errc::inval};
}

}  // namespace

bool leads_to_level(uint64_t e, unsigned level) {
    if (!(e & pte::present)) return false;
    const PageInfo& p = page_of(Mfn::of_address(e & pte::frame_mask));
    return type_of(p.type.load(std::memory_order_acquire)) == static_cast<PageType>(level);
}

Status update_table(Vcpu& v, Domain& owner, uint64_t* slot, uint64_t entry, unsigned level, KeepAccessed keep) {
    const auto index = static_cast<unsigned>((reinterpret_cast<uint64_t>(slot) / 8) & 511);
    if (level == 4 && is_hypervisor_slot(index)) return Err{Errc::inval};
    PageInfo& table = page_of(mfn_of(slot));
    const uint64_t old = __atomic_load_n(slot, __ATOMIC_RELAXED);
    if (entry & pte::present) {
        // The same table, and no write access that a linear entry must not get.
        if (((old ^ entry) & (pte::frame_mask | pte::present)) == 0 && !(entry & ~old & pte::rw)) {
            if (entry & pte::pse) return Err{Errc::inval};
            store_entry(slot, (entry | pte::user) & ~pte::global, keep);
            if (level == 4) pv_root_changed(owner, slot);
            return ok;
        }
        const Status s = table_entry_get(owner, table, entry, level);
        if (!s && s.error() == Errc::intr) {
            PageInfo& p = page_of(Mfn::of_address(entry & pte::frame_mask));
            get_page_again(p);  // the partial state has one
            return give_up(v, p);
        }
        TRY(s);
    } else {
        TRY(l1tf_check(owner, entry, level));
    }
    store_entry(slot, entry, keep);
    if (level == 4) pv_root_changed(owner, slot);
    const Status s = table_entry_put(owner, table, old);
    // The write is done; what remains of the old table is released later.
    if (!s && s.error() == Errc::restart) {
        PageInfo& p = page_of(Mfn::of_address(old & pte::frame_mask));
        get_page_again(p);  // the partial state has one
        postpone(v, p);
    }
    return ok;
}

Status finish_put_of(Vcpu& v, PageInfo& p) {
    const DomId owner(p.owner.load(std::memory_order_relaxed));
    // Page tables of another domain: of a guest that the control domain builds or saves. When it has ended meanwhile, its
    // end has finished this too.
    DomainRef d = owner == v.domain.id ? DomainRef::borrow(v.domain) : lookup_domain(owner);
    if (d && d->pv) {
        Guard g(d->pv->lock);
        TRY(finish_put(*d, p));
    }
    v.pv->pending_put = nullptr;
    put_page(p);
    return ok;
}

namespace {

// A vCPU's root holds an existence reference and a use as an L4, as an entry would.

/// Releases a root; an interrupted release is left to finish_pending_put().
void drop_root(Vcpu& v, Mfn m) REQUIRES(v.domain.pv->lock) {
    if (m.raw == 0) return;
    PageInfo& p = page_of(m);
    if (put_page_type(v.domain, p)) put_page(p);
    else postpone(v, p);
}

Status take_root(Vcpu& v, Mfn m) REQUIRES(v.domain.pv->lock) {
    if (!mfn_valid(m)) return Err{Errc::inval};
    PageInfo& p = page_of(m);
    if (!get_page(p, v.domain.id)) return Err{Errc::inval};
    const Status s = get_page_type(v.domain, p, PageType::l4);
    if (s) return ok;
    if (s.error() == Errc::intr) return give_up(v, p);
    put_page(p);
    return s;
}

[[gnu::always_inline]] inline Status exchange_root(Vcpu& v, Mfn PvVcpu::*root, Mfn m) {
    Guard g(v.domain.pv->lock);
    const Mfn old = v.pv->*root;
    if (old == m) return ok;
    if (m.raw != 0) TRY(take_root(v, m));
    const Mfn cr3 = pv_cr3_for(v.domain, m);
    v.pv->*root = m;
    v.pv->*pv_cr3_of(root) = cr3;
    // The CPU must leave the old tables before they can become ordinary pages again.
    if (&v == this_cpu().current && v.pv->in_kernel == (root == &PvVcpu::kernel_root)) arch::load_root(cr3.address());
    drop_root(v, old);
    return ok;
}

}  // namespace

Status set_kernel_root(Vcpu& v, Mfn m) {
    if (m.raw == 0) return Err{Errc::inval};
    return exchange_root(v, &PvVcpu::kernel_root, m);
}

Status set_user_root(Vcpu& v, Mfn m) {
    // A vCPU in user mode runs on it.
    if (m.raw == 0 && !v.pv->in_kernel) return Err{Errc::inval};
    return exchange_root(v, &PvVcpu::user_root, m);
}

void drop_roots(Vcpu& v) {
    Guard g(v.domain.pv->lock);
    for (Mfn PvVcpu::*root : {&PvVcpu::user_root, &PvVcpu::kernel_root}) {
        v.pv->*pv_cr3_of(root) = Mfn(0);
        drop_root(v, std::exchange(v.pv->*root, Mfn(0)));
    }
}

void postpone_release(Vcpu& v, Domain& owner, Mfn m) {
    // The partial state may be over already, and the page another's.
    if (get_page(page_of(m), owner.id)) postpone(v, page_of(m));
}

Status pin_table(Domain& owner, Mfn m, PageType t) {
    PageRef ref = TRY(PageRef::acquire(m, owner.id));
    Guard g(owner.pv->lock);
    // The walk that takes the pins away may have passed this page. Whoever sees the domain alive is before the walk.
    if (owner.dying.load(std::memory_order_acquire) != DyingState::alive) return Err{Errc::inval};
    PageInfo& p = ref.page();
    TRY(get_page_type(owner, p, t));
    if (p.type.fetch_or(page::pinned, std::memory_order_acq_rel) & page::pinned) {
        const Status s = put_page_type(owner, p);
        (void)s;  // the pin holds another use: this was not the last
        return Err{Errc::inval};
    }
    ref.release();
    dirtied(m);
    return ok;
}

Status unpin_table(Domain& owner, Mfn m) {
    PageRef ref = TRY(PageRef::acquire(m, owner.id));
    Guard g(owner.pv->lock);
    PageInfo& p = ref.page();
    const uint64_t before = p.type.fetch_and(~page::pinned, std::memory_order_acq_rel);
    if (before & page::pinned) {
        dirtied(m);
        const Status s = put_page_type(owner, p);
        put_page(p);
        return s;
    }
    // Called again after an interruption.
    if (before & page::partial) return finish_put(owner, p);
    return Err{Errc::inval};
}

}  // namespace hv
