// SPDX-License-Identifier: Apache-2.0
// Domains: life cycle, vCPUs, scheduling, permissions.
#include "toolstack/xenctrl/control.hpp"

#include <algorithm>
#include <cstring>

#include "abi/xen/domctl.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/sched.hpp"
#include "toolstack/xenctrl/call.hpp"

namespace xenctrl {

using base::Errc;
using base::Unit;

int64_t Control::call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    return backend_.hypercall(number, {a, b, c, d, e});
}

Outcome<Control::Buffer<xen::Domctl>> Control::domctl_buffer(DomId domain, uint32_t command) {
    auto op = OTRY(Buffer<xen::Domctl>::make(backend_));
    op->cmd = command;
    op->interface_version = xen::XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = domain.raw;
    return op;
}

Outcome<> Control::domctl(Buffer<xen::Domctl>& op, const char* what) {
    const int64_t r = call(xen::HYPERVISOR_domctl, op.address());
    if (r >= 0) return Unit{};
    return failure_of(r, std::string("Cannot ") + what + of_domain(DomId{op->domain}));
}

Outcome<> Control::simple_domctl(DomId domain, uint32_t command, const char* what) {
    auto op = OTRY(domctl_buffer(domain, command));
    return domctl(op, what);
}

namespace {

void fill_create(xen::DomctlCreateDomain& c, const CreateOptions& o) {
    c.ssidref = o.ssidref;
    std::memcpy(c.handle.bytes, o.handle.data(), o.handle.size());
    c.flags =
        (o.hvm ? xen::XEN_DOMCTL_CDF_hvm : 0) | (o.hap ? xen::XEN_DOMCTL_CDF_hap : 0) | (o.iommu ? xen::XEN_DOMCTL_CDF_iommu : 0);
    c.max_vcpus = o.max_vcpus;
    c.max_evtchn_port = o.max_event_channels;
    c.max_grant_frames = o.max_grant_frames;
    c.max_maptrack_frames = o.max_maptrack_frames;
    c.grant_opts = o.grant_version;
    c.cpupool_id = o.cpupool;
    c.arch.emulation_flags = o.emulation_flags;
}

}  // namespace

Outcome<DomId> Control::create(const CreateOptions& options) {
    auto op = OTRY(domctl_buffer(options.id.value_or(DomId{0}), xen::XEN_DOMCTL_createdomain));  // 0: choose one
    fill_create(op->u.createdomain, options);
    if (const int64_t r = call(xen::HYPERVISOR_domctl, op.address()); r < 0) return failure_of(r, "Cannot create a domain");
    const DomId domain{op->domain};
    auto vcpus = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_max_vcpus));
    vcpus->u.max_vcpus.max = options.max_vcpus;
    if (auto made = domctl(vcpus, "create the virtual CPUs"); !made) {
        static_cast<void>(destroy(domain));  // the first failure is the one to report
        return std::move(made).take_failure();
    }
    return domain;
}

Outcome<> Control::destroy(DomId domain) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_destroydomain));
    for (;;) {
        const int64_t r = call(xen::HYPERVISOR_domctl, op.address());
        if (r >= 0) return Unit{};
        // A large domain is taken apart in pieces so that dom0 stays responsive.
        const auto code = static_cast<Errc>(-r);
        if (code != Errc::again && code != Errc::restart)
            return failure_of(r, "Cannot destroy domain " + std::to_string(domain.raw));
    }
}

Outcome<> Control::pause(DomId domain) { return simple_domctl(domain, xen::XEN_DOMCTL_pausedomain, "pause the CPUs"); }
Outcome<> Control::unpause(DomId domain) { return simple_domctl(domain, xen::XEN_DOMCTL_unpausedomain, "unpause the CPUs"); }
Outcome<> Control::resume(DomId domain) { return simple_domctl(domain, xen::XEN_DOMCTL_resumedomain, "resume the CPUs"); }

Outcome<> Control::remote_shutdown(DomId domain, ShutdownReason reason) {
    auto op = OTRY(Buffer<xen::SchedRemoteShutdown>::make(backend_));
    op->domain_id = domain.raw;
    op->reason = static_cast<uint32_t>(reason);
    const int64_t r = call(xen::HYPERVISOR_sched_op, xen::SCHEDOP_remote_shutdown, op.address());
    if (r < 0) return failure_of(r, "Cannot shut down domain " + std::to_string(domain.raw));
    return Unit{};
}

Outcome<> Control::set_handle(DomId domain, const Handle& handle) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_setdomainhandle));
    std::memcpy(op->u.setdomainhandle.handle.bytes, handle.data(), handle.size());
    return domctl(op, "set the handle");
}

Outcome<> Control::send_trigger(DomId domain, Trigger trigger, VcpuId vcpu) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_sendtrigger));
    op->u.sendtrigger.trigger = static_cast<uint32_t>(trigger);
    op->u.sendtrigger.vcpu = vcpu.raw;
    return domctl(op, "send a trigger to a CPU");
}

// --- vCPUs and scheduling -------------------------------------------------------------------------------------------

Outcome<> Control::set_vcpu_context(DomId domain, VcpuId vcpu, const xen::VcpuGuestContext& context) {
    auto copy = OTRY(Buffer<xen::VcpuGuestContext>::copy_of(backend_, {&context, 1}));
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_setvcpucontext));
    op->u.vcpucontext.vcpu = vcpu.raw;
    op->u.vcpucontext.ctxt.addr = copy.address();
    return domctl(op, "set the state of a CPU");
}

Outcome<xen::VcpuGuestContext> Control::vcpu_context(DomId domain, VcpuId vcpu) {
    auto context = OTRY(Buffer<xen::VcpuGuestContext>::make(backend_));
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_getvcpucontext));
    op->u.vcpucontext.vcpu = vcpu.raw;
    op->u.vcpucontext.ctxt.addr = context.address();
    OTRY(domctl(op, "read the state of a CPU"));
    return *context;
}

Outcome<> Control::affinity_op(DomId domain, uint32_t command, VcpuId vcpu, Affinity& maps, const char* what) {
    auto hard = OTRY(Buffer<uint8_t>::copy_of(backend_, maps.hard));
    auto soft = OTRY(Buffer<uint8_t>::copy_of(backend_, maps.soft));
    auto op = OTRY(domctl_buffer(domain, command));
    auto& a = op->u.vcpuaffinity;
    a.vcpu = vcpu.raw;
    if (!maps.hard.empty()) a.flags |= xen::XEN_VCPUAFFINITY_HARD;
    if (!maps.soft.empty()) a.flags |= xen::XEN_VCPUAFFINITY_SOFT;
    a.cpumap_hard.bitmap.addr = hard.address();
    a.cpumap_hard.nr_bits = static_cast<uint32_t>(maps.hard.size() * 8);
    a.cpumap_soft.bitmap.addr = soft.address();
    a.cpumap_soft.nr_bits = static_cast<uint32_t>(maps.soft.size() * 8);
    OTRY(domctl(op, what));
    std::ranges::copy(hard.values(), maps.hard.begin());
    std::ranges::copy(soft.values(), maps.soft.begin());
    return Unit{};
}

Outcome<Affinity> Control::affinity(DomId domain, VcpuId vcpu) {
    const PhysInfo machine = OTRY(physinfo());
    const size_t bytes = machine.max_cpu / 8 + 1;
    Affinity maps{BitMap(bytes), BitMap(bytes)};
    OTRY(affinity_op(domain, xen::XEN_DOMCTL_getvcpuaffinity, vcpu, maps, "read the CPU affinity"));
    return maps;
}

Outcome<> Control::set_affinity(DomId domain, VcpuId vcpu, const Affinity& affinity) {
    Affinity maps = affinity;
    auto done = affinity_op(domain, xen::XEN_DOMCTL_setvcpuaffinity, vcpu, maps, "set the CPU affinity");
    if (done || done.failure().code != base::Errc::inval) return done;
    return base::fail(base::Errc::inval,
                      "Cannot set the CPU affinity" + of_domain(domain) + ": Its CPU pool has none of these CPUs");
}

Outcome<> Control::set_node_affinity(DomId domain, const BitMap& nodes) {
    auto map = OTRY(Buffer<uint8_t>::copy_of(backend_, nodes));
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_setnodeaffinity));
    op->u.nodeaffinity.nodemap.bitmap.addr = map.address();
    op->u.nodeaffinity.nodemap.nr_bits = static_cast<uint32_t>(nodes.size() * 8);
    return domctl(op, "set the node affinity");
}

Outcome<> Control::sched_op(DomId domain, uint32_t command, SchedParams& params, const char* what) {
    const Scheduler current = OTRY(scheduler_of(domain));
    if (current != Scheduler::credit && current != Scheduler::credit2)
        return base::fail(Errc::opnotsupp, std::string("Scheduler ") + scheduler_name(current) + " has no weight and cap");
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_scheduler_op));
    op->u.scheduler_op.sched_id = static_cast<uint32_t>(current);
    op->u.scheduler_op.cmd = command;
    op->u.scheduler_op.u.credit = {params.weight, params.cap};  // credit2 has the same two fields at the same place
    OTRY(domctl(op, what));
    params = {op->u.scheduler_op.u.credit.weight, op->u.scheduler_op.u.credit.cap};
    return Unit{};
}

Outcome<SchedParams> Control::sched_params(DomId domain) {
    SchedParams params;
    OTRY(sched_op(domain, xen::XEN_DOMCTL_SCHEDOP_getinfo, params, "read the scheduling parameters"));
    return params;
}

Outcome<> Control::set_sched_params(DomId domain, const SchedParams& params) {
    SchedParams copy = params;
    return sched_op(domain, xen::XEN_DOMCTL_SCHEDOP_putinfo, copy, "set the scheduling parameters");
}

// --- event channels, grants, CPU features ---------------------------------------------------------------------------

Outcome<Port> Control::alloc_unbound(DomId domain, DomId remote) {
    auto op = OTRY(Buffer<xen::EvtchnAllocUnbound>::make(backend_));
    op->dom = domain.raw;
    op->remote_dom = remote.raw;
    const int64_t r = call(xen::HYPERVISOR_event_channel_op, xen::EVTCHNOP_alloc_unbound, op.address());
    if (r < 0) return failure_of(r, "Cannot open an event channel" + of_domain(domain));
    return Port{op->port};
}

Outcome<> Control::seed_grants(DomId domain, std::span<const GrantSeed> seeds) {
    auto table =
        OTRY(backend_.map_resource(domain, xen::XENMEM_resource_grant_table, xen::XENMEM_resource_grant_table_id_shared, 0, 1));
    for (const GrantSeed& seed : seeds) {
        if (seed.ref >= base::page_size / sizeof(xen::GrantEntryV1) || seed.frame.raw > UINT32_MAX)
            return base::fail(Errc::inval,
                              "Grant entry " + std::to_string(seed.ref) + of_domain(domain) + " cannot be filled from outside");
        const xen::GrantEntryV1 entry{static_cast<uint16_t>(xen::GTF_permit_access), seed.to.raw,
                                      static_cast<uint32_t>(seed.frame.raw)};
        std::memcpy(table.data() + seed.ref * sizeof entry, &entry, sizeof entry);
    }
    return Unit{};
}

Outcome<> Control::set_time_offset(DomId domain, int64_t seconds) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_settimeoffset));
    op->u.settimeoffset.time_offset_seconds = seconds;
    return domctl(op, "set the time offset");
}

// --- device access --------------------------------------------------------------------------------------------------

Outcome<> Control::set_io_ports(DomId domain, uint32_t first, uint32_t count, Permission permission) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_ioport_permission));
    op->u.ioport_permission.first_port = first;
    op->u.ioport_permission.nr_ports = count;
    op->u.ioport_permission.allow_access = static_cast<uint8_t>(permission);
    return domctl(op, "change access to I/O ports");
}

Outcome<> Control::set_io_memory(DomId domain, Mfn first, uint64_t count, Permission permission) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_iomem_permission));
    op->u.iomem_permission.first_mfn = first.raw;
    op->u.iomem_permission.nr_mfns = count;
    op->u.iomem_permission.allow_access = static_cast<uint8_t>(permission);
    return domctl(op, "change access to I/O memory");
}

Outcome<> Control::set_irq(DomId domain, uint32_t pirq, Permission permission) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_irq_permission));
    op->u.irq_permission.pirq = pirq;
    op->u.irq_permission.allow_access = static_cast<uint8_t>(permission);
    return domctl(op, "change access to an interrupt");
}

}  // namespace xenctrl
