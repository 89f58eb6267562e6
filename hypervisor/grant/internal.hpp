// SPDX-License-Identifier: Apache-2.0
/// What the files of grant/ share: where an entry's parts stand. All under the table's lock; numbers are checked before.
#pragma once

#include "hypervisor/grant/grant.hpp"

namespace hv::grant {

inline constexpr unsigned v1_per_frame = page_size / sizeof(xen::GrantEntryV1);
inline constexpr unsigned v2_per_frame = page_size / sizeof(xen::GrantEntryV2);
inline constexpr unsigned status_per_frame = page_size / sizeof(uint16_t);
/// One frame of status words serves so many of entries.
inline constexpr unsigned frames_per_status = status_per_frame / v2_per_frame;
inline constexpr uint32_t status_frames_for(uint32_t frames) { return (frames + frames_per_status - 1) / frames_per_status; }

inline uint64_t entries_of(const GrantTable& t) REQUIRES(t.lock) {
    if (t.version == 1) [[likely]]
        return uint64_t{t.frames} * v1_per_frame;
    return t.version == 2 ? uint64_t{t.frames} * v2_per_frame : 0;
}
inline xen::GrantEntryV1& entry_v1(GrantTable& t, uint64_t n) REQUIRES(t.lock) {
    return static_cast<xen::GrantEntryV1*>(t.shared[n / v1_per_frame])[n % v1_per_frame];
}
inline xen::GrantEntryV2& entry_v2(GrantTable& t, uint64_t n) REQUIRES(t.lock) {
    return static_cast<xen::GrantEntryV2*>(t.shared[n / v2_per_frame])[n % v2_per_frame];
}
/// Version 2: the marks of entry n, GTF_reading and GTF_writing.
inline uint16_t& status_word(GrantTable& t, uint64_t n) REQUIRES(t.lock) {
    return t.status[n / status_per_frame][n % status_per_frame];
}
inline GrantPart& part(GrantTable& t, uint64_t n) REQUIRES(t.lock) { return t.parts[n / v2_per_frame][n % v2_per_frame]; }
inline ActiveGrant& active_of(GrantTable& t, uint64_t n) REQUIRES(t.lock) {
    return t.active[n / GrantTable::active_per_frame][n % GrantTable::active_per_frame];
}
/// The part of an entry that is in use, between two versions too: only the reserved entries can be then, which are whole.
inline GrantPart part_kept(GrantTable& t, uint64_t n) REQUIRES(t.lock) { return t.version == 2 ? part(t, n) : GrantPart{}; }

/// Adds one frame of entries, and in version 2 what belongs to it. Errors: nomem.
Status add_frame(Domain& d, GrantTable& t) REQUIRES(t.lock);
/// Version 2's companions of the first `frames` frames. Errors: nomem, restart (what was made stays).
Status add_companions(Domain& d, GrantTable& t, uint32_t frames) REQUIRES(t.lock);
/// Frees the last of them. False: there was none.
bool drop_companion(GrantTable& t) REQUIRES(t.lock);

}  // namespace hv::grant
