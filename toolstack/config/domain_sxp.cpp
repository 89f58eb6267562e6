// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/domain_sxp.hpp"
#include "lib/base/number.hpp"

namespace config {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

void add_if(Sxp& to, const char* name, const std::string& value) {
    if (!value.empty()) to.add(name, value);
}

Outcome<uint64_t> number(const Sxp& sxp, const char* name, uint64_t otherwise, uint64_t most) {
    const auto text = sxp.child_value(name);
    if (!text || text->empty()) return otherwise;
    const auto value = base::parse_number<uint64_t>(*text);
    if (!value || *value > most) {
        return base::fail(Errc::inval, std::string("(") + name + " …): '" + text->substr(0, 40) + "' is not a number in range");
    }
    return *value;
}

Outcome<ExitAction> action(const Sxp& sxp, const char* name, ExitAction otherwise) {
    const auto text = sxp.child_value(name);
    if (!text || text->empty()) return otherwise;
    const auto parsed = parse_exit_action(*text);
    if (!parsed) return base::fail(Errc::inval, std::string("invalid restart event: ") + name + " = " + text->substr(0, 60));
    return *parsed;
}

Outcome<Disk> disk_from(const Sxp& sxp) {
    // Back through the specifier: one parser, one set of checks.
    const std::string dev = sxp.child_value("dev", "");
    std::string spec = sxp.child_value("uname", "") + "," + dev + "," + sxp.child_value("mode", "w");
    return parse_disk(spec + "," + sxp.child_value("backend", "0"));
}

Outcome<Vif> vif_from(const Sxp& sxp) {
    std::string spec;
    for (const char* key : {"mac", "bridge", "script", "vifname", "ip", "rate", "model", "type", "backend"}) {
        const std::string value = sxp.child_value(key, "");
        if (value.find(',') != std::string::npos) return base::fail(Errc::inval, std::string("vif: a comma in ") + key);
        if (!value.empty()) spec += (spec.empty() ? "" : ",") + std::string(key) + "=" + value;
    }
    return parse_vif(spec);
}

Outcome<> image_from(const Sxp& sxp, DomainConfig& config) {
    const Sxp* image = sxp.child("image");
    if (image == nullptr || image->children().empty()) return base::fail(Errc::inval, "(image …) is missing");
    const Sxp& kind = *image->children().front();
    config.builder = kind.name();
    config.kernel = kind.child_value("kernel", "");
    config.ramdisk = kind.child_value("ramdisk", "");
    config.ip = kind.child_value("ip", "");
    config.root = kind.child_value("root", "");
    config.nfs_server = kind.child_value("nfs_server", "");
    config.nfs_root = kind.child_value("nfs_root", "");
    config.extra = kind.child_value("args", "");
    config.features = kind.child_value("features", "");
    return base::ok;
}

Outcome<> devices_from(const Sxp& sxp, DomainConfig& config) {
    for (const Sxp* device : sxp.children("device")) {
        for (const Sxp* one : device->children()) {
            if (one->name() == "vbd" || one->name() == "tap") {
                config.disks.push_back(OTRY(disk_from(*one)));
            } else if (one->name() == "vif") {
                config.vifs.push_back(OTRY(vif_from(*one)));
            } else if (one->name() != "console") {
                return base::fail(Errc::inval, "unknown device type: " + std::string(one->name()));
            }
        }
    }
    return base::ok;
}

}  // namespace

Sxp to_sxp(const Disk& disk) {
    Sxp out = Sxp::named("vbd");
    out.add("uname", disk.uname());
    out.add("dev", disk.vdev + (disk.cdrom ? ":cdrom" : ""));
    out.add("mode", std::string(name_of(disk.mode)));
    if (disk.backend != "0") out.add("backend", disk.backend);
    return out;
}

Sxp to_sxp(const Vif& vif) {
    Sxp out = Sxp::named("vif");
    add_if(out, "type", vif.type);
    add_if(out, "mac", vif.mac);
    add_if(out, "bridge", vif.bridge);
    add_if(out, "script", vif.script);
    add_if(out, "vifname", vif.vifname);
    add_if(out, "ip", vif.ip);
    add_if(out, "rate", vif.rate);
    add_if(out, "model", vif.model);
    if (vif.backend != "0") out.add("backend", vif.backend);
    return out;
}

Sxp image_sxp(const DomainConfig& config) {
    Sxp kind = Sxp::named(config.builder);
    kind.add("kernel", config.kernel);
    add_if(kind, "ramdisk", config.ramdisk);
    add_if(kind, "ip", config.ip);
    add_if(kind, "root", config.root);
    add_if(kind, "nfs_server", config.nfs_server);
    add_if(kind, "nfs_root", config.nfs_root);
    add_if(kind, "args", config.extra);
    add_if(kind, "features", config.features);
    return Sxp::named("image").add(std::move(kind));
}

Sxp to_sxp(const DomainConfig& config) {
    Sxp out = Sxp::named("vm");
    out.add("name", config.name);
    out.add("memory", std::to_string(config.memory_mib));
    if (config.maxmem_mib != 0) out.add("maxmem", std::to_string(config.maxmem_mib));
    out.add("vcpus", std::to_string(config.vcpus));
    if (config.vcpu_avail != 0) out.add("vcpu_avail", std::to_string(config.vcpu_avail));
    if (!config.uuid.is_nil()) out.add("uuid", config.uuid.text());
    add_if(out, "cpus", config.cpus);
    if (config.cpu_weight) out.add("cpu_weight", std::to_string(*config.cpu_weight));
    if (config.cpu_cap) out.add("cpu_cap", std::to_string(*config.cpu_cap));
    out.add("on_poweroff", std::string(name_of(config.on_poweroff)));
    out.add("on_reboot", std::string(name_of(config.on_reboot)));
    out.add("on_crash", std::string(name_of(config.on_crash)));
    if (config.on_xend_start != "ignore") out.add("on_xend_start", config.on_xend_start);
    if (config.on_xend_stop != "ignore") out.add("on_xend_stop", config.on_xend_stop);
    add_if(out, "bootloader", config.bootloader);
    add_if(out, "bootloader_args", config.bootargs);
    out.add(image_sxp(config));
    for (const Disk& disk : config.disks) out.add(Sxp::named("device").add(to_sxp(disk)));
    for (const Vif& vif : config.vifs) out.add(Sxp::named("device").add(to_sxp(vif)));
    return out;
}

Outcome<DomainConfig> from_sxp(const Sxp& sxp) {
    if (sxp.name() != "vm" && sxp.name() != "domain") return base::fail(Errc::inval, "a domain configuration begins with (vm …");
    DomainConfig config;
    config.name = sxp.child_value("name", "");
    config.memory_mib = OTRY(number(sxp, "memory", config.memory_mib, 1ULL << 24U));
    config.maxmem_mib = OTRY(number(sxp, "maxmem", 0, 1ULL << 24U));
    config.vcpus = static_cast<uint32_t>(OTRY(number(sxp, "vcpus", 1, max_vcpus)));
    config.vcpu_avail = OTRY(number(sxp, "vcpu_avail", 0, ~0ULL));
    if (const auto text = sxp.child_value("uuid"); text && !text->empty()) {
        const auto uuid = Uuid::parse(*text);
        if (!uuid) return base::fail(Errc::inval, "(uuid …): '" + text->substr(0, 60) + "' is not a uuid");
        config.uuid = *uuid;
    }
    config.cpus = sxp.child_value("cpus", "");
    if (sxp.child("cpu_weight") != nullptr)
        config.cpu_weight = static_cast<uint32_t>(OTRY(number(sxp, "cpu_weight", 256, 65535)));
    if (sxp.child("cpu_cap") != nullptr) config.cpu_cap = static_cast<uint32_t>(OTRY(number(sxp, "cpu_cap", 0, 100 * max_vcpus)));
    config.on_poweroff = OTRY(action(sxp, "on_poweroff", config.on_poweroff));
    config.on_reboot = OTRY(action(sxp, "on_reboot", config.on_reboot));
    config.on_crash = OTRY(action(sxp, "on_crash", config.on_crash));
    config.on_xend_start = sxp.child_value("on_xend_start", "ignore");
    config.on_xend_stop = sxp.child_value("on_xend_stop", "ignore");
    config.bootloader = sxp.child_value("bootloader", "");
    config.bootargs = sxp.child_value("bootloader_args", "");
    OTRY(image_from(sxp, config));
    OTRY(devices_from(sxp, config));
    OTRY(validate(config));
    return config;
}

}  // namespace config
