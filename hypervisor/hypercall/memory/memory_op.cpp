// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_memory_op: which operation, and the small ones.
#include "hypervisor/hypercall/memory/memory_op.hpp"

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/row.hpp"

namespace hv {

namespace memory {

namespace {

/// The domain that a MemoryDomain names.
[[gnu::always_inline]] inline Result<DomainRef> named_domain(const Call& c) {
    return target_domain(c.v, TRY(GuestPtr<xen::MemoryDomain>(c.arg).fetch()).domid);
}

[[gnu::always_inline]] inline Answer page_count(const Call& c, uint64_t Domain::*which) {
    DomainRef d = TRY(named_domain(c));
    Guard g(d->page_list_lock);
    return (*d).*which;
}
Answer current_reservation(const Call& c) { return page_count(c, &Domain::tot_pages); }
Answer maximum_reservation(const Call& c) { return page_count(c, &Domain::max_pages); }

Answer maximum_gpfn(const Call& c) {
    DomainRef d = TRY(named_domain(c));
    const uint64_t pages = d->shared ? __atomic_load_n(&d->shared->arch.max_pfn, __ATOMIC_RELAXED) : 0;
    // Guests tell a count, and none before they run: 0 then, as -1 would be an error number.
    return pages ? pages - 1 : 0;
}

Status machphys_mapping(const Call& c) {
    const xen::MachphysMapping m{xen::MACH2PHYS_VIRT_START, xen::MACH2PHYS_VIRT_END, xen::MACH2PHYS_NR_ENTRIES - 1};
    return GuestPtr<xen::MachphysMapping>(c.arg).store(m);
}

/// What nobody has who does not have its memory translated: who may ask is told so. No domain's physical address space to add to, no
/// population on demand, no virtual nodes.
template <Errc e, class Argument>
Status untranslated(const Call& c) {
    const Argument a = TRY(GuestPtr<Argument>(c.arg).fetch());
    TRY(target_domain(c.v, a.domid));
    return Err{e};
}

Status remove_from_physmap(const Call& c) {
    const auto r = TRY(GuestPtr<xen::RemoveFromPhysmap>(c.arg).fetch());
    DomainRef d = TRY(target_domain(c.v, r.domid));
    if (!guest_page(*d, Gfn(r.gpfn))) return Err{Errc::noent};
    return ok;
}

Status claim_pages(const Call& c) {
    const auto r = TRY(GuestPtr<xen::MemoryReservation>(c.arg).fetch());
    if (!r.extent_start.is_null() || r.extent_order != 0 || r.mem_flags != 0) return Err{Errc::inval};
    DomainRef d = TRY(find_domain(DomId(r.domid)));
    return domain_claim(*d, r.nr_extents);
}

/// No device's firmware keeps memory for itself as far as we know: without an IOMMU nobody asks.
Status reserved_device_memory(const Call& c) {
    const GuestPtr<xen::ReservedDeviceMemoryMap> p = c.arg;
    auto m = TRY(p.fetch());
    if (m.flags & ~xen::XENMEM_RDM_ALL) return Err{Errc::inval};
    m.nr_entries = 0;
    return p.store(m);
}

Answer maximum_ram_page(const Call&) { return max_frame; }
Status nothing_shared(const Call&) { return ok; }

/// Those in parts go on where they stopped; the number of the element stands above the command.
// clang-format off
using Frequent = FrequentOperations<
    Op<xen::XENMEM_populate_physmap,           populate_physmap,     Who::anyone, Runs::in_parts>,
    Op<xen::XENMEM_decrease_reservation,       decrease_reservation, Who::anyone, Runs::in_parts>>;

using Others = Operations<
    Op<xen::XENMEM_increase_reservation,       increase_reservation, Who::anyone, Runs::in_parts>,
    Op<xen::XENMEM_exchange,                   exchange,             Who::anyone, Runs::in_parts>,
    Op<xen::XENMEM_acquire_resource,           acquire_resource,     Who::anyone, Runs::in_parts>,
    Op<xen::XENMEM_maximum_ram_page,           maximum_ram_page>,
    Op<xen::XENMEM_current_reservation,        current_reservation>,
    Op<xen::XENMEM_maximum_reservation,        maximum_reservation>,
    Op<xen::XENMEM_maximum_gpfn,               maximum_gpfn>,
    Op<xen::XENMEM_machphys_mapping,           machphys_mapping>,
    Op<xen::XENMEM_machphys_mfn_list,          machphys_mfn_list>,
    Op<xen::XENMEM_add_to_physmap,             untranslated<Errc::access, xen::AddToPhysmap>>,
    Op<xen::XENMEM_add_to_physmap_batch,       untranslated<Errc::access, xen::AddToPhysmapBatch>>,
    Op<xen::XENMEM_remove_from_physmap,        remove_from_physmap>,
    Op<xen::XENMEM_memory_map,                 memory_map>,
    Op<xen::XENMEM_machine_memory_map,         machine_memory_map,   Who::control>,
    Op<xen::XENMEM_set_memory_map,             set_memory_map>,
    Op<xen::XENMEM_claim_pages,                claim_pages,          Who::control>,
    Op<xen::XENMEM_set_pod_target,             untranslated<Errc::inval, xen::PodTarget>>,
    Op<xen::XENMEM_get_pod_target,             untranslated<Errc::inval, xen::PodTarget>>,
    Op<xen::XENMEM_get_sharing_freed_pages,    nothing_shared>,
    Op<xen::XENMEM_get_sharing_shared_pages,   nothing_shared>,
    Op<xen::XENMEM_get_vnumainfo,              untranslated<Errc::opnotsupp, xen::VnumaTopologyInfo>>,
    Op<xen::XENMEM_reserved_device_memory_map, reserved_device_memory>>;
// clang-format on

[[gnu::noinline]] Answer others(const Call& c) {
    if (c.start != 0 && !Others::in_parts(c.cmd)) return Err{Errc::inval};
    return Others::run("memory_op", c.cmd, c);
}

}  // namespace
}  // namespace memory

Answer hypercall_memory_op(Vcpu& v, uint64_t cmd, AnyGuestPtr arg) {
    using memory::Call;
    constexpr uint64_t cmd_mask = (1u << Call::start_shift) - 1;
    const Call c{v, static_cast<uint32_t>(cmd & cmd_mask), cmd >> Call::start_shift, arg};
    const auto rest = [&] { return memory::others(c); };
    return memory::Frequent::run_or("memory_op", c.cmd, rest, c);
}

}  // namespace hv
