// SPDX-License-Identifier: Apache-2.0
/// The short way of nearly every mapping, and copy: one whole page of a table of version 1, at an address, without anything else that flags can
/// say. It says no before it has changed anything that stays, and then the long way (map.hpp) decides, which also knows the answers.
///
/// The grant in use and the page-table entry hold references of the page of their own, since the guest may overwrite the entry at any
/// time. Here both begin in one change of each count, and nearly always end in one.
///
/// Locks of a mapping: the mapper's page tables, which the caller holds; in them the owner's table, in that the mapper's handles.
#pragma once

#include "hypervisor/grant/map.hpp"

namespace hv::grant {

/// Marks a version 1 entry, which nobody uses, as in use by `user`, if it grants a page and nothing stands in the way of `write`.
/// The frame that it named at this moment. False also for what the long way would allow.
[[gnu::always_inline]] inline bool claim_usual(xen::GrantEntryV1& e, DomId user, bool write, uint64_t& frame) {
    static_assert(offsetof(xen::GrantEntryV1, domid) == 2 && offsetof(xen::GrantEntryV1, frame) == 4);
    auto* const pair = reinterpret_cast<SharedPair*>(&e);
    uint64_t seen = __atomic_load_n(pair, __ATOMIC_ACQUIRE);
    const uint32_t wanted = xen::GTF_permit_access | uint32_t{user.raw} << 16;
    const uint32_t said = static_cast<uint32_t>(seen) & ~(write ? uint32_t{0} : uint32_t{xen::GTF_readonly});
    const uint64_t marked = seen | xen::GTF_reading | (write ? xen::GTF_writing : 0);
    if (said != wanted) return false;
    if (!__atomic_compare_exchange_n(pair, &seen, marked, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return false;
    dirtied_shared(pair);
    frame = seen >> 32;
    return true;
}

/// The references of a grant that comes into use and of the entry that maps it.
[[gnu::always_inline]] inline bool get_both(const Domain& owner, uint64_t frame, bool write) {
    const Mfn m = machine_frame(owner, Gfn(frame));
    if (!mfn_valid(m)) return false;
    PageInfo& p = page_of(m);
    if (!get_page_twice(p, owner.id)) return false;
    if (!write || get_writable_twice(p)) [[likely]]
        return true;
    put_page(p);
    put_page(p);
    return false;
}

/// The references of an entry that maps a page in use.
[[gnu::always_inline]] inline bool get_for_entry(PageInfo& p, bool write) {
    get_page_again(p);
    if (!write || get_writable_type(p)) [[likely]]
        return true;
    put_page(p);
    return false;
}
[[gnu::always_inline]] inline void put_of_entry(PageInfo& p, bool write) {
    if (write) put_writable_type(p);
    put_page(p);
}

/// Whether a use comes with a page-table entry, which holds references of its own.
enum class Entry : bool { none, mapped };

/// The references of the page for a grant that comes into use.
template <bool write, Entry entry>
[[gnu::always_inline]] inline bool get_first(const Domain& owner, uint64_t frame) {
    if constexpr (entry == Entry::mapped) return get_both(owner, frame, write);
    const Mfn m = machine_frame(owner, Gfn(frame));
    if (!mfn_valid(m)) return false;
    PageInfo& p = page_of(m);
    if (!get_page(p, owner.id)) return false;
    if (!write || get_writable_type(p)) [[likely]]
        return true;
    put_page(p);
    return false;
}

/// Takes grant `n` into use by `user`: its frame.
template <bool write, Entry entry>
[[gnu::always_inline]] inline bool begin_usual(const Domain& owner, GrantTable& t, uint64_t n, DomId user, uint64_t& frame)
    REQUIRES(t.lock) {
    ActiveGrant& a = active_of(t, n);
    uint32_t& users = write ? a.writers : a.readers;
    if (!a.readers && !a.writers) [[likely]] {
        if (!claim_usual(entry_v1(t, n), user, write, frame)) return false;
        if (!get_first<write, entry>(owner, frame)) [[unlikely]] {
            unclaim(t, n, a);
            return false;
        }
        frame = machine_frame(owner, Gfn(frame)).raw;
        a = {write ? 0U : 1U, write ? 1U : 0U, user.raw, frame & ((uint64_t{1} << 48) - 1)};
        ++t.entries_in_use;
        return true;
    }
    // In use in this way already, and not to the limit.
    frame = a.frame;
    if (a.domid != user.raw || users - 1 >= ~0u - 1) return false;
    if (entry == Entry::mapped && !get_for_entry(page_of(Mfn(frame)), write)) return false;
    ++users;
    return true;
}

/// The same for who has not looked at the table yet.
template <bool write, Entry entry>
[[gnu::always_inline]] inline bool begin_usual(const Domain& owner, uint32_t ref, DomId user, uint64_t& frame) {
    GrantTable& t = *owner.grants;
    Guard g(t.lock);
    uint64_t n = ref;
    if (t.version != 1 || !index_below(n, uint64_t{t.frames} * v1_per_frame)) return false;
    return begin_usual<write, entry>(owner, t, n, user, frame);
}

/// All of a mapping but the entry itself: its frame, and in `op` what is answered. The handle, which takes over a reference of the
/// owner, can be used when the caller lets go of the page tables.
template <bool write>
[[gnu::always_inline]] inline bool map_usual(GrantTable& mine, DomId self, Domain& owner, xen::GnttabMapGrantRef& op,
                                             Mfn& frame) {
    GrantTable& t = *owner.grants;
    Guard g(t.lock);
    uint64_t n = op.ref;
    if (t.version != 1 || !index_below(n, uint64_t{t.frames} * v1_per_frame)) return false;
    Guard of_handles(mine.map_lock);
    const uint32_t handle = mine.maptrack_free;
    if (handle == no_handle || !begin_usual<write, Entry::mapped>(owner, t, n, self, frame.raw)) [[unlikely]]
        return false;
    Maptrack& m = mapping_at(mine, handle);
    mine.maptrack_free = m.ref_or_next;
    ++mine.mappings;
    m.owner = &owner;
    m.ref_or_next = static_cast<uint32_t>(n);
    m.flags = write ? xen::GNTMAP_host_map : xen::GNTMAP_host_map | xen::GNTMAP_readonly;
    op.dev_bus_addr = frame.address();
    op.handle = handle;
    op.status = okay;
    return true;
}

/// The mapping of a handle, if its kind is the usual one and it does not end already.
[[gnu::always_inline]] inline Maptrack* usual_mapping(GrantTable& t, uint32_t handle) REQUIRES(t.map_lock) {
    uint64_t n = handle;
    if (!index_below(n, uint64_t{t.maptrack_pages} * handles_per_page)) return nullptr;
    Maptrack& m = mapping_at(t, static_cast<uint32_t>(n));
    return (m.flags & ~xen::GNTMAP_readonly) == xen::GNTMAP_host_map ? &m : nullptr;
}

/// Of a mapping whose entry is gone, and that no TLB has any more: one use of the grant ends, and the entry's references.
[[gnu::always_inline]] inline void end_usual(GrantTable& t, uint32_t ref, bool write) REQUIRES(t.lock) {
    const uint64_t n = clamp_index(ref, uint64_t{t.frames} * GrantTable::active_per_frame);
    ActiveGrant& a = active_of(t, n);
    const Mfn m(a.frame);
    PageInfo& page = page_of(m);
    uint32_t& users = write ? a.writers : a.readers;
    HV_ASSERT(users > 0);
    if (--users != 0) return put_of_entry(page, write);
    if (t.version != 1 || a.readers || a.writers) [[unlikely]] {
        end_use_of_other(t, n, a, write);
        return put_of_entry(page, write);
    }
    if (write) {
        dirtied(m);
        put_writable_twice(page);
    }
    uint16_t& flags = entry_v1(t, n).flags;
    __atomic_fetch_and(&flags, static_cast<uint16_t>(~(xen::GTF_reading | xen::GTF_writing)), __ATOMIC_RELEASE);
    dirtied_shared(&flags);
    --t.entries_in_use;
    put_page_twice(page);
}

}  // namespace hv::grant
