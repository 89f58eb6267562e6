// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "lib/base/outcome.hpp"
#include "toolstack/config/domain_config.hpp"

namespace config {

/// `{"name": "demo", "memory": 64, …, "disks": [{"uname": "phy:/dev/x", …}], "vifs": [{}]}`: the same fields and devices as
/// the s-expression, flat. Text that is no UTF-8 shows a replacement character for each wrong byte.
std::string to_json(const DomainConfig& config);

/// The other way round. The result is validate()d. Errors: Errc::inval, one line that names the member; toobig.
base::Outcome<DomainConfig> from_json(std::string_view text);

}  // namespace config
