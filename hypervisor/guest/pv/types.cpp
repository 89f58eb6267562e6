// SPDX-License-Identifier: Apache-2.0
/// Type counts: the word, its transitions, and who may adopt a partial table. Entries are validate.cpp's business.
#include "hypervisor/guest/pv/types.hpp"

#include "hypervisor/domain/domain.hpp"
#include "hypervisor/guest/pv/mirror.hpp"
#include "hypervisor/guest/pv/validate.hpp"
#include "hypervisor/mm/tlb.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sync/spinlock.hpp"
#include "hypervisor/trace/counters.hpp"

namespace hv {
namespace {

using namespace page;

uint64_t tag(PageType t) { return static_cast<uint64_t>(t) << type_shift; }
uint64_t users(uint64_t x) { return x & users_mask; }

/// The CPUs that may hold translations by a page's former use. Whoever translates through it, or to it as a table or a
/// writable page, is one of:
///  - its owner: its entries are in the owner's tables, which only the owner's vCPUs load;
///  - a domain that mapped it by a grant: the grant holds the use until after a flush of that domain's CPUs, or until
///    that domain has left them for good;
///  - the control domain, which may map any page and take it out again without a flush.
/// A CPU is in dirty_cpus before it loads a domain's root, and until it has flushed on leaving: one that is not in it when
/// the last use has ended cannot have seen that use, or has forgotten it.
CpuSet cpus_with_translations(const PageInfo& p) {
    const Domain* owner = page_owner(p.owner.load(std::memory_order_relaxed));
    if (!owner || !dom0) return online_cpus();
    return owner->dirty_cpus.load() | dom0->dirty_cpus.load();
}

/// A page with translations still cached as something else may not become `t` before they are gone.
void flush_for_change(PageInfo& p, PageType before, PageType t) {
    if (before != PageType::none && before != t) tlb_flush_before_reuse(p, cpus_with_translations(p));
}

/// Ends one use. The last one leaves the page to nobody until it is stamped: mm/tlb.hpp says why. False: the word was
/// another by now, which is in `x`.
bool leave(PageInfo& p, uint64_t& x) {
    const bool last = users(x) == 1;
    if (!p.type.compare_exchange_weak(x, last ? (x - 1) | leaving : x - 1, std::memory_order_acq_rel)) return false;
    if (last) {
        tlb_stamp(p);
        p.type.store(x - 1, std::memory_order_release);
    }
    return true;
}

/// True for a page without users that its last one is about to stamp; waits a little.
bool wait_for_stamp(uint64_t x) {
    if (!(x & leaving)) return false;
    detail::spin_wait();
    return true;
}

bool adopt_writable(PageInfo& p, uint64_t seen) {
    const PageType before = type_of(seen);
    const bool clean = before == PageType::none || before == PageType::writable;
    const uint64_t next = tag(PageType::writable) | 1 | (clean ? validated : 0);
    if (!p.type.compare_exchange_strong(seen, next, std::memory_order_acq_rel)) return false;
    if (!clean) {
        flush_for_change(p, before, PageType::writable);
        p.type.fetch_or(validated, std::memory_order_release);
    }
    return true;
}

}  // namespace

bool get_first_writable(PageInfo& p) {
    for (;;) {
        uint64_t x = p.type.load(std::memory_order_acquire);
        if (users(x) == 0) {
            if (!wait_for_stamp(x) && adopt_writable(p, x)) return true;
            continue;
        }
        if (type_of(x) != PageType::writable || users(x) == users_mask) return false;
        if (!p.type.compare_exchange_weak(x, x + 1, std::memory_order_acq_rel)) continue;
        // The first user may still be flushing.
        while (!(p.type.load(std::memory_order_acquire) & validated)) detail::spin_wait();
        return true;
    }
}

void put_last_writable(PageInfo& p) {
    uint64_t x = p.type.load(std::memory_order_relaxed);
    do { HV_DEBUG_ASSERT(users(x) != 0 && type_of(x) == PageType::writable); } while (!leave(p, x));
}

namespace {

/// Releases the entries of a page that is `t` with one user, not validated.
Status run_release(Domain& owner, PageInfo& p, PageType t) REQUIRES(owner.pv->lock) {
    const Status s = release_table(owner, p, t);
    if (!s) {
        p.type.fetch_or(partial, std::memory_order_release);
        return s;
    }
    HV_DEBUG_ASSERT(!(p.type.load(std::memory_order_relaxed) & (linear_entries_mask | linear_uses_mask)));
    tlb_stamp(p);
    p.type.store(tag(t), std::memory_order_release);
    return ok;
}

/// Runs or resumes validation of a page that is `t` with one user, not validated.
Status run_validation(Domain& owner, PageInfo& p, PageType t) REQUIRES(owner.pv->lock) {
    const Status s = validate_table(owner, p, t);
    if (s) {
        counters::count(counters::Counter::tables_validated);
        p.stamp.store(0, std::memory_order_relaxed);  // it has no mirror yet
        p.type.fetch_or(validated, std::memory_order_release);
        dirtied(mfn_of(p));
        return ok;
    }
    if (s.error() == Errc::restart) {
        p.type.fetch_or(partial, std::memory_order_release);
        return Err{Errc::restart};
    }
    // What was taken is given back; of a large tree that takes as long as to release it, and can be interrupted as well.
    if (!run_release(owner, p, t)) return Err{Errc::intr};
    return s;
}

Status first_use(Domain& owner, PageInfo& p, PageType t, uint64_t seen) REQUIRES(owner.pv->lock) {
    const PageType before = type_of(seen);
    uint64_t x = seen;
    if (!p.type.compare_exchange_strong(x, tag(t) | 1, std::memory_order_acq_rel)) return Err{Errc::again};
    flush_for_change(p, before, t);
    p.stamp.store(0, std::memory_order_relaxed);
    p.progress_flags = 0;
    const Status s = run_validation(owner, p, t);
    if (s) return ok;
    if (left_partial(s.error())) get_page_again(p);  // the partial state's own
    return s;
}

Status adopt_partial(Domain& owner, PageInfo& p, PageType t) REQUIRES(owner.pv->lock) {
    if (p.progress_flags & progress::owned_by_parent) return Err{Errc::busy};
    p.type.fetch_and(~partial, std::memory_order_acq_rel);
    const Status s = run_validation(owner, p, t);
    if (!s && left_partial(s.error())) return s;
    put_page(p);  // the partial state's own reference; the caller has its own
    return s;
}

}  // namespace

Status get_page_type(Domain& owner, PageInfo& p, PageType t) {
    for (;;) {
        uint64_t x = p.type.load(std::memory_order_acquire);
        if (users(x) == 0) {
            if (wait_for_stamp(x)) continue;
            const Status s = first_use(owner, p, t, x);
            if (!s && s.error() == Errc::again) continue;
            return s;
        }
        if (type_of(x) != t || users(x) == users_mask) return Err{Errc::inval};
        if (x & partial) return adopt_partial(owner, p, t);
        if (!(x & validated)) return Err{Errc::busy};
        if (p.type.compare_exchange_weak(x, x + 1, std::memory_order_acq_rel)) return ok;
    }
}

Status put_page_type(Domain& owner, PageInfo& p) {
    for (;;) {
        uint64_t x = p.type.load(std::memory_order_acquire);
        const PageType t = type_of(x);
        HV_DEBUG_ASSERT(users(x) != 0);
        if (t == PageType::writable) {
            put_writable_type(p);
            return ok;
        }
        if (users(x) > 1 || t == PageType::segdesc) {
            if (leave(p, x)) return ok;
            continue;
        }
        if (!p.type.compare_exchange_weak(x, tag(t) | 1 | (x & linear_entries_mask), std::memory_order_acq_rel)) continue;
        if (p.stamp.load(std::memory_order_relaxed) != 0) [[unlikely]]
            forget_mirrors(owner, p);
        dirtied(mfn_of(p));
        p.stamp.store(512, std::memory_order_relaxed);
        p.progress_flags = 0;
        const Status s = run_release(owner, p, t);
        if (s) return ok;
        get_page_again(p);  // the partial state's own
        return s;
    }
}

Status finish_put(Domain& owner, PageInfo& p) {
    const uint64_t x = p.type.load(std::memory_order_acquire);
    if (!(x & partial) || (p.progress_flags & progress::owned_by_parent)) return ok;
    p.type.fetch_and(~partial, std::memory_order_acq_rel);
    TRY(run_release(owner, p, type_of(x)));
    put_page(p);
    return ok;
}

}  // namespace hv
