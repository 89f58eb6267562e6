// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/disk_check.hpp"

#include <sys/stat.h>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace xend {

using base::Errc;
using base::Outcome;

namespace {

/// What a path stands for: the same file under two names must be recognised.
struct Identity {
    bool block = false;
    uint64_t device = 0;
    uint64_t inode = 0;
    bool operator==(const Identity&) const = default;
};

std::optional<Identity> identify(const std::string& path) {
    struct stat s {};
    if (path.empty() || ::stat(path.c_str(), &s) != 0) return std::nullopt;
    if (S_ISBLK(s.st_mode)) return Identity{true, s.st_rdev, 0};
    return Identity{false, s.st_dev, s.st_ino};
}

struct User {
    std::string who;  // "guest domain 'demo'", "the privileged domain"
    bool writes = false;
};

std::string read_or_empty(xenstore::Store& store, const std::string& path) {
    auto value = xenstore::read_if_there(store, path);
    return value && *value ? **value : std::string();
}

bool is_in_file(const config::Disk& disk) { return disk.type == "file" || config::is_image_format(disk.type); }

bool is_checked(const config::Disk& disk) {
    return !disk.target.empty() && (disk.type == "phy" || is_in_file(disk)) && disk.backend == "0";
}

/// The domains of `records` that hold `wanted`, or are about to, except `own`.
std::vector<User> record_users(std::span<const RecordPtr> records, const Identity& wanted, const config::Uuid& own) {
    std::vector<User> out;
    for (const RecordPtr& one : records) {
        const Record& record = *one;
        if (record.config.uuid == own || record.state == RecordState::failed) continue;
        for (const config::Disk& disk : record.config.disks) {
            const char* what = record.resuming && !record.domid ? "suspended domain '" : "guest domain '";
            if (is_checked(disk) && identify(disk.target) == wanted)
                out.push_back({what + record.config.name + "'", disk.mode != config::DiskMode::read_only});
        }
    }
    return out;
}

/// Everybody else who holds `wanted` through a vbd, except the domain `own`: domains that are not xend's.
Outcome<std::vector<User>> guest_users(xenstore::Store& store, std::span<const RecordPtr> records, const Identity& wanted,
                                       const std::string& own) {
    std::vector<User> out;
    const std::string root = "/local/domain/0/backend/vbd";
    auto domains = store.directory(root);
    if (!domains) return out;
    for (const std::string& domain : *domains) {
        const auto ours = [&](const RecordPtr& record) { return record->domid && std::to_string(*record->domid) == domain; };
        if (std::any_of(records.begin(), records.end(), ours)) continue;
        if (read_or_empty(store, "/local/domain/" + domain + "/vm") == "/vm/" + own) continue;
        auto devices = store.directory(fmt::format("{}/{}", root, domain));
        if (!devices) continue;
        for (const std::string& device : *devices) {
            const std::string path = fmt::format("{}/{}/{}", root, domain, device);
            const auto held = identify(read_or_empty(store, path + "/params"));
            if (!held || !(*held == wanted)) continue;
            const std::string name = read_or_empty(store, "/local/domain/" + domain + "/name");
            out.push_back({"guest domain '" + (name.empty() ? domain : name) + "'",
                           !read_or_empty(store, path + "/mode").starts_with("r")});
        }
    }
    return out;
}

std::string unescape_mount(const std::string& text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '3') {
            out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

/// True when the loop device `source` of dom0 stands on the file `wanted`.
bool loop_backed_by(const std::string& source, const Identity& wanted, const std::string& sys_block) {
    if (!source.starts_with("/dev/loop")) return false;
    std::ifstream in(sys_block + source.substr(4) + "/loop/backing_file");
    std::string file;
    if (!std::getline(in, file)) return false;
    const auto held = identify(file);
    return held && *held == wanted;
}

std::optional<User> mounted_in_dom0(const Identity& wanted, const std::string& proc_mounts, const std::string& sys_block) {
    std::ifstream in(proc_mounts);
    std::string line;
    std::optional<User> found;
    while (std::getline(in, line)) {
        std::istringstream words(line);
        std::string source, place, type, options;
        if (!(words >> source >> place >> type >> options) || source.empty() || source[0] != '/') continue;
        source = unescape_mount(source);
        const auto held = identify(source);
        const bool same = held && held->block && *held == wanted;
        if (!same && !(!wanted.block && loop_backed_by(source, wanted, sys_block))) continue;
        const bool writes = !(options == "ro" || options.starts_with("ro,"));
        if (!found || writes) found = User{"the privileged domain (" + unescape_mount(place) + ")", writes};
    }
    return found;
}

Outcome<> check_one(const config::Disk& disk, const std::vector<User>& users) {
    const bool writes = disk.mode != config::DiskMode::read_only;
    for (const User& user : users) {
        if (!writes && !user.writes) continue;
        return base::fail(Errc::busy, (is_in_file(disk) ? "File " : "Device ") + disk.target + " is in use: it is mounted " +
                                          (user.writes ? "read-write" : "read-only") + " in " + user.who +
                                          ", and so cannot be mounted " + (writes ? "read-write" : "read-only") + " now.");
    }
    return base::ok;
}

}  // namespace

Outcome<> check_can_move(const config::DomainConfig& config) {
    for (const config::Disk& disk : config.disks) {
        if (!config::is_image_format(disk.type) || !is_checked(disk)) continue;
        return base::fail(Errc::opnotsupp, "Domain '" + config.name + "' cannot move: its disk " + disk.vdev + " is a " +
                                               disk.type +
                                               " image, which one host alone can have open; xm save and xm restore move it");
    }
    return base::ok;
}

bool is_same_file(const std::string& one, const std::string& other) {
    const auto identity = identify(one);
    return identity && identity == identify(other);
}

Outcome<> check_disks(xenstore::Store& store, const config::DomainConfig& config, std::span<const RecordPtr> records,
                      const std::string& proc_mounts, const std::string& sys_block) {
    for (const config::Disk& disk : config.disks) {
        if (!is_checked(disk)) continue;
        const auto identity = identify(disk.target);
        if (!identity) return base::fail(Errc::noent, "Disk image does not exist: " + disk.target);
        std::error_code ignored;
        if (std::filesystem::is_directory(disk.target, ignored))
            return base::fail(Errc::isdir, "Disk image is a directory: " + disk.target);
        if (disk.type == "phy" && !identity->block) {
            return base::fail(Errc::inval, "Disk " + disk.target + " is not a block device; use file: for image files");
        }
        if (disk.mode == config::DiskMode::shared_write) continue;
        auto users = record_users(records, *identity, config.uuid);
        for (User& user : OTRY(guest_users(store, records, *identity, config.uuid.text()))) users.push_back(std::move(user));
        if (auto dom0 = mounted_in_dom0(*identity, proc_mounts, sys_block)) users.push_back(*dom0);
        OTRY(check_one(disk, users));
    }
    return base::ok;
}

}  // namespace xend
