// SPDX-License-Identifier: Apache-2.0
/// XENMEM_acquire_resource: a tool domain asks for the frames behind a guest's grant table, to map them.
#include <algorithm>

#include "hypervisor/grant/grant.hpp"
#include "hypervisor/hypercall/memory/memory_op.hpp"

namespace hv::memory {

namespace {

bool of_status(const xen::MemAcquireResource& r) { return r.id == xen::XENMEM_resource_grant_table_id_status; }

/// How many frames the resource can have. Errors: inval, opnotsupp.
Result<uint64_t> frames_of(Domain& d, const xen::MemAcquireResource& r) {
    switch (r.type) {
        case xen::XENMEM_resource_grant_table:
            if (!d.grants) return Err{Errc::inval};
            if (r.id == xen::XENMEM_resource_grant_table_id_shared) return uint64_t{d.limits.max_grant_frames};
            if (of_status(r) && most_status_frames(d)) return uint64_t{most_status_frames(d)};
            return Err{Errc::inval};
        default: return Err{Errc::opnotsupp};
    }
}

/// Makes what is not there yet. Errors: those of grants_grow().
Status make_frames(Domain& d, const xen::MemAcquireResource& r) {
    const auto end = static_cast<uint32_t>(r.frame + r.nr_frames);
    if (!of_status(r)) return grants_grow(d, end);
    if (end) TRY(get_status_frame(d, end - 1));
    return ok;
}

}  // namespace

Answer acquire_resource(const Call& c) {
    const GuestPtr<xen::MemAcquireResource> arg = c.arg;
    xen::MemAcquireResource r = TRY(arg.fetch());
    if (r.pad != 0) return Err{Errc::inval};
    if (r.domid == xen::DOMID_SELF || r.domid == c.v.domain.id.raw) return Err{Errc::perm};
    DomainRef d = TRY(target_domain(c.v, r.domid));
    const uint64_t most = TRY(frames_of(*d, r));

    if (r.frame_list.is_null()) {
        if (r.nr_frames != 0 || c.start != 0) return Err{Errc::inval};
        r.nr_frames = static_cast<uint32_t>(std::min<uint64_t>(most, INT32_MAX));
        TRY(arg.store(r));
        return 0;
    }
    if (r.frame > most || r.nr_frames > most - r.frame || c.start > r.nr_frames) return Err{Errc::inval};
    const auto out = GuestPtr<uint64_t>::of(r.frame_list);
    if (auto made = make_frames(*d, r); !made) return made.error() == Errc::restart ? c.restart(c.start) : Err{made.error()};
    const auto store = [&](uint64_t i) -> Status {
        const auto index = static_cast<uint32_t>(r.frame + i);
        const Mfn m = TRY(of_status(r) ? get_status_frame(*d, index) : get_grant_frame(*d, index));
        return out.store(m.raw, i);
    };
    return preemptible(c.start, r.nr_frames, store, [&](uint64_t i) -> Answer { return c.restart(i); });
}

}  // namespace hv::memory
