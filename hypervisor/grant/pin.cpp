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
#include "hypervisor/grant/pin.hpp"

namespace hv {

namespace grant {

void unclaim(GrantTable& t, uint64_t n, const ActiveGrant& a) { take_marks_back(t, n, a, t.version); }

namespace {

/// The same for version 2. The guest that ends a grant clears the flags and then looks at the marks: we do it the other way
/// round, so that one of the two sees the other. `flags`: those that were claimed.
GrantStatus claim_v2(GrantTable& t, uint64_t n, const ActiveGrant& a, User u, uint32_t& flags) REQUIRES(t.lock) {
    auto* word = reinterpret_cast<SharedWord*>(&entry_v2(t, n));
    if (!allows(__atomic_load_n(word, __ATOMIC_ACQUIRE), u)) return refused;
    __atomic_fetch_or(&status_word(t, n), static_cast<uint16_t>(marks_of(u)), __ATOMIC_SEQ_CST);
    dirtied_shared(&status_word(t, n));
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

}  // namespace

GrantStatus begin_use_v2(const Domain& owner, GrantTable& t, uint64_t n, ActiveGrant& a, User u, bool first) {
    uint32_t flags = 0;
    if (const GrantStatus s = claim_v2(t, n, a, u, flags); s != okay) return s;
    uint64_t frame = 0;
    GrantPart& p = part(t, n);
    if (first) p = part_of(entry_v2(t, n), flags, frame);
    const GrantStatus s = p.kind != GrantKind::passed_on ? take_page(owner, a, frame, first, u.write) : okay;
    if (s != okay) unclaim(t, n, a);
    return s;
}

bool suits_v2(GrantTable& t, uint64_t n, GrantUse use) {
    const GrantKind kind = part(t, n).kind;
    return use == GrantUse::copy || kind == GrantKind::whole || (use == GrantUse::copy_directly && kind == GrantKind::part);
}

GrantPin pinned_v2(GrantTable& t, uint64_t n, const ActiveGrant& a) {
    const GrantPart& p = part(t, n);
    return {okay, Mfn(a.frame), p.start, p.length, p.kind == GrantKind::passed_on, p.domid, p.ref};
}

GrantPin pin_other(const Domain& owner, GrantTable& t, User u, uint32_t ref) {
    if (t.version == 0) return {gntst(xen::GNTST_eagain), Mfn(0)};
    return pin_entry(owner, t, u, ref, 2);
}

void end_use_of_other(GrantTable& t, uint64_t n, ActiveGrant& a, bool write) { end_use(t, n, a, write, t.version); }

}  // namespace grant

GrantPin grant_pin(Domain& owner, DomId user, uint32_t ref, bool write, GrantUse use) {
    return grant::pin(owner, {user, write, use}, ref);
}

void grant_unpin(Domain& owner, uint32_t ref, bool write) { grant::unpin(owner, ref, write); }

namespace grant {
namespace {

template <class Word>
void swap_words(Word* a, Word* b) {
    const Word x = __atomic_load_n(a, __ATOMIC_RELAXED);
    const Word y = __atomic_load_n(b, __ATOMIC_RELAXED);
    __atomic_store_n(a, y, __ATOMIC_RELEASE);
    __atomic_store_n(b, x, __ATOMIC_RELEASE);
    dirtied_shared(a);
    dirtied_shared(b);
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
