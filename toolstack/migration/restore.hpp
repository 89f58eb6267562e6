// SPDX-License-Identifier: Apache-2.0
// Makes a domain of a saved PV domain.
#pragma once

#include "lib/proto/saved/reader.hpp"
#include "toolstack/builder/builder.hpp"

namespace migration {

/// Reads the stream behind the configuration from `reader` and makes the domain, with what `input` says of it (kernel, ramdisk and
/// command line are not asked for). It is left paused. On failure nothing of it is left. `observer` may be null.
/// Errors: the reader's; badmsg for an image that contradicts itself; nomem; the hypervisor's.
base::Outcome<builder::BuiltDomain> restore(xenctrl::Control& control, builder::StoreIntroduce& store,
                                            proto::saved::Reader& reader, const builder::BuildInput& input,
                                            builder::BuildObserver* observer = nullptr);

}  // namespace migration
