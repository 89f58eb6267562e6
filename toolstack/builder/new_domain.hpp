// SPDX-License-Identifier: Apache-2.0
// What every new domain is given, whether a kernel is built into it or a saved one restored.
#pragma once

#include "toolstack/builder/plan.hpp"
#include "toolstack/xenctrl/control.hpp"

namespace builder {

/// Refuses before anything is made what cannot succeed. Errors: nomem, with what there is.
base::Outcome<> check_memory(const xenctrl::PhysInfo& machine, uint64_t pages);

xenctrl::CreateOptions create_options(const BuildInput& input, const xenctrl::PhysInfo& machine);

/// Affinity, weight and cap, as far as they were asked for.
base::Outcome<> set_scheduling(xenctrl::Control& control, DomId domain, const BuildInput& input);

/// What the domain may have, with a little room for its own bookkeeping, and what it is told of it.
base::Outcome<> limit_memory(xenctrl::Control& control, DomId domain, uint64_t max_pages);

/// The domain's ends of its channels to the daemons.
struct DomainPorts {
    base::Port store;
    base::Port console;
};
base::Outcome<DomainPorts> open_ports(xenctrl::Control& control, DomId domain, const BuildInput& input);

/// Lets the daemons map the two rings.
base::Outcome<> seed_grants(xenctrl::Control& control, DomId domain, const BuildInput& input, base::Mfn console, base::Mfn store);

}  // namespace builder
