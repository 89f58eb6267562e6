// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/fields.hpp"

#include <array>

#include "lib/base/number.hpp"

namespace config {

using base::Errc;
using base::Outcome;

namespace {

base::Failure inval(std::string text) { return base::fail(Errc::inval, std::move(text)); }

// Text.

template <auto Member>
std::string print_text(const DomainConfig& config) {
    return config.*Member;
}

template <auto Member>
Outcome<> read_text(DomainConfig& config, const Field&, const std::string& text) {
    config.*Member = text;
    return base::ok;
}

Outcome<> read_name(DomainConfig& config, const Field&, const std::string& text) {
    if (!text.empty() && !is_valid_name(text)) {
        return inval("Invalid VM Name: '" + text + "' (letters, digits and _-.:/+, not starting with a digit)");
    }
    config.name = text;
    return base::ok;
}

template <auto Member>
Outcome<> read_path(DomainConfig& config, const Field&, const std::string& text) {
    if (!text.empty() && text[0] != '/') return inval("'" + text + "' is not an absolute path");
    if (!is_printable(text)) return inval("control characters in the kernel command line or a path");
    config.*Member = text;
    return base::ok;
}

// Numbers, also those that may be unset.

template <auto Member>
std::string print_number(const DomainConfig& config) {
    if constexpr (requires { (config.*Member).has_value(); }) {
        return config.*Member ? std::to_string(*(config.*Member)) : std::string();
    } else {
        return std::to_string(config.*Member);
    }
}

template <auto Member>
Outcome<> read_number(DomainConfig& config, const Field& field, const std::string& text) {
    if (text.empty()) return base::ok;
    // Negative ones are numbers too, only out of every range.
    const auto number = base::parse_number<uint64_t>(text);
    if (!number && !base::parse_number<int64_t>(text)) return inval("'" + text.substr(0, 40) + "' is not a number");
    if (!number || *number < field.low || *number > field.high) {
        return inval(text + " is out of range (" + std::to_string(field.low) + " to " + std::to_string(field.high) + ")");
    }
    using Type = std::remove_reference_t<decltype(config.*Member)>;
    if constexpr (std::is_integral_v<Type>) {
        config.*Member = static_cast<Type>(*number);
    } else {
        config.*Member = static_cast<typename Type::value_type>(*number);
    }
    return base::ok;
}

// Others.

template <auto Member>
std::string print_action(const DomainConfig& config) {
    return std::string(name_of(config.*Member));
}

template <auto Member>
Outcome<> read_action(DomainConfig& config, const Field& field, const std::string& text) {
    if (text.empty()) return base::ok;
    const auto action = parse_exit_action(text);
    if (!action) return inval("invalid restart event: " + std::string(field.sxp) + " = " + text.substr(0, 60));
    config.*Member = *action;
    return base::ok;
}

std::string print_uuid(const DomainConfig& config) { return config.uuid.is_nil() ? std::string() : config.uuid.text(); }

Outcome<> read_uuid(DomainConfig& config, const Field&, const std::string& text) {
    if (text.empty()) return base::ok;
    const auto uuid = Uuid::parse(text);
    if (!uuid) return inval("'" + text.substr(0, 60) + "' is not a uuid");
    config.uuid = *uuid;
    return base::ok;
}

std::string print_builder(const DomainConfig& config) { return std::string(builder_of(config.guest)); }

Outcome<> read_builder(DomainConfig& config, const Field&, const std::string& text) {
    if (text == "linux" || text == "generic") {
        config.guest = PvGuest{text, {}};
    } else if (text == "hvm") {
        config.guest = HvmGuest{};
    } else if (text == "pvh") {
        config.guest = PvhGuest{};
    } else {
        return inval("'" + text + "' domains are not supported yet, only PV ones (builder='linux')");
    }
    return base::ok;
}

template <class Type, auto Member>
std::string print_guest_text(const DomainConfig& config) {
    const auto* guest = std::get_if<Type>(&config.guest);
    return guest == nullptr ? std::string() : guest->*Member;
}

template <class Type, auto Member>
Outcome<> read_guest_text(DomainConfig& config, const Field&, const std::string& text) {
    if (auto* guest = std::get_if<Type>(&config.guest)) guest->*Member = text;
    return base::ok;
}

using D = DomainConfig;
using enum Form;
using enum Place;
using enum Shown;
constexpr Guests all = Guests::all;
constexpr uint64_t most_mib = 1U << 24U;  // 16 TiB

// clang-format off
constexpr std::array rows = {
    //    file             sxp                json             place       form    shown           guests      print, read
    Field{"name",          "name",            "name",          vm,         text,   always,         all,        print_text<&D::name>, read_name},
    Field{"memory",        "memory",          "memory",        vm,         number, always,         all,        print_number<&D::memory_mib>, read_number<&D::memory_mib>, 1, most_mib},
    Field{"maxmem",        "maxmem",          "maxmem",        vm,         number, unless_default, all,        print_number<&D::maxmem_mib>, read_number<&D::maxmem_mib>, 0, most_mib},
    Field{"vcpus",         "vcpus",           "vcpus",         vm,         number, always,         all,        print_number<&D::vcpus>, read_number<&D::vcpus>, 1, max_vcpus},
    Field{"vcpu_avail",    "vcpu_avail",      "vcpu_avail",    vm,         number, unless_default, all,        print_number<&D::vcpu_avail>, read_number<&D::vcpu_avail>, 0, ~uint64_t{0}},
    Field{"uuid",          "uuid",            "uuid",          vm,         text,   unless_default, all,        print_uuid, read_uuid},
    Field{"cpus",          "cpus",            "cpus",          vm,         list,   unless_default, all,        print_text<&D::cpus>, read_text<&D::cpus>},
    Field{"cpu_weight",    "cpu_weight",      "cpu_weight",    vm,         number, unless_default, all,        print_number<&D::cpu_weight>, read_number<&D::cpu_weight>, 1, 65535},
    Field{"cpu_cap",       "cpu_cap",         "cpu_cap",       vm,         number, unless_default, all,        print_number<&D::cpu_cap>, read_number<&D::cpu_cap>, 0, 100 * max_vcpus},
    Field{"on_poweroff",   "on_poweroff",     "on_poweroff",   vm,         text,   always,         all,        print_action<&D::on_poweroff>, read_action<&D::on_poweroff>},
    Field{"on_reboot",     "on_reboot",       "on_reboot",     vm,         text,   always,         all,        print_action<&D::on_reboot>, read_action<&D::on_reboot>},
    Field{"on_crash",      "on_crash",        "on_crash",      vm,         text,   always,         all,        print_action<&D::on_crash>, read_action<&D::on_crash>},
    Field{"on_xend_start", "on_xend_start",   "on_xend_start", vm,         text,   unless_default, all,        print_text<&D::on_xend_start>, read_text<&D::on_xend_start>},
    Field{"on_xend_stop",  "on_xend_stop",    "on_xend_stop",  vm,         text,   unless_default, all,        print_text<&D::on_xend_stop>, read_text<&D::on_xend_stop>},
    Field{"bootloader",    "bootloader",      "bootloader",    vm,         text,   unless_default, all,        print_text<&D::bootloader>, read_text<&D::bootloader>},
    Field{"bootargs",      "bootloader_args", "bootargs",      vm,         text,   unless_default, all,        print_text<&D::bootargs>, read_text<&D::bootargs>},
    Field{"builder",       "",                "builder",       image_kind, text,   always,         all,        print_builder, read_builder},
    Field{"kernel",        "kernel",          "kernel",        image,      text,   always,         all,        print_text<&D::kernel>, read_path<&D::kernel>},
    Field{"ramdisk",       "ramdisk",         "ramdisk",       image,      text,   unless_default, all,        print_text<&D::ramdisk>, read_path<&D::ramdisk>},
    Field{"",              "ip",              "ip",            image,      text,   unless_default, all,        print_text<&D::ip>, read_text<&D::ip>},
    Field{"root",          "root",            "root",          image,      text,   unless_default, all,        print_text<&D::root>, read_text<&D::root>},
    Field{"nfs_server",    "nfs_server",      "nfs_server",    image,      text,   unless_default, all,        print_text<&D::nfs_server>, read_text<&D::nfs_server>},
    Field{"nfs_root",      "nfs_root",        "nfs_root",      image,      text,   unless_default, all,        print_text<&D::nfs_root>, read_text<&D::nfs_root>},
    Field{"extra",         "args",            "extra",         image,      text,   unless_default, all,        print_text<&D::extra>, read_text<&D::extra>},
    Field{"features",      "features",        "features",      image,      text,   unless_default, Guests::pv, print_guest_text<PvGuest, &PvGuest::features>, read_guest_text<PvGuest, &PvGuest::features>},
};
// clang-format on

}  // namespace

bool Field::wanted(const DomainConfig& config) const {
    static const DomainConfig defaults;
    if (!has(config.guest)) return false;
    return shown == always || print(config) != print(defaults);
}

std::span<const Field> fields() { return rows; }

}  // namespace config
