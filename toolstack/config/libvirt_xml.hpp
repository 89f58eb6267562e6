// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "toolstack/config/load.hpp"

namespace config {

/// Reads libvirt's description of a PV domain, `<domain type='xen'>` (its formatdomain page; the way its own driver writes one).
/// Its elements become the variables of a configuration file, and go through the same checks; one that asks for what there is not here
/// is named in a warning. `where` begins each text. Errors: inval, opnotsupp (no PV domain, devices of the host, networks that libvirt
/// makes), toobig.
base::Outcome<Loaded> from_libvirt_xml(std::string_view text, const std::string& where);

/// The configuration as libvirt has it. What it has no word for is left out. Errors: opnotsupp, for what another machine would come
/// out of: disks by a script.
base::Outcome<std::string> to_libvirt_xml(const DomainConfig& config);

}  // namespace config
