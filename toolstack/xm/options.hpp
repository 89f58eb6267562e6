// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/outcome.hpp"

namespace xm {

/// One option of a verb; the help text is made from the same row.
struct Option {
    char letter = 0;            // 0: none
    std::string_view word;      // without "--"; empty: none
    std::string_view argument;  // its name in the help ("FILE"); empty: takes none
    std::string_view help;
};

/// A command line taken apart: options may stand anywhere, as getopt_long allows.
struct Parsed {
    std::map<std::string, std::vector<std::string>> options;  // by word, or by letter where there is no word
    std::vector<std::string> arguments;

    bool has(const std::string& name) const { return options.contains(name); }
    /// The last value given; empty when there is none.
    std::string value(const std::string& name) const;
};

/// Errors: inval "option --x not recognized" and the like.
base::Outcome<Parsed> parse_options(std::span<const std::string> words, std::span<const Option> options);

}  // namespace xm
