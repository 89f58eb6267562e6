// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_domctl: what tools do to domains. Decode, authorise, dispatch; each group of operations has its file.
#include "hypervisor/hypercall/domctl/domctl.hpp"

#include "hypervisor/event/event.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

namespace domctl {
namespace {

using Answer = Result<uint64_t>;

/// The first domain at or above the id: tools walk over all of them with it.
Answer getdomaininfo(xen::Domctl& op, GuestPtr<xen::Domctl> arg) {
    if (op.domain >= xen::DOMID_FIRST_RESERVED) return Err{Errc::inval};
    DomainRef d = next_domain(DomId(op.domain));
    if (!d) return Err{Errc::srch};
    op.u.getdomaininfo = domain_info(*d);
    op.domain = d->id.raw;
    TRY(arg.store(op));
    return 0;
}

Answer address_size(const Call& c) {
    constexpr uint32_t only = 64;
    if (c.op.cmd == xen::XEN_DOMCTL_set_address_size) {
        if (c.op.u.address_size.size != only) return Err{Errc::inval};
        return 0;
    }
    c.op.u.address_size.size = only;
    return c.done();
}

/// Things that only exist where the hypervisor translates for the guest, or has the hardware for it.
Answer not_for_pv(const Call& c) {
    switch (c.op.cmd) {
        case xen::XEN_DOMCTL_soft_reset:
        case xen::XEN_DOMCTL_gethvmcontext:
        case xen::XEN_DOMCTL_sethvmcontext:
        case xen::XEN_DOMCTL_gethvmcontext_partial:
        case xen::XEN_DOMCTL_set_broken_page_p2m:
        case xen::XEN_DOMCTL_bind_pt_irq:
        case xen::XEN_DOMCTL_unbind_pt_irq: return Err{Errc::inval};
        case xen::XEN_DOMCTL_psr_cmt_op:
        case xen::XEN_DOMCTL_psr_alloc: return Err{Errc::nodev};
        case xen::XEN_DOMCTL_get_paging_mempool_size:
        case xen::XEN_DOMCTL_set_paging_mempool_size:
        case xen::XEN_DOMCTL_memory_mapping:
        case xen::XEN_DOMCTL_ioport_mapping:
        case xen::XEN_DOMCTL_assign_device:
        case xen::XEN_DOMCTL_test_assign_device:
        case xen::XEN_DOMCTL_deassign_device:
        case xen::XEN_DOMCTL_get_device_group:
        case xen::XEN_DOMCTL_set_target:
        case xen::XEN_DOMCTL_setvnumainfo:
        case xen::XEN_DOMCTL_vm_event_op:
        case xen::XEN_DOMCTL_mem_sharing_op:
        case xen::XEN_DOMCTL_monitor_op:
        case xen::XEN_DOMCTL_vmtrace_op:
        case xen::XEN_DOMCTL_debug_op:
        case xen::XEN_DOMCTL_set_access_required: return Err{Errc::opnotsupp};
        default:
            guest_log(LogLevel::debug, "d%u: unknown domctl %u for d%u", unsigned{c.caller.domain.id.raw}, c.op.cmd,
                      unsigned{c.op.domain});
            return Err{Errc::nosys};
    }
}

Answer dispatch(const Call& c) {
    switch (c.op.cmd) {
        case xen::XEN_DOMCTL_destroydomain: return destroydomain(c);
        case xen::XEN_DOMCTL_pausedomain: return pausedomain(c);
        case xen::XEN_DOMCTL_unpausedomain: return unpausedomain(c);
        case xen::XEN_DOMCTL_resumedomain: return resumedomain(c);
        case xen::XEN_DOMCTL_max_vcpus: return max_vcpus(c);
        case xen::XEN_DOMCTL_setdomainhandle: return setdomainhandle(c);
        case xen::XEN_DOMCTL_setdebugging: return setdebugging(c);
        case xen::XEN_DOMCTL_settimeoffset: return settimeoffset(c);
        case xen::XEN_DOMCTL_sendtrigger: return sendtrigger(c);
        case xen::XEN_DOMCTL_subscribe: return subscribe(c);
        case xen::XEN_DOMCTL_settscinfo:
        case xen::XEN_DOMCTL_gettscinfo: return tsc_info(c);
        case xen::XEN_DOMCTL_max_mem: return max_mem(c);
        case xen::XEN_DOMCTL_getpageframeinfo3: return getpageframeinfo3(c);
        case xen::XEN_DOMCTL_shadow_op: return shadow_op(c);
        case xen::XEN_DOMCTL_hypercall_init: return hypercall_init(c);
        case xen::XEN_DOMCTL_setvcpucontext: return setvcpucontext(c);
        case xen::XEN_DOMCTL_getvcpucontext: return getvcpucontext(c);
        case xen::XEN_DOMCTL_getvcpuinfo: return getvcpuinfo(c);
        case xen::XEN_DOMCTL_setvcpuaffinity:
        case xen::XEN_DOMCTL_getvcpuaffinity: return vcpu_affinity(c);
        case xen::XEN_DOMCTL_setnodeaffinity:
        case xen::XEN_DOMCTL_getnodeaffinity: return node_affinity(c);
        case xen::XEN_DOMCTL_scheduler_op: return scheduler_op(c);
        case xen::XEN_DOMCTL_setvcpuextstate:
        case xen::XEN_DOMCTL_getvcpuextstate: return vcpu_extended_state(c);
        case xen::XEN_DOMCTL_set_ext_vcpucontext:
        case xen::XEN_DOMCTL_get_ext_vcpucontext: return extended_context(c);
        case xen::XEN_DOMCTL_get_vcpu_msrs:
        case xen::XEN_DOMCTL_set_vcpu_msrs: return vcpu_msrs(c);
        case xen::XEN_DOMCTL_get_cpu_policy:
        case xen::XEN_DOMCTL_set_cpu_policy: return cpu_policy(c);
        case xen::XEN_DOMCTL_irq_permission: return irq_permission(c);
        case xen::XEN_DOMCTL_iomem_permission: return iomem_permission(c);
        case xen::XEN_DOMCTL_ioport_permission: return ioport_permission(c);
        case xen::XEN_DOMCTL_set_address_size:
        case xen::XEN_DOMCTL_get_address_size: return address_size(c);
        case xen::XEN_DOMCTL_set_virq_handler: TRY(set_virq_handler(c.d, c.op.u.set_virq_handler.virq)); return 0;
        default: return not_for_pv(c);
    }
}

Answer on_domain(Vcpu& v, xen::Domctl& op, GuestPtr<xen::Domctl> arg) {
    if (op.cmd == xen::XEN_DOMCTL_createdomain) return createdomain(v, op, arg);
    if (op.cmd == xen::XEN_DOMCTL_getdomaininfo) return getdomaininfo(op, arg);
    DomainRef d = TRY(find_domain(DomId(op.domain)));
    if (d->dying.load(std::memory_order_acquire) != DyingState::alive && op.cmd != xen::XEN_DOMCTL_destroydomain)
        return Err{Errc::srch};  // nothing of it can be changed or read any more
    return dispatch({v, op, arg, *d});
}

}  // namespace
}  // namespace domctl

Result<uint64_t> hypercall_domctl(Vcpu& v, const uint64_t (&args)[6]) {
    if (!v.domain.privileged) return Err{Errc::perm};
    const auto arg = GuestPtr<xen::Domctl>::from_reg(args[0]);
    xen::Domctl op = TRY(arg.fetch());
    if (op.interface_version != xen::XEN_DOMCTL_INTERFACE_VERSION) return Err{Errc::access};
    ControlTurn turn;
    if (!turn) return restart_with(v, args[0]);
    auto answer = domctl::on_domain(v, op, arg);
    domains_reap();
    return answer;
}

}  // namespace hv
