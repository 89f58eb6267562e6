// SPDX-License-Identifier: Apache-2.0
#pragma once

// The words of GRUB 2's script language.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/outcome.hpp"

namespace pygrub {

/// A part of a word: a text, or the name of a variable.
struct Segment {
    std::string text;
    bool is_variable = false;
    bool is_quoted = false;  // it stays a word when it is empty
};

struct Token {
    enum class Kind : uint8_t { word, end_of_command };
    Kind kind = Kind::word;
    std::vector<Segment> segments;
    uint32_t line = 0;

    /// The word when it has neither quotes nor variables: only such a one can be a keyword.
    std::string_view plain() const {
        const bool is_plain = kind == Kind::word && segments.size() == 1 && !segments[0].is_variable && !segments[0].is_quoted;
        return is_plain ? std::string_view(segments[0].text) : std::string_view();
    }
};

/// Errors: inval "LINE: what is wrong"; toobig.
base::Outcome<std::vector<Token>> split_script(std::string_view text);

}  // namespace pygrub
