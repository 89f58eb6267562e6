// SPDX-License-Identifier: Apache-2.0
#include "toolstack/pygrub/file_system.hpp"

#include <algorithm>
#include <array>

namespace pygrub {

using base::Errc;
using base::Outcome;

namespace {

/// Where configurations stand.
struct Place {
    std::string_view folder;
    std::string_view file;
};

constexpr std::array places = {
    Place{"/boot/grub", "menu.lst"},
    Place{"/boot/grub", "grub.conf"},
    Place{"/grub", "menu.lst"},
    Place{"/grub", "grub.conf"},
    Place{"/boot/grub", "grub.cfg"},
    Place{"/grub", "grub.cfg"},
    Place{"/boot/grub2", "grub.cfg"},
    Place{"/grub2", "grub.cfg"},
    Place{"/boot/isolinux", "isolinux.cfg"},
    Place{"/boot/extlinux", "extlinux.conf"},
    Place{"/boot", "extlinux.conf"},
    Place{"/extlinux", "extlinux.conf"},
    Place{"/", "extlinux.conf"},
    Place{"/boot/syslinux", "syslinux.cfg"},
    Place{"/syslinux", "syslinux.cfg"},
    Place{"/isolinux", "isolinux.cfg"},
};

constexpr size_t most_loader_entries = 64;

std::string join(std::string_view folder, std::string_view name) {
    return std::string(folder) + (folder.ends_with('/') ? "" : "/") + std::string(name);
}

bool has(const std::vector<std::string>& names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

/// A device's folders, each listed once.
class Folders {
public:
    Folders(Disk& disk, std::string device) : disk_(disk), device_(std::move(device)) {}

    const std::vector<std::string>& names(const std::string& folder) {
        const auto [at, is_new] = known_.try_emplace(folder);
        if (!is_new) return at->second;
        const size_t slash = folder.find_last_of('/');
        const std::string above = slash == 0 ? "/" : folder.substr(0, slash);
        if (folder == "/" || has(names(above), folder.substr(slash + 1))) {
            if (auto listed = disk_.list(device_, folder)) known_[folder] = std::move(*listed);
        }
        return known_[folder];
    }

private:
    Disk& disk_;
    std::string device_;
    std::map<std::string, std::vector<std::string>> known_;
};

std::vector<LoaderEntry> loader_entries(Disk& disk, const std::string& device) {
    std::vector<LoaderEntry> out;
    Folders folders(disk, device);
    for (const std::string folder : {"/loader/entries", "/boot/loader/entries"}) {
        for (const std::string& name : folders.names(folder)) {
            if (!name.ends_with(".conf") || out.size() >= most_loader_entries) continue;
            if (auto text = disk.read(device, join(folder, name)))
                out.push_back({name.substr(0, name.size() - 5), std::move(*text)});
        }
    }
    return out;
}

}  // namespace

Outcome<BootMenu> parse_configuration(Disk& disk, const std::string& device, const std::string& file, std::string_view text) {
    const size_t slash = file.find_last_of('/');
    const std::string folder = slash == std::string::npos ? "/" : file.substr(0, slash + 1);
    if (file.ends_with("linux.conf") || file.ends_with("linux.cfg")) return parse_syslinux(text, folder).context(file);
    if (file.ends_with("menu.lst") || file.ends_with("grub.conf")) return parse_menu_list(text).context(file);
    GrubSurroundings beside;
    if (const auto environment = disk.read(device, folder + "grubenv")) beside.environment = parse_grub_environment(*environment);
    beside.loader_entries = [&] { return loader_entries(disk, device); };
    return parse_grub_script(text, beside).context(file);
}

Outcome<Found> find_menu(Disk& disk) {
    for (const std::string& device : OTRY(disk.partitions())) {
        Folders folders(disk, device);
        for (const Place& place : places) {
            if (!has(folders.names(std::string(place.folder)), place.file)) continue;
            const std::string file = join(place.folder, place.file);
            const std::string text = OTRY(disk.read(device, file).context(file));
            BootMenu menu = OTRY(parse_configuration(disk, device, file, text));
            if (!menu.entries.empty()) return Found{device, file, std::move(menu)};
        }
    }
    return base::fail(Errc::noent, "no file system on it has a configuration of GRUB or syslinux");
}

}  // namespace pygrub
