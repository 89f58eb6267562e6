// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_vcpu_op: decode, authorise, act.
#include "abi/xen/vcpu.hpp"

#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/hypercall.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv {

namespace {

using Answer = Result<uint64_t>;

/// Gives an offline vCPU its first context; the structure is too large for our stack.
Answer initialise(Vcpu& caller, Vcpu& target, GuestPtr<xen::VcpuGuestContext> p) {
    if (target.info.load(std::memory_order_acquire) == &target.private_info) return Err{Errc::inval};
    Owned<xen::VcpuGuestContext> context(TRY(make<xen::VcpuGuestContext>()));
    TRY(p.fetch_many(context.get(), 1));
    Guard g(target.domain.lock);
    if (target.initialised) return Err{Errc::exist};
    if (auto s = target.domain.kind.set_context(target, *context); !s) {
        if (s.error() == Errc::restart) return restart_same(caller);
        return Err{s.error()};
    }
    return 0;
}

Answer up(Vcpu& target) {
    uint32_t before = 0;
    {
        Guard g(target.domain.lock);
        if (!target.initialised) return Err{Errc::inval};
        before = target.pause_flags.fetch_and(~uint32_t{vpf_down}, std::memory_order_seq_cst);
    }
    if (before & vpf_down) sched::policy_of(target).wake(target);
    return 0;
}

Answer down(Vcpu& target) {
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
    if (last) domain_shutdown(d, 0 /* SHUTDOWN_poweroff */);
    else sched::policy_of(target).sleep(target);
    return 0;
}

Answer register_runstate(Vcpu& target, GuestPtr<xen::VcpuRegisterRunstateMemoryArea> p) {
    const auto op = TRY(p.fetch());
    if (op.addr.v) TRY(GuestPtr<xen::VcpuRunstateInfo>(op.addr.v).store(sched::runstate(target)));
    target.runstate_guest = op.addr.v;
    return 0;
}

Answer register_time(Vcpu& target, GuestPtr<xen::VcpuRegisterTimeMemoryArea> p) {
    const auto op = TRY(p.fetch());
    target.time_info_guest.store(op.addr.v, std::memory_order_release);
    if (&target == &current()) vcpu_update_time(target);
    return 0;
}

Answer set_periodic(Vcpu& target, GuestPtr<xen::VcpuSetPeriodicTimer> p) {
    const auto op = TRY(p.fetch());
    constexpr uint64_t shortest = 1'000'000;
    if (op.period_ns < shortest || op.period_ns > INT64_MAX / 2) return Err{Errc::inval};
    target.period = {};
    timer::stop(target.periodic);
    target.periodic_last = clock::now();
    target.period = Nanos{static_cast<int64_t>(op.period_ns)};
    const int32_t cpu = target.running_on.load(std::memory_order_acquire);
    if (cpu >= 0) timer::set(target.periodic, target.periodic_last + target.period, static_cast<unsigned>(cpu));
    return 0;
}

Answer set_singleshot(Vcpu& v, GuestPtr<xen::VcpuSetSingleshotTimer> p) {
    const auto op = TRY(p.fetch());
    const Nanos at{op.timeout_abs_ns > INT64_MAX ? INT64_MAX : static_cast<int64_t>(op.timeout_abs_ns)};
    if ((op.flags & xen::VCPU_SSHOTTMR_future) && at < clock::now()) return Err{Errc::time};
    timer::set(v.singleshot, at, this_cpu().id);
    return 0;
}

Answer send_nmi(Vcpu& target, uint64_t arg) {
    if (arg) return Err{Errc::inval};
    target.domain.kind.inject_nmi(target);
    vcpu_kick(target);
    return 0;
}

/// Only a hardware domain whose vCPUs are pinned one to one may know where they run.
Answer physid(const Vcpu& target, GuestPtr<xen::VcpuGetPhysid> p) {
    const CpuSet where = target.affinity.load();
    if (!target.domain.privileged || where.count() != 1) return Err{Errc::inval};
    const unsigned cpu = where.first();
    if (cpu >= cpu_count) return Err{Errc::inval};
    TRY(p.store({uint64_t{cpus[cpu].apic_id} | uint64_t{cpus[cpu].id} << 32}));
    return 0;
}

}  // namespace

Result<uint64_t> hypercall_vcpu_op(Vcpu& v, const uint64_t (&args)[6]) {
    const uint64_t cmd = args[0];
    const uint64_t arg = args[2];
    Vcpu* target = v.domain.vcpu(VcpuId::from_reg(args[1]));
    if (!target) return Err{Errc::noent};
    const bool self = target == &v;
    switch (cmd) {
        case xen::VCPUOP_initialise: return initialise(v, *target, GuestPtr<xen::VcpuGuestContext>(arg));
        case xen::VCPUOP_up: return up(*target);
        case xen::VCPUOP_down: return down(*target);
        case xen::VCPUOP_is_up: return !(target->pause_flags.load(std::memory_order_acquire) & vpf_down);
        case xen::VCPUOP_get_runstate_info: TRY(GuestPtr<xen::VcpuRunstateInfo>(arg).store(sched::runstate(*target))); return 0;
        case xen::VCPUOP_register_runstate_memory_area:
            return register_runstate(*target, GuestPtr<xen::VcpuRegisterRunstateMemoryArea>(arg));
        case xen::VCPUOP_set_periodic_timer: return set_periodic(*target, GuestPtr<xen::VcpuSetPeriodicTimer>(arg));
        case xen::VCPUOP_stop_periodic_timer:
            target->period = {};
            timer::stop(target->periodic);
            return 0;
        case xen::VCPUOP_set_singleshot_timer:
            if (!self) return Err{Errc::inval};
            return set_singleshot(v, GuestPtr<xen::VcpuSetSingleshotTimer>(arg));
        case xen::VCPUOP_stop_singleshot_timer:
            if (!self) return Err{Errc::inval};
            timer::stop(v.singleshot);
            return 0;
        case xen::VCPUOP_register_vcpu_info: {
            const auto op = TRY(GuestPtr<xen::VcpuRegisterVcpuInfo>(arg).fetch());
            TRY(vcpu_map_info(*target, Mfn(op.mfn), op.offset));
            return 0;
        }
        case xen::VCPUOP_register_vcpu_time_memory_area:
            return register_time(*target, GuestPtr<xen::VcpuRegisterTimeMemoryArea>(arg));
        case xen::VCPUOP_send_nmi: return send_nmi(*target, arg);
        case xen::VCPUOP_get_physid: return physid(*target, GuestPtr<xen::VcpuGetPhysid>(arg));
        default: guest_log(LogLevel::debug, "d%u: unknown vcpu_op %lu", unsigned{v.domain.id.raw}, cmd); return Err{Errc::nosys};
    }
}

}  // namespace hv
