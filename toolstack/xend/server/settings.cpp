// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/settings.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "lib/base/number.hpp"
#include "lib/proto/sxp.hpp"
#include "toolstack/config/load.hpp"
#include "toolstack/config/similar.hpp"
#include "toolstack/xend/server/options.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

constexpr std::array<std::string_view, 10> flag_words = {"yes", "no", "y", "n", "1", "0", "true", "false", "on", "off"};
constexpr std::array<std::string_view, 5> level_words = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};

bool is_no(const std::string& text) {
    return text.empty() || text == "no" || text == "n" || text == "0" || text == "false" || text == "off";
}

bool is_one_of(std::span<const std::string_view> words, const std::string& text) {
    return std::find(words.begin(), words.end(), text) != words.end();
}

/// What is wrong with a value of this type; empty: nothing.
std::string complaint(const Option& option, const Sxp& line, const std::string& value) {
    if (option.type == OptionType::list) return {};
    for (const Sxp* word : line.children()) {
        if (word->is_list()) return "one value is wanted, not a list";
    }
    if (option.type == OptionType::flag && !is_one_of(flag_words, value)) return "yes or no is wanted";
    if (option.type == OptionType::level && !is_one_of(level_words, value))
        return "DEBUG, INFO, WARNING, ERROR or CRITICAL is wanted";
    if (option.type != OptionType::number) return {};
    const auto number = base::parse_number<uint64_t>(value);
    if (number && *number <= option.most) return {};
    return "a number from 0 to " + std::to_string(option.most) + " is wanted";
}

/// Whether the value asks for something that no value would not.
bool asks(const Option& option, const std::string& value) {
    return option.type == OptionType::flag ? !is_no(value) : !value.empty() && value != option.fallback;
}

std::string text_of(const Sxp& line) {
    std::string out;
    for (const Sxp* word : line.children()) out += (out.empty() ? "" : " ") + (word->is_atom() ? word->text() : to_string(*word));
    return out;
}

std::string unknown(const std::string& name) {
    std::vector<std::string_view> names;
    for (const Option& option : options()) names.push_back(option.name);
    return "unknown option '" + name.substr(0, 60) + "'" + config::did_you_mean(name, names);
}

/// One file that is being read.
struct Reading {
    ServerSettings settings;
    std::vector<std::string>& warnings;

    /// Errors: inval, without the place.
    Outcome<> take(const Sxp& line, const std::string& place) {
        const std::string name(line.name());
        if (name.empty()) return base::fail(Errc::inval, "every option is written (name value)");
        const Option* option = find_option(name);
        if (option == nullptr) {
            warnings.push_back(place + unknown(name));
            return base::ok;
        }
        const std::string value = text_of(line);
        if (const std::string wrong = complaint(*option, line, value); !wrong.empty())
            return base::fail(Errc::inval, "(" + name + " " + value.substr(0, 60) + "): " + wrong);
        if (option->standing == OptionStanding::refused && asks(*option, value))
            return base::fail(Errc::inval, name + ": " + std::string(option->what) + " are not supported yet");
        if (option->standing == OptionStanding::harmless && asks(*option, value))
            warnings.push_back(place + "the option '" + name + "' has no effect: " + std::string(option->what));
        settings.given[name] = value;
        if (option->take == nullptr) return base::ok;
        OTRY(option->take(settings, name, value).context("(" + name + " " + value + ")"));
        for (const std::string& remark : std::exchange(settings.remarks, {})) warnings.push_back(place + remark);
        return base::ok;
    }
};

}  // namespace

Outcome<ServerSettings> parse_settings(std::string_view text, const std::string& file, std::vector<std::string>& warnings) {
    Reading reading{{}, warnings};
    proto::SxpParser parser;
    size_t line = 1;
    for (const char c : text) {  // one by one: an option's line is the one that it ends in
        OTRY(parser.feed({&c, 1}).context(file));
        const std::string place = parser.has_value() ? file + ":" + std::to_string(line) + ": " : "";
        while (parser.has_value()) {
            const Outcome<> taken = reading.take(parser.take(), place);
            if (!taken) return base::fail(taken.failure().code, place + taken.failure().text);
        }
        if (c == '\n') ++line;
    }
    OTRY(parser.finish().context(file));
    if (parser.has_value())
        return base::fail(Errc::inval, file + ":" + std::to_string(line) + ": every option is written (name value)");
    return std::move(reading.settings);
}

std::vector<std::pair<std::string, std::string>> shown_options(const ServerSettings& settings) {
    std::vector<std::pair<std::string, std::string>> out;
    for (const Option& option : options()) {
        const auto at = settings.given.find(std::string(option.name));
        if (!option.name.ends_with('-')) out.emplace_back(option.name, at == settings.given.end() ? option.fallback : at->second);
    }
    for (const auto& [type, script] : settings.core.block_scripts) out.emplace_back("block-" + type, script);
    return out;
}

Outcome<ServerSettings> load_settings(std::vector<std::string>& warnings) {
    const char* const named = std::getenv("XEND_CONFIG");
    const std::string path = named != nullptr ? named : "/etc/xen/xend-config.sxp";
    auto text = config::read_file(path, 1U << 20U);
    if (!text && text.failure().code == Errc::noent && named == nullptr) return ServerSettings{};
    if (!text) return std::move(text).take_failure().with("Cannot open config file \"" + path + "\"");
    return parse_settings(*text, path, warnings);
}

}  // namespace xend
