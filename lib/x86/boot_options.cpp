// SPDX-License-Identifier: Apache-2.0
#include "lib/x86/boot_options.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

#include "abi/xen/sysctl_policy.hpp"

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

}  // namespace

/// A line on its way into options.
struct OptionReading {
    BootOptions& options;
    OptionComplaints& complaints;
    const unsigned dom0_most_vcpus;

    void complain(std::string_view option, const char* why) {
        if (!complaints.full()) (void)complaints.push({option, why});
    }
};

namespace {

bool set_spec_ctrl(const parse::Option& o, OptionReading& r) {
    SpeculationOptions& s = r.options.speculation;
    const bool good = parse_spec_ctrl(list_of(o), s);
    if (s.lazy_fpu_wanted || s.plain_branches_wanted)
        r.complain(o.raw, "wants eager-fpu or branch-harden off, which are always on; that part of it is");
    return good;
}

bool set_granularity(const parse::Option& o, OptionReading& r) {
    const bool others = o.value == "core" || o.value == "socket";
    if (others) r.complain(o.raw, "is not offered: each CPU is scheduled by itself. smt=no keeps domains from sharing a core");
    return others || o.value == "cpu";
}

bool set_nosmp(const parse::Option& o, OptionReading& r) {
    bool on = true;
    const bool good = set_boolean(o, on);
    if (on) r.options.max_cpus = 1;
    return good;
}

bool set_scheduler(const parse::Option& o, OptionReading& r) {
    char(&name)[sizeof r.options.scheduler] = r.options.scheduler;
    if (o.value.empty() || o.value.size() >= sizeof name) return false;
    memcpy(name, o.value.data(), o.value.size());
    name[o.value.size()] = 0;
    return true;
}

bool set_rate_limit(const parse::Option& o, OptionReading& r) {
    unsigned us = 0;
    const bool good =
        set_number(o.value, us, 0, xen::XEN_SYSCTL_SCHED_RATELIMIT_MAX) && (us == 0 || us >= xen::XEN_SYSCTL_SCHED_RATELIMIT_MIN);
    if (good) r.options.ratelimit_us = us;
    return good;
}

bool set_slice(const parse::Option& o, OptionReading& r) {
    unsigned ms = 0;
    const bool good = set_number(o.value, ms, xen::XEN_SYSCTL_CSCHED_TSLICE_MIN, xen::XEN_SYSCTL_CSCHED_TSLICE_MAX);
    if (good) r.options.tslice_ms = ms;
    return good;
}

bool set_memory_limit(const parse::Option& o, OptionReading& r) {
    auto bytes = parse::parse_size(o.value, 1024);
    if (bytes) r.options.mem_limit = bytes.value();
    return static_cast<bool>(bytes);
}

// -- as tools are shown them --------------------------------------------------------------------------------------------

std::string_view level_word(uint8_t levels) {
    constexpr std::string_view words[] = {"none", "error", "warning", "info", "all"};
    return words[levels < std::size(words) ? levels : std::size(words) - 1];
}

std::string_view levels_text(const LogLevels& l, char (&room)[32]) {
    const std::string_view always = level_word(l.always), limited = level_word(l.limited);
    memcpy(room, always.data(), always.size());
    room[always.size()] = '/';
    memcpy(room + always.size() + 1, limited.data(), limited.size());
    return {room, always.size() + 1 + limited.size()};
}

std::string_view timestamps_text(Timestamps t) {
    switch (t) {
        case Timestamps::none: return "none";
        case Timestamps::date: return "date";
        case Timestamps::date_ms: return "datems";
        case Timestamps::boot: return "boot";
        case Timestamps::raw: return "raw";
    }
    return "none";
}

// -- the table ----------------------------------------------------------------------------------------------------------

#define SET [](const parse::Option& o, OptionReading& r)
#define NUMBER [](const BootOptions& o) -> uint64_t
#define TEXT [](const BootOptions& o, [[maybe_unused]] char(&room)[32])

/// A text that counts at boot, and is shown as the line has it.
constexpr OptionRow at_boot(std::string_view name, bool (*set)(const parse::Option&, OptionReading&), bool takes_parts = false) {
    return {name, OptionKind::text, 0, takes_parts, set, nullptr, nullptr};
}
constexpr bool in_parts = true;

// clang-format off
constexpr OptionRow rows[] = {
    at_boot("com1",           SET { return set_com1(o.value, r.options.com1); }),
    {"conring_size",          OptionKind::number, 0, false, SET { return set_ring_size(o.value, r.options.ring_size); },
                              NUMBER { return o.ring_size; }, nullptr},
    at_boot("console",        SET { return set_consoles(o.value, r.options); }),
    {"console_timestamps",    OptionKind::text, 7, false, SET { return set_timestamps(o, r.options.timestamps); }, nullptr,
                              TEXT { return timestamps_text(o.timestamps); }},
    {"console_to_ring",       OptionKind::boolean, 1, false, SET { return set_boolean(o, r.options.console_to_ring); },
                              NUMBER { return o.console_to_ring; }, nullptr},
    at_boot("dom0_max_vcpus", SET { return set_number(o.value, r.options.dom0_max_vcpus, 1, r.dom0_most_vcpus); }),
    at_boot("dom0_mem",       SET { return set_dom0_mem(o.value, r.options); }),
    at_boot("efi",            SET { return set_efi(o.value, r.options.efi_services); }),
    {"guest_loglvl",          OptionKind::text, 16, false, SET { return set_levels(o.value, r.options.guest_levels); }, nullptr,
                              TEXT { return levels_text(o.guest_levels, room); }},
    {"loglvl",                OptionKind::text, 16, false, SET { return set_levels(o.value, r.options.own_levels); }, nullptr,
                              TEXT { return levels_text(o.own_levels, room); }},
    at_boot("maxcpus",        SET { return set_number(o.value, r.options.max_cpus, 1, x86::max_cpus); }),
    at_boot("mem",            set_memory_limit),
    {"noreboot",              OptionKind::boolean, 1, false, SET { return set_boolean(o, r.options.noreboot); },
                              NUMBER { return o.noreboot; }, nullptr},
    at_boot("nosmp",          set_nosmp),
    at_boot("pv-l1tf",        SET { return parse_pv_l1tf(list_of(o), r.options.speculation); }, in_parts),
    at_boot("sched",          set_scheduler),
    at_boot("sched-gran",     set_granularity),
    {"sched_credit_tslice_ms", OptionKind::number, 0, false, set_slice, NUMBER { return o.tslice_ms; }, nullptr},
    {"sched_ratelimit_us",    OptionKind::number, 0, false, set_rate_limit, NUMBER { return o.ratelimit_us; }, nullptr},
    at_boot("smt",            SET { return set_choice(o, r.options.speculation.smt); }),
    at_boot("spec-ctrl",      set_spec_ctrl, in_parts),
    {"sync_console",          OptionKind::boolean, 0, false, SET { return set_boolean(o, r.options.sync_console); },
                              NUMBER { return o.sync_console; }, nullptr},
    {"tbuf_size",             OptionKind::number, 0, false, SET { return set_number(o.value, r.options.trace_pages, 0, 0xffff); },
                              NUMBER { return o.trace_pages; }, nullptr},
    {"tevt_mask",             OptionKind::number, 0, false, SET { return set_number(o.value, r.options.trace_events, 0, ~0u); },
                              NUMBER { return o.trace_events; }, nullptr},
    at_boot("tsx",            SET { return set_choice(o, r.options.speculation.tsx); }),
    at_boot("vga",            SET { return set_vga(o.value, r.options.vga_keep); }),
    at_boot("xpti",           SET { return parse_xpti(list_of(o), r.options.speculation); }, in_parts),
};
// clang-format on
#undef SET
#undef NUMBER
#undef TEXT

static_assert(std::size(rows) == option_count);
static_assert(std::ranges::is_sorted(rows, {}, &OptionRow::name), "tools are shown them by name");

const OptionRow* row_of(const parse::Option& o) {
    for (const OptionRow& row : rows)
        if (o.key == row.name) return &row;
    return nullptr;
}

/// "no-reboot" is a way to say "noreboot".
bool says_noreboot(const parse::Option& o) { return o.key == "reboot" && o.negated; }

/// Services of a PC's BIOS that are not to be used, as GRUB says where there is no such BIOS: none ever is.
bool spares_the_bios(const parse::Option& o) {
    if (o.key == "real-mode") return o.negated && !o.has_value;
    if (o.key == "edd") return o.value == "off" || o.value == "skip";
    return o.key == "edid" && o.value == "no";
}

void read_option(const parse::Option& o, bool may_be_image, OptionReading& to) {
    if (says_noreboot(o)) {
        to.options.noreboot = true;
        return;
    }
    if (spares_the_bios(o)) return;
    const OptionRow* row = row_of(o);
    if (!row) {
        const bool image_name = may_be_image && (o.raw.find('/') != std::string_view::npos || !o.has_value);
        if (!image_name) to.complain(o.raw, "is not an option of this hypervisor");
        return;
    }
    const BootOptions before = to.options;
    const bool good = row->set(o, to);
    if (!good) {
        to.complain(o.raw, "has a value that is not understood");
        const SpeculationOptions understood = to.options.speculation;  // of a list, what is known counts
        to.options = before;
        to.options.speculation = understood;
    }
    if (good || row->takes_parts) to.options.given[row - rows] = list_of(o);
}

}  // namespace

std::span<const OptionRow> option_rows() { return rows; }

OptionValue option_value(const OptionRow& row, const BootOptions& options, char (&room)[32]) {
    if (row.number) return {row.number(options), {}};
    if (row.text) return {0, row.text(options, room)};
    const std::string_view given = options.given[&row - rows];
    return {0, given.data() ? given : "default"};
}

bool change_option(const OptionRow& row, std::string_view value, BootOptions& options) {
    OptionComplaints complaints;
    BootOptions changed = options;
    OptionReading to{changed, complaints, 0};
    parse::Option o;
    o.raw = o.value = value;
    o.key = row.name;
    o.has_value = true;
    const bool good = row.longest != 0 && row.set(o, to);
    if (good) options = changed;
    return good;
}

size_t image_name_length(std::string_view line) {
    const auto first = parse::CommandLine(line).next();
    if (!first || first->has_value || first->raw.find('/') == std::string_view::npos) return 0;
    std::string_view rest = line;
    rest.remove_prefix(static_cast<size_t>(first->raw.data() - line.data()) + first->raw.size());
    const size_t blanks = std::min(rest.find_first_not_of(" \t\n\r\"'"), rest.size());
    return line.size() - rest.size() + blanks;
}

void parse_boot_options(std::string_view line, unsigned dom0_most_vcpus, BootOptions& options, OptionComplaints& complaints) {
    OptionReading to{options, complaints, dom0_most_vcpus};
    parse::CommandLine words(line);
    // The first word is the image's own name, as loaders pass it.
    bool first = true;
    for (auto o = words.next(); o; o = words.next(), first = false) read_option(*o, first, to);
}

}  // namespace x86
