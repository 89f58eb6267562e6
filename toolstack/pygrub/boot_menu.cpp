// SPDX-License-Identifier: Apache-2.0
#include "toolstack/pygrub/boot_menu.hpp"

#include <algorithm>

#include "lib/base/number.hpp"

namespace pygrub {

using base::Errc;
using base::Outcome;

std::string path_without_device(std::string_view path) {
    if (path.starts_with('(')) {
        const size_t end = path.find(')');
        path = end == std::string_view::npos ? std::string_view() : path.substr(end + 1);
    }
    const std::string_view root = path.starts_with('/') || path.empty() ? "" : "/";
    return short_name(std::string(root).append(path.substr(0, most_name)));
}

std::vector<std::string> words_of(std::string_view line) {
    std::vector<std::string> out;
    for (;;) {
        const size_t begin = line.find_first_not_of(" \t\r\n");
        if (begin == std::string_view::npos) return out;
        line.remove_prefix(begin);
        const size_t end = std::min(line.find_first_of(" \t\r\n"), line.size());
        out.emplace_back(line.substr(0, end));
        line.remove_prefix(end);
    }
}

std::string without_controls(std::string text) {
    for (char& c : text) {
        if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
    }
    return text;
}

std::string short_name(std::string_view text) { return without_controls(std::string(text.substr(0, most_name))); }

GrubEnvironment parse_grub_environment(std::string_view text) {
    GrubEnvironment out;
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const size_t equals = line.find('=');
        if (line.starts_with('#') || equals == std::string_view::npos || equals == 0) continue;
        if (out.size() < 256) out[short_name(line.substr(0, equals))] = short_name(line.substr(equals + 1));
    }
    return out;
}

void add_ramdisk(BootEntry& entry, std::string path) {
    if (!path.empty() && entry.ramdisks.size() < most_ramdisks) entry.ramdisks.push_back(std::move(path));
}

Outcome<size_t> find_entry(const BootMenu& menu, const std::string& which) {
    for (size_t i = 0; i < menu.entries.size(); ++i) {
        if (menu.entries[i].title == which || (!menu.entries[i].id.empty() && menu.entries[i].id == which)) return i;
    }
    const auto number = base::parse_number<size_t>(which);
    if (number && *number < menu.entries.size()) return *number;
    return base::fail(Errc::noent, "no entry '" + which + "' among the " + std::to_string(menu.entries.size()) +
                                       " of its menu: --list-entries shows them");
}

}  // namespace pygrub
