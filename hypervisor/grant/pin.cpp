// SPDX-License-Identifier: Apache-2.0
/// Taking a grant into use and giving it back: the state machine on the shared entry, which the granting guest may rewrite
/// at any moment.
///
///     permit_access, domid == user        first reader: +GTF_reading, page reference
///     permit_access | reading             first writer: +GTF_writing, writable type
///
/// What was promised stays valid while in use, whatever the guest writes: the active entry remembers frame and user.
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/arch/x86/speculation.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

namespace {

using SharedWord = uint32_t __attribute__((may_alias));  // flags in the low half, domid in the high half
using SharedPair = uint64_t __attribute__((may_alias));
constexpr unsigned per_frame = GrantTable::entries_per_frame;

/// Marks the entry as in use by `user`, if it allows that. A guest that keeps changing it is refused.
GrantStatus claim(xen::GrantEntryV1& e, DomId user, bool write) {
    auto* word = reinterpret_cast<SharedWord*>(&e);
    uint32_t seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    for (int attempt = 0; attempt < 5; ++attempt) {
        const uint32_t flags = seen & 0xffff;
        if ((flags & xen::GTF_type_mask) != xen::GTF_permit_access || seen >> 16 != user.raw)
            return gntst(xen::GNTST_general_error);
        if (write && (flags & xen::GTF_readonly)) return gntst(xen::GNTST_general_error);
        const uint32_t claimed = seen | xen::GTF_reading | (write ? xen::GTF_writing : 0);
        if (__atomic_compare_exchange_n(word, &seen, claimed, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return gntst(xen::GNTST_okay);
    }
    return gntst(xen::GNTST_general_error);
}

/// Takes back the marks for which no user is left.
void unclaim(xen::GrantEntryV1& e, const ActiveGrant& a) {
    uint32_t gone = 0;
    if (!a.writers) gone |= xen::GTF_writing;
    if (!a.readers && !a.writers) gone |= xen::GTF_reading;
    if (gone) __atomic_fetch_and(&e.flags, static_cast<uint16_t>(~gone), __ATOMIC_RELEASE);
}

/// References the page for a first user, and makes it writable for a first writer.
GrantStatus take_page(const Domain& owner, ActiveGrant& a, uint64_t frame, bool first, bool write) {
    PageRef ref;
    if (first) {
        auto got = PageRef::acquire(Mfn(frame), owner.id);
        if (!got) return gntst(xen::GNTST_general_error);
        ref = std::move(got).take();
        a.frame = frame & ((uint64_t{1} << 48) - 1);
    }
    if (write && !get_writable_type(page_of(Mfn(a.frame)))) return gntst(xen::GNTST_general_error);
    (void)ref.release();
    return gntst(xen::GNTST_okay);
}

}  // namespace

GrantPin grant_pin(Domain& owner, DomId user, uint32_t ref, bool write) {
    GrantTable& t = *owner.grants;
    Guard g(t.lock);
    const uint64_t entries = uint64_t{t.frames} * per_frame;
    if (ref >= entries) return {gntst(xen::GNTST_bad_gntref), Mfn(0)};
    const uint64_t n = clamp_index(ref, entries);
    ActiveGrant& a = t.active[n / per_frame][n % per_frame];
    const bool first = !a.readers && !a.writers;
    if (!first && (a.domid != user.raw || (write ? a.writers : a.readers) == ~0u))
        return {gntst(xen::GNTST_general_error), Mfn(0)};
    if (first || (write && !a.writers)) {
        xen::GrantEntryV1& e = t.shared[n / per_frame][n % per_frame];
        GrantStatus s = claim(e, user, write);
        if (s != gntst(xen::GNTST_okay)) return {s, Mfn(0)};
        s = take_page(owner, a, __atomic_load_n(&e.frame, __ATOMIC_RELAXED), first, write);
        if (s != gntst(xen::GNTST_okay)) {
            unclaim(e, a);
            return {s, Mfn(0)};
        }
        a.domid = user.raw;
    }
    ++(write ? a.writers : a.readers);
    return {gntst(xen::GNTST_okay), Mfn(a.frame)};
}

void grant_unpin(Domain& owner, uint32_t ref, bool write) {
    GrantTable& t = *owner.grants;
    Guard g(t.lock);
    const uint64_t n = clamp_index(ref, uint64_t{t.frames} * per_frame);
    ActiveGrant& a = t.active[n / per_frame][n % per_frame];
    uint32_t& users = write ? a.writers : a.readers;
    HV_ASSERT(users > 0);
    --users;
    if (users) return;
    PageInfo& page = page_of(Mfn(a.frame));
    if (write) put_writable_type(page);
    unclaim(t.shared[n / per_frame][n % per_frame], a);
    if (!a.readers && !a.writers) put_page(page);
}

GrantStatus grant_swap(Domain& d, uint32_t ref_a, uint32_t ref_b) {
    GrantTable& t = *d.grants;
    Guard g(t.lock);
    const uint64_t entries = uint64_t{t.frames} * per_frame;
    if (ref_a >= entries || ref_b >= entries) return gntst(xen::GNTST_bad_gntref);
    const uint64_t na = clamp_index(ref_a, entries);
    const uint64_t nb = clamp_index(ref_b, entries);
    if (na == nb) return gntst(xen::GNTST_okay);
    const uint64_t both[] = {na, nb};
    for (uint64_t n : both) {
        const ActiveGrant& a = t.active[n / per_frame][n % per_frame];
        if (a.readers || a.writers) return gntst(xen::GNTST_eagain);
    }
    auto* ea = reinterpret_cast<SharedPair*>(&t.shared[na / per_frame][na % per_frame]);
    auto* eb = reinterpret_cast<SharedPair*>(&t.shared[nb / per_frame][nb % per_frame]);
    const uint64_t a = __atomic_load_n(ea, __ATOMIC_RELAXED);
    const uint64_t b = __atomic_load_n(eb, __ATOMIC_RELAXED);
    __atomic_store_n(ea, b, __ATOMIC_RELEASE);
    __atomic_store_n(eb, a, __ATOMIC_RELEASE);
    return gntst(xen::GNTST_okay);
}

}  // namespace hv
