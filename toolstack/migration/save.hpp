// SPDX-License-Identifier: Apache-2.0
// Writes a suspended PV domain, in the form that xl reads too.
#pragma once

#include "lib/proto/saved/writer.hpp"
#include "toolstack/migration/p2m.hpp"

namespace migration {

/// Writes all of `domain` behind the configuration. It must have suspended itself: nothing of it runs. It is only looked at.
/// Errors: inval (not suspended, no PV domain), badmsg (its memory contradicts itself), the sink's and the hypervisor's.
base::Outcome<> save(xenctrl::Control& control, base::DomId domain, const proto::saved::FileConfig& config,
                     proto::saved::Sink& sink);

/// A vCPU's context with pages in place of frames. Errors: badmsg.
base::Outcome<> to_pages(xen::VcpuGuestContext& context, base::VcpuId vcpu, const GuestPages& pages);

}  // namespace migration
