// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/proto/saved/stream.hpp"
#include "toolstack/xenctrl/control.hpp"

namespace migration {

/// Writes a PV domain's memory and registers as an ELF core with Xen's sections, which crash and gdb's helpers read. The domain is
/// only looked at; one that runs meanwhile is as blurred as it moves. Errors: opnotsupp (no PV domain), badmsg (the guest has no list
/// of its pages), the sink's and the hypervisor's.
base::Outcome<> dump_core(xenctrl::Control& control, base::DomId domain, proto::saved::Sink& sink);

}  // namespace migration
