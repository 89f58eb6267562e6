// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/fields.hpp"

#include <algorithm>
#include <array>

#include "lib/base/number.hpp"
#include "toolstack/config/split.hpp"

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
    if constexpr (requires { (config.*Member).has_value(); }) {
        return config.*Member ? std::string(name_of(*(config.*Member))) : std::string();
    } else {
        return std::string(name_of(config.*Member));
    }
}

template <auto Member>
Outcome<> read_action(DomainConfig& config, const Field& field, const std::string& text) {
    if (text.empty()) return base::ok;
    const auto action = parse_exit_action(text);
    if (!action) return inval("invalid restart event: " + std::string(field.sxp) + " = " + text.substr(0, 60));
    config.*Member = *action;
    return base::ok;
}

/// One of `words`.
template <auto Member, auto& words>
Outcome<> read_word(DomainConfig& config, const Field&, const std::string& text) {
    if (text.empty()) return base::ok;
    if (std::ranges::find(words, text) == words.end()) {
        std::string known;
        for (const std::string_view word : words) known += (known.empty() ? "" : ", ") + std::string(word);
        return inval("'" + text.substr(0, 60) + "' is none of: " + known);
    }
    config.*Member = text;
    return base::ok;
}

constexpr std::array<std::string_view, 2> xend_start_words = {"ignore", "start"};
constexpr std::array<std::string_view, 3> xend_stop_words = {"ignore", "shutdown", "suspend"};

Outcome<> read_cpus(DomainConfig& config, const Field&, const std::string& text) {
    constexpr uint32_t any_machine = 4096;
    for (const std::string_view list : split(text, ';')) {
        if (!trim(list).empty()) OTRY(parse_cpu_list(list, any_machine));
    }
    config.cpus = text;
    return base::ok;
}

Outcome<> read_tsc_mode(DomainConfig& config, const Field&, const std::string& text) {
    if (text.empty()) return base::ok;
    const auto named = std::ranges::find(tsc_modes, text);
    const auto number = named == tsc_modes.end() ? base::parse_number<uint32_t>(text)
                                                 : std::optional(static_cast<uint32_t>(named - tsc_modes.begin()));
    if (!number || *number >= tsc_modes.size()) {
        return inval("'" + text.substr(0, 40) + "' is none of: default, always_emulate, native, native_paravirt");
    }
    config.tsc_mode = *number;
    return base::ok;
}

Outcome<> read_time_offset(DomainConfig& config, const Field&, const std::string& text) {
    const auto seconds = base::parse_number<int32_t>(text);
    if (!seconds && !text.empty()) return inval("'" + text.substr(0, 40) + "' is not a number of seconds");
    config.rtc_timeoffset = seconds.value_or(0);
    return base::ok;
}

/// What a kernel for PV may be told of; required ones that no 64-bit kernel has are refused.
Outcome<> read_features(DomainConfig& config, const Field&, const std::string& text) {
    static constexpr std::array<std::string_view, 5> there = {"writable_page_tables", "writable_descriptor_tables",
                                                              "pae_pgdir_above_4gb", "hvm_callback_vector",
                                                              "memory_op_pinned_cache_control"};
    static constexpr std::array<std::string_view, 3> gone = {"auto_translated_physmap", "supervisor_mode_kernel", "dom0"};
    for (const std::string_view part : split(text, '|')) {
        const std::string_view name = trim(part.starts_with('!') ? part.substr(1) : part);
        const bool may_be_asked = std::ranges::find(there, name) != there.end();
        const bool may_be_forbidden = may_be_asked || std::ranges::find(gone, name) != gone.end();
        if (part.starts_with('!') ? may_be_forbidden : may_be_asked || trim(part).empty()) continue;
        if (may_be_forbidden) return inval("'" + std::string(name) + "' is not supported");
        return inval("'" + std::string(name) + "' is no feature of a kernel");
    }
    if (auto* guest = std::get_if<PvGuest>(&config.guest)) guest->features = text;
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
    Field{"memory",        "memory",          "memory",        vm,         mib,    always,         all,        print_number<&D::memory_mib>, read_number<&D::memory_mib>, 1, most_mib},
    Field{"maxmem",        "maxmem",          "maxmem",        vm,         mib,    unless_default, all,        print_number<&D::maxmem_mib>, read_number<&D::maxmem_mib>, 0, most_mib},
    Field{"vcpus",         "vcpus",           "vcpus",         vm,         number, always,         all,        print_number<&D::vcpus>, read_number<&D::vcpus>, 1, max_vcpus},
    Field{"vcpu_avail",    "vcpu_avail",      "vcpu_avail",    vm,         number, unless_default, all,        print_number<&D::vcpu_avail>, read_number<&D::vcpu_avail>, 0, ~uint64_t{0}},
    Field{"uuid",          "uuid",            "uuid",          vm,         text,   unless_default, all,        print_uuid, read_uuid},
    Field{"cpus",          "cpus",            "cpus",          vm,         list,   unless_default, all,        print_text<&D::cpus>, read_cpus},
    Field{"cpu_weight",    "cpu_weight",      "cpu_weight",    vm,         number, unless_default, all,        print_number<&D::cpu_weight>, read_number<&D::cpu_weight>, 1, 65535},
    Field{"cpu_cap",       "cpu_cap",         "cpu_cap",       vm,         number, unless_default, all,        print_number<&D::cpu_cap>, read_number<&D::cpu_cap>, 0, 100 * max_vcpus},
    Field{"pool",          "pool",            "pool",          vm,         text,   unless_default, all,        print_text<&D::pool>, read_text<&D::pool>},
    Field{"tsc_mode",      "tsc_mode",        "tsc_mode",      vm,         text,   unless_default, all,        print_number<&D::tsc_mode>, read_tsc_mode},
    Field{"localtime",     "localtime",       "localtime",     vm,         number, unless_default, all,        print_number<&D::localtime>, read_number<&D::localtime>, 0, 1},
    Field{"rtc_timeoffset", "rtc_timeoffset", "rtc_timeoffset", vm,       text,   unless_default, all,        print_number<&D::rtc_timeoffset>, read_time_offset},
    Field{"max_event_channels", "max_event_channels", "max_event_channels", vm, number, unless_default, all,  print_number<&D::max_event_channels>, read_number<&D::max_event_channels>, 0, 131071},
    Field{"max_grant_frames", "max_grant_frames", "max_grant_frames", vm,   number, unless_default, all,        print_number<&D::max_grant_frames>, read_number<&D::max_grant_frames>, 1, 65535},
    Field{"max_maptrack_frames", "max_maptrack_frames", "max_maptrack_frames", vm, number, unless_default, all, print_number<&D::max_maptrack_frames>, read_number<&D::max_maptrack_frames>, 0, 65535},
    Field{"max_grant_version", "max_grant_version", "max_grant_version", vm, number, unless_default, all,      print_number<&D::max_grant_version>, read_number<&D::max_grant_version>, 1, 2},
    Field{"on_poweroff",   "on_poweroff",     "on_poweroff",   vm,         text,   always,         all,        print_action<&D::on_poweroff>, read_action<&D::on_poweroff>},
    Field{"on_reboot",     "on_reboot",       "on_reboot",     vm,         text,   always,         all,        print_action<&D::on_reboot>, read_action<&D::on_reboot>},
    Field{"on_crash",      "on_crash",        "on_crash",      vm,         text,   always,         all,        print_action<&D::on_crash>, read_action<&D::on_crash>},
    Field{"on_watchdog",   "on_watchdog",     "on_watchdog",   vm,         text,   unless_default, all,        print_action<&D::on_watchdog>, read_action<&D::on_watchdog>},
    Field{"on_xend_start", "on_xend_start",   "on_xend_start", vm,         text,   unless_default, all,        print_text<&D::on_xend_start>, read_word<&D::on_xend_start, xend_start_words>},
    Field{"on_xend_stop",  "on_xend_stop",    "on_xend_stop",  vm,         text,   unless_default, all,        print_text<&D::on_xend_stop>, read_word<&D::on_xend_stop, xend_stop_words>},
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
    Field{"features",      "features",        "features",      image,      text,   unless_default, Guests::pv, print_guest_text<PvGuest, &PvGuest::features>, read_features},
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
