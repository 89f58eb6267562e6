// SPDX-License-Identifier: Apache-2.0
#include "toolstack/builder/new_domain.hpp"

#include <algorithm>

#include "abi/xen/grant_table.hpp"

namespace builder {

using base::Errc;
using base::Mfn;
using base::Outcome;
using base::Unit;
using base::VcpuId;
using xenctrl::Control;

Outcome<> check_memory(const xenctrl::PhysInfo& machine, uint64_t pages) {
    const uint64_t spoken_for = std::min(machine.outstanding_pages, machine.free_pages);
    const uint64_t free = machine.free_pages - spoken_for;
    if (pages <= free) return Unit{};
    return base::fail(Errc::nomem, "Not enough free memory in the hypervisor: " + std::to_string(pages * 4) + " KiB wanted, " +
                                       std::to_string(free * 4) + " KiB free");
}

xenctrl::CreateOptions create_options(const BuildInput& input, const xenctrl::PhysInfo& machine) {
    xenctrl::CreateOptions o;
    o.handle = input.uuid;
    o.ssidref = input.ssidref;
    o.max_vcpus = std::max(input.vcpus, input.max_vcpus);
    o.max_event_channels = input.max_event_channels;
    o.max_grant_frames = input.max_grant_frames;
    o.max_maptrack_frames = input.max_maptrack_frames;
    o.grant_version = input.max_grant_version.value_or(machine.grant_v2 ? 2 : 1);
    o.cpupool = input.cpupool;
    return o;
}

Outcome<> set_scheduling(Control& control, DomId domain, const BuildInput& input) {
    for (size_t i = 0; i < input.vcpu_affinity.size() && i < std::max(input.vcpus, input.max_vcpus); ++i) {
        if (input.vcpu_affinity[i].empty()) continue;
        OTRY(control.set_affinity(domain, VcpuId{static_cast<uint32_t>(i)}, {input.vcpu_affinity[i], {}}));
    }
    if (!input.sched_weight && !input.sched_cap) return Unit{};
    xenctrl::SchedParams params = OTRY(control.sched_params(domain));
    params.weight = input.sched_weight.value_or(params.weight);
    params.cap = input.sched_cap.value_or(params.cap);
    return control.set_sched_params(domain, params);
}

Outcome<> limit_memory(Control& control, DomId domain, uint64_t max_pages) {
    constexpr uint64_t slack_kib = 1024;  // what xl allows, for what the guest's bookkeeping takes while it balloons
    OTRY(control.set_max_memory(domain, max_pages * 4 + slack_kib));
    const xenctrl::MemoryRange ram{0, max_pages * base::page_size, 1};
    return control.set_memory_map(domain, {&ram, 1});
}

Outcome<DomainPorts> open_ports(Control& control, DomId domain, const BuildInput& input) {
    const base::Port store = OTRY(control.alloc_unbound(domain, input.store_domain));
    return DomainPorts{store, OTRY(control.alloc_unbound(domain, input.console_domain))};
}

Outcome<> seed_grants(Control& control, DomId domain, const BuildInput& input, Mfn console, Mfn store) {
    const xenctrl::GrantSeed seeds[] = {
        {xen::GNTTAB_RESERVED_CONSOLE, input.console_domain, base::Gfn{console.raw}},
        {xen::GNTTAB_RESERVED_XENSTORE, input.store_domain, base::Gfn{store.raw}},
    };
    return control.seed_grants(domain, seeds);
}

}  // namespace builder
