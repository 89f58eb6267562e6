// SPDX-License-Identifier: Apache-2.0
// What every operation of Control shares: texts of failures and of domains. Private to xenctrl.
#pragma once

#include <string>

#include "toolstack/xenctrl/control.hpp"

namespace xenctrl {

/// The Failure for a negative hypercall value.
inline base::Failure failure_of(int64_t value, const std::string& what) {
    const auto code = static_cast<base::Errc>(-value);
    return base::fail(code, what + ": " + error_text(code));
}

inline std::string of_domain(DomId domain) { return " of domain " + std::to_string(domain.raw); }

}  // namespace xenctrl
