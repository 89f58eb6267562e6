// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a guest's boot configuration offers, in whichever language it is written. Pure: the texts come from the guest, and
// every one of them is hostile.

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/outcome.hpp"

namespace pygrub {

/// One thing to boot. Paths are of the file system that holds the configuration.
struct BootEntry {
    std::string title;
    std::string id;                     // GRUB 2's --id, syslinux's label, a loader entry's file
    std::string kernel;                 // empty: it boots something else than Linux
    std::vector<std::string> ramdisks;  // one behind the other in memory
    std::string args;
    bool operator==(const BootEntry&) const = default;
};

struct BootMenu {
    std::vector<BootEntry> entries;
    size_t chosen = 0;  // the default; may be none of them
};

/// GRUB's environment block, `name=value` lines behind a first line that says what it is.
using GrubEnvironment = std::map<std::string, std::string>;
GrubEnvironment parse_grub_environment(std::string_view text);

/// A file of loader/entries with its name without ".conf".
struct LoaderEntry {
    std::string id, text;
};

/// What a GRUB 2 configuration finds beside it.
struct GrubSurroundings {
    GrubEnvironment environment;
    std::function<std::vector<LoaderEntry>()> loader_entries;  // asked when it says `blscfg`
};

/// grub.cfg. Errors of these: toobig; inval "LINE: what is wrong".
base::Outcome<BootMenu> parse_grub_script(std::string_view text, const GrubSurroundings& beside);
/// menu.lst and grub.conf of GRUB 0.97.
base::Outcome<BootMenu> parse_menu_list(std::string_view text);
/// syslinux.cfg, extlinux.conf, isolinux.cfg; `folder` is where relative paths begin.
base::Outcome<BootMenu> parse_syslinux(std::string_view text, const std::string& folder);
/// Boot Loader Specification entries, newest first; `environment` has the variables that their options name.
std::vector<BootEntry> parse_loader_entries(std::vector<LoaderEntry> files, const GrubEnvironment& environment);

/// The entry of this number, title or id. Errors: noent.
base::Outcome<size_t> find_entry(const BootMenu& menu, const std::string& which);

// For the parsers.
inline constexpr size_t most_entries = 1000;
inline constexpr size_t most_ramdisks = 16;  // of an entry
inline constexpr size_t most_args = 8192;    // more than any kernel takes
inline constexpr size_t most_name = 4096;    // a title, an id, a path, a variable
inline constexpr size_t most_text = size_t{1} << 20U;
/// "(hd0,1)/boot/x" and "/boot/x" alike as "/boot/x": only the file system at hand is read. Of most_name at most.
std::string path_without_device(std::string_view path);
/// One more, up to most_ramdisks.
void add_ramdisk(BootEntry& entry, std::string path);
/// Words between blanks and ends of lines.
std::vector<std::string> words_of(std::string_view line);
/// The first most_name of a text without control characters.
std::string short_name(std::string_view text);
/// The same with a blank for every control character: it goes to a kernel's command line, and into formats made of lines.
std::string without_controls(std::string text);

}  // namespace pygrub
