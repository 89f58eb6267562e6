// SPDX-License-Identifier: Apache-2.0
// Disks as files describe them, in both grammars: the classic `phy:/dev/x,xvda,w[,BACKDOM]`, and xl's positions, flags and
// `key=value` of xl-disk-configuration(5). Both may be mixed as xl allows it.
#include <algorithm>
#include <array>

#include "toolstack/config/domain_config.hpp"
#include "toolstack/config/split.hpp"

namespace config {

using base::Errc;
using base::Failure;
using base::Outcome;

namespace {

/// What has been said so far, each at most once.
struct Said {
    std::optional<std::string> target, format, vdev, access, backend, script, uname, backendtype;
    bool cdrom = false;
    bool discard = true;
    bool trusted = true;
};

struct Key {
    std::string_view name;
    std::optional<std::string> Said::*member;
};

constexpr std::array keys = {
    Key{"format", &Said::format}, Key{"vdev", &Said::vdev},
    Key{"dev", &Said::vdev},      Key{"access", &Said::access},
    Key{"mode", &Said::access},   Key{"backend", &Said::backend},
    Key{"script", &Said::script}, Key{"backendtype", &Said::backendtype},
};

struct Flag {
    std::string_view name;
    bool Said::*member;
    bool value;
};

constexpr std::array flags = {
    Flag{"cdrom", &Said::cdrom, true},     Flag{"discard", &Said::discard, true},    Flag{"no-discard", &Said::discard, false},
    Flag{"trusted", &Said::trusted, true}, Flag{"untrusted", &Said::trusted, false},
};

/// The same bytes for the guest, with and without them.
constexpr std::array<std::string_view, 2> harmless = {"direct-io-safe", "no-direct-io-safe"};

/// Kinds of files that hold more than the guest's bytes.
constexpr std::array<std::string_view, 8> other_formats = {"qcow", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "qed", "ram"};

bool is_one_of(std::string_view word, const auto& list) { return std::find(list.begin(), list.end(), word) != list.end(); }

Failure wrong(std::string text) { return base::fail(Errc::inval, std::move(text)); }

Outcome<> say(std::optional<std::string>& member, std::string_view name, std::string_view value) {
    if (value.empty()) return base::ok;  // as if it had not been said
    if (member) return wrong(std::string(name) + " is given twice");
    member = value;
    return base::ok;
}

Outcome<> say_key(Said& said, std::string_view name, std::string_view value) {
    if (name == "devtype") {
        if (value != "cdrom" && value != "disk" && !value.empty()) return wrong("devtype may be cdrom or disk");
        said.cdrom = said.cdrom || value == "cdrom";
        return base::ok;
    }
    if (name == "specification") {
        return value == "xen" || value.empty() ? Outcome<>(base::ok) : wrong("disks are Xen's own, not " + std::string(value));
    }
    const auto at = std::ranges::find(keys, name, &Key::name);
    if (at == keys.end()) return wrong("'" + std::string(name) + "' is no key of a disk");
    return say(said.*at->member, name, value);
}

/// True when the word was a flag.
bool say_flag(Said& said, std::string_view word) {
    if (is_one_of(word, harmless)) return true;
    const auto at = std::ranges::find(flags, word, &Flag::name);
    if (at == flags.end()) return false;
    said.*at->member = at->value;
    return true;
}

/// `TYPE:…`, with a colon that is no part of a path.
bool has_type(std::string_view target) {
    const size_t colon = target.find(':');
    return colon != std::string_view::npos && target.find('/') > colon;
}

/// The next of target, format, vdev and access that nobody named; a target with its type in front of it has no format.
Outcome<> say_position(Said& said, size_t& position, std::string_view value) {
    static constexpr std::array<std::string_view, 4> names = {"target", "format", "vdev", "access"};
    static constexpr std::array<std::optional<std::string> Said::*, 4> members = {&Said::target, &Said::format, &Said::vdev,
                                                                                  &Said::access};
    while (position < members.size() && said.*members[position]) ++position;
    if (position >= members.size() && value.empty()) return base::ok;  // commas at the end say nothing
    if (position >= members.size()) return wrong("'" + std::string(value) + "' is one word too many");
    const size_t here = position++;
    if (here == 0 && has_type(value)) said.format = "raw";  // the type says it: the next word is the device
    return say(said.*members[here], names[here], value);
}

bool is_vdev(std::string_view word) {
    return device_number(word.substr(0, word.find(':', word.starts_with("ioemu:") ? 6 : 0))).has_value();
}

/// BACK,DEV,MODE[,BACKDOM]: told by a device in the second place and a mode in the third.
bool is_classic(const std::vector<std::string_view>& parts) {
    static constexpr std::array<std::string_view, 5> modes = {"r", "w", "w!", "ro", "rw"};
    return parts.size() >= 3 && is_vdev(parts[1]) && is_one_of(parts[2], modes) && parts[0].find('=') == std::string_view::npos;
}

/// The part from `parts[i]` to the end, which may hold commas itself.
std::string_view rest_of(std::string_view spec, std::string_view part) {
    return spec.substr(static_cast<size_t>(part.data() - spec.data()));
}

Outcome<Said> read_parts(std::string_view spec) {
    Said said;
    const auto parts = split(spec, ',');
    size_t position = 0;
    size_t i = 0;
    if (is_classic(parts)) {
        said.uname = parts[0];
        said.vdev = parts[1];
        said.access = parts[2];
        i = 3;
        if (parts.size() > 3 && parts[3].find('=') == std::string_view::npos && !say_flag(said, trim(parts[3]))) {
            if (!parts[3].empty()) said.backend = parts[3];
            i = 4;
        }
        position = 4;
    }
    for (; i < parts.size(); ++i) {
        const std::string_view part = trim(parts[i]);
        const size_t equals = part.find('=');
        // These two take all that follows.
        if (part.starts_with("target=")) {
            said.target = rest_of(spec, part).substr(7);
            return said;
        }
        if (part.starts_with("uname=")) {
            said.uname = rest_of(spec, part).substr(6);
            return said;
        }
        if (equals != std::string_view::npos && part.find('/') > equals) {
            OTRY(say_key(said, trim(part.substr(0, equals)), trim(part.substr(equals + 1))));
        } else if (!say_flag(said, part)) {
            OTRY(say_position(said, position, part));
        }
    }
    return said;
}

/// `TYPE:REST` to what we make of it. tap: and its drivers say how to reach the bytes, which is nothing to the guest.
Outcome<> set_uname(Disk& disk, std::string_view uname) {
    const size_t colon = has_type(uname) ? uname.find(':') : std::string_view::npos;
    disk.type = colon == std::string_view::npos ? "raw" : uname.substr(0, colon);
    std::string_view target = colon == std::string_view::npos ? uname : uname.substr(colon + 1);
    if (disk.type == "tap" || disk.type == "tap2") {
        for (const std::string_view driver : {"tapdisk:", "aio:", "sync:"}) {
            if (target.starts_with(driver)) target.remove_prefix(driver.size());
        }
        const std::string_view driver = target.substr(0, target.find(':'));
        const bool other = is_one_of(driver, other_formats);
        disk.type = other ? std::string(driver) : "file";
        if (other) target.remove_prefix(driver.size() + 1);
    }
    if (disk.type == "raw" || disk.type == "aio") {
        disk.type = target.starts_with("/dev/") || !target.starts_with('/') ? "phy" : "file";
    }
    disk.target = target;
    if (disk.type == "vpc") disk.type = "vhd";  // QEMU's word for it
    if (disk.type.empty()) return wrong("no type like phy: or file:");
    if (disk.target.empty()) return wrong("there is nothing behind '" + disk.type + ":'");
    return base::ok;
}

Outcome<> set_script(Disk& disk, std::string_view script, std::string_view target) {
    const std::string_view name = script.substr(script.rfind('/') + 1);
    if (!name.starts_with("block-") || name.size() == 6)
        return wrong("script must name a script block-TYPE in the folder of scripts");
    disk.type = name.substr(6);
    disk.target = target;
    return base::ok;
}

Outcome<> set_source(Disk& disk, const Said& said) {
    if (said.uname) {
        if (said.target) return wrong("'" + *said.target + "' is one word too many");
        if (!said.uname->empty()) OTRY(set_uname(disk, *said.uname));
    } else if (said.target && !said.target->empty()) {
        const std::string_view target = *said.target;
        if (said.script) return set_script(disk, *said.script, target);
        OTRY(set_uname(disk, target));
    }
    if (said.format && *said.format != "raw" && *said.format != "aio") {
        if (!is_one_of(*said.format, other_formats)) return wrong("'" + *said.format + "' is no format");
        if (!disk.target.empty()) disk.type = *said.format;
    }
    return base::ok;
}

Outcome<> set_device(Disk& disk, const Said& said) {
    if (!said.vdev) return wrong("the device is missing: vdev=xvda");
    std::string_view vdev = *said.vdev;
    if (vdev.starts_with("ioemu:")) vdev.remove_prefix(6);
    disk.cdrom = said.cdrom;
    if (const size_t colon = vdev.find(':'); colon != std::string_view::npos) {
        const std::string_view kind = vdev.substr(colon + 1);
        if (kind != "cdrom" && kind != "disk") return wrong("DEV may end in :cdrom or :disk");
        disk.cdrom = disk.cdrom || kind == "cdrom";
        vdev = vdev.substr(0, colon);
    }
    const auto devid = device_number(vdev);
    if (!devid) return wrong("'" + std::string(vdev) + "' is not a device name like xvda");
    disk.vdev = vdev;
    disk.devid = *devid;
    return base::ok;
}

Outcome<> set_mode(Disk& disk, const Said& said) {
    const std::string mode = said.access.value_or(disk.cdrom ? "r" : "w");
    if (mode == "r" || mode == "ro") disk.mode = DiskMode::read_only;
    else if (mode == "w" || mode == "rw") disk.mode = DiskMode::read_write;
    else if (mode == "w!") disk.mode = DiskMode::shared_write;
    else return wrong("the mode must be r, w or w!");
    return base::ok;
}

Outcome<> check_source(Disk& disk, const Said& said) {
    static constexpr std::array<std::string_view, 4> back_ends = {"phy", "qdisk", "tap", "file"};
    if (said.backendtype && !is_one_of(*said.backendtype, back_ends)) return wrong("'" + *said.backendtype + "' is no back end");
    if (disk.target.empty() && !disk.cdrom && said.target) return wrong("only a cdrom may be without a medium");
    if (disk.type == "phy" && disk.target[0] != '/') disk.target = "/dev/" + disk.target;
    const bool is_file = disk.type == "file" || is_one_of(disk.type, other_formats);
    if (is_file && disk.target[0] != '/') return wrong("the path of the file must be absolute");
    return base::ok;
}

Outcome<Disk> make_disk(std::string_view spec) {
    const Said said = OTRY(read_parts(spec));
    Disk disk;
    OTRY(set_device(disk, said));
    OTRY(set_source(disk, said));
    OTRY(set_mode(disk, said));
    OTRY(check_source(disk, said));
    if (said.backend) disk.backend = *said.backend;
    disk.discard = said.discard;
    disk.trusted = said.trusted;
    return disk;
}

}  // namespace

bool is_image_format(std::string_view type) { return is_one_of(type, other_formats); }

Outcome<Disk> parse_disk(std::string_view spec) {
    auto disk = make_disk(spec);
    if (disk) return disk;
    return wrong("Invalid disk specifier: " + std::string(spec) + " (" + disk.failure().text + ")");
}

}  // namespace config
