// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_memory_op: which operation, and the small ones.
#include "hypervisor/hypercall/memory/memory_op.hpp"

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

namespace memory {

unsigned address_bits(uint32_t mem_flags) {
    const uint32_t bits = xen::XENMEMF_get_address_bits(mem_flags);
    return bits ? bits : 64;
}

namespace {

using Answer = Result<uint64_t>;

Answer about_domain(const Call& c) {
    const auto who = TRY(GuestPtr<xen::MemoryDomain>(c.arg).fetch());
    DomainRef d = TRY(target_domain(c.v, who.domid));
    if (c.cmd == xen::XENMEM_maximum_gpfn) {
        const uint64_t pages = d->shared ? __atomic_load_n(&d->shared->arch.max_pfn, __ATOMIC_RELAXED) : 0;
        // Guests tell a count, and none before they run: 0 then, as -1 would be an error number.
        return pages ? pages - 1 : 0;
    }
    Guard g(d->page_list_lock);
    return c.cmd == xen::XENMEM_maximum_reservation ? d->max_pages : d->tot_pages;
}

Answer machphys_mapping(const Call& c) {
    const xen::MachphysMapping m{xen::MACH2PHYS_VIRT_START, xen::MACH2PHYS_VIRT_END, xen::MACH2PHYS_NR_ENTRIES - 1};
    TRY(GuestPtr<xen::MachphysMapping>(c.arg).store(m));
    return 0;
}

/// Only domains whose physical address space we translate have one to add to; PV guests translate themselves.
Answer add_to_physmap(const Call& c) {
    uint16_t domid = 0;
    if (c.cmd == xen::XENMEM_add_to_physmap) domid = TRY(GuestPtr<xen::AddToPhysmap>(c.arg).fetch()).domid;
    else domid = TRY(GuestPtr<xen::AddToPhysmapBatch>(c.arg).fetch()).domid;
    TRY(target_domain(c.v, domid));
    return Err{Errc::access};
}

Answer remove_from_physmap(const Call& c) {
    const auto r = TRY(GuestPtr<xen::RemoveFromPhysmap>(c.arg).fetch());
    DomainRef d = TRY(target_domain(c.v, r.domid));
    if (!PageRef::acquire(Mfn(r.gpfn), d->id)) return Err{Errc::noent};
    return 0;
}

Answer claim_pages(const Call& c) {
    if (!c.v.domain.privileged) return Err{Errc::perm};
    const auto r = TRY(GuestPtr<xen::MemoryReservation>(c.arg).fetch());
    if (!r.extent_start.is_null() || r.extent_order != 0 || r.mem_flags != 0) return Err{Errc::inval};
    DomainRef d = TRY(find_domain(DomId(r.domid)));
    TRY(domain_claim(*d, r.nr_extents));
    return 0;
}

Answer pod_target(const Call& c) {
    const auto t = TRY(GuestPtr<xen::PodTarget>(c.arg).fetch());
    TRY(target_domain(c.v, t.domid));
    return Err{Errc::inval};  // there is no population on demand without translation
}

Answer vnuma_info(const Call& c) {
    const auto t = TRY(GuestPtr<xen::VnumaTopologyInfo>(c.arg).fetch());
    TRY(target_domain(c.v, t.domid));
    return Err{Errc::opnotsupp};
}

/// No device's firmware keeps memory for itself as far as we know: without an IOMMU nobody asks.
Answer reserved_device_memory(const Call& c) {
    const auto p = GuestPtr<xen::ReservedDeviceMemoryMap>(c.arg);
    auto m = TRY(p.fetch());
    if (m.flags & ~xen::XENMEM_RDM_ALL) return Err{Errc::inval};
    m.nr_entries = 0;
    TRY(p.store(m));
    return 0;
}

Answer unknown(const Call& c) {
    guest_log(LogLevel::debug, "d%u: unknown memory_op %u", unsigned{c.v.domain.id.raw}, c.cmd);
    return Err{Errc::nosys};
}

Answer not_restartable(const Call& c) {
    if (c.start != 0) return Err{Errc::inval};
    switch (c.cmd) {
        case xen::XENMEM_maximum_ram_page: return max_frame;
        case xen::XENMEM_current_reservation:
        case xen::XENMEM_maximum_reservation:
        case xen::XENMEM_maximum_gpfn: return about_domain(c);
        case xen::XENMEM_machphys_mapping: return machphys_mapping(c);
        case xen::XENMEM_machphys_mfn_list: return machphys_mfn_list(c);
        case xen::XENMEM_add_to_physmap:
        case xen::XENMEM_add_to_physmap_batch: return add_to_physmap(c);
        case xen::XENMEM_remove_from_physmap: return remove_from_physmap(c);
        case xen::XENMEM_memory_map: return memory_map(c);
        case xen::XENMEM_machine_memory_map: return machine_memory_map(c);
        case xen::XENMEM_set_memory_map: return set_memory_map(c);
        case xen::XENMEM_claim_pages: return claim_pages(c);
        case xen::XENMEM_set_pod_target:
        case xen::XENMEM_get_pod_target: return pod_target(c);
        case xen::XENMEM_get_sharing_freed_pages:
        case xen::XENMEM_get_sharing_shared_pages: return 0;  // nothing is shared
        case xen::XENMEM_get_vnumainfo: return vnuma_info(c);
        case xen::XENMEM_reserved_device_memory_map: return reserved_device_memory(c);
        default: return unknown(c);
    }
}

}  // namespace
}  // namespace memory

Result<uint64_t> hypercall_memory_op(Vcpu& v, const uint64_t (&args)[6]) {
    using memory::Call;
    constexpr uint64_t cmd_mask = (1u << Call::start_shift) - 1;
    const Call c{v, static_cast<uint32_t>(args[0] & cmd_mask), args[0] >> Call::start_shift, args[1]};
    switch (c.cmd) {
        case xen::XENMEM_populate_physmap: return memory::populate_physmap(c);
        case xen::XENMEM_increase_reservation: return memory::increase_reservation(c);
        case xen::XENMEM_decrease_reservation: return memory::decrease_reservation(c);
        case xen::XENMEM_exchange: return memory::exchange(c);
        case xen::XENMEM_acquire_resource: return memory::acquire_resource(c);
        default: return memory::not_restartable(c);
    }
}

}  // namespace hv
