// SPDX-License-Identifier: Apache-2.0
/// Values as people type and read them, and the layout of `xenstore ls`.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace xenstore::cli {

/// Unprintable bytes as \n, \t, \r or \ooo, a backslash doubled.
std::string escaped(std::string_view raw);
/// The opposite; also takes \xHH. Nothing if a backslash is followed by something else.
std::optional<std::string> unescaped(std::string_view typed);

/// How `ls` lays a line out.
struct Layout {
    bool full_path = false;
    bool permissions = false;
    size_t width = 80;  ///< longest line before a value is cut
};

/// One line of `ls`, without the newline. `name` is the leaf (or, with full_path, the path); `value` is escaped;
/// `permissions` as in "n0,r1".
std::string listing_line(const Layout& layout, size_t depth, std::string_view name, const std::string& value,
                         std::string_view permissions);

}  // namespace xenstore::cli
