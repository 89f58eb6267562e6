// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "toolstack/xend/core/device_nodes.hpp"
#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// The folder /vm/UUID of a domain.
NodeSet vm_nodes(base::DomId domain, const Record& record);

/// The folders of a new domain, /vm/UUID and /local/domain/N, in the order they are written. What the guest itself
/// writes (control/shutdown, data, …) belongs to it.
std::vector<NodeSet> domain_nodes(base::DomId domain, const Record& record);

/// store/ and console/, known only after the build; with the console's back end node.
std::vector<NodeSet> ring_nodes(base::DomId domain, const RingIntent& rings, uint32_t console_limit_kib);

std::string domain_path(base::DomId domain);
std::string vm_path(const config::Uuid& uuid);

}  // namespace xend
