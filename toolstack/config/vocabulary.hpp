// SPDX-License-Identifier: Apache-2.0
#pragma once

// Internal to config/: the words of classic and later configuration files that are neither fields nor devices of ours, and
// what becomes of each. Nothing is taken and forgotten: a word here is refused or warned about, unless it asks for nothing.

#include <span>
#include <string_view>

#include "toolstack/config/value.hpp"

namespace config {

enum class Standing : uint8_t {
    refused,   // it asks for another machine than we would make: the domain is not made
    hvm,       // PV domains have no such thing: said, and without effect
    harmless,  // the same machine with and without it: said, and without effect
};

struct Word {
    std::string_view name;
    Standing standing;
    std::string_view what = {};  // what it asks for: "PCI devices"; of harmless ones, why it changes nothing
    std::string_view off = {};   // a value that asks for nothing, beside what says so by itself: "", 0, "no", [] …
};

std::span<const Word> words();
/// Null for a word that nobody knows.
const Word* find_word(std::string_view name);
/// Whether a file that says `word = value` asks for anything at all.
bool asks(const Word& word, const Value& value);

}  // namespace config
