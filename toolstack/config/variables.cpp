// SPDX-License-Identifier: Apache-2.0
// From the variables of a configuration file to a DomainConfig: one table, one row per variable.
#include <algorithm>
#include <array>

#include "lib/base/number.hpp"
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

Outcome<int64_t> as_number(const Context& c, std::string_view name, const Value& value, int64_t low, int64_t high) {
    int64_t number = 0;
    if (const auto* i = value.as<int64_t>()) {
        number = *i;
    } else if (const auto* b = value.as<bool>()) {
        number = *b ? 1 : 0;
    } else if (const auto* d = value.as<double>(); d != nullptr && *d >= -1e15 && *d <= 1e15) {
        number = static_cast<int64_t>(*d);
    } else if (const auto* s = value.as<std::string>()) {
        std::string_view text = *s;
        while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
        while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
        const auto parsed = base::parse_number_or_hex<int64_t>(text);
        if (!parsed) return wrong(c, name, value, "'" + s->substr(0, 40) + "' is not a number");
        number = *parsed;
    } else {
        return wrong(c, name, value, "a number is wanted, not a " + std::string(value.kind()));
    }
    if (number < low || number > high) {
        return wrong(c, name, value,
                     std::to_string(number) + " is out of range (" + std::to_string(low) + " to " + std::to_string(high) + ")");
    }
    return number;
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

using Setter = Outcome<> (*)(Context&, std::string_view, const Value&);

template <auto Member>
Outcome<> set_text(Context& c, std::string_view name, const Value& value) {
    c.config.*Member = OTRY(as_text(c, name, value));
    return base::ok;
}

template <auto Member>
Outcome<> set_address(Context& c, std::string_view name, const Value& value) {
    c.address.*Member = OTRY(as_text(c, name, value));
    return base::ok;
}

template <auto Member, int64_t Low, int64_t High>
Outcome<> set_number(Context& c, std::string_view name, const Value& value) {
    if (value.as<Value::None>() != nullptr) return base::ok;
    using Field = std::remove_reference_t<decltype(c.config.*Member)>;
    const int64_t number = OTRY(as_number(c, name, value, Low, High));
    if constexpr (std::is_integral_v<Field>) {
        c.config.*Member = static_cast<Field>(number);
    } else {
        c.config.*Member = static_cast<typename Field::value_type>(number);
    }
    return base::ok;
}

template <auto Member>
Outcome<> set_action(Context& c, std::string_view name, const Value& value) {
    const std::string word = OTRY(as_text(c, name, value));
    const auto action = parse_exit_action(word);
    if (!action) return wrong(c, name, value, "invalid restart event: " + std::string(name) + " = " + word);
    c.config.*Member = *action;
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

Outcome<> set_uuid(Context& c, std::string_view name, const Value& value) {
    const std::string text = OTRY(as_text(c, name, value));
    const auto uuid = Uuid::parse(text);
    if (!uuid) return wrong(c, name, value, "'" + text.substr(0, 60) + "' is not a uuid");
    c.config.uuid = *uuid;
    return base::ok;
}

Outcome<> set_disks(Context& c, std::string_view name, const Value& value) {
    c.config.disks.clear();
    for (const auto& [text, where] : OTRY(as_list(c, name, value))) {
        auto disk = parse_disk(text);
        if (!disk) return fail_at(c.file, where->where, disk.failure().text);
        c.config.disks.push_back(std::move(disk).take());
    }
    return base::ok;
}

Outcome<> set_vifs(Context& c, std::string_view name, const Value& value) {
    c.config.vifs.clear();
    for (const auto& [text, where] : OTRY(as_list(c, name, value))) {
        auto vif = parse_vif(text);
        if (!vif) return fail_at(c.file, where->where, vif.failure().text);
        c.config.vifs.push_back(std::move(vif).take());
    }
    return base::ok;
}

Outcome<> set_nics(Context& c, std::string_view name, const Value& value) {
    c.nics = OTRY(as_number(c, name, value, -1, max_vifs));
    return base::ok;
}

Outcome<> set_cpus(Context& c, std::string_view name, const Value& value) {
    c.config.cpus.clear();
    const Value::List* list = value.as<Value::List>();
    if (list == nullptr) return set_text<&DomainConfig::cpus>(c, name, value);
    for (const Value& item : *list) {
        if (!c.config.cpus.empty()) c.config.cpus += ',';
        c.config.cpus += OTRY(as_text(c, name, item));
    }
    return base::ok;
}

Outcome<> set_cpu(Context& c, std::string_view name, const Value& value) {
    if (value.as<Value::None>() != nullptr) return base::ok;
    const int64_t cpu = OTRY(as_number(c, name, value, -1, 4095));
    if (cpu >= 0 && c.config.cpus.empty()) c.config.cpus = std::to_string(cpu);
    return base::ok;
}

struct Row {
    std::string_view name;
    Setter set;
};

using D = DomainConfig;
constexpr int64_t most_mib = int64_t{1} << 24;

constexpr std::array rows = {
    Row{"name", set_text<&D::name>},
    Row{"uuid", set_uuid},
    Row{"builder", set_text<&D::builder>},
    Row{"kernel", set_text<&D::kernel>},
    Row{"ramdisk", set_text<&D::ramdisk>},
    Row{"features", set_text<&D::features>},
    Row{"memory", set_number<&D::memory_mib, 1, most_mib>},
    Row{"maxmem", set_number<&D::maxmem_mib, 0, most_mib>},
    Row{"vcpus", set_number<&D::vcpus, 1, max_vcpus>},
    Row{"vcpu_avail", set_number<&D::vcpu_avail, 0, INT64_MAX>},
    Row{"cpus", set_cpus},
    Row{"cpu", set_cpu},
    Row{"cpu_weight", set_number<&D::cpu_weight, 1, 65535>},
    Row{"cpu_cap", set_number<&D::cpu_cap, 0, 100 * int64_t{max_vcpus}>},
    Row{"root", set_text<&D::root>},
    Row{"extra", set_text<&D::extra>},
    Row{"nfs_server", set_text<&D::nfs_server>},
    Row{"nfs_root", set_text<&D::nfs_root>},
    Row{"ip", set_address<&Address::ip>},
    Row{"gateway", set_address<&Address::gateway>},
    Row{"netmask", set_address<&Address::netmask>},
    Row{"hostname", set_address<&Address::hostname>},
    Row{"interface", set_address<&Address::interface>},
    Row{"dhcp", set_address<&Address::dhcp>},
    Row{"on_poweroff", set_action<&D::on_poweroff>},
    Row{"on_reboot", set_action<&D::on_reboot>},
    Row{"on_crash", set_action<&D::on_crash>},
    Row{"on_xend_start", set_text<&D::on_xend_start>},
    Row{"on_xend_stop", set_text<&D::on_xend_stop>},
    Row{"bootloader", set_text<&D::bootloader>},
    Row{"bootargs", set_text<&D::bootargs>},
    Row{"disk", set_disks},
    Row{"vif", set_vifs},
    Row{"nics", set_nics},
    Row{"restart", set_restart},  // last: it overrides the on_* variables
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
        const bool listed = setting.name == "disk" || setting.name == "vif";
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

void warn_unknown(Context& c, const Variables& variables) {
    for (const auto& item : variables.items()) {
        const std::string& name = item.first;
        const Value& value = item.second;
        const bool known = std::any_of(rows.begin(), rows.end(), [&](const Row& row) { return row.name == name; });
        if (known || name.starts_with("_") || name.starts_with("xm_")) continue;
        const bool later = std::find(not_yet.begin(), not_yet.end(), name) != not_yet.end();
        const std::string text = later ? "the variable '" + name + "' is not supported yet and has no effect"
                                       : "unknown variable '" + name.substr(0, 60) + "'";
        c.warnings.push_back(fail_at(c.file, value.where, text).text);
    }
}

}  // namespace

Outcome<Loaded> parse_config(std::string_view text, const std::string& file, std::span<const Setting> settings) {
    Variables preset;
    OTRY(apply_settings(preset, settings));
    Variables variables = OTRY(evaluate(text, file, preset));
    for (const auto& [name, value] : preset.items()) variables.set(name, value);  // the command line wins over the file
    Loaded out;
    Context context{file, out.config, {}, out.warnings};
    for (const Row& row : rows) {
        if (const Value* value = variables.find(row.name)) OTRY(row.set(context, row.name, *value));
    }
    compose_ip(context);
    if (context.nics >= 0) out.config.vifs.resize(static_cast<size_t>(context.nics));
    warn_unknown(context, variables);
    if (out.config.name.empty()) {
        const size_t slash = file.find_last_of('/');
        out.config.name = slash == std::string::npos ? file : file.substr(slash + 1);
    }
    return out;
}

}  // namespace config
