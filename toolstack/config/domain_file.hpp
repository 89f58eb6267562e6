// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "toolstack/config/domain_config.hpp"

namespace config {

/// The configuration as a file that xl reads, and xm: names and values in the words that both know. What xl has no word for is put
/// into those it has, or left out: to_sxp() keeps all of it.
std::string to_file(const DomainConfig& config);

}  // namespace config
