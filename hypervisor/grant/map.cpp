// SPDX-License-Identifier: Apache-2.0
/// Mapping and unmapping: handles of the mapping domain, page-table entries through its kind of guest.
#include "hypervisor/grant/guest_map.hpp"
#include "hypervisor/grant/pin.hpp"

namespace hv {

namespace {

constexpr uint32_t map_kinds = xen::GNTMAP_host_map | xen::GNTMAP_device_map;
constexpr uint32_t being_unmapped = 1u << 31;
constexpr uint32_t kept_flags = map_kinds | xen::GNTMAP_readonly | xen::GNTMAP_contains_pte;
constexpr uint32_t none = ~0u;
constexpr unsigned per_page = GrantTable::maptrack_per_page;

Maptrack& at(GrantTable& t, uint32_t handle) REQUIRES(t.map_lock) { return t.maptrack[handle / per_page][handle % per_page]; }

Status add_page(GrantTable& t) REQUIRES(t.map_lock) {
    if (t.maptrack_pages >= t.max_maptrack_pages) return Err{Errc::nospc};
    if (!t.maptrack) t.maptrack = TRY(make_array<Maptrack*>(t.max_maptrack_pages));
    auto* page = static_cast<Maptrack*>(TRY(heap::alloc_page_zeroed()));
    const uint32_t first = t.maptrack_pages * per_page;
    for (unsigned i = 0; i < per_page; ++i) page[i].ref_or_next = i + 1 < per_page ? first + i + 1 : t.maptrack_free;
    t.maptrack[t.maptrack_pages++] = page;
    t.maptrack_free = first;
    return ok;
}

/// A handle that is nobody's yet: flags stay 0, so no unmap finds it before record(). Null: there are no more.
[[gnu::always_inline]] inline Maptrack* take_handle(GrantTable& t, uint32_t& handle) {
    Guard g(t.map_lock);
    if (t.maptrack_free == none && !add_page(t)) [[unlikely]]
        return nullptr;
    handle = t.maptrack_free;
    Maptrack& m = at(t, handle);
    t.maptrack_free = m.ref_or_next;
    ++t.mappings;
    return &m;
}

void give_handle(GrantTable& t, uint32_t handle, Maptrack& m) REQUIRES(t.map_lock) {
    m.owner = nullptr;
    m.flags = 0;
    m.ref_or_next = t.maptrack_free;
    t.maptrack_free = handle;
    --t.mappings;
}

[[gnu::always_inline]] inline void record(GrantTable& t, Maptrack& m, Domain& owner, uint32_t ref, uint32_t flags) {
    owner.references.fetch_add(1, std::memory_order_relaxed);  // the caller holds one
    Guard g(t.map_lock);
    m.owner = &owner;
    m.ref_or_next = ref;
    m.flags = flags & kept_flags;
}

Mfn frame_in_use(Domain& owner, uint32_t ref) {
    GrantTable& t = *owner.grants;
    Guard g(t.lock);
    return Mfn(grant::active_of(t, ref).frame);
}

Access access_of(bool write) { return write ? Access::read_write : Access::read_only; }

/// GNTMAP_guest_avail0..2 become the three bits of a page-table entry that are software's own.
uint64_t available_bits(uint32_t flags) { return uint64_t{(flags & xen::GNTMAP_guest_avail_mask) >> 16 & 7} << 9; }

/// A second use, for a mapping that is two, which end separately. Without it the first one ends: the owner may change its table's
/// version between them.
[[gnu::noinline]] GrantStatus pin_again(Domain& owner, DomId user, uint32_t ref, bool write) {
    const GrantStatus s = grant_pin(owner, user, ref, write).status;
    if (s != grant::okay) grant_unpin(owner, ref, write);
    return s;
}

[[gnu::noinline]] GrantStatus not_mapped(Domain& owner, uint32_t ref, bool write, bool twice) {
    grant_unpin(owner, ref, write);
    if (twice) grant_unpin(owner, ref, write);
    return gntst(xen::GNTST_general_error);
}

/// The middle of grant_map(): from a free handle to an entry in the page table. Undoes everything on failure.
[[gnu::always_inline]] inline GrantStatus map_pinned(Vcpu& v, xen::GnttabMapGrantRef& op, Domain& owner, bool write) {
    const bool twice = (op.flags & map_kinds) == map_kinds;
    const GrantPin pin = grant::pin(owner, {v.domain.id, write, GrantUse::map}, op.ref);
    GrantStatus s = pin.status;
    if (s == grant::okay && twice) [[unlikely]]
        s = pin_again(owner, v.domain.id, op.ref, write);
    if (s != grant::okay) return s;
    if (op.flags & xen::GNTMAP_host_map) {
        // Wherever the guest wants it to be; without an IOMMU a device needs nothing.
        if (!guest_map_grant(v, op.host_addr, pin.frame, access_of(write), op.flags & xen::GNTMAP_contains_pte,
                             available_bits(op.flags)))
            return not_mapped(owner, op.ref, write, twice);
    }
    op.dev_bus_addr = pin.frame.address();
    return grant::okay;
}

}  // namespace

void grant_map(Vcpu& v, xen::GnttabMapGrantRef& op, DomainRef& peer) {
    if (!(op.flags & map_kinds)) {
        op.status = gntst(xen::GNTST_bad_gntref);
        return;
    }
    if (!peer || peer->id.raw != op.dom) peer = lookup_domain(DomId(op.dom));
    if (!peer || !peer->grants || peer->dying.load(std::memory_order_acquire) != DyingState::alive) {
        op.status = gntst(xen::GNTST_bad_domain);
        return;
    }
    GrantTable& t = *v.domain.grants;
    uint32_t handle = 0;
    Maptrack* const m = take_handle(t, handle);
    if (!m) {
        op.status = gntst(xen::GNTST_no_device_space);
        return;
    }
    op.status = map_pinned(v, op, *peer, !(op.flags & xen::GNTMAP_readonly));
    if (op.status == gntst(xen::GNTST_okay)) {
        op.handle = handle;
        record(t, *m, *peer, op.ref, op.flags);
    } else {
        Guard g(t.map_lock);
        give_handle(t, handle, *m);
    }
}

GrantStatus grant_unmap_begin(Vcpu& v, uint64_t host_addr, uint64_t dev_bus_addr, uint64_t new_addr, uint32_t handle,
                              GrantUnmap& u) {
    GrantTable& t = *v.domain.grants;
    uint32_t flags = 0;
    u.done = 0;
    {
        Guard g(t.map_lock);
        if (handle >= uint64_t{t.maptrack_pages} * per_page) return gntst(xen::GNTST_bad_handle);
        handle = static_cast<uint32_t>(clamp_index(handle, uint64_t{t.maptrack_pages} * per_page));
        Maptrack& m = at(t, handle);
        flags = m.flags;
        if (!(flags & map_kinds) || (flags & being_unmapped)) return gntst(xen::GNTST_bad_handle);
        m.flags |= being_unmapped;
        u.owner = m.owner;
        u.ref = m.ref_or_next;
    }
    u.handle = handle;
    u.write = !(flags & xen::GNTMAP_readonly);
    const Mfn frame = frame_in_use(*u.owner, u.ref);
    GrantStatus status = gntst(xen::GNTST_okay);
    if (host_addr && (flags & xen::GNTMAP_host_map)) {
        if (guest_unmap_grant(v, host_addr, frame, access_of(u.write), flags & xen::GNTMAP_contains_pte, new_addr))
            u.done |= xen::GNTMAP_host_map;
        else status = gntst(xen::GNTST_general_error);
    }
    if (status == gntst(xen::GNTST_okay) && dev_bus_addr && (flags & xen::GNTMAP_device_map)) {
        if (dev_bus_addr == frame.address()) u.done |= xen::GNTMAP_device_map;
        else status = gntst(xen::GNTST_bad_dev_addr);
    }
    if (!u.done) {
        Guard g(t.map_lock);
        at(t, handle).flags &= ~being_unmapped;
    }
    return status;
}

void grant_unmap_finish(Domain& mapper, const GrantUnmap& u) {
    if (u.done & xen::GNTMAP_host_map) [[likely]]
        grant::unpin(*u.owner, u.ref, u.write);
    if (u.done & xen::GNTMAP_device_map) [[unlikely]]
        grant_unpin(*u.owner, u.ref, u.write);
    DomainRef last;
    GrantTable& t = *mapper.grants;
    Guard g(t.map_lock);
    Maptrack& m = at(t, u.handle);
    m.flags &= ~(u.done | being_unmapped);
    if (m.flags & map_kinds) return;
    last = DomainRef::adopt(m.owner);
    give_handle(t, u.handle, m);
}

namespace {

/// The mapping behind a handle of a domain that has stopped; done == 0: there is none.
GrantUnmap mapping_at(GrantTable& t, uint32_t handle) {
    Guard g(t.map_lock);
    const Maptrack& m = at(t, handle);
    if (!(m.flags & map_kinds)) return {};
    return {m.owner, m.ref_or_next, handle, m.flags & map_kinds, !(m.flags & xen::GNTMAP_readonly)};
}

/// Takes the last page of handles away, all of them unused. False: there was none.
bool drop_maptrack_page(GrantTable& t) {
    Guard g(t.map_lock);
    HV_ASSERT(t.mappings == 0);
    t.maptrack_free = none;
    if (!t.maptrack_pages) return false;
    heap::free_page(t.maptrack[--t.maptrack_pages]);
    return true;
}

bool handles_left(GrantTable& t) {
    Guard g(t.map_lock);
    return t.mappings && t.relinquish_cursor < t.maptrack_pages * per_page;
}

}  // namespace

Status grants_relinquish(Domain& d) {
    GrantTable* t = d.grants;
    if (!t) return ok;
    // A step is 32 handles, used or not, or a page of them.
    while (handles_left(*t)) {
        const GrantUnmap u = mapping_at(*t, t->relinquish_cursor);
        if (u.done) grant_unmap_finish(d, u);
        if (++t->relinquish_cursor % 32 == 0 && arch::preempt_wanted()) return Err{Errc::restart};
    }
    while (drop_maptrack_page(*t))
        if (arch::preempt_wanted()) return Err{Errc::restart};
    t->relinquish_cursor = 0;
    return ok;
}

}  // namespace hv
