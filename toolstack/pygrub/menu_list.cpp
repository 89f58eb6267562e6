// SPDX-License-Identifier: Apache-2.0
// Configurations made of lines: GRUB 0.97's menu.lst, syslinux' and Boot Loader Specification entries.
#include <strings.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "lib/base/number.hpp"
#include "toolstack/config/split.hpp"
#include "toolstack/pygrub/boot_menu.hpp"

namespace pygrub {

using base::Errc;
using base::Outcome;

namespace {

struct Line {
    std::string key, rest;
};

using config::trim;

/// Lines that say something, `KEY REST` or, as menu.lst allows it, `KEY=REST`; the key in small letters.
std::vector<Line> lines_of(std::string_view text) {
    std::vector<Line> out;
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = trim(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.empty() || line[0] == '#') continue;
        const size_t key = std::min(line.find_first_of(" \t="), line.size());
        std::string_view rest = trim(line.substr(key));
        if (rest.starts_with('=')) rest = trim(rest.substr(1));
        Line one{std::string(line.substr(0, key)), without_controls(std::string(rest))};
        for (char& c : one.key) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        out.push_back(std::move(one));
    }
    return out;
}

/// "FILE ARGUMENTS…".
void take_kernel(BootEntry& entry, std::string_view rest) {
    const size_t end = std::min(rest.find_first_of(" \t"), rest.size());
    entry.kernel = path_without_device(rest.substr(0, end));
    entry.args = trim(rest.substr(end)).substr(0, most_args);
}

Outcome<> add_entry(BootMenu& menu, const std::string& title) {
    if (menu.entries.size() >= most_entries) return base::fail(Errc::toobig, "it has too many entries");
    menu.entries.push_back({short_name(title), {}, {}, {}, {}});
    return base::ok;
}

/// Relative paths begin in `folder`.
std::string path_in(const std::string& folder, const std::string& path) {
    return short_name(path.starts_with('/') ? path : folder + (folder.ends_with('/') ? "" : "/") + path);
}

/// "a,b,c", as initrd= has it.
void add_ramdisks(BootEntry& entry, const std::string& folder, std::string_view list) {
    while (!list.empty()) {
        const size_t end = std::min(list.find(','), list.size());
        if (end != 0) add_ramdisk(entry, path_in(folder, std::string(list.substr(0, end))));
        list.remove_prefix(std::min(end + 1, list.size()));
    }
}

/// initrd= stands among the kernel's words, and is not the kernel's.
void take_append(BootEntry& entry, const std::string& folder, const std::string& rest) {
    entry.args.clear();
    entry.ramdisks.clear();
    for (const std::string& word : words_of(rest)) {
        if (word.starts_with("initrd=")) add_ramdisks(entry, folder, std::string_view(word).substr(7));
        else if (entry.args.size() < most_args) entry.args += (entry.args.empty() ? "" : " ") + word;
    }
}

/// "$kernelopts" and its like.
std::string expand(const std::string& options, const GrubEnvironment& environment) {
    std::string out;
    for (const std::string& word : words_of(options)) {
        std::string value = word;
        if (word.starts_with('$')) {
            const auto at = environment.find(word.substr(1));
            value = at == environment.end() ? "" : std::string(trim(at->second));
        }
        if (!value.empty() && out.size() < most_args) out += (out.empty() ? "" : " ") + value;
    }
    return without_controls(std::move(out));
}

}  // namespace

Outcome<BootMenu> parse_menu_list(std::string_view text) {
    if (text.size() > most_text) return base::fail(Errc::toobig, "it has more than 1 MiB");
    BootMenu menu;
    bool for_hypervisor = false;  // the kernel is one, and dom0's is the first module
    for (const Line& line : lines_of(text)) {
        if (line.key == "default") {
            menu.chosen = base::parse_number<size_t>(line.rest).value_or(0);  // `saved` is kept outside the file systems
        } else if (line.key == "title") {
            OTRY(add_entry(menu, line.rest));
            for_hypervisor = false;
        } else if (menu.entries.empty()) {
            continue;
        } else if (BootEntry& entry = menu.entries.back(); line.key == "kernel") {
            take_kernel(entry, line.rest);
            for_hypervisor = entry.kernel.find("/xen") != std::string::npos;
        } else if (line.key == "initrd") {
            for (const std::string& file : words_of(line.rest)) add_ramdisk(entry, path_without_device(file));
        } else if (line.key == "module" && std::exchange(for_hypervisor, false)) {
            take_kernel(entry, line.rest);
        } else if (line.key == "module") {
            const auto words = words_of(line.rest);
            if (!words.empty()) add_ramdisk(entry, path_without_device(words[0]));
        }
    }
    return menu;
}

Outcome<BootMenu> parse_syslinux(std::string_view text, const std::string& folder) {
    if (text.size() > most_text) return base::fail(Errc::toobig, "it has more than 1 MiB");
    BootMenu menu;
    std::string chosen;
    for (const Line& line : lines_of(text)) {
        const auto words = words_of(line.rest);
        const std::string first = words.empty() ? "" : words[0];
        if (line.key == "default" || line.key == "ontimeout") {
            if (line.key == "default" || chosen.empty()) chosen = first;
        } else if (line.key == "label") {
            OTRY(add_entry(menu, first));
            menu.entries.back().id = short_name(first);
        } else if (menu.entries.empty() || first.empty()) {
            continue;
        } else if (BootEntry& entry = menu.entries.back(); line.key == "kernel" || line.key == "linux") {
            entry.kernel = first.ends_with(".c32") ? "" : path_in(folder, first);
        } else if (line.key == "initrd") {
            add_ramdisks(entry, folder, first);
        } else if (line.key == "append") {
            const std::vector<std::string> before = entry.ramdisks;
            take_append(entry, folder, line.rest);
            entry.ramdisks.insert(entry.ramdisks.begin(), before.begin(), before.end());
        } else if (line.key == "menu" && ::strcasecmp(first.c_str(), "default") == 0) {
            chosen = entry.id;
        } else if (line.key == "menu" && ::strcasecmp(first.c_str(), "label") == 0) {
            entry.title = short_name(trim(std::string_view(line.rest).substr(first.size())));
        }
    }
    const auto found = find_entry(menu, chosen);
    menu.chosen = found ? *found : 0;
    return menu;
}

std::vector<BootEntry> parse_loader_entries(std::vector<LoaderEntry> files, const GrubEnvironment& environment) {
    std::ranges::sort(files,
                      [](const LoaderEntry& a, const LoaderEntry& b) { return ::strverscmp(a.id.c_str(), b.id.c_str()) > 0; });
    std::vector<BootEntry> out;
    for (const LoaderEntry& file : files) {
        BootEntry entry;
        entry.id = entry.title = short_name(file.id);
        for (const Line& line : lines_of(file.text)) {
            if (line.key == "title") entry.title = short_name(line.rest);
            if (line.key == "linux") entry.kernel = path_without_device(line.rest);
            if (line.key == "options" && entry.args.size() < most_args)
                entry.args += (entry.args.empty() ? "" : " ") + expand(line.rest, environment);
            if (line.key != "initrd") continue;
            for (const std::string& word : words_of(line.rest)) {
                if (!word.starts_with('$')) add_ramdisk(entry, path_without_device(word));
            }
        }
        if (!entry.kernel.empty()) out.push_back(std::move(entry));
    }
    return out;
}

}  // namespace pygrub
