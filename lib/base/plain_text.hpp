// SPDX-License-Identifier: Apache-2.0
/// Text of strangers, for a terminal or a log of lines. Hosted.
#pragma once

#include <string>
#include <string_view>

namespace base {

/// How many bytes of UTF-8 at the front of `text`, which is not empty, are one character that is shown; 0: it ends a line, moves the
/// cursor, begins an escape, or is no UTF-8.
inline size_t shown_bytes(std::string_view text) {
    const auto at = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    const unsigned lead = at(0);
    if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
    const size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < length; ++i) {
        if (at(i) < 0x80 || at(i) > 0xbf) return 0;
    }
    return lead == 0xc2 && at(1) < 0xa0 ? 0 : length;  // the second set of control characters
}

inline bool is_plain_text(std::string_view text) {
    while (!text.empty()) {
        const size_t bytes = shown_bytes(text);
        if (bytes == 0) return false;
        text.remove_prefix(bytes);
    }
    return true;
}

/// The same text with '?' for each byte that is not shown.
inline std::string plain_text(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const size_t bytes = shown_bytes(text);
        out += bytes == 0 ? "?" : text.substr(0, bytes);
        text.remove_prefix(bytes == 0 ? 1 : bytes);
    }
    return out;
}

}  // namespace base
