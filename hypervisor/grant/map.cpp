// SPDX-License-Identifier: Apache-2.0
/// Handles of the mapping domain: their pages, and mappings that end.
#include "hypervisor/grant/usual.hpp"

namespace hv {

namespace grant {

Status add_handles(GrantTable& t) {
    if (t.maptrack_pages >= t.max_maptrack_pages) return Err{Errc::nospc};
    if (!t.maptrack) t.maptrack = TRY(make_array<Maptrack*>(t.max_maptrack_pages));
    auto* page = static_cast<Maptrack*>(TRY(heap::alloc_page_zeroed()));
    const uint32_t first = t.maptrack_pages * handles_per_page;
    for (unsigned i = 0; i < handles_per_page; ++i)
        page[i].ref_or_next = i + 1 < handles_per_page ? first + i + 1 : t.maptrack_free;
    t.maptrack[t.maptrack_pages++] = page;
    t.maptrack_free = first;
    return ok;
}

void give_back_handle(GrantTable& t, uint32_t handle, Maptrack& m) {
    Guard g(t.map_lock);
    give_handle(t, handle, m);
}

GrantStatus pin_again(Domain& owner, DomId user, uint32_t ref, bool write) {
    const GrantStatus s = grant_pin(owner, user, ref, write).status;
    if (s != okay) grant_unpin(owner, ref, write);
    return s;
}

GrantStatus not_mapped(Domain& owner, uint32_t ref, bool write, bool twice) {
    grant_unpin(owner, ref, write);
    if (twice) grant_unpin(owner, ref, write);
    return gntst(xen::GNTST_general_error);
}

void keep_mapping(GrantTable& t, uint32_t handle) {
    Guard g(t.map_lock);
    mapping_at(t, handle).flags &= ~being_unmapped;
}

}  // namespace grant

using namespace grant;

namespace {

[[gnu::noinline]] void end_one(const GrantUnmap& u) {
    if (u.done & xen::GNTMAP_host_map) grant_unpin(*u.owner, u.ref, u.write);
    if (u.done & xen::GNTMAP_device_map) grant_unpin(*u.owner, u.ref, u.write);
}

/// Those at the beginning of the list whose uses end together with their entries, of grants of one owner. How many there were.
[[gnu::always_inline]] inline uint32_t end_together(const GrantUnmap* list, uint32_t n) {
    Domain* const owner = list->owner;
    GrantTable& t = *owner->grants;
    Guard g(t.lock);
    uint32_t i = 0;
    do { end_usual(t, list[i].ref, list[i].write); } while (++i < n && list[i].with_entry && list[i].owner == owner);
    return i;
}

/// In line for lists of one, and of more.
[[gnu::always_inline]] inline void finish(GrantTable& t, const GrantUnmap* list, uint32_t n) {
    for (uint32_t i = 0; i < n;) {
        if (list[i].with_entry) [[likely]]
            i += end_together(list + i, n - i);
        else end_one(list[i++]);
    }
    Guard g(t.map_lock);
    for (uint32_t i = 0; i < n; ++i) {
        const GrantUnmap& u = list[i];
        Maptrack& m = mapping_at(t, u.handle);
        m.flags &= ~(u.done | being_unmapped);
        if (m.flags & map_kinds) [[unlikely]]
            continue;
        give_handle(t, u.handle, m);
        domain::unref(*u.owner);
    }
}

[[gnu::noinline]] void finish_list(GrantTable& t, const GrantUnmap* list, uint32_t n) { finish(t, list, n); }

}  // namespace

void grant_unmap_finish(Domain& mapper, const GrantUnmap* list, uint32_t n) {
    if (n != 1) return finish_list(*mapper.grants, list, n);
    finish(*mapper.grants, list, 1);
}

namespace {

/// The mapping behind a handle of a domain that has stopped; done == 0: there is none.
GrantUnmap mapping_of(GrantTable& t, uint32_t handle) {
    Guard g(t.map_lock);
    const Maptrack& m = mapping_at(t, handle);
    if (!(m.flags & map_kinds)) return {};
    return {m.owner, m.ref_or_next, handle, m.flags & map_kinds, !(m.flags & xen::GNTMAP_readonly), false};
}

/// Takes the last page of handles away, all of them unused. False: there was none.
bool drop_maptrack_page(GrantTable& t) {
    Guard g(t.map_lock);
    HV_ASSERT(t.mappings == 0);
    t.maptrack_free = no_handle;
    if (!t.maptrack_pages) return false;
    heap::free_page(t.maptrack[--t.maptrack_pages]);
    return true;
}

bool handles_left(GrantTable& t) {
    Guard g(t.map_lock);
    return t.mappings && t.relinquish_cursor < t.maptrack_pages * handles_per_page;
}

}  // namespace

Status grants_relinquish(Domain& d) {
    GrantTable* t = d.grants;
    if (!t) return ok;
    // A step is 32 handles, used or not, or a page of them.
    while (handles_left(*t)) {
        const GrantUnmap u = mapping_of(*t, t->relinquish_cursor);
        if (u.done) grant_unmap_finish(d, &u, 1);
        if (++t->relinquish_cursor % 32 == 0 && arch::preempt_wanted()) return Err{Errc::restart};
    }
    while (drop_maptrack_page(*t))
        if (arch::preempt_wanted()) return Err{Errc::restart};
    t->relinquish_cursor = 0;
    return ok;
}

}  // namespace hv
