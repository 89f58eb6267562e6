// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xm/options.hpp"

#include <algorithm>

namespace xm {

using base::Errc;
using base::Outcome;

namespace {

std::string key_of(const Option& option) {
    return option.word.empty() ? std::string(1, option.letter) : std::string(option.word);
}

/// "--word", "--word=value" or "--word value"; a unique beginning of a word is enough.
Outcome<> long_option(std::span<const std::string> words, size_t& at, std::span<const Option> options, Parsed& out) {
    const std::string& whole = words[at];
    const size_t equals = whole.find('=');
    const std::string word = whole.substr(2, equals == std::string::npos ? equals : equals - 2);
    const Option* found = nullptr;
    for (const Option& option : options) {
        if (option.word.empty() || !option.word.starts_with(word)) continue;
        if (option.word == word) {
            found = &option;
            break;
        }
        if (found != nullptr) return base::fail(Errc::inval, "option --" + word + " is not unique");
        found = &option;
    }
    if (found == nullptr) return base::fail(Errc::inval, "option --" + word + " not recognized");
    std::string value;
    if (found->argument.empty()) {
        if (equals != std::string::npos) return base::fail(Errc::inval, "option --" + word + " must not have an argument");
    } else if (equals != std::string::npos) {
        value = whole.substr(equals + 1);
    } else {
        if (at + 1 >= words.size()) return base::fail(Errc::inval, "option --" + word + " requires argument");
        value = words[++at];
    }
    out.options[key_of(*found)].push_back(value);
    return base::ok;
}

/// "-abc", "-fFILE" or "-f FILE".
Outcome<> short_options(std::span<const std::string> words, size_t& at, std::span<const Option> options, Parsed& out) {
    const std::string letters = words[at].substr(1);
    for (size_t i = 0; i < letters.size(); ++i) {
        const auto found = std::find_if(options.begin(), options.end(), [&](const Option& o) { return o.letter == letters[i]; });
        if (found == options.end()) return base::fail(Errc::inval, std::string("option -") + letters[i] + " not recognized");
        if (found->argument.empty()) {
            out.options[key_of(*found)].emplace_back();
            continue;
        }
        std::string value = letters.substr(i + 1);
        if (value.starts_with('=')) value.erase(0, 1);
        if (i + 1 == letters.size()) {
            if (at + 1 >= words.size())
                return base::fail(Errc::inval, std::string("option -") + letters[i] + " requires argument");
            value = words[++at];
        }
        out.options[key_of(*found)].push_back(value);
        break;
    }
    return base::ok;
}

}  // namespace

std::string Parsed::value(const std::string& name) const {
    const auto at = options.find(name);
    return at == options.end() || at->second.empty() ? std::string() : at->second.back();
}

Outcome<Parsed> parse_options(std::span<const std::string> words, std::span<const Option> options) {
    Parsed out;
    for (size_t at = 0; at < words.size(); ++at) {
        const std::string& word = words[at];
        if (word == "--") {
            out.arguments.insert(out.arguments.end(), words.begin() + static_cast<std::ptrdiff_t>(at) + 1, words.end());
            break;
        }
        if (word.size() > 2 && word.starts_with("--")) {
            OTRY(long_option(words, at, options, out));
        } else if (word.size() > 1 && word[0] == '-' && (word[1] < '0' || word[1] > '9')) {  // -1 is a number
            OTRY(short_options(words, at, options, out));
        } else {
            out.arguments.push_back(word);
        }
    }
    return out;
}

}  // namespace xm
