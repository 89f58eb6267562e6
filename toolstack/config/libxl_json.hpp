// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "toolstack/config/load.hpp"

namespace config {

/// Reads the configuration that libxl writes into the file of a saved domain. Its members become the variables of a configuration file,
/// and go through the same checks; one that asks for what there is not here is named in a warning. `where` begins each text.
/// Errors: inval, opnotsupp (no PV domain, devices of the host), toobig.
base::Outcome<Loaded> from_libxl_json(std::string_view text, const std::string& where);

/// The configuration as `xl list -l` prints one of a domain of this number; without a number as `xl create -n` does. Read back, it is the same.
std::string to_libxl_json(const DomainConfig& config, std::optional<uint32_t> domid = std::nullopt);

}  // namespace config
