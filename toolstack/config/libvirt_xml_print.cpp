// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <pugixml.hpp>
#include <sstream>

#include "toolstack/config/libvirt_xml.hpp"
#include "toolstack/config/split.hpp"

namespace config {

using base::Errc;
using base::Outcome;
using Node = pugi::xml_node;

namespace {

Node add(Node to, const char* name, const std::string& value) {
    Node out = to.append_child(name);
    out.text().set(value.c_str());
    return out;
}

void add_unless_empty(Node to, const char* name, const std::string& value) {
    if (!value.empty()) add(to, name, value);
}

void attribute(Node to, const char* name, const std::string& value) { to.append_attribute(name).set_value(value.c_str()); }

/// The words that libvirt has for what stops a domain; a dump is taken of one that crashed alone.
void add_action(Node to, const char* name, ExitAction action) {
    const bool crash = std::string_view(name) == "on_crash";
    add(to, name, std::string(name_of(crash ? action : without_dump(action))));
}

void add_memory(Node domain, const DomainConfig& c) {
    attribute(add(domain, "memory", std::to_string(c.max_memory_mib() * 1024)), "unit", "KiB");
    attribute(add(domain, "currentMemory", std::to_string(c.memory_mib * 1024)), "unit", "KiB");
}

/// How many of the vCPUs are there at the start, where these are the first ones: no others can be told.
uint32_t first_online(const DomainConfig& c) {
    const auto count = static_cast<uint32_t>(std::popcount(c.vcpu_avail));
    const bool are_first = std::has_single_bit(c.vcpu_avail + 1);
    return c.vcpu_avail != 0 && are_first && count < c.vcpus ? count : c.vcpus;
}

void add_vcpus(Node domain, const DomainConfig& c) {
    Node vcpu = add(domain, "vcpu", std::to_string(c.vcpus));
    attribute(vcpu, "placement", "static");
    const bool alike = c.cpus.find(';') == std::string::npos;
    if (alike && !c.cpus.empty() && c.cpus != "all") attribute(vcpu, "cpuset", c.cpus);
    if (const uint32_t online = first_online(c); online != c.vcpus) attribute(vcpu, "current", std::to_string(online));
    if (alike && !c.cpu_weight) return;
    Node tune = domain.append_child("cputune");
    if (c.cpu_weight) add(tune, "shares", std::to_string(*c.cpu_weight));
    for (uint32_t i = 0; !alike && i < c.vcpus; ++i) {
        const std::string cpus(trim(cpus_of_vcpu(c.cpus, i)));
        if (cpus.empty() || cpus == "all") continue;
        Node pin = tune.append_child("vcpupin");
        attribute(pin, "vcpu", std::to_string(i));
        attribute(pin, "cpuset", cpus);
    }
}

void add_os(Node domain, const DomainConfig& c) {
    add_unless_empty(domain, "bootloader", c.bootloader);
    add_unless_empty(domain, "bootloader_args", c.bootargs);
    Node os = domain.append_child("os");
    Node type = add(os, "type", "linux");
    attribute(type, "arch", "x86_64");
    attribute(type, "machine", "xenpv");
    add_unless_empty(os, "kernel", c.kernel);
    add_unless_empty(os, "initrd", c.ramdisk);
    add_unless_empty(os, "cmdline", c.cmdline());
}

void add_clock(Node domain, const DomainConfig& c) {
    static constexpr std::array<const char*, 4> modes = {"auto", "emulate", "native", "paravirt"};  // by number, as tsc_modes
    Node clock = domain.append_child("clock");
    const char* basis = c.localtime ? "localtime" : "utc";
    if (c.rtc_timeoffset != 0) {
        attribute(clock, "offset", "variable");
        attribute(clock, "adjustment", std::to_string(c.rtc_timeoffset));
        attribute(clock, "basis", basis);
    } else {
        attribute(clock, "offset", basis);
        attribute(clock, "adjustment", "reset");
    }
    if (!c.tsc_mode) return;
    Node timer = clock.append_child("timer");
    attribute(timer, "name", "tsc");
    attribute(timer, "mode", modes[*c.tsc_mode]);
}

void add_backend(Node device, const std::string& backend) {
    if (backend != "0") attribute(device.append_child("backenddomain"), "name", backend);
}

Outcome<> add_disk(Node devices, const Disk& disk) {
    const bool is_file = disk.type == "file" || is_image_format(disk.type);
    if (!is_file && disk.type != "phy" && !disk.type.empty()) {
        return base::fail(Errc::opnotsupp, "disk: libvirt has no word for the script of '" + disk.uname() + "'");
    }
    Node out = devices.append_child("disk");
    attribute(out, "type", is_file || disk.target.empty() ? "file" : "block");
    attribute(out, "device", disk.cdrom ? "cdrom" : "disk");
    Node driver = out.append_child("driver");
    attribute(driver, "name", is_file ? "qemu" : "phy");
    attribute(driver, "type", is_image_format(disk.type) ? disk.type : "raw");
    if (!disk.discard) attribute(driver, "discard", "ignore");
    if (!disk.target.empty()) attribute(out.append_child("source"), is_file ? "file" : "dev", disk.target);
    add_backend(out, disk.backend);
    Node target = out.append_child("target");
    attribute(target, "dev", disk.vdev);
    attribute(target, "bus", disk.vdev.starts_with("hd") ? "ide" : disk.vdev.starts_with("sd") ? "scsi" : "xen");
    if (disk.mode == DiskMode::read_only) out.append_child("readonly");
    if (disk.mode == DiskMode::shared_write) out.append_child("shareable");
    return base::ok;
}

void add_addresses(Node card, const std::string& all) {
    for (const std::string_view word : split(all, ' ')) {
        if (word.empty()) continue;
        const size_t slash = word.find('/');
        Node ip = card.append_child("ip");
        attribute(ip, "address", std::string(word.substr(0, slash)));
        attribute(ip, "family", word.find(':') == std::string_view::npos ? "ipv4" : "ipv6");
        if (slash != std::string_view::npos) attribute(ip, "prefix", std::string(word.substr(slash + 1)));
    }
}

void add_card(Node devices, const Vif& vif) {
    Node out = devices.append_child("interface");
    attribute(out, "type", vif.bridge.empty() ? "ethernet" : "bridge");
    if (!vif.mac.empty()) attribute(out.append_child("mac"), "address", vif.mac);
    if (!vif.bridge.empty()) attribute(out.append_child("source"), "bridge", vif.bridge);
    add_addresses(out, vif.ip);
    if (!vif.script.empty()) attribute(out.append_child("script"), "path", vif.script);
    add_backend(out, vif.backend);
    if (!vif.vifname.empty()) attribute(out.append_child("target"), "dev", vif.vifname);
    if (!vif.mtu.empty()) attribute(out.append_child("mtu"), "size", vif.mtu);
    const auto limit = rate_limit(vif.rate);
    if (vif.rate.empty() || !limit || limit->usec == 0) return;
    attribute(out.append_child("bandwidth").append_child("outbound"), "average",
              std::to_string((limit->per_second() + 512) / 1024));  // KiB/s
}

void add_controllers(Node devices, const DomainConfig& c) {
    if (!c.max_grant_frames && !c.max_event_channels) return;
    Node out = devices.append_child("controller");
    attribute(out, "type", "xenbus");
    attribute(out, "index", "0");
    if (c.max_grant_frames) attribute(out, "maxGrantFrames", std::to_string(*c.max_grant_frames));
    if (c.max_event_channels) attribute(out, "maxEventChannels", std::to_string(*c.max_event_channels));
}

void add_console(Node devices) {
    Node out = devices.append_child("console");
    attribute(out, "type", "pty");
    Node target = out.append_child("target");
    attribute(target, "type", "xen");
    attribute(target, "port", "0");
}

}  // namespace

Outcome<std::string> to_libvirt_xml(const DomainConfig& c) {
    if (!std::holds_alternative<PvGuest>(c.guest)) return base::fail(Errc::opnotsupp, "only PV domains are supported yet");
    pugi::xml_document document;
    Node domain = document.append_child("domain");
    attribute(domain, "type", "xen");
    add(domain, "name", c.name);
    if (!c.uuid.is_nil()) add(domain, "uuid", c.uuid.text());
    add_memory(domain, c);
    add_vcpus(domain, c);
    add_os(domain, c);
    add_clock(domain, c);
    add_action(domain, "on_poweroff", c.on_poweroff);
    add_action(domain, "on_reboot", c.on_reboot);
    add_action(domain, "on_crash", c.on_crash);
    Node devices = domain.append_child("devices");
    for (const Disk& disk : c.disks) OTRY(add_disk(devices, disk));
    add_controllers(devices, c);
    for (const Vif& vif : c.vifs) add_card(devices, vif);
    add_console(devices);
    std::ostringstream out;
    document.save(out, "  ", pugi::format_default | pugi::format_no_declaration, pugi::encoding_utf8);
    return std::move(out).str();
}

}  // namespace config
