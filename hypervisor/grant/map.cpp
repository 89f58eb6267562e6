// SPDX-License-Identifier: Apache-2.0
/// Handles of the mapping domain: their pages, and mappings that end.
#include "hypervisor/grant/map.hpp"

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

void grant_unmap_finish(Domain& mapper, const GrantUnmap& u) {
    if (u.done & xen::GNTMAP_host_map) [[likely]]
        grant::unpin(*u.owner, u.ref, u.write);
    if (u.done & xen::GNTMAP_device_map) [[unlikely]]
        grant_unpin(*u.owner, u.ref, u.write);
    DomainRef last;
    GrantTable& t = *mapper.grants;
    Guard g(t.map_lock);
    Maptrack& m = mapping_at(t, u.handle);
    m.flags &= ~(u.done | being_unmapped);
    if (m.flags & map_kinds) return;
    last = DomainRef::adopt(m.owner);
    give_handle(t, u.handle, m);
}

namespace {

/// The mapping behind a handle of a domain that has stopped; done == 0: there is none.
GrantUnmap mapping_of(GrantTable& t, uint32_t handle) {
    Guard g(t.map_lock);
    const Maptrack& m = mapping_at(t, handle);
    if (!(m.flags & map_kinds)) return {};
    return {m.owner, m.ref_or_next, handle, m.flags & map_kinds, !(m.flags & xen::GNTMAP_readonly)};
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
        if (u.done) grant_unmap_finish(d, u);
        if (++t->relinquish_cursor % 32 == 0 && arch::preempt_wanted()) return Err{Errc::restart};
    }
    while (drop_maptrack_page(*t))
        if (arch::preempt_wanted()) return Err{Errc::restart};
    t->relinquish_cursor = 0;
    return ok;
}

}  // namespace hv
