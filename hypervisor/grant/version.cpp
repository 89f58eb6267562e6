// SPDX-License-Identifier: Apache-2.0
/// From one version of the table to the other. It takes as long as the table is large, so it goes in steps:
///
///     version 1 --- companions made, one by one ---> 0 --- entries cleared, frame by frame ---> version 2
///     version 2 ------------------------------------> 0 --- entries cleared, companions freed ---> version 1
///
/// At version 0 there are no entries to take into use. Those that are in use at this time are reserved ones, which the tools
/// map before the guest runs: their text is kept aside, and their marks are written from what is in use in the end.
#include <cstring>

#include "hypervisor/grant/internal.hpp"
#include "hypervisor/mm/dirty.hpp"

namespace hv {

namespace grant {
namespace {

constexpr uint32_t reserved = xen::GNTTAB_NR_RESERVED_ENTRIES;
constexpr uint16_t all_marks = xen::GTF_reading | xen::GTF_writing;

uint16_t marks_in_use(const ActiveGrant& a) {
    return static_cast<uint16_t>((a.readers || a.writers ? xen::GTF_reading : 0) | (a.writers ? xen::GTF_writing : 0));
}

/// An entry read once, word by word: its guest may be writing it.
template <class E>
E snapshot(const E& e) {
    using Word = uint64_t __attribute__((may_alias));
    uint64_t words[sizeof(E) / 8];
    for (unsigned i = 0; i < sizeof(E) / 8; ++i)
        words[i] = __atomic_load_n(reinterpret_cast<const Word*>(&e) + i, __ATOMIC_ACQUIRE);
    E copy;
    memcpy(&copy, words, sizeof copy);
    return copy;
}

/// Errors: busy when an entry is in use that does not stay.
Status check_unused(GrantTable& t) REQUIRES(t.lock) {
    uint64_t kept = 0;
    for (uint32_t n = 0; n < reserved; ++n) {
        const ActiveGrant& a = active_of(t, n);
        if (!a.readers && !a.writers) continue;
        if (t.version == 2 && part(t, n).kind != GrantKind::whole) return Err{Errc::busy};
        ++kept;
    }
    if (t.entries_in_use != kept) return Err{Errc::busy};
    return ok;
}

/// The reserved entries as version 1 has them, without marks; others than grants of a page are forgotten.
/// Errors: range when one cannot be said there.
Status keep_reserved(GrantTable& t) REQUIRES(t.lock) {
    for (uint32_t n = 0; n < reserved; ++n) {
        xen::GrantEntryV1 kept{};
        if (t.version == 1) {
            kept = snapshot(entry_v1(t, n));
        } else {
            const xen::GrantEntryV2 e = snapshot(entry_v2(t, n));
            const uint32_t type = e.hdr.flags & xen::GTF_type_mask;
            if (type == xen::GTF_transitive) return Err{Errc::range};
            if (type == xen::GTF_permit_access) {
                if (e.full_page.frame >> 32) return Err{Errc::range};
                kept = {e.hdr.flags, e.hdr.domid, static_cast<uint32_t>(e.full_page.frame)};
            }
        }
        kept.flags = static_cast<uint16_t>(kept.flags & ~all_marks);
        t.kept[n] = kept;
    }
    return ok;
}

void restore_reserved(GrantTable& t) REQUIRES(t.lock) {
    for (uint32_t n = 0; n < reserved; ++n) {
        const xen::GrantEntryV1& kept = t.kept[n];
        const uint16_t marks = marks_in_use(active_of(t, n));
        if (t.version == 1) {
            entry_v1(t, n) = {static_cast<uint16_t>(kept.flags | marks), kept.domid, kept.frame};
            dirtied_shared(&entry_v1(t, n));
            continue;
        }
        part(t, n) = {};
        status_word(t, n) = marks;
        xen::GrantEntryV2& e = entry_v2(t, n);
        e.full_page.frame = kept.frame;
        e.hdr = {kept.flags, kept.domid};
        dirtied_shared(&e);
        dirtied_shared(&status_word(t, n));
    }
}

/// Errors: busy when a status frame is still mapped.
Status check_status_unmapped(const GrantTable& t) REQUIRES(t.lock) {
    for (uint32_t i = 0; i < t.status_frames; ++i)
        if (hyp_page_mapped(t.status[i])) return Err{Errc::busy};
    return ok;
}

/// Errors: busy, range, nomem, restart.
Status leave(Domain& d, GrantTable& t, uint32_t to) REQUIRES(t.lock) {
    TRY(check_unused(t));
    if (to == 2) TRY(add_companions(d, t, t.frames));
    else TRY(check_status_unmapped(t));
    TRY(keep_reserved(t));
    t.version = 0;
    t.switching_to = to;
    t.cleared = 0;
    return ok;
}

/// Errors: restart.
Status arrive(GrantTable& t) REQUIRES(t.lock) {
    while (t.cleared < t.frames) {
        memset(t.shared[t.cleared], 0, page_size);
        dirtied_shared(t.shared[t.cleared++]);
        if (arch::preempt_wanted()) return Err{Errc::restart};
    }
    while (t.switching_to == 1 && drop_companion(t))
        if (arch::preempt_wanted()) return Err{Errc::restart};
    t.version = std::exchange(t.switching_to, 0);
    restore_reserved(t);
    return ok;
}

}  // namespace
}  // namespace grant

Status grants_set_version(Domain& d, uint32_t version) {
    GrantTable& t = *d.grants;
    if (version != 1 && version != 2) return Err{Errc::inval};
    if (version > t.max_version || !t.max_frames) return Err{Errc::nosys};
    Guard g(t.lock);
    if (t.version == version) return ok;
    if (t.version == 0 && t.switching_to != version) return Err{Errc::busy};
    if (t.version != 0) TRY(grant::leave(d, t, version));
    return grant::arrive(t);
}

uint32_t grants_version(Domain& d) {
    Guard g(d.grants->lock);
    return d.grants->version;
}

}  // namespace hv
