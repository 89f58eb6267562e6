// SPDX-License-Identifier: Apache-2.0
/// What of the machine a domain may touch itself.
#include "hypervisor/arch/x86/ioapic.hpp"
#include "hypervisor/hypercall/domctl/domctl.hpp"

namespace hv::domctl {

namespace {

/// What the caller calls `pirq`: an interrupt that it has mapped, or a GSI. Errors: perm.
Result<uint32_t> number_of(Domain& caller, uint32_t pirq) {
    if (const auto mapped = pirq_machine_number(caller.pirqs, pirq)) return mapped.value();
    if (pirq >= ioapic::gsi_count()) return Err{Errc::perm};
    return pirq;
}

}  // namespace

Status irq_permission(const Call& c) {
    const xen::DomctlIrqPermission& p = c.op.u.irq_permission;
    if (p.pirq >= PirqTable::capacity) return Err{Errc::inval};
    const uint32_t number = TRY(number_of(c.v.domain, p.pirq));
    return set_right(c.d, c.d.irqs, number, number, p.allow_access != 0);
}

Status iomem_permission(const Call& c) {
    const xen::DomctlIoMemPermission& p = c.op.u.iomem_permission;
    const uint64_t last = p.first_mfn + p.nr_mfns - 1;
    constexpr uint64_t most_frames = uint64_t{1} << (52 - page_shift);
    if (p.nr_mfns == 0 || last < p.first_mfn || last >= most_frames) return Err{Errc::inval};
    return set_right(c.d, c.d.iomem, p.first_mfn, last, p.allow_access != 0);
}

Status ioport_permission(const Call& c) {
    const xen::DomctlIoPortPermission& p = c.op.u.ioport_permission;
    constexpr uint64_t all_ports = 65536;
    if (p.nr_ports == 0) return ok;
    if (uint64_t{p.first_port} + p.nr_ports > all_ports) return Err{Errc::inval};
    return set_right(c.d, c.d.ioports, p.first_port, uint64_t{p.first_port} + p.nr_ports - 1, p.allow_access != 0);
}

}  // namespace hv::domctl
