// SPDX-License-Identifier: Apache-2.0
/// Making domains and vCPUs. What fails half-way is undone by the same code that ends a domain.
#include <cstring>

#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/domain/idle.hpp"
#include "hypervisor/domain/internal.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/event/vcpu_timers.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "hypervisor/trace/trace.hpp"

namespace hv {

namespace {

std::atomic<uint64_t> domains_made{0};
constexpr GuestKind no_guest;  ///< of the domains that only own: idle vCPUs, or pages

}  // namespace

Domain::Domain(DomId i, const GuestKind& k)
    : id(i),
      kind(k),
      serial(domains_made.fetch_add(1, std::memory_order_relaxed) + 1),
      policy(k.offered),
      sched(sched::pool0(), i.raw, handle) {}

Vcpu::Vcpu(Domain& d, VcpuId i)
    : SchedUnit(d.sched, &d == idle_domain, i.raw | uint32_t{d.id.raw} << 16),
      domain(d),
      id(i),
      poll_timer(vcpu_poll_timeout, this),
      singleshot(vcpu_singleshot_expired, this),
      periodic(vcpu_periodic_tick, this) {
    private_info.evtchn_upcall_mask = 1;
}

namespace {

constexpr unsigned vcpu_infos_in_shared_page = xen::XEN_LEGACY_MAX_VCPUS;

Status make_shared_info(Domain& d) {
    d.shared = static_cast<xen::SharedInfo*>(TRY(heap::alloc_page_zeroed()));
    share_hyp_page(d, d.shared);
    for (xen::VcpuInfo& v : d.shared->vcpu_info) v.evtchn_upcall_mask = 1;
    domain_update_wallclock(d);
    return ok;
}

Status make_subsystems(Domain& d) {
    d.vcpus = TRY(make_array<Vcpu*>(d.limits.max_vcpus));
    TRY(make_shared_info(d));
    TRY(events_create(d));
    TRY(grants_create(d));
    return d.kind.create(d);
}

Result<Domain*> make_system_domain(uint16_t id) {
    Domain* d = TRY(make<Domain>(DomId(id), no_guest));
    d->creation_finished.store(true, std::memory_order_relaxed);
    return d;
}

}  // namespace

Result<DomainRef> domain_create(DomId id, const GuestKind& kind, const DomainLimits& limits, bool privileged) {
    if (id.raw >= xen::DOMID_FIRST_RESERVED) return Err{Errc::inval};
    if (limits.max_vcpus == 0 || limits.max_vcpus > kind.max_vcpus) return Err{Errc::inval};
    domains_reap();
    if (lookup_domain(id)) return Err{Errc::exist};

    Domain* d = TRY(make<Domain>(id, kind));
    d->limits = limits;
    d->privileged = privileged;
    // Nobody sees it before it is whole, except as owner of its own pages.
    Status s = domain::publish(*d);
    if (!s) {
        destroy(d);
        return Err{s.error()};
    }
    {
        Guard g(d->lock);
        d->controller_pauses = d->pause_count = 1;
    }
    s = make_subsystems(*d);
    if (!s) {
        d->dying.store(DyingState::dead, std::memory_order_release);
        domain::unref(*d);
        domains_reap();
        return Err{s.error()};
    }
    if (privileged && !dom0) dom0 = d;
    trace::event(xen::TRC_DOM0_DOM_ADD, uint32_t{d->id.raw});
    trace::event(xen::TRC_SCHED_DOM_ADD, uint32_t{d->id.raw});
    return DomainRef(*d);
}

namespace {

/// An area with the registers as after FNINIT and reset.
Result<uint8_t*> make_fpu_area() {
    // Aligned to 64 bytes like every object of that size or more.
    auto* area = static_cast<uint8_t*>(TRY(heap::alloc_bytes(cpu_features.xsave_size)));
    constexpr uint16_t control_word = 0x37f;  // SDM 1 table 10-2
    constexpr uint32_t mxcsr = 0x1f80;
    memcpy(area, &control_word, sizeof control_word);
    memcpy(area + 24, &mxcsr, sizeof mxcsr);
    return area;
}

Status fill_vcpu(Vcpu& v) {
    v.state.fpu = TRY(make_fpu_area());
    Domain& d = v.domain;
    TRY(d.kind.create_vcpu(v));
    if (v.id.raw < vcpu_infos_in_shared_page) v.info.store(&d.shared->vcpu_info[v.id.raw], std::memory_order_release);
    // The vCPUs of one domain and of many begin on different CPUs.
    return sched::policy_of(v).insert(v, v.id.raw + v.domain.id.raw);
}

}  // namespace

Result<Vcpu*> vcpu_create(Domain& d, VcpuId id) {
    if (id.raw >= d.limits.max_vcpus || id.raw >= d.kind.max_vcpus) return Err{Errc::inval};
    if (d.vcpus[id.raw]) return Err{Errc::exist};
    Vcpu* v = TRY(make<Vcpu>(d, id));
    if (auto s = fill_vcpu(*v); !s) {
        domain::free_vcpu(*v);
        return Err{s.error()};
    }
    Guard g(d.lock);
    v->pause_count.store(d.pause_count + (d.shutting_down.load(std::memory_order_acquire) ? 1 : 0), std::memory_order_release);
    __atomic_store_n(&d.vcpus[id.raw], v, __ATOMIC_RELEASE);
    return v;
}

Status system_domains_create() {
    idle_domain = TRY(make_system_domain(xen::DOMID_IDLE));
    idle_domain->limits.max_vcpus = max_cpus;
    idle_domain->vcpus = TRY(make_array<Vcpu*>(max_cpus));
    dom_xen = TRY(make_system_domain(xen::DOMID_XEN));
    dom_xen->limits.max_vcpus = 0;
    dom_io = TRY(make_system_domain(xen::DOMID_IO));
    dom_io->limits.max_vcpus = 0;
    return ok;
}

Result<Vcpu*> idle_vcpu_create(unsigned cpu) {
    Vcpu* v = TRY(make<Vcpu>(*idle_domain, VcpuId(cpu)));
    v->pause_flags.store(0, std::memory_order_relaxed);
    v->affinity.store(CpuSet::of(cpu));
    v->cpu.store(cpu, std::memory_order_relaxed);
    v->running_on.store(static_cast<int32_t>(cpu), std::memory_order_relaxed);
    v->period = Nanos{0};
    idle_domain->vcpus[cpu] = v;
    cpus[cpu].idle = v;
    cpus[cpu].current = v;
    return v;
}

}  // namespace hv
