// SPDX-License-Identifier: Apache-2.0
/// Taking a grant into use and giving it back: the state machine on the shared entry, which the granting guest may rewrite
/// at any moment.
///
///     permit_access, domid == user        first reader: +GTF_reading, page reference
///     permit_access | reading             first writer: +GTF_writing, writable type
///
/// In version 1 the marks are in the entry's own flags, and taken by compare-and-swap; in version 2 they have a word of
/// their own, which is written first, and the flags are looked at again afterwards.
///
/// What was promised stays valid while in use, whatever the guest writes: the active entry remembers frame and user, and
/// in version 2 the GrantPart which bytes, or whose grant is passed on.
#include "hypervisor/arch/x86/speculation.hpp"
#include "hypervisor/grant/internal.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

namespace grant {
namespace {

using SharedWord = uint32_t __attribute__((may_alias));  // flags in the low half, domid in the high half
using SharedPair = uint64_t __attribute__((may_alias));

constexpr GrantStatus okay = gntst(xen::GNTST_okay);
constexpr GrantStatus refused = gntst(xen::GNTST_general_error);

struct User {
    DomId id;
    bool write;
    GrantUse use;
};

/// What of an entry's flags and domid decides, whatever the version.
[[gnu::always_inline]] inline bool allows(uint32_t word, const User& u) {
    const uint32_t flags = word & 0xffff;
    if (word >> 16 != u.id.raw || (u.write && (flags & xen::GTF_readonly))) return false;
    if ((flags & xen::GTF_type_mask) == xen::GTF_transitive) return u.use == GrantUse::copy;
    if ((flags & xen::GTF_type_mask) != xen::GTF_permit_access) return false;
    return u.use != GrantUse::map || !(flags & xen::GTF_sub_page);
}

uint32_t marks_of(const User& u) { return xen::GTF_reading | (u.write ? xen::GTF_writing : 0); }

/// Marks a version 1 entry as in use, if it allows that. A guest that keeps changing it is refused.
GrantStatus claim_v1(xen::GrantEntryV1& e, const User& u) {
    auto* word = reinterpret_cast<SharedWord*>(&e);
    constexpr uint32_t unknown_here = xen::GTF_sub_page;
    uint32_t seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    for (int attempt = 0; attempt < 5; ++attempt) {
        // This version knows whole pages only.
        if (!allows(seen & ~unknown_here, {u.id, u.write, GrantUse::map})) return refused;
        if (!__atomic_compare_exchange_n(word, &seen, seen | marks_of(u), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
        dirtied(word);
        return okay;
    }
    return refused;
}

/// Takes back the marks for which no user is left.
[[gnu::always_inline]] inline void take_marks_back(GrantTable& t, uint64_t n, const ActiveGrant& a) REQUIRES(t.lock) {
    uint32_t gone = 0;
    if (!a.writers) gone |= xen::GTF_writing;
    if (!a.readers && !a.writers) gone |= xen::GTF_reading;
    if (!gone || t.version == 0) return;  // between two versions the marks are nowhere: see version.cpp
    uint16_t& where = t.version == 1 ? entry_v1(t, n).flags : status_word(t, n);
    __atomic_fetch_and(&where, static_cast<uint16_t>(~gone), __ATOMIC_RELEASE);
    dirtied(&where);
}

[[gnu::noinline]] void unclaim(GrantTable& t, uint64_t n, const ActiveGrant& a) REQUIRES(t.lock) { take_marks_back(t, n, a); }

/// The same for version 2. The guest that ends a grant clears the flags and then looks at the marks: we do it the other way
/// round, so that one of the two sees the other. `flags`: those that were claimed.
GrantStatus claim_v2(GrantTable& t, uint64_t n, const ActiveGrant& a, const User& u, uint32_t& flags) REQUIRES(t.lock) {
    auto* word = reinterpret_cast<SharedWord*>(&entry_v2(t, n));
    if (!allows(__atomic_load_n(word, __ATOMIC_ACQUIRE), u)) return refused;
    __atomic_fetch_or(&status_word(t, n), static_cast<uint16_t>(marks_of(u)), __ATOMIC_SEQ_CST);
    dirtied(&status_word(t, n));
    const uint32_t seen = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    flags = seen & 0xffff;
    if (allows(seen, u)) return okay;
    unclaim(t, n, a);
    return refused;
}

/// What a version 2 entry grants, read once. `flags` are those that were claimed.
GrantPart part_of(xen::GrantEntryV2& e, uint32_t flags, uint64_t& frame) {
    auto* words = reinterpret_cast<SharedWord*>(&e);
    const uint32_t second = __atomic_load_n(words + 1, __ATOMIC_RELAXED);
    GrantPart p;
    if ((flags & xen::GTF_type_mask) == xen::GTF_transitive) {
        p.kind = GrantKind::passed_on;
        p.domid = static_cast<uint16_t>(second);
        p.ref = __atomic_load_n(words + 2, __ATOMIC_RELAXED);
        return p;
    }
    frame = __atomic_load_n(reinterpret_cast<SharedPair*>(&e) + 1, __ATOMIC_RELAXED);
    if (flags & xen::GTF_sub_page) {
        p.kind = GrantKind::part;
        p.start = static_cast<uint16_t>(second);
        p.length = static_cast<uint16_t>(second >> 16);
    }
    return p;
}

/// References the page for a first user, and makes it writable for a first writer. The active entry holds both, for all its users:
/// grant_unpin() drops them with the last one.
GrantStatus take_page(const Domain& owner, ActiveGrant& a, uint64_t frame, bool first, bool write) {
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

/// The first use of an entry, or the first to write: what the guest says now counts.
GrantStatus begin_use(const Domain& owner, GrantTable& t, uint64_t n, ActiveGrant& a, const User& u, bool first)
    REQUIRES(t.lock) {
    uint64_t frame = 0;
    bool has_page = true;
    if (t.version == 1) [[likely]] {
        xen::GrantEntryV1& e = entry_v1(t, n);
        if (const GrantStatus s = claim_v1(e, u); s != okay) return s;
        frame = __atomic_load_n(&e.frame, __ATOMIC_RELAXED);
    } else {
        uint32_t flags = 0;
        if (const GrantStatus s = claim_v2(t, n, a, u, flags); s != okay) return s;
        GrantPart& p = part(t, n);
        if (first) p = part_of(entry_v2(t, n), flags, frame);
        has_page = p.kind != GrantKind::passed_on;
    }
    const GrantStatus s = has_page ? take_page(owner, a, frame, first, u.write) : okay;
    if (s != okay) unclaim(t, n, a);
    return s;
}

GrantPin pinned(GrantTable& t, uint64_t n, const ActiveGrant& a) REQUIRES(t.lock) {
    GrantPin pin{okay, Mfn(a.frame)};
    if (t.version == 1) [[likely]]
        return pin;
    const GrantPart& p = part(t, n);
    pin.start = p.start;
    pin.length = p.length;
    pin.passed_on = p.kind == GrantKind::passed_on;
    pin.domid = p.domid;
    pin.ref = p.ref;
    return pin;
}

/// Whether an entry in use can be used in this way too.
bool suits(GrantTable& t, uint64_t n, GrantUse use) REQUIRES(t.lock) {
    if (t.version == 1) [[likely]]
        return true;
    const GrantKind kind = part(t, n).kind;
    return use == GrantUse::copy || kind == GrantKind::whole || (use == GrantUse::copy_directly && kind == GrantKind::part);
}

}  // namespace
}  // namespace grant

GrantPin grant_pin(Domain& owner, DomId user, uint32_t ref, bool write, GrantUse use) {
    GrantTable& t = *owner.grants;
    Guard g(t.lock);
    if (t.version == 0) return {gntst(xen::GNTST_eagain), Mfn(0)};
    const uint64_t entries = grant::entries_of(t);
    uint64_t n = ref;
    if (!index_below(n, entries)) return {gntst(xen::GNTST_bad_gntref), Mfn(0)};
    ActiveGrant& a = grant::active_of(t, n);
    const bool first = !a.readers && !a.writers;
    if (!first && (a.domid != user.raw || (write ? a.writers : a.readers) == ~0u || !grant::suits(t, n, use)))
        return {grant::refused, Mfn(0)};
    if (first || (write && !a.writers)) {
        const GrantStatus s = grant::begin_use(owner, t, n, a, {user, write, use}, first);
        if (s != grant::okay) return {s, Mfn(0)};
        a.domid = user.raw;
        t.entries_in_use += first ? 1 : 0;
    }
    ++(write ? a.writers : a.readers);
    return grant::pinned(t, n, a);
}

void grant_unpin(Domain& owner, uint32_t ref, bool write) {
    GrantTable& t = *owner.grants;
    Guard g(t.lock);
    // Whatever version the table has become: an entry in use keeps its number.
    const uint64_t n = clamp_index(ref, uint64_t{t.frames} * GrantTable::active_per_frame);
    ActiveGrant& a = grant::active_of(t, n);
    uint32_t& users = write ? a.writers : a.readers;
    HV_ASSERT(users > 0);
    --users;
    if (users) return;
    const bool has_page = t.version == 1 || grant::part_kept(t, n).kind != GrantKind::passed_on;
    PageInfo& page = page_of(Mfn(a.frame));
    if (write && has_page) put_writable_type(page);
    grant::take_marks_back(t, n, a);
    if (a.readers || a.writers) return;
    --t.entries_in_use;
    if (has_page) put_page(page);
}

namespace grant {
namespace {

template <class Word>
void swap_words(Word* a, Word* b) {
    const Word x = __atomic_load_n(a, __ATOMIC_RELAXED);
    const Word y = __atomic_load_n(b, __ATOMIC_RELAXED);
    __atomic_store_n(a, y, __ATOMIC_RELEASE);
    __atomic_store_n(b, x, __ATOMIC_RELEASE);
    dirtied(a);
    dirtied(b);
}

}  // namespace
}  // namespace grant

GrantStatus grant_swap(Domain& d, uint32_t ref_a, uint32_t ref_b) {
    using namespace grant;
    GrantTable& t = *d.grants;
    Guard g(t.lock);
    const uint64_t entries = entries_of(t);
    if (ref_a >= entries || ref_b >= entries) return gntst(xen::GNTST_bad_gntref);
    const uint64_t na = clamp_index(ref_a, entries);
    const uint64_t nb = clamp_index(ref_b, entries);
    if (na == nb) return okay;
    const uint64_t both[] = {na, nb};
    for (uint64_t n : both) {
        const ActiveGrant& a = active_of(t, n);
        if (a.readers || a.writers) return gntst(xen::GNTST_eagain);
    }
    if (t.version == 1) {
        swap_words(reinterpret_cast<SharedPair*>(&entry_v1(t, na)), reinterpret_cast<SharedPair*>(&entry_v1(t, nb)));
        return okay;
    }
    auto* ea = reinterpret_cast<SharedPair*>(&entry_v2(t, na));
    auto* eb = reinterpret_cast<SharedPair*>(&entry_v2(t, nb));
    swap_words(ea, eb);
    swap_words(ea + 1, eb + 1);
    swap_words(&status_word(t, na), &status_word(t, nb));
    return okay;
}

}  // namespace hv
