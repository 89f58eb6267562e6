// SPDX-License-Identifier: Apache-2.0
// The real back end: a Linux dom0's /dev/xen/{privcmd,hypercall,evtchn,gntdev}.
#pragma once

#include <memory>

#include "toolstack/xencall/backend.hpp"

namespace xencall {

/// Opens the hypervisor this machine's dom0 runs on.
/// Errors: noent (no /dev/xen/privcmd: not a dom0, or xen-privcmd not loaded), perm/acces (not root).
base::Outcome<std::unique_ptr<Backend>> open_privcmd();

/// Opens only the event channel device (daemons that make no hypercalls).
base::Outcome<std::unique_ptr<EventChannels>> open_event_channels();

/// Opens only the grant device.
base::Outcome<std::unique_ptr<Grants>> open_grants();

}  // namespace xencall
