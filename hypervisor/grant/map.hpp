// SPDX-License-Identifier: Apache-2.0
/// Mapping and unmapping of one element, in line for who knows how a page gets into the guest's page tables (guest/grant_map.cpp). What
/// does that is given as a function: see GuestKind::map_grant and unmap_grant (domain/guest_kind.hpp).
#pragma once

#include "hypervisor/grant/guest_map.hpp"
#include "hypervisor/grant/pin.hpp"

namespace hv::grant {

inline constexpr uint32_t map_kinds = xen::GNTMAP_host_map | xen::GNTMAP_device_map;
inline constexpr uint32_t being_unmapped = 1u << 31;
inline constexpr uint32_t kept_flags = map_kinds | xen::GNTMAP_readonly | xen::GNTMAP_contains_pte;
inline constexpr uint32_t no_handle = ~0u;
inline constexpr unsigned handles_per_page = GrantTable::maptrack_per_page;

inline Maptrack& mapping_at(GrantTable& t, uint32_t handle) REQUIRES(t.map_lock) {
    return t.maptrack[handle / handles_per_page][handle % handles_per_page];
}

/// Errors: nospc, nomem.
Status add_handles(GrantTable& t) REQUIRES(t.map_lock);

/// A handle that is nobody's yet: flags stay 0, so no unmap finds it before record(). Null: there are no more.
[[gnu::always_inline]] inline Maptrack* take_handle(GrantTable& t, uint32_t& handle) {
    Guard g(t.map_lock);
    if (t.maptrack_free == no_handle && !add_handles(t)) [[unlikely]]
        return nullptr;
    handle = t.maptrack_free;
    Maptrack& m = mapping_at(t, handle);
    t.maptrack_free = m.ref_or_next;
    ++t.mappings;
    return &m;
}

[[gnu::always_inline]] inline void give_handle(GrantTable& t, uint32_t handle, Maptrack& m) REQUIRES(t.map_lock) {
    m.owner = nullptr;
    m.flags = 0;
    m.ref_or_next = t.maptrack_free;
    t.maptrack_free = handle;
    --t.mappings;
}
/// Of a mapping that did not come about.
void give_back_handle(GrantTable& t, uint32_t handle, Maptrack& m);

[[gnu::always_inline]] inline void record(GrantTable& t, Maptrack& m, Domain& owner, uint32_t ref, uint32_t flags) {
    owner.references.fetch_add(1, std::memory_order_relaxed);  // the caller holds one
    Guard g(t.map_lock);
    m.owner = &owner;
    m.ref_or_next = ref;
    m.flags = flags & kept_flags;
}

/// The frame of a grant that the caller's mapping holds: for so long its active entry stays where it is, and names the same frame.
[[gnu::always_inline]] inline Mfn frame_in_use(Domain& owner, uint32_t ref) NO_THREAD_SAFETY_ANALYSIS {
    return Mfn(active_of(*owner.grants, ref).frame);
}

inline Access access_of(bool write) { return write ? Access::read_write : Access::read_only; }

/// GNTMAP_guest_avail0..2 become the three bits of a page-table entry that are software's own.
inline uint64_t available_bits(uint32_t flags) { return uint64_t{(flags & xen::GNTMAP_guest_avail_mask) >> 16 & 7} << 9; }

/// A second use, for a mapping that is two, which end separately. Without it the first one ends: the owner may change its table's
/// version between them.
GrantStatus pin_again(Domain& owner, DomId user, uint32_t ref, bool write);
/// The answer where no entry was made: the uses end.
GrantStatus not_mapped(Domain& owner, uint32_t ref, bool write, bool twice);

/// The middle of map_element(): from a free handle to an entry in the page table. Undoes everything on failure.
template <class Map>
[[gnu::always_inline]] inline GrantStatus map_pinned(Vcpu& v, xen::GnttabMapGrantRef& op, Domain& owner, bool write, Map map) {
    const uint32_t flags = op.flags;
    const bool twice = (flags & map_kinds) == map_kinds;
    const GrantPin pinned = pin(owner, {v.domain.id, write, GrantUse::map}, op.ref);
    GrantStatus s = pinned.status;
    if (s == okay && twice) [[unlikely]]
        s = pin_again(owner, v.domain.id, op.ref, write);
    if (s != okay) return s;
    if (flags & xen::GNTMAP_host_map) {
        // Wherever the guest wants it to be; without an IOMMU a device needs nothing.
        if (!map(v, op.host_addr, pinned.frame, access_of(write), (flags & xen::GNTMAP_contains_pte) != 0, available_bits(flags)))
            [[unlikely]]
            return not_mapped(owner, op.ref, write, twice);
    }
    op.dev_bus_addr = pinned.frame.address();
    return okay;
}

/// grant_map().
template <class Map>
[[gnu::always_inline]] inline void map_element(Vcpu& v, xen::GnttabMapGrantRef& op, DomainRef& peer, Map map) {
    if (!(op.flags & map_kinds)) {
        op.status = gntst(xen::GNTST_bad_gntref);
        return;
    }
    if (!peer || peer->id.raw != op.dom) peer = lookup_domain(DomId(op.dom));
    if (!peer || !peer->grants || peer->dying.load(std::memory_order_acquire) != DyingState::alive) [[unlikely]] {
        op.status = gntst(xen::GNTST_bad_domain);
        return;
    }
    GrantTable& t = *v.domain.grants;
    uint32_t handle = 0;
    Maptrack* const m = take_handle(t, handle);
    if (!m) [[unlikely]] {
        op.status = gntst(xen::GNTST_no_device_space);
        return;
    }
    op.status = map_pinned(v, op, *peer, !(op.flags & xen::GNTMAP_readonly), map);
    if (op.status != okay) [[unlikely]]
        return give_back_handle(t, handle, *m);
    op.handle = handle;
    record(t, *m, *peer, op.ref, op.flags);
}

/// The handle is in use again.
void keep_mapping(GrantTable& t, uint32_t handle);

/// grant_unmap_begin().
template <class Unmap>
[[gnu::always_inline]] inline GrantStatus unmap_element(Vcpu& v, uint64_t host_addr, uint64_t dev_bus_addr, uint64_t new_addr,
                                                        uint32_t handle, GrantUnmap& u, Unmap unmap) {
    GrantTable& t = *v.domain.grants;
    uint32_t flags = 0;
    u.done = 0;
    {
        Guard g(t.map_lock);
        uint64_t n = handle;
        if (!index_below(n, uint64_t{t.maptrack_pages} * handles_per_page)) return gntst(xen::GNTST_bad_handle);
        handle = static_cast<uint32_t>(n);
        Maptrack& m = mapping_at(t, handle);
        flags = m.flags;
        if (!(flags & map_kinds) || (flags & being_unmapped)) return gntst(xen::GNTST_bad_handle);
        m.flags = flags | being_unmapped;
        u.owner = m.owner;
        u.ref = m.ref_or_next;
    }
    u.handle = handle;
    u.with_entry = false;
    u.write = !(flags & xen::GNTMAP_readonly);
    const Mfn frame = frame_in_use(*u.owner, u.ref);
    uint32_t done = 0;
    GrantStatus status = okay;
    if (host_addr && (flags & xen::GNTMAP_host_map)) {
        if (unmap(v, host_addr, frame, access_of(u.write), (flags & xen::GNTMAP_contains_pte) != 0, new_addr)) [[likely]]
            done = xen::GNTMAP_host_map;
        else status = gntst(xen::GNTST_general_error);
    }
    if (status == okay && dev_bus_addr && (flags & xen::GNTMAP_device_map)) {
        if (dev_bus_addr == frame.address()) done |= xen::GNTMAP_device_map;
        else status = gntst(xen::GNTST_bad_dev_addr);
    }
    u.done = done;
    if (!done) [[unlikely]]
        keep_mapping(t, handle);
    return status;
}

}  // namespace hv::grant
