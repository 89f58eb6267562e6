// SPDX-License-Identifier: Apache-2.0
#pragma once

// Internal to config/: the table of what `mac=…,bridge=…` may say.

#include <span>

#include "toolstack/config/domain_config.hpp"

namespace config {

/// One key of a network interface, the same in a file, an s-expression and JSON.
struct VifKey {
    std::string_view name;
    std::string Vif::*member;
    /// Checks a value and gives its normal form; null: any text. Errors: inval, what is wrong with it.
    base::Outcome<std::string> (*normal)(std::string_view value);
};

/// In the order in which they are printed.
std::span<const VifKey> vif_keys();

}  // namespace config
