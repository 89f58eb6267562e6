// SPDX-License-Identifier: Apache-2.0
/// A domain's pages: giving, taking back, counting.
///
/// Every page a domain owns is on one of its two lists: the page list, or, once its allocation reference is gone but
/// others remain, the released list. A domain with pages on either has a reference, so the owner of a page exists.
#include <cstring>

#include "abi/xen/basic.hpp"
#include "hypervisor/domain/internal.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/mm/tlb.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

namespace {

void push(uint32_t& head, uint32_t frame) {
    PageInfo& p = frame_table[frame];
    p.prev = 0;
    p.next = head;
    if (head) frame_table[head].prev = frame;
    head = frame;
}

[[gnu::always_inline]] inline void unlink(Domain& d, uint32_t frame) REQUIRES(d.page_list_lock) {
    PageInfo& p = frame_table[frame];
    if (p.next) frame_table[p.next].prev = p.prev;
    if (p.prev) frame_table[p.prev].next = p.next;
    else if (d.page_list_head == frame) d.page_list_head = p.next;
    else if (d.released_list_head == frame) d.released_list_head = p.next;
    p.next = p.prev = 0;
}

uint32_t number(const PageInfo& p) { return static_cast<uint32_t>(mfn_of(p).raw); }

/// Counts a page out; true when it was the last.
[[gnu::always_inline]] inline bool uncharge(Domain& d, PageInfo& p) {
    Guard g(d.page_list_lock);
    unlink(d, number(p));
    HV_ASSERT(d.tot_pages > 0);
    return --d.tot_pages == 0;
}

/// But for its type, which says what translations by its last use allow.
[[gnu::always_inline]] inline void disown(PageInfo& p) {
    dirtied(mfn_of(p));
    set_m2p(mfn_of(p), invalid_m2p_entry);
    tlb_stamp(p);
    p.owner.store(no_owner, std::memory_order_release);
    p.progress_flags = 0;
}

void make_nobodys(PageInfo& p) {
    disown(p);
    p.type.store(0, std::memory_order_relaxed);
}

/// Its type stays: none, or what it was for this domain before.
[[gnu::always_inline]] inline void own(Domain& d, PageInfo& p) REQUIRES(d.page_list_lock) {
    p.owner.store(d.id.raw, std::memory_order_relaxed);
    push(d.page_list_head, number(p));
    p.count.store(page::allocated | 1, std::memory_order_release);
    dirtied(mfn_of(p));
}

// -- claims -----------------------------------------------------------------------------------------------------------

std::atomic<uint64_t> all_claims{0};

/// Up to `n` pages of the domain's claim are fulfilled.
void use_claim(Domain& d, uint64_t n) {
    uint64_t have = d.outstanding_claim.load(std::memory_order_relaxed);
    uint64_t used = 0;
    do {
        used = have < n ? have : n;
        if (used == 0) return;
    } while (!d.outstanding_claim.compare_exchange_weak(have, have - used, std::memory_order_acq_rel));
    all_claims.fetch_sub(used, std::memory_order_acq_rel);
}

/// False when the free frames are promised to others.
bool may_take(const Domain& d, uint64_t n) {
    const uint64_t claimed = all_claims.load(std::memory_order_acquire);
    const uint64_t own_claim = d.outstanding_claim.load(std::memory_order_relaxed);
    return own_claim >= n || claimed - own_claim + n <= heap::free_pages().n;
}

/// Charges n pages and makes them the domain's. The first page takes a reference to the domain.
[[gnu::always_inline]] inline Status charge_and_own(Domain& d, Mfn first, uint64_t n) {
    Guard g(d.page_list_lock);
    if (d.dying.load(std::memory_order_acquire) != DyingState::alive) return Err{Errc::inval};
    if (n > d.max_pages || d.tot_pages > d.max_pages - n) return Err{Errc::toobig};
    if (d.tot_pages == 0) domain::ref(d);
    d.tot_pages += n;
    for (uint64_t i = n; i-- > 0;) own(d, page_of(first + Pages{i}));
    return ok;
}

bool over_limit(Domain& d, uint64_t n) {
    Guard g(d.page_list_lock);
    return n > d.max_pages || d.tot_pages > d.max_pages - n;
}

/// The page that the domain gave back last, if nobody has had it since: nothing is in it, and nothing is left of it in TLBs, that is
/// not the domain's own. None: Mfn(0).
[[gnu::always_inline]] inline Result<Mfn> take_back(Domain& d, unsigned address_bits) {
    if (!may_take(d, 1)) return Mfn(0);
    const Mfn m = heap::take_back(d.serial, address_bits);
    if (m.raw == 0) return m;
    if (const Status s = charge_and_own(d, m, 1); !s) [[unlikely]] {
        heap::free_from(m, d.serial);
        return Err{s.error()};
    }
    use_claim(d, 1);
    return m;
}

}  // namespace

[[gnu::noinline]] Result<Mfn> domain_alloc_pages(Domain& d, unsigned order, unsigned address_bits) {
    if (order > max_order) return Err{Errc::inval};
    const uint64_t n = uint64_t{1} << order;
    if (over_limit(d, n)) return Err{Errc::toobig};
    if (!may_take(d, n)) return Err{Errc::nomem};
    const Mfn m = TRY(heap::alloc(order, address_bits));
    memset(map_mfn(m), 0, n << page_shift);
    for (uint64_t i = 0; i < n; ++i) page_of(m + Pages{i}).type.store(0, std::memory_order_relaxed);
    if (auto s = charge_and_own(d, m, n); !s) {
        heap::free(m, order);
        return Err{s.error()};
    }
    use_claim(d, n);
    return m;
}

Result<Mfn> domain_take_page(Domain& d, unsigned address_bits) {
    const auto m = take_back(d, address_bits);
    return !m || m.value().raw != 0 ? m : domain_alloc_pages(d, 0, address_bits);
}

Status domain_assign_page(Domain& d, PageInfo& p) {
    HV_ASSERT(p.count.load(std::memory_order_relaxed) == 0);
    // It comes without a type, so nobody flushes when it gets one. A frame on its way back from domain_steal_page() may
    // still be in a TLB as what it was before, and its next use may be as a page table.
    tlb_flush_before_reuse(p, online_cpus());
    p.type.store(0, std::memory_order_relaxed);
    return charge_and_own(d, mfn_of(p), 1);
}

Status domain_steal_page(Domain& d, PageInfo& p) {
    uint64_t expected = page::allocated | 2;
    if ((p.type.load(std::memory_order_acquire) & page::users_mask) != 0) return Err{Errc::busy};
    if (!p.count.compare_exchange_strong(expected, 0, std::memory_order_acq_rel)) return Err{Errc::busy};
    const bool last = uncharge(d, p);
    make_nobodys(p);
    if (last) domain::unref(d);
    return ok;
}

bool domain_release_page(PageInfo& p) {
    if (!(p.count.fetch_and(~page::allocated, std::memory_order_acq_rel) & page::allocated)) return false;
    put_page(p);
    return true;
}

namespace {

/// The end of a page of `d`, whose count is 0.
[[gnu::always_inline]] inline void free_page_of(Domain& d, PageInfo& p) {
    const bool last = uncharge(d, p);
    disown(p);
    heap::free_from(mfn_of(p), d.serial);
    if (last) [[unlikely]]
        domain::unref(d);
}

[[gnu::noinline]] bool release_in_use(PageInfo& p) {
    const bool released = domain_release_page(p);
    put_page(p);
    return released;
}

}  // namespace

bool domain_give_back(Domain& d, PageRef page) {
    PageInfo& p = *page.release();
    // Nearly always nobody else has a reference: the two that are left, and the mark, go in one step.
    uint64_t expected = page::allocated | 2;
    if (!p.count.compare_exchange_strong(expected, 0, std::memory_order_acq_rel)) [[unlikely]]
        return release_in_use(p);
    free_page_of(d, p);
    return true;
}

void page_unreferenced(PageInfo& p) {
    if (p.count.load(std::memory_order_relaxed) & page::hyp_page) {
        make_nobodys(p);
        p.count.store(0, std::memory_order_release);
        heap::free(mfn_of(p), 0);
        return;
    }
    Domain* const d = page_owner(p.owner.load(std::memory_order_relaxed));
    HV_ASSERT(d);
    p.count.store(0, std::memory_order_release);
    free_page_of(*d, p);
}

// -- hypervisor pages that a guest maps -------------------------------------------------------------------------------

void share_hyp_page(Domain& d, void* page) {
    PageInfo& p = page_of(mfn_of(page));
    // Writable for good: it can never become a page table.
    p.type.store((static_cast<uint64_t>(PageType::writable) << page::type_shift) | page::validated | 1,
                 std::memory_order_relaxed);
    p.owner.store(d.id.raw, std::memory_order_relaxed);
    p.count.store(page::allocated | page::hyp_page | 1, std::memory_order_release);
    dirtied(page);
    Guard g(d.page_list_lock);
    ++d.hyp_pages;
}

bool hyp_page_mapped(void* page) { return (page_of(mfn_of(page)).count.load(std::memory_order_acquire) & page::count_mask) != 1; }

bool unshare_hyp_page(void* page) {
    PageInfo& p = page_of(mfn_of(page));
    Domain* d = page_owner(p.owner.load(std::memory_order_relaxed));
    HV_ASSERT(d && (p.count.load(std::memory_order_relaxed) & page::hyp_page));
    {
        Guard g(d->page_list_lock);
        --d->hyp_pages;
    }
    // Who still maps it keeps it, but nobody can map it anew, and the domain need not wait for them.
    dirtied(page);
    p.owner.store(dom_xen->id.raw, std::memory_order_release);
    put_writable_type(p);
    p.count.fetch_and(~page::allocated, std::memory_order_acq_rel);
    if ((p.count.fetch_sub(1, std::memory_order_acq_rel) & page::count_mask) != 1) return false;
    make_nobodys(p);
    p.count.store(0, std::memory_order_release);
    return true;
}

// -- the end ----------------------------------------------------------------------------------------------------------

namespace domain {

namespace {

/// Moves the first page to the released list, with a reference; none if it is just being freed.
PageRef next_to_release(Domain& d, bool& empty) {
    Guard g(d.page_list_lock);
    const uint32_t frame = d.page_list_head;
    empty = frame == 0;
    if (empty) return {};
    PageInfo& p = frame_table[frame];
    uint64_t c = p.count.load(std::memory_order_acquire);
    do {
        if ((c & page::count_mask) == 0) return {};
    } while (!p.count.compare_exchange_weak(c, c + 1, std::memory_order_acq_rel));
    unlink(d, frame);
    push(d.released_list_head, frame);
    return PageRef::adopt(p);
}

}  // namespace

Status release_pages(Domain& d) {
    for (unsigned n = 1;; ++n) {
        bool empty = false;
        const PageRef p = next_to_release(d, empty);
        if (empty) return ok;
        if (p) domain_release_page(p.page());
        else detail::spin_wait();  // another CPU is about to take it off the list
        if (n % 16 == 0 && arch::preempt_wanted()) return Err{Errc::restart};
    }
}

void drop_claim(Domain& d) {
    all_claims.fetch_sub(d.outstanding_claim.exchange(0, std::memory_order_acq_rel), std::memory_order_acq_rel);
}

}  // namespace domain

Pages claimed_pages() { return Pages{all_claims.load(std::memory_order_relaxed)}; }

Status domain_claim(Domain& d, uint64_t pages) {
    if (pages == 0) {
        domain::drop_claim(d);
        return ok;
    }
    Guard g(d.page_list_lock);
    if (d.dying.load(std::memory_order_acquire) != DyingState::alive) return Err{Errc::inval};
    if (d.outstanding_claim.load(std::memory_order_relaxed) != 0) return Err{Errc::inval};
    // The claim is for the domain's size in the end: what it has counts.
    if (pages < d.tot_pages || pages > d.max_pages) return Err{Errc::inval};
    const uint64_t wanted = pages - d.tot_pages;
    uint64_t claimed = all_claims.load(std::memory_order_acquire);
    do {
        const uint64_t free = heap::free_pages().n;
        if (claimed > free || wanted > free - claimed) return Err{Errc::nomem};
    } while (!all_claims.compare_exchange_weak(claimed, claimed + wanted, std::memory_order_acq_rel));
    d.outstanding_claim.store(wanted, std::memory_order_release);
    return ok;
}

}  // namespace hv
