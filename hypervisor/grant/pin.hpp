// SPDX-License-Identifier: Apache-2.0
/// The frequent ways through pin.cpp, in line for those that take a grant into use and give it back: version 1, and whole pages.
#pragma once

#include "hypervisor/arch/x86/speculation.hpp"
#include "hypervisor/grant/internal.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv::grant {

using SharedWord = uint32_t __attribute__((may_alias));  // flags in the low half, domid in the high half
using SharedPair = uint64_t __attribute__((may_alias));

inline constexpr GrantStatus okay = gntst(xen::GNTST_okay);
inline constexpr GrantStatus refused = gntst(xen::GNTST_general_error);

struct User {
    DomId id;
    bool write;
    GrantUse use;
};

/// What of an entry's flags and domid decides, whatever the version.
[[gnu::always_inline]] inline bool allows(uint32_t word, User u) {
    const uint32_t flags = word & 0xffff;
    if (word >> 16 != u.id.raw || (u.write && (flags & xen::GTF_readonly))) return false;
    if ((flags & xen::GTF_type_mask) == xen::GTF_transitive) return u.use == GrantUse::copy;
    if ((flags & xen::GTF_type_mask) != xen::GTF_permit_access) return false;
    return u.use != GrantUse::map || !(flags & xen::GTF_sub_page);
}

inline uint32_t marks_of(User u) { return xen::GTF_reading | (u.write ? xen::GTF_writing : 0); }

/// Marks a version 1 entry as in use, if it allows that. A guest that keeps changing it is refused.
[[gnu::always_inline]] inline GrantStatus claim_v1(xen::GrantEntryV1& e, User u) {
    auto* word = reinterpret_cast<SharedWord*>(&e);
    constexpr uint32_t unknown_here = xen::GTF_sub_page;
    uint32_t seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    for (int attempt = 0; attempt < 5; ++attempt) {
        // This version knows whole pages only.
        if (!allows(seen & ~unknown_here, {u.id, u.write, GrantUse::map})) return refused;
        if (!__atomic_compare_exchange_n(word, &seen, seen | marks_of(u), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
        dirtied_shared(word);
        return okay;
    }
    return refused;
}

/// Takes back the marks for which no user is left.
[[gnu::always_inline]] inline void take_marks_back(GrantTable& t, uint64_t n, const ActiveGrant& a, uint32_t version)
    REQUIRES(t.lock) {
    uint32_t gone = 0;
    if (!a.writers) gone |= xen::GTF_writing;
    if (!a.readers && !a.writers) gone |= xen::GTF_reading;
    if (!gone || version == 0) return;  // between two versions the marks are nowhere: see version.cpp
    uint16_t& where = version == 1 ? entry_v1(t, n).flags : status_word(t, n);
    __atomic_fetch_and(&where, static_cast<uint16_t>(~gone), __ATOMIC_RELEASE);
    dirtied_shared(&where);
}

/// The same out of line, for a use that does not begin after all.
void unclaim(GrantTable& t, uint64_t n, const ActiveGrant& a) REQUIRES(t.lock);

/// References the page for a first user, and makes it writable for a first writer. The active entry holds both, for all its users:
/// grant_unpin() drops them with the last one.
[[gnu::always_inline]] inline GrantStatus take_page(const Domain& owner, ActiveGrant& a, uint64_t frame, bool first, bool write) {
    PageRef ref;
    if (first) {
        auto got = guest_page(owner, Gfn(frame));
        if (!got) return refused;
        ref = std::move(got).take();
        a.frame = machine_frame(owner, Gfn(frame)).raw & ((uint64_t{1} << 48) - 1);
    }
    if (write && !get_writable_type(page_of(Mfn(a.frame)))) return refused;
    (void)ref.release();
    return okay;
}

/// The first use of an entry of version 2, or the first to write: what the guest says now counts.
GrantStatus begin_use_v2(const Domain& owner, GrantTable& t, uint64_t n, ActiveGrant& a, User u, bool first) REQUIRES(t.lock);
[[gnu::always_inline]] inline GrantStatus begin_use_v1(const Domain& owner, GrantTable& t, uint64_t n, ActiveGrant& a, User u,
                                                       bool first) REQUIRES(t.lock) {
    xen::GrantEntryV1& e = entry_v1(t, n);
    if (const GrantStatus s = claim_v1(e, u); s != okay) return s;
    const GrantStatus s = take_page(owner, a, __atomic_load_n(&e.frame, __ATOMIC_RELAXED), first, u.write);
    if (s != okay) unclaim(t, n, a);
    return s;
}

/// Whether an entry in use can be used in this way too.
bool suits_v2(GrantTable& t, uint64_t n, GrantUse use) REQUIRES(t.lock);
/// What entry `n` of version 2, which is in use, grants.
GrantPin pinned_v2(GrantTable& t, uint64_t n, const ActiveGrant& a) REQUIRES(t.lock);

/// grant_pin() of an entry of a table of `version`, which is the table's: a constant where it is in line.
[[gnu::always_inline]] inline GrantPin pin_entry(const Domain& owner, GrantTable& t, User u, uint32_t ref, uint32_t version)
    REQUIRES(t.lock) {
    uint64_t n = ref;
    if (!index_below(n, uint64_t{t.frames} * (version == 1 ? v1_per_frame : v2_per_frame)))
        return {gntst(xen::GNTST_bad_gntref), Mfn(0)};
    ActiveGrant& a = active_of(t, n);
    const bool first = !a.readers && !a.writers;
    if (!first) {
        if (a.domid != u.id.raw || (u.write ? a.writers : a.readers) == ~0u) return {refused, Mfn(0)};
        if (version != 1 && !suits_v2(t, n, u.use)) return {refused, Mfn(0)};
    }
    if (first || (u.write && !a.writers)) {
        const GrantStatus s = version == 1 ? begin_use_v1(owner, t, n, a, u, first) : begin_use_v2(owner, t, n, a, u, first);
        if (s != okay) return {s, Mfn(0)};
        a.domid = u.id.raw;
        if (first) ++t.entries_in_use;
    }
    ++(u.write ? a.writers : a.readers);
    return version == 1 ? GrantPin{okay, Mfn(a.frame)} : pinned_v2(t, n, a);
}
/// The same for tables that are not of version 1.
GrantPin pin_other(const Domain& owner, GrantTable& t, User u, uint32_t ref) REQUIRES(t.lock);

/// grant_pin(), in line.
[[gnu::always_inline]] inline GrantPin pin(const Domain& owner, User u, uint32_t ref) {
    GrantTable& t = *owner.grants;
    Guard g(t.lock);
    if (t.version != 1) [[unlikely]]
        return pin_other(owner, t, u, ref);
    return pin_entry(owner, t, u, ref, 1);
}

/// The last reader or writer of entry `n` has gone.
[[gnu::always_inline]] inline void end_use(GrantTable& t, uint64_t n, ActiveGrant& a, bool write, uint32_t version)
    REQUIRES(t.lock) {
    const bool has_page = version == 1 || part_kept(t, n).kind != GrantKind::passed_on;
    PageInfo& page = page_of(Mfn(a.frame));
    if (write && has_page) {
        // However the mapping ended: perhaps its entry was overwritten, or its domain's end took it.
        dirtied(mfn_of(page));
        put_writable_type(page);
    }
    take_marks_back(t, n, a, version);
    if (a.readers || a.writers) return;
    --t.entries_in_use;
    if (has_page) put_page(page);
}
/// The same for tables that are not of version 1.
void end_use_of_other(GrantTable& t, uint64_t n, ActiveGrant& a, bool write) REQUIRES(t.lock);

/// grant_unpin(), in line.
[[gnu::always_inline]] inline void unpin(Domain& owner, uint32_t ref, bool write) {
    GrantTable& t = *owner.grants;
    Guard g(t.lock);
    // Whatever version the table has become: an entry in use keeps its number.
    const uint64_t n = clamp_index(ref, uint64_t{t.frames} * GrantTable::active_per_frame);
    ActiveGrant& a = active_of(t, n);
    uint32_t& users = write ? a.writers : a.readers;
    HV_ASSERT(users > 0);
    if (--users != 0) return;
    if (t.version == 1) [[likely]]
        end_use(t, n, a, write, 1);
    else end_use_of_other(t, n, a, write);
}

}  // namespace hv::grant
