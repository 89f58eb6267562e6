// SPDX-License-Identifier: Apache-2.0
/// XEN_DOMCTL_createdomain.
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/hypercall/domctl/domctl.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv::domctl {

namespace {

constexpr uint32_t default_grant_frames = 64;
constexpr uint32_t default_maptrack_frames = 1024;
constexpr uint32_t most_grant_frames = 16384;
constexpr uint32_t most_maptrack_frames = 65536;

/// Tools say -1 for "what you think right".
Result<uint32_t> limit(int32_t wanted, uint32_t by_default, uint32_t most) {
    if (wanted == -1) return by_default;
    if (wanted < 0 || static_cast<uint32_t>(wanted) > most) return Err{Errc::inval};
    return static_cast<uint32_t>(wanted);
}

/// Errors: inval for what no domain can have or the machine does not do.
Result<DomainLimits> limits_of(const xen::DomctlCreateDomain& c) {
    if (c.flags & ~uint32_t{xen::XEN_DOMCTL_CDF_hvm | xen::XEN_DOMCTL_CDF_xs_domain | xen::XEN_DOMCTL_CDF_s3_integrity})
        return Err{Errc::inval};
    if (c.iommu_opts || c.vmtrace_size) return Err{Errc::inval};
    if (c.arch.misc_flags & ~uint32_t{xen::XEN_X86_MISC_FLAGS_MAX}) return Err{Errc::inval};
    const uint32_t version = c.grant_opts & xen::XEN_DOMCTL_GRANT_version_mask;
    if (c.grant_opts & ~xen::XEN_DOMCTL_GRANT_version_mask) return Err{Errc::inval};
    DomainLimits l;
    l.max_vcpus = c.max_vcpus;
    l.max_evtchn_port = c.max_evtchn_port;
    l.max_grant_frames = TRY(limit(c.max_grant_frames, default_grant_frames, most_grant_frames));
    l.max_maptrack_frames = TRY(limit(c.max_maptrack_frames, default_maptrack_frames, most_maptrack_frames));
    if (version == 0 || version > 2) return Err{Errc::inval};
    l.grant_version = version;
    return l;
}

}  // namespace

Status createdomain(Vcpu& caller, xen::Domctl& op, GuestPtr<xen::Domctl> arg) {
    const xen::DomctlCreateDomain& c = op.u.createdomain;
    const DomainLimits limits = TRY(limits_of(c));
    const GuestKind& kind = *TRY(guest_kind_for(c));
    const bool chosen = op.domain > 0 && op.domain < xen::DOMID_FIRST_RESERVED;
    const DomId id = chosen ? DomId(op.domain) : TRY(domain_unused_id());
    CpuPool* const pool = sched::pool_from(c.cpupool_id);
    if (!pool || pool->id != c.cpupool_id) return Err{Errc::srch};
    if (pool->cpus.empty()) return Err{Errc::nodev};
    DomainRef d = TRY(domain_create(id, kind, limits, false));
    d->sched.pool.store(pool, std::memory_order_release);  // before it has a vCPU
    memcpy(d->handle, c.handle.bytes, sizeof d->handle);
    d->ssidref = c.ssidref;
    d->create_flags = c.flags;
    op.domain = id.raw;
    auto stored = arg.store(op);
    if (!stored) {
        // Nobody would know its number.
        while (!domain_kill(*d)) {}
        return Err{stored.error()};
    }
    guest_log(LogLevel::debug, "d%u made d%u with room for %u vCPUs", unsigned{caller.domain.id.raw}, unsigned{id.raw},
              limits.max_vcpus);
    return ok;
}

}  // namespace hv::domctl
