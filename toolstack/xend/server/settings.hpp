// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// Takes the options of an xend-config.sxp that we know; the others are named in `warnings`.
/// Errors: inval, with the line of the syntax error.
base::Outcome<Settings> parse_settings(std::string_view text, std::vector<std::string>& warnings);

/// $XEND_CONFIG or /etc/xen/xend-config.sxp; a file that is not there means the defaults.
base::Outcome<Settings> load_settings(std::vector<std::string>& warnings);

}  // namespace xend
