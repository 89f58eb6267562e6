// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "toolstack/config/load.hpp"

namespace config {

/// Reads the configuration that libxl writes into the file of a saved domain. Its members become the variables of a configuration file,
/// and go through the same checks; one that asks for what there is not here is named in a warning. `where` begins each text.
/// Errors: inval, opnotsupp (no PV domain, devices of the host), toobig.
base::Outcome<Loaded> from_libxl_json(std::string_view text, const std::string& where);

}  // namespace config
