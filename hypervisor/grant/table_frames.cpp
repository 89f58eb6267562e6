// SPDX-License-Identifier: Apache-2.0
/// The table itself: frames shared with the guest, their active entries, life and death.
#include "hypervisor/arch/x86/speculation.hpp"
#include "hypervisor/grant/internal.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

namespace grant {

Status add_frame(Domain& d, GrantTable& t) {
    if (t.version == 2) TRY(add_companions(d, t, t.frames + 1));
    ActiveGrant* active = TRY(make_array<ActiveGrant>(GrantTable::active_per_frame));
    auto page = heap::alloc_page_zeroed();
    if (!page) {
        destroy_array(active, GrantTable::active_per_frame);
        return Err{page.error()};
    }
    share_hyp_page(d, page.value());
    t.active[t.frames] = active;
    t.shared[t.frames] = page.value();
    ++t.frames;
    return ok;
}

namespace {

Status add_status_frame(Domain& d, GrantTable& t) REQUIRES(t.lock) {
    auto* page = static_cast<uint16_t*>(TRY(heap::alloc_page_zeroed()));
    share_hyp_page(d, page);
    t.status[t.status_frames++] = page;
    return ok;
}

void end_sharing(void* page) {
    // While somebody still maps it, the page lives on; its last reference frees it.
    if (unshare_hyp_page(page)) heap::free_page(page);
}

}  // namespace

Status add_companions(Domain& d, GrantTable& t, uint32_t frames) {
    if (!t.status) t.status = TRY(make_array<uint16_t*>(status_frames_for(t.max_frames)));
    if (!t.parts) t.parts = TRY(make_array<GrantPart*>(t.max_frames));
    while (t.part_frames < frames) {
        if (t.status_frames < status_frames_for(t.part_frames + 1)) TRY(add_status_frame(d, t));
        t.parts[t.part_frames] = TRY(make_array<GrantPart>(v2_per_frame));
        ++t.part_frames;
        if (t.part_frames < frames && arch::preempt_wanted()) return Err{Errc::restart};
    }
    return ok;
}

bool drop_companion(GrantTable& t) {
    if (!t.part_frames) {
        if (!t.status_frames) return false;
        end_sharing(t.status[--t.status_frames]);
        return true;
    }
    destroy_array(t.parts[--t.part_frames], v2_per_frame);
    while (t.status_frames > status_frames_for(t.part_frames)) end_sharing(t.status[--t.status_frames]);
    return true;
}

}  // namespace grant

Status grants_create(Domain& d) {
    Owned<GrantTable> t(TRY(make<GrantTable>()));
    t->max_frames = d.limits.max_grant_frames;
    t->max_version = d.limits.grant_version;
    t->max_maptrack_pages = d.limits.max_maptrack_frames;
    {
        Guard g(t->lock);
        if (t->max_frames) {
            t->shared = TRY(make_array<void*>(t->max_frames));
            auto active = make_array<ActiveGrant*>(t->max_frames);
            if (!active) {
                destroy_array(t->shared, t->max_frames);
                return Err{active.error()};
            }
            t->active = active.value();
        }
    }
    d.grants = t.release();
    if (d.grants->max_frames) {
        if (auto first = get_grant_frame(d, 0); !first) {
            grants_destroy(d);
            return Err{first.error()};
        }
    }
    return ok;
}

Status grants_grow(Domain& d, uint32_t frames) {
    if (!d.grants) return Err{Errc::inval};
    GrantTable& t = *d.grants;
    Guard g(t.lock);
    if (frames > t.max_frames) return Err{Errc::inval};
    if (frames > t.frames && d.dying.load(std::memory_order_acquire) != DyingState::alive) return Err{Errc::inval};
    if (frames > t.frames && t.version == 0) return Err{Errc::busy};
    while (t.frames < frames) {
        TRY(grant::add_frame(d, t));
        if (t.frames < frames && arch::preempt_wanted()) return Err{Errc::restart};
    }
    return ok;
}

Result<Mfn> get_grant_frame(Domain& d, uint32_t index) {
    if (!d.grants || index >= d.grants->max_frames) return Err{Errc::inval};
    TRY(grants_grow(d, index + 1));
    GrantTable& t = *d.grants;
    Guard g(t.lock);
    return mfn_of(t.shared[clamp_index(index, t.frames)]);
}

uint32_t most_status_frames(Domain& d) {
    Guard g(d.grants->lock);
    return d.grants->version == 2 ? grant::status_frames_for(d.grants->max_frames) : 0;
}

uint32_t grant_status_frames(Domain& d) {
    Guard g(d.grants->lock);
    return d.grants->version == 2 ? d.grants->status_frames : 0;
}

Result<Mfn> get_status_frame(Domain& d, uint32_t index) {
    if (!d.grants || index >= most_status_frames(d)) return Err{Errc::inval};
    TRY(grants_grow(d, index * grant::frames_per_status + 1));
    GrantTable& t = *d.grants;
    Guard g(t.lock);
    if (t.version != 2 || index >= t.status_frames) return Err{Errc::inval};
    return mfn_of(t.status[clamp_index(index, t.status_frames)]);
}

uint32_t grant_frames(Domain& d) {
    Guard g(d.grants->lock);
    return d.grants->frames;
}

uint32_t grant_mappings(Domain& d) {
    Guard g(d.grants->map_lock);
    return d.grants->mappings;
}

void grants_destroy(Domain& d) {
    GrantTable* t = d.grants;
    if (!t) return;
    while (!grants_relinquish(d)) {}
    {
        Guard g(t->lock);
        while (grant::drop_companion(*t)) {}
        for (uint32_t i = 0; i < t->frames; ++i) {
            grant::end_sharing(t->shared[i]);
            destroy_array(t->active[i], GrantTable::active_per_frame);
        }
        if (t->max_frames) {
            destroy_array(t->shared, t->max_frames);
            destroy_array(t->active, t->max_frames);
            destroy_array(t->status, grant::status_frames_for(t->max_frames));
            destroy_array(t->parts, t->max_frames);
        }
        t->frames = 0;
    }
    {
        Guard g(t->map_lock);
        HV_ASSERT(t->maptrack_pages == 0);
        if (t->maptrack) destroy_array(t->maptrack, t->max_maptrack_pages);
    }
    d.grants = nullptr;
    destroy(t);
}

bool grant_log_written(Domain& d, uint32_t frame) {
    if (!d.grants) return false;
    GrantTable& t = *d.grants;
    Guard g(t.lock);
    if (frame >= t.frames) return false;
    for (uint32_t i = 0; i < GrantTable::active_per_frame; ++i)
        if (const ActiveGrant& a = t.active[clamp_index(frame, t.frames)][i]; a.writers) log_page(Mfn(a.frame));
    return true;
}

bool grant_dump(Domain& d, uint32_t frame) {
    GrantTable& t = *d.grants;
    Guard g(t.lock);
    if (frame == 0)
        log(LogLevel::info, "Grant table of d%u: version %u, %u of %u frames", unsigned{d.id.raw}, t.version, t.frames,
            t.max_frames);
    if (frame >= t.frames) return false;
    for (uint32_t i = 0; i < GrantTable::active_per_frame; ++i) {
        const ActiveGrant& a = t.active[clamp_index(frame, t.frames)][i];
        if (!a.readers && !a.writers) continue;
        log(LogLevel::info, "  ref %u: frame %lx used by d%u, %u reading, %u writing", frame * GrantTable::active_per_frame + i,
            static_cast<unsigned long>(a.frame), static_cast<unsigned>(a.domid), a.readers, a.writers);
    }
    return true;
}

}  // namespace hv
