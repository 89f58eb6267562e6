// SPDX-License-Identifier: Apache-2.0
// From the variables of a configuration file to a DomainConfig: fields and devices by their tables; here are the variables
// that exist in files alone.
#include <algorithm>
#include <array>
#include <cmath>

#include "lib/base/number.hpp"
#include "toolstack/config/device_kinds.hpp"
#include "toolstack/config/fields.hpp"
#include "toolstack/config/lexer.hpp"
#include "toolstack/config/load.hpp"
#include "toolstack/config/similar.hpp"
#include "toolstack/config/split.hpp"
#include "toolstack/config/vocabulary.hpp"

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
    bool vcpus_given = false;
};

base::Failure wrong(const Context& c, std::string_view name, const Value& value, const std::string& text) {
    return fail_at(c.file, value.where, std::string(name) + ": " + text);
}

Outcome<std::string> as_text(const Context& c, std::string_view name, const Value& value) {
    if (value.as<Value::None>() != nullptr) return std::string();
    if (value.data.index() > 4) return wrong(c, name, value, "a string is wanted, not a " + std::string(value.kind()));
    return value.text();
}

enum class Units : uint8_t { none, mib };

/// Takes M, MB, MiB, G, GB or GiB in either case off a text that has digits before it; how many MiB that is.
uint64_t take_unit(std::string_view& text) {
    const size_t end = text.find_last_of("0123456789");
    if (end == std::string_view::npos) return 1;
    std::string unit(trim(text.substr(end + 1)));
    for (char& c : unit) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    const bool gib = unit == "G" || unit == "GB" || unit == "GIB";
    if (gib || unit == "M" || unit == "MB" || unit == "MIB") text = text.substr(0, end + 1);
    return gib ? 1024 : 1;
}

/// The whole number that `value` is or says; nothing for None.
Outcome<std::optional<int64_t>> as_number(const Context& c, std::string_view name, const Value& value,
                                          Units units = Units::none) {
    if (value.as<Value::None>() != nullptr) return std::optional<int64_t>();
    if (const auto* i = value.as<int64_t>()) return std::optional(*i);
    if (const auto* b = value.as<bool>()) return std::optional<int64_t>(*b ? 1 : 0);
    if (const auto* d = value.as<double>(); d != nullptr && *d >= -1e15 && *d <= 1e15) {
        if (std::trunc(*d) != *d) return wrong(c, name, value, value.text() + " is not a whole number");
        return std::optional(static_cast<int64_t>(*d));
    }
    const auto* s = value.as<std::string>();
    if (s == nullptr) return wrong(c, name, value, "a number is wanted, not a " + std::string(value.kind()));
    std::string_view text = *s;
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    const uint64_t scale = units == Units::mib ? take_unit(text) : 1;
    auto parsed = base::parse_number_or_hex<int64_t>(text);
    if (parsed && __builtin_mul_overflow(*parsed, scale, &*parsed)) parsed = std::nullopt;
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
    if (field.is_number()) {
        const auto number = OTRY(as_number(c, field.file, value, field.form == Form::mib ? Units::mib : Units::none));
        return number ? std::to_string(*number) : std::string();
    }
    const Value::List* list = value.as<Value::List>();
    if (field.form != Form::list || list == nullptr) return as_text(c, field.file, value);
    std::string out;
    for (const Value& item : *list) out += (&item == &list->front() ? "" : ";") + OTRY(as_text(c, field.file, item));
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

/// xl's name for `builder`.
Outcome<> set_type(Context& c, std::string_view name, const Value& value) {
    const std::string word = OTRY(as_text(c, name, value));
    if (word == "pv") {
        if (!std::holds_alternative<PvGuest>(c.config.guest)) c.config.guest = PvGuest{};
    } else if (word == "hvm") {
        c.config.guest = HvmGuest{};
    } else if (word == "pvh") {
        c.config.guest = PvhGuest{};
    } else if (!word.empty()) {
        return wrong(c, name, value, "'" + word.substr(0, 40) + "' is none of: pv, hvm, pvh");
    }
    return base::ok;
}

/// xl's whole command line, in place of root and extra.
Outcome<> set_cmdline(Context& c, std::string_view name, const Value& value) {
    const std::string line = OTRY(as_text(c, name, value));
    if (line.empty()) return base::ok;
    if (!c.config.root.empty() || !c.config.extra.empty()) {
        c.warnings.push_back(wrong(c, name, value, "it is taken in place of root and extra").text);
    }
    c.config.root.clear();
    c.config.extra = line;
    return base::ok;
}

Outcome<> set_cap(Context& c, std::string_view name, const Value& value) {
    const auto cap = OTRY(as_number(c, name, value, 0, 100 * max_vcpus));
    if (cap) c.config.cpu_cap = static_cast<uint32_t>(*cap);
    return base::ok;
}

/// xl's `vcpus` are those online at the start, of `maxvcpus`.
Outcome<> set_maxvcpus(Context& c, std::string_view name, const Value& value) {
    const auto most = OTRY(as_number(c, name, value, 1, max_vcpus));
    if (!most) return base::ok;
    const uint32_t online = c.vcpus_given ? c.config.vcpus : static_cast<uint32_t>(*most);
    if (*most < online)
        return wrong(c, name, value, std::to_string(*most) + " is less than vcpus (" + std::to_string(online) + ")");
    if (*most > online && online >= 64) return wrong(c, name, value, "more than 63 vCPUs must all be online at the start");
    if (*most > online && c.config.vcpu_avail == 0) c.config.vcpu_avail = (uint64_t{1} << online) - 1;
    c.config.vcpus = static_cast<uint32_t>(*most);
    return base::ok;
}

/// xl's name for bootargs: a text, or a list of words.
Outcome<> set_bootloader_args(Context& c, std::string_view name, const Value& value) {
    for (const auto& [word, where] : OTRY(as_list(c, name, value))) {
        c.config.bootargs += (c.config.bootargs.empty() ? "" : " ") + word;
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
    Other{"type", set_type},
    Other{"cmdline", set_cmdline},
    Other{"cap", set_cap},
    Other{"maxvcpus", set_maxvcpus},
    Other{"cpu", set_cpu},
    Other{"bootloader_args", set_bootloader_args},
    Other{"ip", set_address<&Address::ip>},
    Other{"gateway", set_address<&Address::gateway>},
    Other{"netmask", set_address<&Address::netmask>},
    Other{"hostname", set_address<&Address::hostname>},
    Other{"interface", set_address<&Address::interface>},
    Other{"dhcp", set_address<&Address::dhcp>},
    Other{"nics", set_nics},
    Other{"restart", set_restart},  // it overrides the on_* variables
};

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

/// Every variable that has an effect.
std::vector<std::string_view> known_names() {
    std::vector<std::string_view> out;
    for (const Field& row : fields()) {
        if (!row.file.empty()) out.push_back(row.file);
    }
    for (const DeviceKind& row : device_kinds()) out.push_back(row.variable);
    for (const Other& row : others) out.push_back(row.name);
    return out;
}

void warn(Context& c, const Value& value, const std::string& text) {
    c.warnings.push_back(fail_at(c.file, value.where, text).text);
}

/// Words that are neither fields nor devices: refused when they ask for another machine, else said once.
Outcome<> read_word(Context& c, const Word& word, const Value& value) {
    if (!asks(word, value)) return base::ok;
    const std::string name(word.name);
    switch (word.standing) {
        case Standing::refused: return wrong(c, word.name, value, std::string(word.what) + " are not supported yet; take it out");
        case Standing::hvm:
            if (std::holds_alternative<PvGuest>(c.config.guest)) {
                warn(c, value, "the variable '" + name + "' is for HVM domains: this one is PV, and it has no effect");
            }
            return base::ok;
        case Standing::harmless:
            warn(c, value, "the variable '" + name + "' has no effect: " + std::string(word.what));
            return base::ok;
    }
    return base::ok;
}

Outcome<> read_words(Context& c, const Variables& variables) {
    const std::vector<std::string_view> known = known_names();
    for (const auto& [name, value] : variables.items()) {
        if (const Word* word = find_word(name)) {
            OTRY(read_word(c, *word, value));
        } else if (std::ranges::find(known, name) == known.end() && value.as<Value::Opaque>() == nullptr &&
                   !name.starts_with("_") && !name.starts_with("xm_")) {
            warn(c, value, "unknown variable '" + name.substr(0, 60) + "'" + did_you_mean(name, known));
        }
    }
    return base::ok;
}

/// What is understood and waits for another variable, or for a later version.
void warn_about_effects(Context& c, const Variables& variables) {
    const auto given = [&](std::string_view name) -> const Value* {
        const Value* value = variables.find(std::string(name));
        return value != nullptr && !value->text().empty() && value->as<Value::None>() == nullptr ? value : nullptr;
    };
    if (c.config.ip.empty()) {
        for (const std::string_view name : {"gateway", "netmask", "hostname"}) {
            if (const Value* value = given(name)) {
                warn(c, *value, "the variable '" + std::string(name) + "' has no effect without ip, or dhcp");
            }
        }
    }
    if (const Value* value = given("bootargs"); value != nullptr && c.config.bootloader.empty()) {
        warn(c, *value, "the variable 'bootargs' has no effect without bootloader");
    }
    for (size_t i = 0; i < c.config.vifs.size(); ++i) {
        if (c.config.vifs[i].model.empty() || !std::holds_alternative<PvGuest>(c.config.guest)) continue;
        if (const Value* value = given("vif")) warn(c, *value, "vif: a PV domain's interface has no model");
    }
}

/// Every variable that has a meaning, in the order of the tables.
Outcome<> read_variables(Context& c, const Variables& variables) {
    c.vcpus_given = variables.find("vcpus") != nullptr;
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
    OTRY(read_words(c, variables));
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

Outcome<Loaded> parse_config(std::string_view text, const std::string& file, std::span<const Setting> settings,
                             const Runner& run) {
    Variables preset;
    OTRY(apply_settings(preset, settings));
    auto plain = evaluate(text, file, preset);
    if (!plain && run && plain.failure().code != Errc::toobig) {
        // What is no Python either is told in the words of the plain grammar, which knows what was wanted.
        auto program = run(text, file, preset);
        if (program || plain.failure().code == Errc::nosys) plain = std::move(program);
    }
    Variables variables = OTRY(std::move(plain));
    for (const auto& [name, value] : preset.items()) variables.set(name, value);  // the command line wins over the file
    Loaded out;
    Context context{file, out.config, {}, out.warnings};
    OTRY(read_variables(context, variables));
    warn_about_effects(context, variables);
    if (out.config.name.empty()) OTRY(name_after_file(out.config, file));
    return out;
}

}  // namespace config
