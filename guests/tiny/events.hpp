// SPDX-License-Identifier: Apache-2.0
/// The shared page, event channels (the two-level form), and time.
#pragma once

#include "guests/tiny/boot.hpp"
#include "guests/tiny/cpu.hpp"

namespace guest {

/// Maps the page that the hypervisor shares with the guest.
void map_shared_info();
xen::SharedInfo& shared_info();

/// Called for each port that is pending and not masked, with upcalls masked, on the vCPU that was interrupted.
using EventHandler = void (*)(uint32_t port);
void set_event_handler(EventHandler handler);
/// Takes what is pending on this vCPU and gives it to the handler.
void dispatch_events();
/// Upcalls of this vCPU: on (what is pending comes at once), or off.
void allow_upcalls();
void mask_upcalls();

/// Each returns a port, or the hypervisor's error.
long bind_ipi(unsigned vcpu);
long bind_virq(uint32_t virq, unsigned vcpu);
long alloc_unbound(xen::domid_t remote);
long bind_interdomain(xen::domid_t remote, uint32_t remote_port);
long send(uint32_t port);
long close_port(uint32_t port);
/// The domain's own number, which a port made for itself tells.
xen::domid_t own_domid();

/// System time in ns, by this vCPU's page and the time-stamp counter.
uint64_t now();
/// Blocks for so many ns. Events do not end it.
void sleep(uint64_t ns);

}  // namespace guest
