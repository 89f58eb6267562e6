// SPDX-License-Identifier: Apache-2.0
#include "lib/x86/boot_options.hpp"

#include <bit>
#include <cstring>

#include "lib/parse/cmdline.hpp"

namespace x86 {
namespace {

using base::LogLevel;
using base::LogLevels;
using base::Timestamps;

bool set_consoles(std::string_view list, BootOptions& options) {
    options.console_serial = options.console_vga = false;
    parse::ValueList items(list);
    for (auto item = items.next(); item; item = items.next()) {
        if (*item == "com1") options.console_serial = true;
        else if (*item == "vga") options.console_vga = true;
        else if (*item != "none") return false;
    }
    return true;
}

bool level_of(std::string_view word, uint8_t& levels) {
    if (word == "none") levels = 0;
    else if (word == "error") levels = LogLevels::up_to(LogLevel::error);
    else if (word == "warning") levels = LogLevels::up_to(LogLevel::warning);
    else if (word == "info") levels = LogLevels::up_to(LogLevel::info);
    else if (word == "debug" || word == "all") levels = LogLevels::up_to(LogLevel::debug);
    else return false;
    return true;
}

/// "LVL" or "LVL/LVL": kept always, and kept at a limited rate.
bool set_levels(std::string_view text, LogLevels& out) {
    LogLevels levels{};
    parse::ValueList items(text, '/');
    const auto always = items.next();
    const auto limited = items.next();
    if (!always || !level_of(*always, levels.always)) return false;
    levels.limited = levels.always;
    if (limited && !level_of(*limited, levels.limited)) return false;
    out = levels;
    return true;
}

bool set_timestamps(const parse::Option& o, Timestamps& out) {
    // Alone it means the date.
    if (o.negated || o.value == "none") out = Timestamps::none;
    else if (!o.has_value || o.value == "date") out = Timestamps::date;
    else if (o.value == "datems") out = Timestamps::date_ms;
    else if (o.value == "boot") out = Timestamps::boot;
    else if (o.value == "raw") out = Timestamps::raw;
    else return false;
    return true;
}

/// Rounded down to a power of two.
bool set_ring_size(std::string_view text, uint32_t& out) {
    constexpr uint64_t least = 4096, most = 4 << 20;
    auto bytes = parse::parse_size(text, 1024);
    if (!bytes || bytes.value() < least || bytes.value() > most) return false;
    out = static_cast<uint32_t>(std::bit_floor(bytes.value()));
    return true;
}

bool set_amount(std::string_view text, MemoryAmount& out) {
    const bool negative = text.starts_with('-');
    if (negative) text.remove_prefix(1);
    auto bytes = parse::parse_size(text, 1024);
    if (bytes) out = {true, negative, bytes.value()};
    return static_cast<bool>(bytes);
}

bool set_dom0_mem(std::string_view text, BootOptions& options) {
    parse::ValueList items(text);
    for (auto item = items.next(); item; item = items.next()) {
        std::string_view value = *item;
        MemoryAmount* target = &options.dom0_mem;
        if (value.starts_with("min:")) target = &options.dom0_min;
        else if (value.starts_with("max:")) target = &options.dom0_max;
        if (target != &options.dom0_mem) value.remove_prefix(4);
        if (!set_amount(value, *target)) return false;
    }
    return true;
}

bool set_number(std::string_view text, unsigned& out, unsigned min, unsigned max) {
    auto n = parse::parse_integer(text);
    if (!n || n.value() < min || n.value() > max) return false;
    out = static_cast<unsigned>(n.value());
    return true;
}

bool set_com1(std::string_view text, parse::SerialSettings& out) {
    auto s = parse::parse_serial(text, out);
    if (s) out = s.value();
    return static_cast<bool>(s);
}

bool set_boolean(const parse::Option& o, bool& out) {
    auto b = o.boolean();
    if (!b) return false;
    out = b.value();
    return true;
}

bool set_choice(const parse::Option& o, Choice& out) {
    bool yes = false;
    const bool good = set_boolean(o, yes);
    if (good) out = choice(yes);
    return good;
}

/// A list, or no value for yes and no.
std::string_view list_of(const parse::Option& o) { return o.has_value ? o.value : o.negated ? "no" : "yes"; }

/// "rs" and "no-rs", also as "rs=BOOL".
bool set_efi(std::string_view text, bool& services) {
    parse::ValueList items(text);
    for (auto item = items.next(); item; item = items.next()) {
        const auto part = parse::CommandLine(*item).next();
        if (!part || part->key != "rs" || !set_boolean(*part, services)) return false;
    }
    return true;
}

/// "text-80x25" is what the screen has; "keep": we go on to write to it when dom0 has started.
bool set_vga(std::string_view text, bool& keep) {
    parse::ValueList items(text);
    for (auto item = items.next(); item; item = items.next()) {
        if (*item == "keep") keep = true;
        else if (*item != "current" && *item != "text-80x25") return false;
    }
    return true;
}

/// One command line on its way into options.
class Reader {
    BootOptions& options_;
    OptionComplaints& complaints_;
    const unsigned dom0_most_vcpus_;

    void complain(std::string_view option, const char* why) {
        if (!complaints_.full()) (void)complaints_.push({option, why});
    }

    /// The options about speculation. `known` false: none of them.
    bool apply_speculation(const parse::Option& o, bool& known) {
        SpeculationOptions& s = options_.speculation;
        if (o.key == "spec-ctrl") {
            const bool good = parse_spec_ctrl(list_of(o), s);
            if (s.lazy_fpu_wanted || s.plain_branches_wanted)
                complain(o.raw, "wants eager-fpu or branch-harden off, which are always on; that part of it is");
            return good;
        }
        if (o.key == "xpti") return parse_xpti(list_of(o), s);
        if (o.key == "pv-l1tf") return parse_pv_l1tf(list_of(o), s);
        if (o.key == "tsx") return set_choice(o, s.tsx);
        if (o.key == "smt") return set_choice(o, s.smt);
        if (o.key == "sched-gran") {
            if (o.value == "core" || o.value == "socket")
                complain(o.raw, "is not offered: each CPU is scheduled by itself. smt=no keeps domains from sharing a core");
            return o.value == "core" || o.value == "socket" || o.value == "cpu";
        }
        known = false;
        return true;
    }

    /// False: the value makes no sense. `known` false: no such option.
    bool apply(const parse::Option& o, bool& known) {
        known = true;
        if (o.key == "console") return set_consoles(o.value, options_);
        if (o.key == "com1") return set_com1(o.value, options_.com1);
        if (o.key == "dom0_mem") return set_dom0_mem(o.value, options_);
        if (o.key == "dom0_max_vcpus") return set_number(o.value, options_.dom0_max_vcpus, 1, dom0_most_vcpus_);
        if (o.key == "maxcpus") return set_number(o.value, options_.max_cpus, 1, x86::max_cpus);
        if (o.key == "loglvl") return set_levels(o.value, options_.own_levels);
        if (o.key == "guest_loglvl") return set_levels(o.value, options_.guest_levels);
        if (o.key == "noreboot") return set_boolean(o, options_.noreboot);
        if (o.key == "reboot" && o.negated) return options_.noreboot = true;
        if (o.key == "sync_console") return set_boolean(o, options_.sync_console);
        if (o.key == "console_timestamps") return set_timestamps(o, options_.timestamps);
        if (o.key == "console_to_ring") return set_boolean(o, options_.console_to_ring);
        if (o.key == "conring_size") return set_ring_size(o.value, options_.ring_size);
        if (o.key == "efi") return set_efi(o.value, options_.efi_services);
        if (o.key == "vga") return set_vga(o.value, options_.vga_keep);
        if (o.key == "nosmp") {
            bool on = true;
            const bool good = set_boolean(o, on);
            if (on) options_.max_cpus = 1;
            return good;
        }
        if (o.key == "sched") {
            if (o.value.empty() || o.value.size() >= sizeof options_.scheduler) return false;
            memcpy(options_.scheduler, o.value.data(), o.value.size());
            options_.scheduler[o.value.size()] = 0;
            return true;
        }
        if (o.key == "mem") {
            auto bytes = parse::parse_size(o.value, 1024);
            if (bytes) options_.mem_limit = bytes.value();
            return static_cast<bool>(bytes);
        }
        return apply_speculation(o, known);
    }

public:
    Reader(BootOptions& options, OptionComplaints& complaints, unsigned dom0_most_vcpus)
        : options_(options), complaints_(complaints), dom0_most_vcpus_(dom0_most_vcpus) {}

    void read(const parse::Option& o, bool may_be_image) {
        const BootOptions before = options_;
        bool known = true;
        const bool good = apply(o, known);
        const bool image_name = may_be_image && (o.raw.find('/') != std::string_view::npos || !o.has_value);
        if (!known && !image_name) complain(o.raw, "is not an option of this hypervisor");
        if (good) return;
        complain(o.raw, "has a value that is not understood");
        const SpeculationOptions understood = options_.speculation;  // of a list, what is known counts
        options_ = before;
        options_.speculation = understood;
    }
};

}  // namespace

void parse_boot_options(std::string_view line, unsigned dom0_most_vcpus, BootOptions& options, OptionComplaints& complaints) {
    Reader reader(options, complaints, dom0_most_vcpus);
    parse::CommandLine words(line);
    // The first word is the image's own name, as loaders pass it.
    bool first = true;
    for (auto o = words.next(); o; o = words.next(), first = false) reader.read(*o, first);
}

}  // namespace x86
