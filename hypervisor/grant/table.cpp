// SPDX-License-Identifier: Apache-2.0
/// The table itself: frames shared with the guest, their active entries, life and death.
#include "hypervisor/grant/grant.hpp"

#include "hypervisor/arch/x86/speculation.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

namespace {

Status add_frame(Domain& d, GrantTable& t) REQUIRES(t.lock) {
    ActiveGrant* active = TRY(make_array<ActiveGrant>(GrantTable::entries_per_frame));
    auto page = heap::alloc_page_zeroed();
    if (!page) {
        destroy_array(active, GrantTable::entries_per_frame);
        return Err{page.error()};
    }
    auto* shared = static_cast<xen::GrantEntryV1*>(page.value());
    share_hyp_page(d, shared);
    t.active[t.frames] = active;
    t.shared[t.frames] = shared;
    ++t.frames;
    return ok;
}

}  // namespace

Status grants_create(Domain& d) {
    Owned<GrantTable> t(TRY(make<GrantTable>()));
    t->max_frames = d.limits.max_grant_frames;
    t->max_maptrack_pages = d.limits.max_maptrack_frames;
    {
        Guard g(t->lock);
        if (t->max_frames) {
            t->shared = TRY(make_array<xen::GrantEntryV1*>(t->max_frames));
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
    while (t.frames < frames) {
        TRY(add_frame(d, t));
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
    while (!grants_relinquish(d)) {
    }
    {
        Guard g(t->lock);
        for (uint32_t i = 0; i < t->frames; ++i) {
            // While somebody still maps it, the page lives on; its last reference frees it.
            if (unshare_hyp_page(t->shared[i])) heap::free_page(t->shared[i]);
            destroy_array(t->active[i], GrantTable::entries_per_frame);
        }
        if (t->max_frames) {
            destroy_array(t->shared, t->max_frames);
            destroy_array(t->active, t->max_frames);
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

bool grant_dump(Domain& d, uint32_t frame) {
    GrantTable& t = *d.grants;
    Guard g(t.lock);
    if (frame == 0) log(LogLevel::info, "Grant table of d%u: %u of %u frames", unsigned{d.id.raw}, t.frames, t.max_frames);
    if (frame >= t.frames) return false;
    for (uint32_t i = 0; i < GrantTable::entries_per_frame; ++i) {
        const ActiveGrant& a = t.active[clamp_index(frame, t.frames)][i];
        if (!a.readers && !a.writers) continue;
        log(LogLevel::info, "  ref %u: frame %lx used by d%u, %u reading, %u writing",
            frame * GrantTable::entries_per_frame + i, static_cast<unsigned long>(a.frame), static_cast<unsigned>(a.domid),
            a.readers, a.writers);
    }
    return true;
}

}  // namespace hv
