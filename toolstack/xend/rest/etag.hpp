// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace xend::rest {

/// A name for these bytes, in quotes. Guests have a say in what is shown of them: it is a hash that nobody finds two texts for.
std::string etag_of(std::string_view body);

/// Whether a list as If-Match and If-None-Match have it, or "*", names `etag`. What is no such list names none.
enum class Compare : uint8_t { strong, weak };
bool names_etag(std::string_view list, std::string_view etag, Compare how);

}  // namespace xend::rest
