// SPDX-License-Identifier: Apache-2.0
/// Growing and shrinking a domain. The answer is how many extents were done, whatever stopped the rest; for that reason
/// even a bad argument is answered with a number (0, or how far an earlier part came).
#include "hypervisor/hypercall/memory/memory_op.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/trace/trace.hpp"

namespace hv::memory {

namespace {

struct Reservation {
    DomainRef domain;
    GuestPtr<uint64_t> extents{0};
    uint64_t count = 0;
    unsigned order = 0;
    unsigned bits = 64;
    bool usable = false;  ///< false: nothing more can be done, answer with the start
};

/// Into each of its callers: kernels grow and shrink by single pages all day. Errors: perm.
[[gnu::always_inline]] inline Status decode(const Call& c, Reservation& r) {
    xen::MemoryReservation m;
    if (!GuestPtr<xen::MemoryReservation>(c.arg).fetch_to(m)) return ok;
    if (m.nr_extents > (~uint64_t{0} >> Call::start_shift) || c.start > m.nr_extents) return ok;
    if (m.extent_order > max_extent_order) return ok;
    auto d = target_domain(c.v, m.domid);
    if (!d) {
        if (d.error() == Errc::perm) return Err{Errc::perm};
        return ok;
    }
    r.domain = std::move(d).take();
    r.extents = GuestPtr<uint64_t>::of(m.extent_start);
    r.count = m.nr_extents;
    r.order = m.extent_order;
    r.bits = address_bits(m.mem_flags);
    r.usable = r.bits > page_shift && !(m.mem_flags & xen::XENMEMF_populate_on_demand);
    return ok;
}

/// Runs `one(i)` for the extents until it returns false.
template <class F>
[[gnu::always_inline]] inline Answer for_extents(const Call& c, const Reservation& r, F one) {
    uint64_t i = c.start;
    for (; i < r.count; ++i) {
        if (i != c.start && arch::preempt_wanted()) return c.restart(i);
        if (!one(i)) break;
    }
    return i;
}

[[gnu::noinline]] void log_refusal(const Call& c, const Reservation& r, Errc why) {
    Domain& d = *r.domain;
    if (why == Errc::toobig) {
        const uint64_t most = [&] {
            Guard g(d.page_list_lock);
            return d.max_pages;
        }();
        guest_log(LogLevel::debug, "d%u: no more than %lu pages allowed", unsigned{d.id.raw}, most);
    } else {
        guest_log(LogLevel::info, "d%u: could not give d%u 2^%u pages below %u bits", unsigned{c.v.domain.id.raw},
                  unsigned{d.id.raw}, r.order, r.bits);
    }
}

/// One extent of memory for the domain; the log says why it gets none.
[[gnu::always_inline]] inline Result<Mfn> allocate(const Call& c, const Reservation& r) {
    Domain& d = *r.domain;
    const bool own = &d == &c.v.domain && r.order == 0;
    const auto m = own ? domain_take_page(d, r.bits) : domain_alloc_pages(d, r.order, r.bits);
    if (!m) [[unlikely]]
        log_refusal(c, r, m.error());
    return m;
}

}  // namespace

Answer populate_physmap(const Call& c) {
    Reservation r;
    TRY(decode(c, r));
    if (!r.usable) return c.start;
    return for_extents(c, r, [&](uint64_t i) {
        const auto gpfn = r.extents.fetch(i);
        if (!gpfn) return false;
        const auto m = allocate(c, r);
        if (!m) return false;
        for (uint64_t j = 0; j < (uint64_t{1} << r.order); ++j) {
            set_m2p(m.value() + Pages{j}, gpfn.value() + j);
            dirtied(m.value() + Pages{j});
        }
        return static_cast<bool>(r.extents.store(m.value().raw, i));
    });
}

Answer increase_reservation(const Call& c) {
    Reservation r;
    TRY(decode(c, r));
    if (!r.usable) return c.start;
    return for_extents(c, r, [&](uint64_t i) {
        const auto m = allocate(c, r);
        return m && (r.extents.null() || r.extents.store(m.value().raw, i));
    });
}

namespace {

[[gnu::always_inline]] inline bool remove_page(Domain& d, Gfn frame) {
    auto page = guest_page(d, frame);
    if (!page || (page.value().page().count.load(std::memory_order_relaxed) & page::hyp_page)) [[unlikely]] {
        guest_log(LogLevel::debug, "d%u: frame %lx is not its to give back", unsigned{d.id.raw}, frame.raw);
        return false;
    }
    return domain_give_back(d, std::move(page).take());
}

}  // namespace

Answer decrease_reservation(const Call& c) {
    Reservation r;
    TRY(decode(c, r));
    if (!r.domain) return c.start;
    Domain& d = *r.domain;
    return for_extents(c, r, [&](uint64_t i) {
        const auto frame = r.extents.fetch(i);
        if (!frame) return false;
        constexpr uint32_t padding = 0;
        trace::untimed_event(xen::TRC_MEM_DECREASE_RESERVATION, frame.value(), d.id.raw | r.order << 16, padding);
        for (uint64_t j = 0; j < (uint64_t{1} << r.order); ++j)
            if (!remove_page(d, Gfn(frame.value() + j))) return false;
        return true;
    });
}

}  // namespace hv::memory
