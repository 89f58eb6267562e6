// SPDX-License-Identifier: Apache-2.0
// From the variables of a configuration file to a DomainConfig: fields and devices by their tables; here are the variables
// that exist in files alone.
#include <algorithm>
#include <array>

#include "lib/base/number.hpp"
#include "toolstack/config/device_kinds.hpp"
#include "toolstack/config/fields.hpp"
#include "toolstack/config/lexer.hpp"
#include "toolstack/config/load.hpp"

namespace config {

using base::Errc;
using base::Outcome;

namespace {

/// What is put together from several variables only at the end.
struct Address {
    std::string ip, gateway, netmask, hostname, interface = "eth0", dhcp = "off";
};

struct Context {
    const std::string& file;
    DomainConfig& config;
    Address address;
    std::vector<std::string>& warnings;
    int64_t nics = -1;
};

base::Failure wrong(const Context& c, std::string_view name, const Value& value, const std::string& text) {
    return fail_at(c.file, value.where, std::string(name) + ": " + text);
}

Outcome<std::string> as_text(const Context& c, std::string_view name, const Value& value) {
    if (value.as<Value::None>() != nullptr) return std::string();
    if (value.data.index() > 4) return wrong(c, name, value, "a string is wanted, not a " + std::string(value.kind()));
    return value.text();
}

/// The whole number that `value` is or says; nothing for None.
Outcome<std::optional<int64_t>> as_number(const Context& c, std::string_view name, const Value& value) {
    if (value.as<Value::None>() != nullptr) return std::optional<int64_t>();
    if (const auto* i = value.as<int64_t>()) return std::optional(*i);
    if (const auto* b = value.as<bool>()) return std::optional<int64_t>(*b ? 1 : 0);
    if (const auto* d = value.as<double>(); d != nullptr && *d >= -1e15 && *d <= 1e15) {
        return std::optional(static_cast<int64_t>(*d));
    }
    const auto* s = value.as<std::string>();
    if (s == nullptr) return wrong(c, name, value, "a number is wanted, not a " + std::string(value.kind()));
    std::string_view text = *s;
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    const auto parsed = base::parse_number_or_hex<int64_t>(text);
    if (!parsed) return wrong(c, name, value, "'" + s->substr(0, 40) + "' is not a number");
    return parsed;
}

/// As above, from `low` to `high`.
Outcome<std::optional<int64_t>> as_number(const Context& c, std::string_view name, const Value& value, int64_t low,
                                          int64_t high) {
    const auto number = OTRY(as_number(c, name, value));
    if (!number || (*number >= low && *number <= high)) return number;
    return wrong(c, name, value,
                 std::to_string(*number) + " is out of range (" + std::to_string(low) + " to " + std::to_string(high) + ")");
}

/// The elements of a list of strings; a single string counts as a list of one.
Outcome<std::vector<std::pair<std::string, const Value*>>> as_list(const Context& c, std::string_view name, const Value& value) {
    std::vector<std::pair<std::string, const Value*>> out;
    const Value::List* list = value.as<Value::List>();
    if (const auto* tuple = value.as<Value::Tuple>()) list = &tuple->items;
    if (value.as<Value::None>() != nullptr) return out;
    if (list == nullptr) {
        if (value.as<std::string>() == nullptr)
            return wrong(c, name, value, "a list of strings is wanted, not a " + std::string(value.kind()));
        if (!value.as<std::string>()->empty()) out.emplace_back(*value.as<std::string>(), &value);
        return out;
    }
    for (const Value& item : *list) {
        if (item.as<std::string>() == nullptr)
            return wrong(c, name, item, "the elements must be strings, not a " + std::string(item.kind()));
        out.emplace_back(*item.as<std::string>(), &item);
    }
    return out;
}

/// The value as text for its row: numbers in decimal, lists joined.
Outcome<std::string> text_for(const Context& c, const Field& field, const Value& value) {
    if (field.form == Form::number) {
        const auto number = OTRY(as_number(c, field.file, value));
        return number ? std::to_string(*number) : std::string();
    }
    const Value::List* list = value.as<Value::List>();
    if (field.form != Form::list || list == nullptr) return as_text(c, field.file, value);
    std::string out;
    for (const Value& item : *list) out += (out.empty() ? "" : ",") + OTRY(as_text(c, field.file, item));
    return out;
}

Outcome<> read_field(const Context& c, const Field& field, const Value& value) {
    const std::string text = OTRY(text_for(c, field, value));
    auto read = field.read(c.config, field, text);
    if (!read) return wrong(c, field.file, value, read.failure().text);
    return base::ok;
}

Outcome<> read_devices(const Context& c, const DeviceKind& kind, const Value& value) {
    kind.resize(c.config, 0);
    for (const auto& [text, where] : OTRY(as_list(c, kind.variable, value))) {
        auto added = kind.add(c.config, text);
        if (!added) return fail_at(c.file, where->where, added.failure().text);
    }
    return base::ok;
}

template <auto Member>
Outcome<> set_address(Context& c, std::string_view name, const Value& value) {
    c.address.*Member = OTRY(as_text(c, name, value));
    return base::ok;
}

Outcome<> set_restart(Context& c, std::string_view name, const Value& value) {
    const std::string word = OTRY(as_text(c, name, value));
    const auto all = [&](ExitAction off, ExitAction reboot, ExitAction crash) {
        c.config.on_poweroff = off;
        c.config.on_reboot = reboot;
        c.config.on_crash = crash;
    };
    if (word == "onreboot") {
        all(ExitAction::destroy, ExitAction::restart, ExitAction::destroy);
    } else if (word == "always") {
        all(ExitAction::restart, ExitAction::restart, ExitAction::restart);
    } else if (word == "never") {
        all(ExitAction::destroy, ExitAction::destroy, ExitAction::destroy);
    } else if (!word.empty()) {
        c.warnings.push_back(wrong(c, name, value, "unknown value '" + word + "' is ignored").text);
    }
    return base::ok;
}

Outcome<> set_nics(Context& c, std::string_view name, const Value& value) {
    c.nics = OTRY(as_number(c, name, value, -1, max_vifs)).value_or(-1);
    return base::ok;
}

Outcome<> set_cpu(Context& c, std::string_view name, const Value& value) {
    const auto cpu = OTRY(as_number(c, name, value, -1, 4095));
    if (cpu && *cpu >= 0 && c.config.cpus.empty()) c.config.cpus = std::to_string(*cpu);
    return base::ok;
}

/// A variable that is no field of its own.
struct Other {
    std::string_view name;
    Outcome<> (*set)(Context&, std::string_view, const Value&);
};

constexpr std::array others = {
    Other{"cpu", set_cpu},
    Other{"ip", set_address<&Address::ip>},
    Other{"gateway", set_address<&Address::gateway>},
    Other{"netmask", set_address<&Address::netmask>},
    Other{"hostname", set_address<&Address::hostname>},
    Other{"interface", set_address<&Address::interface>},
    Other{"dhcp", set_address<&Address::dhcp>},
    Other{"nics", set_nics},
    Other{"restart", set_restart},  // it overrides the on_* variables
};

/// Known words of classic and later files that ask for something this version does not do yet.
constexpr std::array<std::string_view, 61> not_yet = {"shadow_memory",
                                                      "rtc_timeoffset",
                                                      "timer_mode",
                                                      "pae",
                                                      "acpi",
                                                      "apic",
                                                      "vhpt",
                                                      "guest_os_type",
                                                      "console",
                                                      "blkif",
                                                      "netif",
                                                      "tpmif",
                                                      "pci",
                                                      "ioports",
                                                      "irq",
                                                      "usb",
                                                      "usbport",
                                                      "vfb",
                                                      "vtpm",
                                                      "access_control",
                                                      "ssidref",
                                                      "bootentry",
                                                      "device_model",
                                                      "fda",
                                                      "fdb",
                                                      "cdrom",
                                                      "boot",
                                                      "localtime",
                                                      "serial",
                                                      "monitor",
                                                      "keymap",
                                                      "usbdevice",
                                                      "stdvga",
                                                      "isa",
                                                      "soundhw",
                                                      "nographic",
                                                      "vnc",
                                                      "vncdisplay",
                                                      "vnclisten",
                                                      "vncunused",
                                                      "vncpasswd",
                                                      "vncviewer",
                                                      "vncconsole",
                                                      "sdl",
                                                      "display",
                                                      "xauthority",
                                                      "snapshot",
                                                      "type",
                                                      "hap",
                                                      "cmdline",
                                                      "maxvcpus",
                                                      "on_watchdog",
                                                      "on_soft_reset",
                                                      "pool",
                                                      "seclabel",
                                                      "tsc_mode",
                                                      "nestedhvm",
                                                      "viridian",
                                                      "xen_platform_pci",
                                                      "hpet",
                                                      "machine_address_size"};

/// Values as the command line gives them: [list], "quoted", or plain text; repeated list variables add up.
Outcome<> apply_settings(Variables& variables, std::span<const Setting> settings) {
    std::vector<std::string> seen;
    for (const Setting& setting : settings) {
        const auto lists_it = [&](const DeviceKind& kind) { return kind.variable == setting.name; };
        const bool listed = std::ranges::any_of(device_kinds(), lists_it);
        const std::string where = "command line, " + setting.name + "=";
        Value value{setting.value, {}};
        const char first = setting.value.empty() ? ' ' : setting.value[0];
        if (first == '[' || first == '"' || first == '\'') value = OTRY(evaluate_expression(setting.value, where));
        if (listed && value.as<std::string>() != nullptr) {
            Value::List list;
            const bool again = std::find(seen.begin(), seen.end(), setting.name) != seen.end();
            if (const Value* old = variables.find(setting.name); again && old != nullptr && old->as<Value::List>() != nullptr) {
                list = *old->as<Value::List>();
            }
            list.push_back(std::move(value));
            value = Value{std::move(list), {}};
        }
        seen.push_back(setting.name);
        variables.set(setting.name, std::move(value));
    }
    return base::ok;
}

void compose_ip(Context& c) {
    const Address& a = c.address;
    if (a.ip.empty() && (a.dhcp.empty() || a.dhcp == "off")) return;
    const std::string server = c.config.nfs_server.empty() ? "1.2.3.4" : c.config.nfs_server;
    const std::string dhcp = a.dhcp.empty() || a.dhcp == "off" ? "off" : "dhcp";
    c.config.ip = a.ip + ":" + server + ":" + a.gateway + ":" + a.netmask + ":" + a.hostname + ":" + a.interface + ":" + dhcp;
}

bool is_known(std::string_view name) {
    return std::ranges::any_of(fields(), [&](const Field& row) { return row.file == name; }) ||
           std::ranges::any_of(device_kinds(), [&](const DeviceKind& row) { return row.variable == name; }) ||
           std::ranges::any_of(others, [&](const Other& row) { return row.name == name; });
}

void warn_unknown(Context& c, const Variables& variables) {
    for (const auto& item : variables.items()) {
        const std::string& name = item.first;
        const Value& value = item.second;
        if (is_known(name) || name.starts_with("_") || name.starts_with("xm_")) continue;
        const bool later = std::find(not_yet.begin(), not_yet.end(), name) != not_yet.end();
        const std::string text = later ? "the variable '" + name + "' is not supported yet and has no effect"
                                       : "unknown variable '" + name.substr(0, 60) + "'";
        c.warnings.push_back(fail_at(c.file, value.where, text).text);
    }
}

/// Every variable that has a meaning, in the order of the tables.
Outcome<> read_variables(Context& c, const Variables& variables) {
    for (const Field& field : fields()) {
        if (field.file.empty()) continue;
        if (const Value* value = variables.find(field.file)) OTRY(read_field(c, field, *value));
    }
    for (const DeviceKind& kind : device_kinds()) {
        if (const Value* value = variables.find(kind.variable)) OTRY(read_devices(c, kind, *value));
    }
    for (const Other& other : others) {
        if (const Value* value = variables.find(other.name)) OTRY(other.set(c, other.name, *value));
    }
    compose_ip(c);
    if (c.nics >= 0) c.config.vifs.resize(static_cast<size_t>(c.nics));
    return base::ok;
}

/// A file that does not name its domain gives it its own name.
Outcome<> name_after_file(DomainConfig& config, const std::string& file) {
    const size_t slash = file.find_last_of('/');
    const std::string name = slash == std::string::npos ? file : file.substr(slash + 1);
    for (const Field& field : fields()) {
        if (field.file == "name") OTRY(field.read(config, field, name).context(file));
    }
    return base::ok;
}

}  // namespace

Outcome<Loaded> parse_config(std::string_view text, const std::string& file, std::span<const Setting> settings) {
    Variables preset;
    OTRY(apply_settings(preset, settings));
    Variables variables = OTRY(evaluate(text, file, preset));
    for (const auto& [name, value] : preset.items()) variables.set(name, value);  // the command line wins over the file
    Loaded out;
    Context context{file, out.config, {}, out.warnings};
    OTRY(read_variables(context, variables));
    warn_unknown(context, variables);
    if (out.config.name.empty()) OTRY(name_after_file(out.config, file));
    return out;
}

}  // namespace config
