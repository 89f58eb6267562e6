// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_vcpu_op: decode, authorise, act.
#include "abi/xen/sched.hpp"
#include "abi/xen/vcpu.hpp"

#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/row.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv {

namespace {

Status initialise(Vcpu& caller, Vcpu& target, AnyGuestPtr context) {
    if (target.info.load(std::memory_order_acquire) == &target.private_info) return Err{Errc::inval};
    return restarting_same(caller, target.domain.kind.initialise(target, context.address()));
}

Status up(Vcpu&, Vcpu& target, AnyGuestPtr) {
    uint32_t before = 0;
    {
        Guard g(target.domain.lock);
        if (!target.initialised) return Err{Errc::inval};
        before = target.pause_flags.fetch_and(~uint32_t{vpf_down}, std::memory_order_seq_cst);
    }
    if (before & vpf_down) sched::wake(target);
    return ok;
}

void down(Vcpu&, Vcpu& target, AnyGuestPtr) {
    Domain& d = target.domain;
    bool last = true;
    {
        Guard g(d.lock);
        for (uint32_t i = 0; i < d.limits.max_vcpus; ++i) {
            const Vcpu* v = d.vcpus[i];
            if (v && v != &target && !(v->pause_flags.load(std::memory_order_acquire) & vpf_down)) last = false;
        }
        if (!last) target.pause_flags.fetch_or(vpf_down, std::memory_order_seq_cst);
    }
    if (last) domain_shutdown(d, xen::SHUTDOWN_poweroff);
    else sched::policy_of(target).sleep(target);
}

Answer is_up(Vcpu&, const Vcpu& target, AnyGuestPtr) { return !(target.pause_flags.load(std::memory_order_acquire) & vpf_down); }

Status get_runstate(Vcpu&, const Vcpu& target, GuestPtr<xen::VcpuRunstateInfo> p) { return p.store(sched::runstate(target)); }

Status register_runstate(Vcpu&, Vcpu& target, GuestPtr<xen::VcpuRegisterRunstateMemoryArea> p) {
    const auto op = TRY(p.fetch());
    if (op.addr.v) TRY(GuestPtr<xen::VcpuRunstateInfo>(op.addr.v).store(sched::runstate(target)));
    target.runstate_guest = op.addr.v;
    return ok;
}

Status register_time(Vcpu&, Vcpu& target, GuestPtr<xen::VcpuRegisterTimeMemoryArea> p) {
    const auto op = TRY(p.fetch());
    target.time_info_guest.store(op.addr.v, std::memory_order_release);
    if (&target == &current()) vcpu_update_time(target);
    return ok;
}

Status set_periodic(Vcpu&, Vcpu& target, GuestPtr<xen::VcpuSetPeriodicTimer> p) {
    const auto op = TRY(p.fetch());
    constexpr uint64_t shortest = 1'000'000;
    if (op.period_ns < shortest || op.period_ns > INT64_MAX / 2) return Err{Errc::inval};
    target.period = {};
    timer::stop(target.periodic);
    target.periodic_last = clock::now();
    target.period = Nanos{static_cast<int64_t>(op.period_ns)};
    const int32_t cpu = target.running_on.load(std::memory_order_acquire);
    if (cpu >= 0) timer::set(target.periodic, target.periodic_last + target.period, static_cast<unsigned>(cpu));
    return ok;
}

void stop_periodic(Vcpu&, Vcpu& target, AnyGuestPtr) {
    target.period = {};
    timer::stop(target.periodic);
}

Status set_singleshot(Vcpu& v, Vcpu& target, GuestPtr<xen::VcpuSetSingleshotTimer> p) {
    if (&target != &v) return Err{Errc::inval};
    const auto op = TRY(p.fetch());
    const Nanos at{op.timeout_abs_ns > INT64_MAX ? INT64_MAX : static_cast<int64_t>(op.timeout_abs_ns)};
    if ((op.flags & xen::VCPU_SSHOTTMR_future) && at < clock::now()) return Err{Errc::time};
    timer::set(v.singleshot, at, this_cpu().id);
    return ok;
}

Status stop_singleshot(Vcpu& v, Vcpu& target, AnyGuestPtr) {
    if (&target != &v) return Err{Errc::inval};
    timer::stop(v.singleshot);
    return ok;
}

Status register_info(Vcpu&, Vcpu& target, GuestPtr<xen::VcpuRegisterVcpuInfo> p) {
    const auto op = TRY(p.fetch());
    return vcpu_map_info(target, Gfn(op.mfn), op.offset);
}

Status send_nmi(Vcpu&, Vcpu& target, AnyGuestPtr arg) {
    if (!arg.null()) return Err{Errc::inval};
    target.domain.kind.inject_nmi(target);
    vcpu_kick(target);
    return ok;
}

/// Only a control domain whose vCPUs are pinned one to one may know where they run.
Status physid(Vcpu&, const Vcpu& target, GuestPtr<xen::VcpuGetPhysid> p) {
    const CpuSet where = target.affinity.load();
    if (!authorised(target.domain, Who::control) || where.count() != 1) return Err{Errc::inval};
    const unsigned cpu = where.first();
    if (cpu >= cpu_count) return Err{Errc::inval};
    return p.store({uint64_t{cpus[cpu].apic_id} | uint64_t{cpus[cpu].id} << 32});
}

// clang-format off
using OnVcpu = Operations<
    Op<xen::VCPUOP_initialise,                     initialise, Who::anyone, Runs::in_parts>,
    Op<xen::VCPUOP_up,                             up>,
    Op<xen::VCPUOP_down,                           down>,
    Op<xen::VCPUOP_is_up,                          is_up>,
    Op<xen::VCPUOP_get_runstate_info,              get_runstate>,
    Op<xen::VCPUOP_register_runstate_memory_area,  register_runstate>,
    Op<xen::VCPUOP_set_periodic_timer,             set_periodic>,
    Op<xen::VCPUOP_stop_periodic_timer,            stop_periodic>,
    Op<xen::VCPUOP_set_singleshot_timer,           set_singleshot>,
    Op<xen::VCPUOP_stop_singleshot_timer,          stop_singleshot>,
    Op<xen::VCPUOP_register_vcpu_info,             register_info>,
    Op<xen::VCPUOP_register_vcpu_time_memory_area, register_time>,
    Op<xen::VCPUOP_send_nmi,                       send_nmi>,
    Op<xen::VCPUOP_get_physid,                     physid>>;
// clang-format on

}  // namespace

Answer hypercall_vcpu_op(Vcpu& v, uint64_t cmd, VcpuId vcpu, AnyGuestPtr arg) {
    Vcpu* target = v.domain.vcpu(vcpu);
    if (!target) return Err{Errc::noent};
    return OnVcpu::run("vcpu_op", cmd, v, *target, arg);
}

}  // namespace hv
