// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/libxl_json.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "lib/base/number.hpp"

namespace config {

using base::Errc;
using base::Outcome;
using Json = nlohmann::ordered_json;

namespace {

constexpr size_t most_bytes = 4U << 20U;

/// A value as a configuration file has it: "True" of libxl's is 1.
Outcome<std::string> text_of(const std::string& name, const Json& value) {
    if (value.is_string()) {
        const auto text = value.get<std::string>();
        return text == "True" ? "1" : text == "False" ? "0" : text;
    }
    if (value.is_boolean()) return std::string(value.get<bool>() ? "1" : "0");
    if (value.is_number_unsigned()) return std::to_string(value.get<uint64_t>());
    if (value.is_number_integer()) return std::to_string(value.get<int64_t>());
    return base::fail(Errc::inval, name + ": a text or a whole number is wanted, not " + value.type_name());
}

Outcome<uint64_t> number_of(const std::string& name, const Json& value) {
    if (value.is_number_unsigned()) return value.get<uint64_t>();
    return base::fail(Errc::inval, name + ": a whole number is wanted");
}

Outcome<std::vector<uint64_t>> numbers_of(const std::string& name, const Json& list) {
    if (!list.is_array()) return base::fail(Errc::inval, name + ": a list is wanted, not " + list.type_name());
    std::vector<uint64_t> out;
    for (const Json& one : list) out.push_back(OTRY(number_of(name, one)));
    return out;
}

/// Members that say what every PV domain of ours is like anyway, or what the image itself holds.
constexpr std::array<std::string_view, 18> without_effect = {"c_info.type",
                                                             "c_info.run_hotplug_scripts",
                                                             "c_info.passthrough",
                                                             "c_info.domid",
                                                             "b_info.claim_mode",
                                                             "b_info.video_memkb",
                                                             "b_info.shadow_memkb",
                                                             "b_info.iommu_memkb",
                                                             "b_info.type",
                                                             "b_info.arch_arm",
                                                             "b_info.arch_x86",
                                                             "b_info.numa_placement",
                                                             "b_info.vcpu_soft_affinity",
                                                             "b_info.cpuid",
                                                             "b_info.exec_ssidref",
                                                             "b_info.disable_migrate",
                                                             "on_soft_reset",
                                                             "b_info.nodemap"};

struct Renamed {
    std::string_view member, variable;
};
constexpr std::array renamed = {
    Renamed{"c_info.name", "name"},
    Renamed{"c_info.uuid", "uuid"},
    Renamed{"c_info.pool_name", "pool"},
    Renamed{"b_info.max_vcpus", "vcpus"},
    Renamed{"b_info.tsc_mode", "tsc_mode"},
    Renamed{"b_info.localtime", "localtime"},
    Renamed{"b_info.rtc_timeoffset", "rtc_timeoffset"},
    Renamed{"b_info.max_grant_frames", "max_grant_frames"},
    Renamed{"b_info.max_maptrack_frames", "max_maptrack_frames"},
    Renamed{"b_info.max_grant_version", "max_grant_version"},
    Renamed{"b_info.event_channels", "max_event_channels"},
    Renamed{"b_info.bootloader", "bootloader"},
    Renamed{"b_info.kernel", "kernel"},
    Renamed{"b_info.ramdisk", "ramdisk"},
    Renamed{"b_info.cmdline", "cmdline"},
    Renamed{"b_info.type.pv.kernel", "kernel"},
    Renamed{"b_info.type.pv.ramdisk", "ramdisk"},
    Renamed{"b_info.type.pv.cmdline", "cmdline"},
    Renamed{"b_info.sched_params.weight", "cpu_weight"},
};

/// Keys of a disk or a card, as their specifiers have them.
constexpr std::array disk_keys = {Renamed{"vdev", "vdev"}, Renamed{"format", "format"}, Renamed{"script", "script"},
                                  Renamed{"backend_domname", "backend"}};
constexpr std::array nic_keys = {Renamed{"mac", "mac"},
                                 Renamed{"bridge", "bridge"},
                                 Renamed{"script", "script"},
                                 Renamed{"ifname", "vifname"},
                                 Renamed{"ip", "ip"},
                                 Renamed{"mtu", "mtu"},
                                 Renamed{"gatewaydev", "gatewaydev"},
                                 Renamed{"model", "model"},
                                 Renamed{"backend_domname", "backend"}};

class Converter {
public:
    Outcome<> convert(const Json& all);
    std::vector<Setting> settings;
    std::vector<std::string> unknown;

private:
    Outcome<> member(const std::string& name, const Json& value);
    Outcome<> memory(const std::string& name, const Json& value, const char* variable);
    Outcome<> affinity(const std::string& name, const Json& value);
    Outcome<> online(const std::string& name, const Json& value);
    Outcome<> action(const std::string& name, const Json& value);
    Outcome<> loader_args(const std::string& name, const Json& value);
    Outcome<> disk(const Json& disk);
    Outcome<> nic(const Json& nic);
    template <class Each>
    Outcome<> each(const std::string& name, const Json& list, const Each& use);
    Outcome<std::string> specifier(const std::string& name, const Json& device, std::span<const Renamed> keys);
    uint64_t online_ = 0;  // vCPUs at the start; 0: all
    void set(std::string_view name, std::string value) { settings.push_back({std::string(name), std::move(value)}); }
};

Outcome<> Converter::convert(const Json& all) {
    for (const auto& [name, value] : all.items()) OTRY(member(name, value));
    const auto vcpus = std::ranges::find(settings, "vcpus", &Setting::name);
    const uint64_t count = vcpus == settings.end() ? 1 : base::parse_number<uint64_t>(vcpus->value).value_or(64);
    const bool are_all = count < 64 && online_ == (uint64_t{1} << count) - 1;
    if (online_ != 0 && !are_all) set("vcpu_avail", std::to_string(online_));
    return base::ok;
}

Outcome<> Converter::member(const std::string& name, const Json& value) {
    if (name == "c_info.type" && value != "pv") return base::fail(Errc::opnotsupp, name + ": only PV domains are supported yet");
    if (std::ranges::find(without_effect, name) != without_effect.end()) return base::ok;
    if (name == "b_info.bootloader_args") return loader_args(name, value);
    if (const auto at = std::ranges::find(renamed, name, &Renamed::member); at != renamed.end()) {
        set(at->variable, OTRY(text_of(name, value)));
        return base::ok;
    }
    if (name == "b_info.max_memkb") return memory(name, value, "maxmem");
    if (name == "b_info.target_memkb") return memory(name, value, "memory");
    if (name == "b_info.vcpu_hard_affinity") return affinity(name, value);
    if (name == "b_info.avail_vcpus") return online(name, value);
    if (name == "b_info.sched_params.sched") return base::ok;
    if (name == "b_info.sched_params.cap") {
        if (OTRY(number_of(name, value)) != 0) set("cpu_cap", OTRY(text_of(name, value)));
        return base::ok;
    }
    if (name.starts_with("on_")) return action(name, value);
    if (name == "disks") return each(name, value, [this](const Json& d) { return disk(d); });
    if (name == "nics") return each(name, value, [this](const Json& n) { return nic(n); });
    if (name == "pcidevs" && value.is_array() && !value.empty())
        return base::fail(Errc::opnotsupp, name + ": devices of the host are not supported");
    if (value.is_object() &&
        (name == "c_info" || name == "b_info" || name == "b_info.type.pv" || name == "b_info.sched_params")) {
        for (const auto& [key, inner] : value.items()) {
            std::string below = name;
            OTRY(member(below.append(".").append(key), inner));
        }
        return base::ok;
    }
    if (!value.empty()) unknown.push_back(name.substr(0, 60));
    return base::ok;
}

/// KiB there, MiB here.
Outcome<> Converter::memory(const std::string& name, const Json& value, const char* variable) {
    const uint64_t kib = OTRY(number_of(name, value));
    set(variable, std::to_string(kib / 1024 + (kib % 1024 != 0 ? 1 : 0)));
    return base::ok;
}

template <class Each>
Outcome<> Converter::each(const std::string& name, const Json& list, const Each& use) {
    if (!list.is_array()) return base::fail(Errc::inval, name + ": a list is wanted, not " + list.type_name());
    for (const Json& one : list) OTRY(use(one));
    return base::ok;
}

/// A list of CPUs for each vCPU: our text has ';' between them, and one for all when they are alike.
Outcome<> Converter::affinity(const std::string& name, const Json& value) {
    std::vector<std::string> lists;
    const auto add = [&](const Json& vcpu) -> Outcome<> {
        std::string text;
        for (const uint64_t cpu : OTRY(numbers_of(name, vcpu))) text += (text.empty() ? "" : ",") + std::to_string(cpu);
        lists.push_back(std::move(text));
        return base::ok;
    };
    OTRY(each(name, value, add));
    const bool alike = std::ranges::adjacent_find(lists, std::ranges::not_equal_to{}) == lists.end();
    if (alike && !lists.empty()) lists.resize(1);
    std::string all;
    for (const std::string& list : lists) all += (all.empty() ? "" : ";") + list;
    if (!all.empty()) set("cpus", all);
    return base::ok;
}

/// Which vCPUs are online at the start.
Outcome<> Converter::online(const std::string& name, const Json& value) {
    uint64_t mask = 0;
    for (const uint64_t vcpu : OTRY(numbers_of(name, value))) {
        if (vcpu >= 63) return base::ok;  // more than the map has room for: all
        mask |= uint64_t{1} << vcpu;
    }
    online_ = mask;
    return base::ok;
}

Outcome<> Converter::action(const std::string& name, const Json& value) {
    std::string word = OTRY(text_of(name, value));
    std::ranges::replace(word, '_', '-');
    set(name, word);
    return base::ok;
}

Outcome<> Converter::loader_args(const std::string& name, const Json& value) {
    std::string words;
    const auto add = [&](const Json& word) -> Outcome<> {
        words += (words.empty() ? "" : " ") + OTRY(text_of(name, word));
        return base::ok;
    };
    OTRY(each(name, value, add));
    set("bootargs", words);
    return base::ok;
}

Outcome<std::string> Converter::specifier(const std::string& name, const Json& device, std::span<const Renamed> keys) {
    if (!device.is_object()) return base::fail(Errc::inval, name + ": an object is wanted, not " + device.type_name());
    std::string out;
    for (const Renamed& key : keys) {
        const auto at = device.find(std::string(key.member));
        if (at == device.end()) continue;
        const std::string value = OTRY(text_of(name, *at));
        if (key.member == "format" && value == "empty") continue;  // a drive without a medium: there is no path either
        if (value.find(',') != std::string::npos)
            return base::fail(Errc::inval, name + ": a comma in " + std::string(key.member));
        out += (out.empty() ? "" : ",") + std::string(key.variable) + "=" + value;
    }
    return out;
}

Outcome<> Converter::disk(const Json& device) {
    std::string out = OTRY(specifier("disks", device, disk_keys));
    const auto is_set = [&](const char* key) { return device.contains(key) && device[key] != 0 && device[key] != "False"; };
    out += is_set("readwrite") ? ",access=rw" : ",access=ro";
    if (is_set("is_cdrom")) out += ",devtype=cdrom";
    if (device.contains("discard_enable") && device["discard_enable"] == "False") out += ",no-discard";
    if (device.contains("trusted") && device["trusted"] == "False") out += ",untrusted";
    set("disk", out + ",target=" + (device.contains("pdev_path") ? OTRY(text_of("disks", device["pdev_path"])) : std::string()));
    return base::ok;
}

Outcome<> Converter::nic(const Json& device) {
    std::string out = OTRY(specifier("nics", device, nic_keys));
    const size_t position = static_cast<size_t>(std::ranges::count(settings, "vif", &Setting::name));
    if (const auto at = device.find("devid"); at != device.end()) {
        const uint64_t devid = OTRY(number_of("nics", *at));
        if (devid != position) out += (out.empty() ? "devid=" : ",devid=") + std::to_string(devid);
    }
    if (device.contains("rate_bytes_per_interval") && device.contains("rate_interval_usecs")) {
        const uint64_t bytes = OTRY(number_of("nics", device["rate_bytes_per_interval"]));
        const uint64_t usec = OTRY(number_of("nics", device["rate_interval_usecs"]));
        if (usec != 0 && bytes < UINT32_MAX)
            out += (out.empty() ? "rate=" : ",rate=") + std::to_string(bytes * 1'000'000 / usec) + "B/s@" + std::to_string(usec) +
                   "us";
    }
    set("vif", out);
    return base::ok;
}

}  // namespace

Outcome<Loaded> from_libxl_json(std::string_view text, const std::string& where) {
    if (text.size() > most_bytes)
        return base::fail(Errc::toobig, where + ": more than " + std::to_string(most_bytes) + " bytes of JSON");
    const Json all = Json::parse(text, nullptr, false);
    if (!all.is_object()) return base::fail(Errc::inval, where + ": a domain configuration is one JSON object");
    Converter converter;
    OTRY(converter.convert(all).context(where));
    auto loaded = OTRY(parse_config("", where, converter.settings));
    for (const std::string& name : converter.unknown)
        loaded.warnings.push_back(std::string(where).append(": '").append(name).append("' is not known here and left out"));
    return loaded;
}

}  // namespace config
