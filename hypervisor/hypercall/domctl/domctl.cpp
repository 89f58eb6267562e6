// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_domctl: what tools do to domains. Decode, authorise, dispatch; each group of operations has its file.
#include "hypervisor/hypercall/domctl/domctl.hpp"

#include "hypervisor/event/event.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/row.hpp"

namespace hv {

namespace domctl {
namespace {

/// The first domain at or above the id: tools walk over all of them with it.
Status getdomaininfo(Vcpu&, xen::Domctl& op, GuestPtr<xen::Domctl> arg) {
    if (op.domain >= xen::DOMID_FIRST_RESERVED) return Err{Errc::inval};
    DomainRef d = next_domain(DomId(op.domain));
    if (!d) return Err{Errc::srch};
    op.u.getdomaininfo = domain_info(*d);
    op.domain = d->id.raw;
    return arg.store(op);
}

Status address_size(const Call& c) {
    constexpr uint32_t only = 64;
    if (c.op.cmd == xen::XEN_DOMCTL_set_address_size) {
        if (c.op.u.address_size.size != only) return Err{Errc::inval};
        return ok;
    }
    c.op.u.address_size.size = only;
    return c.done();
}

Status set_virq(const Call& c) { return set_virq_handler(c.d, c.op.u.set_virq_handler.virq); }

/// Operations that need no domain of the number they say.
// clang-format off
using OnNone = Operations<
    Op<xen::XEN_DOMCTL_createdomain,  createdomain>,
    Op<xen::XEN_DOMCTL_getdomaininfo, getdomaininfo>>;
// clang-format on

/// Operations on a domain. `refused` are those for guests whose memory we translate, or for hardware that we do not use.
// clang-format off
using OnDomain = Operations<
    Op<xen::XEN_DOMCTL_destroydomain,           destroydomain,       Who::control_of_others, Runs::in_parts>,
    Op<xen::XEN_DOMCTL_pausedomain,             pausedomain,         Who::control_of_others>,
    Op<xen::XEN_DOMCTL_unpausedomain,           unpausedomain,       Who::control_of_others>,
    Op<xen::XEN_DOMCTL_resumedomain,            resumedomain,        Who::control_of_others>,
    Op<xen::XEN_DOMCTL_max_vcpus,               max_vcpus,           Who::anyone, Runs::in_parts>,
    Op<xen::XEN_DOMCTL_setdomainhandle,         setdomainhandle>,
    Op<xen::XEN_DOMCTL_setdebugging,            setdebugging,        Who::control_of_others>,
    Op<xen::XEN_DOMCTL_settimeoffset,           settimeoffset>,
    Op<xen::XEN_DOMCTL_sendtrigger,             sendtrigger>,
    Op<xen::XEN_DOMCTL_subscribe,               subscribe>,
    Op<xen::XEN_DOMCTL_settscinfo,              tsc_info>,
    Op<xen::XEN_DOMCTL_gettscinfo,              tsc_info>,
    Op<xen::XEN_DOMCTL_max_mem,                 max_mem>,
    Op<xen::XEN_DOMCTL_getpageframeinfo3,       getpageframeinfo3,   Who::control_of_others>,
    Op<xen::XEN_DOMCTL_shadow_op,               shadow_op,           Who::control_of_others, Runs::in_parts>,
    Op<xen::XEN_DOMCTL_hypercall_init,          hypercall_init>,
    Op<xen::XEN_DOMCTL_setvcpucontext,          setvcpucontext,      Who::control_of_others, Runs::in_parts>,
    Op<xen::XEN_DOMCTL_getvcpucontext,          getvcpucontext,      Who::control_of_others>,
    Op<xen::XEN_DOMCTL_getvcpuinfo,             getvcpuinfo>,
    Op<xen::XEN_DOMCTL_setvcpuaffinity,         vcpu_affinity>,
    Op<xen::XEN_DOMCTL_getvcpuaffinity,         vcpu_affinity>,
    Op<xen::XEN_DOMCTL_setnodeaffinity,         node_affinity>,
    Op<xen::XEN_DOMCTL_getnodeaffinity,         node_affinity>,
    Op<xen::XEN_DOMCTL_scheduler_op,            scheduler_op>,
    Op<xen::XEN_DOMCTL_setvcpuextstate,         vcpu_extended_state, Who::control_of_others>,
    Op<xen::XEN_DOMCTL_getvcpuextstate,         vcpu_extended_state, Who::control_of_others>,
    Op<xen::XEN_DOMCTL_set_ext_vcpucontext,     extended_context,    Who::control_of_others>,
    Op<xen::XEN_DOMCTL_get_ext_vcpucontext,     extended_context,    Who::control_of_others>,
    Op<xen::XEN_DOMCTL_get_vcpu_msrs,           vcpu_msrs,           Who::control_of_others>,
    Op<xen::XEN_DOMCTL_set_vcpu_msrs,           vcpu_msrs,           Who::control_of_others>,
    Op<xen::XEN_DOMCTL_get_cpu_policy,          cpu_policy>,
    Op<xen::XEN_DOMCTL_set_cpu_policy,          cpu_policy>,
    Op<xen::XEN_DOMCTL_irq_permission,          irq_permission>,
    Op<xen::XEN_DOMCTL_iomem_permission,        iomem_permission>,
    Op<xen::XEN_DOMCTL_ioport_permission,       ioport_permission>,
    Op<xen::XEN_DOMCTL_set_address_size,        address_size>,
    Op<xen::XEN_DOMCTL_get_address_size,        address_size>,
    Op<xen::XEN_DOMCTL_set_virq_handler,        set_virq>,
    Op<xen::XEN_DOMCTL_soft_reset,              refused<Errc::inval>>,
    Op<xen::XEN_DOMCTL_gethvmcontext,           refused<Errc::inval>>,
    Op<xen::XEN_DOMCTL_sethvmcontext,           refused<Errc::inval>>,
    Op<xen::XEN_DOMCTL_gethvmcontext_partial,   refused<Errc::inval>>,
    Op<xen::XEN_DOMCTL_set_broken_page_p2m,     refused<Errc::inval>>,
    Op<xen::XEN_DOMCTL_bind_pt_irq,             refused<Errc::inval>>,
    Op<xen::XEN_DOMCTL_unbind_pt_irq,           refused<Errc::inval>>,
    Op<xen::XEN_DOMCTL_psr_cmt_op,              refused<Errc::nodev>>,
    Op<xen::XEN_DOMCTL_psr_alloc,               refused<Errc::nodev>>,
    Op<xen::XEN_DOMCTL_get_paging_mempool_size, refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_set_paging_mempool_size, refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_memory_mapping,          refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_ioport_mapping,          refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_assign_device,           refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_test_assign_device,      refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_deassign_device,         refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_get_device_group,        refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_set_target,              refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_setvnumainfo,            refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_vm_event_op,             refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_mem_sharing_op,          refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_monitor_op,              refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_vmtrace_op,              refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_debug_op,                refused<Errc::opnotsupp>>,
    Op<xen::XEN_DOMCTL_set_access_required,     refused<Errc::opnotsupp>>>;
// clang-format on

Answer on_domain(Vcpu& v, xen::Domctl& op, GuestPtr<xen::Domctl> arg) {
    if (OnNone::has(op.cmd)) return OnNone::run("domctl", op.cmd, v, op, arg);
    DomainRef d = TRY(find_domain(DomId(op.domain)));
    if (d->dying.load(std::memory_order_acquire) != DyingState::alive && op.cmd != xen::XEN_DOMCTL_destroydomain)
        return Err{Errc::srch};  // nothing of it can be changed or read any more
    const Call c{v, op, arg, *d};
    return OnDomain::run("domctl", op.cmd, c);
}

}  // namespace
}  // namespace domctl

Answer hypercall_domctl(Vcpu& v, GuestPtr<xen::Domctl> arg) {
    xen::Domctl op = TRY(arg.fetch());
    if (op.interface_version != xen::XEN_DOMCTL_INTERFACE_VERSION) return Err{Errc::access};
    ControlTurn turn;
    if (!turn) return restart_with(v, arg);
    auto answer = domctl::on_domain(v, op, arg);
    domains_reap();
    return answer;
}

}  // namespace hv
