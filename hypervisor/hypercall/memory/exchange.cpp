// SPDX-License-Identifier: Apache-2.0
/// XENMEM_exchange: a domain trades frames for others of another size or place (contiguous, or below some address).
///
/// One chunk at a time: as many extents of the smaller order as make one of the larger. The input frames are taken from
/// the domain first; if that or the allocation fails they are given back and the exchange ends there.
#include "hypervisor/hypercall/memory/memory_op.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv::memory {

namespace {

struct Plan {
    DomainRef domain;
    GuestPtr<uint64_t> in{0}, out{0};
    unsigned in_order = 0, out_order = 0;
    unsigned in_chunk = 0, out_chunk = 0;  ///< log2 of extents in a chunk
    unsigned bits = 64;
    uint64_t chunks = 0;
};

Result<Plan> decode(Vcpu& v, const xen::MemoryExchange& x) {
    if (x.nr_exchanged > x.in.nr_extents) return Err{Errc::inval};
    if (x.in.extent_order > max_extent_order || x.out.extent_order > max_extent_order) return Err{Errc::perm};
    if (x.in.nr_extents > (~uint64_t{0} >> x.in.extent_order) || x.out.nr_extents > (~uint64_t{0} >> x.out.extent_order))
        return Err{Errc::inval};
    if (x.in.domid != x.out.domid) return Err{Errc::inval};
    if ((x.in.nr_extents << x.in.extent_order) != (x.out.nr_extents << x.out.extent_order)) return Err{Errc::inval};
    Plan p;
    p.domain = TRY(target_domain(v, x.in.domid));
    p.in = GuestPtr<uint64_t>::of(x.in.extent_start);
    p.out = GuestPtr<uint64_t>::of(x.out.extent_start);
    p.in_order = x.in.extent_order;
    p.out_order = x.out.extent_order;
    if (p.in_order <= p.out_order) p.in_chunk = p.out_order - p.in_order;
    else p.out_chunk = p.in_order - p.out_order;
    p.bits = address_bits(x.out.mem_flags);
    if (p.bits <= page_shift) return Err{Errc::inval};
    p.chunks = x.in.nr_extents >> p.in_chunk;
    return p;
}

/// The frames of a chunk while they are nobody's; linked through PageInfo::next, so that no memory is needed.
class Stolen {
    Domain& d_;
    uint32_t head_ = 0;

    PageInfo* pop() {
        if (!head_) return nullptr;
        PageInfo& p = frame_table[head_];
        head_ = p.next;
        p.next = 0;
        return &p;
    }

public:
    explicit Stolen(Domain& d) : d_(d) {}
    Stolen(const Stolen&) = delete;
    Stolen& operator=(const Stolen&) = delete;
    /// Whatever was not freed goes back to the domain.
    ~Stolen() {
        while (PageInfo* p = pop())
            if (!domain_assign_page(d_, *p)) heap::free(mfn_of(*p), 0);
    }
    /// Errors: inval, perm, busy (mapped or in use as a table).
    Status take(Gfn gfn) {
        PageRef ref = TRY(guest_page(d_, gfn));
        PageInfo& p = ref.page();
        const Mfn m = ref.mfn();
        const uint64_t pfn = m2p(m);
        if (auto s = domain_steal_page(d_, p); !s) return s;
        (void)ref.release();  // the theft took it
        set_m2p(m, pfn);      // for the way back
        p.next = head_;
        head_ = static_cast<uint32_t>(m.raw);
        return ok;
    }
    void free_all() {
        while (PageInfo* p = pop()) {
            set_m2p(mfn_of(*p), invalid_m2p_entry);
            heap::free(mfn_of(*p), 0);
        }
    }
};

Status take_inputs(const Plan& p, uint64_t chunk, Stolen& stolen) {
    for (uint64_t i = 0; i < (uint64_t{1} << p.in_chunk); ++i) {
        const uint64_t first = TRY(p.in.fetch((chunk << p.in_chunk) + i));
        for (uint64_t j = 0; j < (uint64_t{1} << p.in_order); ++j)
            if (!stolen.take(Gfn(first + j))) return Err{Errc::inval};
    }
    return ok;
}

/// Blocks on their way to the domain, linked by their first frames.
struct Fresh {
    uint32_t head = 0;
    unsigned order;
    explicit Fresh(unsigned o) : order(o) {}
    Fresh(const Fresh&) = delete;
    Fresh& operator=(const Fresh&) = delete;
    ~Fresh() {
        while (head) heap::free(take(), order);
    }
    void add(Mfn m) {
        frame_table[m.raw].next = head;
        head = static_cast<uint32_t>(m.raw);
    }
    Mfn take() {
        const uint32_t m = head;
        head = frame_table[m].next;
        frame_table[m].next = 0;
        return Mfn(m);
    }
};

/// The domain has shrunk by what was stolen, so its limit allows this; it fails only when the domain dies.
Status give(const Plan& p, Mfn m, uint64_t gpfn) {
    const uint64_t n = uint64_t{1} << p.out_order;
    for (uint64_t i = 0; i < n; ++i) {
        if (auto s = domain_assign_page(*p.domain, page_of(m + Pages{i})); !s) {
            heap::free_range(m + Pages{i}, Pages{n - i});
            return s;
        }
        set_m2p(m + Pages{i}, gpfn + i);
        dirtied(m + Pages{i});
    }
    return ok;
}

Status exchange_chunk(const Plan& p, uint64_t chunk) {
    Stolen stolen(*p.domain);
    TRY(take_inputs(p, chunk, stolen));
    Fresh fresh(p.out_order);
    const uint64_t blocks = uint64_t{1} << p.out_chunk;
    for (uint64_t i = 0; i < blocks; ++i) {
        const Mfn m = TRY(heap::alloc(p.out_order, p.bits));
        memset(map_mfn(m), 0, page_size << p.out_order);
        fresh.add(m);
    }
    stolen.free_all();
    // From here on there is no way back: a bad guest address costs the guest the frames' numbers, nothing else.
    for (uint64_t i = 0; i < blocks; ++i) {
        const uint64_t index = (chunk << p.out_chunk) + i;
        const auto gpfn = p.out.fetch(index);
        const Mfn m = fresh.take();
        TRY(give(p, m, gpfn ? gpfn.value() : invalid_m2p_entry));
        if (!gpfn || !p.out.store(m.raw, index)) return Err{Errc::fault};
    }
    return ok;
}

}  // namespace

Answer exchange(const Call& c) {
    const GuestPtr<xen::MemoryExchange> arg = c.arg;
    if (c.start != 0) return Err{Errc::inval};
    const xen::MemoryExchange x = TRY(arg.fetch());
    const Plan p = TRY(decode(c.v, x));
    const auto progress = arg.at<uint64_t>(offsetof(xen::MemoryExchange, nr_exchanged));

    const uint64_t first = x.nr_exchanged >> p.in_chunk;
    for (uint64_t i = first; i < p.chunks; ++i) {
        if (i != first && arch::preempt_wanted()) {
            TRY(progress.store(i << p.in_chunk));
            return c.restart(0);
        }
        if (auto s = exchange_chunk(p, i); !s) {
            TRY(progress.store(i << p.in_chunk));
            return Err{s.error()};
        }
    }
    TRY(progress.store(x.in.nr_extents));
    return 0;
}

}  // namespace hv::memory
