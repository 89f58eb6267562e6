// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/libvirt_xml.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <pugixml.hpp>

#include "lib/base/number.hpp"

namespace config {

using base::Errc;
using base::Outcome;
using Node = pugi::xml_node;

namespace {

constexpr size_t most_bytes = 1U << 20U;

/// Elements that say what every PV domain of ours is like anyway, or what is for people.
constexpr std::array<std::string_view, 16> without_effect = {
    "title",         "description",        "metadata",         "genid",
    "resource",      "seclabel",           "devices/emulator", "devices/console",
    "devices/input", "devices/memballoon", "devices/video",    "features/acpi",
    "features/apic", "features/pae",       "os/boot",          "on_lockfailure"};

/// Elements whose text is the value of a variable.
struct Renamed {
    std::string_view element, variable;
};
constexpr std::array renamed = {
    Renamed{"name", "name"},
    Renamed{"uuid", "uuid"},
    Renamed{"bootloader", "bootloader"},
    Renamed{"bootloader_args", "bootargs"},
    Renamed{"on_poweroff", "on_poweroff"},
    Renamed{"on_reboot", "on_reboot"},
    Renamed{"on_crash", "on_crash"},
    Renamed{"os/kernel", "kernel"},
    Renamed{"os/initrd", "ramdisk"},
    Renamed{"os/cmdline", "cmdline"},
    Renamed{"cputune/shares", "cpu_weight"},
};

constexpr std::array tsc_words = {Renamed{"auto", "default"}, Renamed{"emulate", "always_emulate"}, Renamed{"native", "native"},
                                  Renamed{"paravirt", "native_paravirt"}};

struct Unit {
    std::string_view name;
    uint64_t bytes;
};
constexpr std::array units = {Unit{"b", 1},           Unit{"bytes", 1},        Unit{"KB", 1'000},
                              Unit{"k", 1U << 10U},   Unit{"KiB", 1U << 10U},  Unit{"MB", 1'000'000},
                              Unit{"M", 1U << 20U},   Unit{"MiB", 1U << 20U},  Unit{"GB", 1'000'000'000},
                              Unit{"G", 1U << 30U},   Unit{"GiB", 1U << 30U},  Unit{"TB", 1'000'000'000'000},
                              Unit{"T", 1ULL << 40U}, Unit{"TiB", 1ULL << 40U}};

base::Failure refused(std::string text) { return base::fail(Errc::opnotsupp, std::move(text)); }
base::Failure inval(std::string text) { return base::fail(Errc::inval, std::move(text)); }

std::string attribute(Node node, const char* name) { return node.attribute(name).value(); }

class Reader {
public:
    Outcome<> domain(Node root);
    std::vector<Setting> settings;
    std::vector<std::string> unknown;

private:
    using Each = Outcome<> (Reader::*)(Node);
    /// What an element is for which a text alone says too little.
    struct Element {
        std::string_view name;
        Each read;
    };
    static const std::array<Element, 10> elements;

    Outcome<> inside(Node node, const std::string& path);
    Outcome<> element(Node node, const std::string& path);
    Outcome<> type(Node node);
    Outcome<> most_memory(Node node) { return memory(node, "maxmem"); }
    Outcome<> current_memory(Node node) { return memory(node, "memory"); }
    Outcome<> memory(Node node, const char* variable);
    Outcome<> vcpu(Node node);
    Outcome<> pin(Node node);
    Outcome<> clock(Node node);
    Outcome<> disk(Node node);
    Outcome<> card(Node node);
    Outcome<> controller(Node node);
    Outcome<> of_the_host(Node node);
    Outcome<> pins_together();

    void set(std::string_view name, std::string value) { settings.push_back({std::string(name), std::move(value)}); }
    /// Adds `,key=value`. Errors: inval for a value that would be taken for two.
    static Outcome<> say(std::string& specifier, std::string_view key, const std::string& value);

    std::vector<std::pair<uint32_t, std::string>> pins_;
};

constexpr std::array<Reader::Element, 10> Reader::elements = {{
    {"os/type", &Reader::type},
    {"memory", &Reader::most_memory},
    {"currentMemory", &Reader::current_memory},
    {"vcpu", &Reader::vcpu},
    {"cputune/vcpupin", &Reader::pin},
    {"clock", &Reader::clock},
    {"devices/disk", &Reader::disk},
    {"devices/interface", &Reader::card},
    {"devices/controller", &Reader::controller},
    {"devices/hostdev", &Reader::of_the_host},
}};

Outcome<> Reader::domain(Node root) {
    if (std::string_view(root.name()) != "domain")
        return inval("a <domain> is wanted, not <" + std::string(root.name()).substr(0, 40) + ">");
    if (attribute(root, "type") != "xen")
        return refused("<domain>: its type is '" + attribute(root, "type").substr(0, 40) + "', not 'xen'");
    if (!root.child("os")) return inval("<os> is missing");
    OTRY(inside(root, ""));
    return pins_together();
}

Outcome<> Reader::inside(Node node, const std::string& path) {
    for (const Node child : node.children()) {
        if (child.type() == pugi::node_element) OTRY(element(child, path + child.name()));
    }
    return base::ok;
}

Outcome<> Reader::element(Node node, const std::string& path) {
    if (path == "os" || path == "cputune" || path == "devices" || path == "features") return inside(node, path + "/");
    if (const auto at = std::ranges::find(renamed, path, &Renamed::element); at != renamed.end()) {
        set(at->variable, node.child_value());
        return base::ok;
    }
    if (const auto at = std::ranges::find(elements, path, &Element::name); at != elements.end()) {
        return (this->*at->read)(node).context("<" + std::string(node.name()) + ">");
    }
    if (std::ranges::find(without_effect, path) == without_effect.end()) unknown.push_back("<" + path.substr(0, 60) + ">");
    return base::ok;
}

Outcome<> Reader::type(Node node) {
    const std::string type = node.child_value();
    // 'xen' is what libvirt called it once.
    if (type != "linux" && type != "xen")
        return refused("'" + type.substr(0, 40) + "': only PV domains are supported yet ('linux')");
    if (const auto machine = attribute(node, "machine"); !machine.empty() && machine != "xenpv") {
        return refused("the machine '" + machine.substr(0, 40) + "' is no PV domain");
    }
    return base::ok;
}

Outcome<> Reader::memory(Node node, const char* variable) {
    const auto count = base::parse_number<uint64_t>(node.child_value());
    const std::string unit = node.attribute("unit") ? attribute(node, "unit") : "KiB";
    const auto at = std::ranges::find(units, unit, &Unit::name);
    if (at == units.end()) return inval("'" + unit.substr(0, 40) + "' is no unit of memory");
    if (!count || *count > std::numeric_limits<uint64_t>::max() / at->bytes) {
        return inval("'" + std::string(node.child_value()).substr(0, 40) + "' is not a number");
    }
    const uint64_t bytes = *count * at->bytes, mib = 1U << 20U;
    set(variable, std::to_string(bytes / mib + (bytes % mib != 0 ? 1 : 0)));
    return base::ok;
}

/// `<vcpu cpuset='0-3' current='1'>4</vcpu>`: the first ones are there at the start.
Outcome<> Reader::vcpu(Node node) {
    const std::string count = node.child_value();
    set("vcpus", count);
    if (const auto cpus = attribute(node, "cpuset"); !cpus.empty()) set("cpus", cpus);
    const auto current = attribute(node, "current");
    const auto all = base::parse_number<uint32_t>(count), online = base::parse_number<uint32_t>(current);
    if (current.empty() || (all && online && *online == *all)) return base::ok;
    if (!all || !online || *online == 0 || *online > *all)
        return inval("current='" + current.substr(0, 40) + "' is out of range");
    if (*online >= 64) return inval("more than 63 of the vCPUs at the start, and not all, cannot be told");
    set("vcpu_avail", std::to_string((uint64_t{1} << *online) - 1));
    return base::ok;
}

Outcome<> Reader::pin(Node node) {
    const auto vcpu = base::parse_number<uint32_t>(attribute(node, "vcpu"));
    const std::string cpus = attribute(node, "cpuset");
    if (!vcpu || *vcpu >= max_vcpus || cpus.empty()) return inval("vcpu='N' and cpuset='CPUS' are wanted");
    pins_.emplace_back(*vcpu, cpus);
    return base::ok;
}

/// One list a vCPU; who has none runs where `cpuset` says.
Outcome<> Reader::pins_together() {
    if (pins_.empty()) return base::ok;
    const auto value = [this](const char* name, const char* otherwise) {
        const auto at = std::ranges::find(settings, name, &Setting::name);
        return at == settings.end() ? std::string(otherwise) : at->value;
    };
    const uint32_t count = std::min(base::parse_number<uint32_t>(value("vcpus", "1")).value_or(1), max_vcpus);
    const std::string others = value("cpus", "all");
    std::string all;
    for (uint32_t vcpu = 0; vcpu < count; ++vcpu) {
        const auto at = std::ranges::find(pins_, vcpu, &std::pair<uint32_t, std::string>::first);
        all += (vcpu == 0 ? "" : ";") + (at == pins_.end() ? others : at->second);
    }
    std::erase_if(settings, [](const Setting& setting) { return setting.name == "cpus"; });
    set("cpus", all);
    return base::ok;
}

Outcome<> Reader::clock(Node node) {
    const std::string offset = attribute(node, "offset");
    const bool varies = offset == "variable";
    if (offset == "localtime" || (varies && attribute(node, "basis") == "localtime")) set("localtime", "1");
    else if (!varies && offset != "utc") unknown.push_back("<clock offset='" + offset.substr(0, 40) + "'>");
    if (varies) set("rtc_timeoffset", attribute(node, "adjustment"));
    for (const Node timer : node.children("timer")) {
        const std::string name = attribute(timer, "name"), mode = attribute(timer, "mode");
        const auto at = std::ranges::find(tsc_words, mode, &Renamed::element);
        if (name == "tsc" && at != tsc_words.end()) set("tsc_mode", std::string(at->variable));
        else unknown.push_back("<timer name='" + name.substr(0, 40) + "'>");
    }
    return base::ok;
}

Outcome<> Reader::say(std::string& specifier, std::string_view key, const std::string& value) {
    if (value.empty()) return base::ok;
    if (value.find(',') != std::string::npos) return inval("a comma in the " + std::string(key));
    specifier += (specifier.empty() ? "" : ",") + std::string(key) + "=" + value;
    return base::ok;
}

Outcome<> Reader::disk(Node node) {
    const std::string type = attribute(node, "type"), device = attribute(node, "device");
    const Node source = node.child("source"), driver = node.child("driver");
    if (type != "file" && type != "block") return refused("disks of type '" + type.substr(0, 40) + "' are not known here");
    if (!device.empty() && device != "disk" && device != "cdrom")
        return refused("'" + device.substr(0, 40) + "' is no device here");
    std::string out;
    OTRY(say(out, "vdev", attribute(node.child("target"), "dev")));
    OTRY(say(out, "format", driver.attribute("type") && attribute(driver, "type") != "aio" ? attribute(driver, "type") : "raw"));
    const bool reads = node.child("readonly") || device == "cdrom";
    OTRY(say(out, "access", reads ? "r" : node.child("shareable") ? "w!" : "w"));
    OTRY(say(out, "backend", attribute(node.child("backenddomain"), "name")));
    if (device == "cdrom") out += ",devtype=cdrom";
    if (attribute(driver, "discard") == "ignore") out += ",no-discard";
    set("disk", out + ",target=" + attribute(source, type == "file" ? "file" : "dev"));
    return base::ok;
}

Outcome<> Reader::card(Node node) {
    const std::string type = attribute(node, "type"), bridge = attribute(node.child("source"), "bridge");
    const bool of_libvirt = type == "network" && bridge.empty();
    if (of_libvirt || (type != "bridge" && type != "ethernet" && type != "network")) {
        return refused("'" + type.substr(0, 40) +
                       "': only cards on a bridge (type='bridge') or by a script (type='ethernet') can be had");
    }
    std::string out, addresses;
    for (const Node ip : node.children("ip")) {
        const std::string prefix = attribute(ip, "prefix");
        addresses += (addresses.empty() ? "" : " ") + attribute(ip, "address") + (prefix.empty() ? "" : "/" + prefix);
    }
    OTRY(say(out, "mac", attribute(node.child("mac"), "address")));
    OTRY(say(out, "bridge", bridge));
    OTRY(say(out, "script", attribute(node.child("script"), "path")));
    OTRY(say(out, "vifname", attribute(node.child("target"), "dev")));
    OTRY(say(out, "ip", addresses));
    OTRY(say(out, "mtu", attribute(node.child("mtu"), "size")));
    OTRY(say(out, "backend", attribute(node.child("backenddomain"), "name")));
    if (const auto average = attribute(node.child("bandwidth").child("outbound"), "average"); !average.empty()) {
        const auto kib = base::parse_number<uint32_t>(average);
        if (!kib) return inval("the average '" + average.substr(0, 40) + "' is not a number");
        OTRY(say(out, "rate", std::to_string(uint64_t{*kib} * 1024) + "B/s"));
    }
    set("vif", out);
    return base::ok;
}

Outcome<> Reader::controller(Node node) {
    if (attribute(node, "type") != "xenbus") return base::ok;  // what it is for is refused where it stands
    if (const auto most = attribute(node, "maxGrantFrames"); !most.empty()) set("max_grant_frames", most);
    if (const auto most = attribute(node, "maxEventChannels"); !most.empty()) set("max_event_channels", most);
    return base::ok;
}

Outcome<> Reader::of_the_host(Node) { return refused("devices of the host are not supported"); }

size_t line_of(std::string_view text, std::ptrdiff_t offset) {
    const auto end = text.begin() + std::clamp<std::ptrdiff_t>(offset, 0, static_cast<std::ptrdiff_t>(text.size()));
    return static_cast<size_t>(std::count(text.begin(), end, '\n')) + 1;
}

}  // namespace

Outcome<Loaded> from_libvirt_xml(std::string_view text, const std::string& where) {
    if (text.size() > most_bytes)
        return base::fail(Errc::toobig, where + ": more than " + std::to_string(most_bytes) + " bytes of XML");
    pugi::xml_document document;
    const auto parsed = document.load_buffer(text.data(), text.size());
    if (!parsed) return inval(where + ":" + std::to_string(line_of(text, parsed.offset)) + ": " + parsed.description());
    Reader reader;
    OTRY(reader.domain(document.document_element()).context(where));
    auto loaded = OTRY(parse_config("", where, reader.settings));
    for (const std::string& name : reader.unknown) {
        loaded.warnings.push_back(std::string(where).append(": ").append(name).append(" is not known here and left out"));
    }
    return loaded;
}

}  // namespace config
