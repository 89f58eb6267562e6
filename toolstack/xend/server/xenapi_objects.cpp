// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/xenapi_objects.hpp"

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <set>

#include "toolstack/config/vif.hpp"

namespace xend::xenapi {

using base::Outcome;
using config::DomainConfig;

namespace {

Value text(std::string value) { return Value::of_text(std::move(value)); }
Value flag(bool value) { return Value::of_flag(value); }
/// Its integers have 64 bits, which XML-RPC's have not: they are text.
Value number(uint64_t value) { return text(std::to_string(value)); }

Value time(int64_t seconds) {
    const std::time_t when = seconds;
    struct tm parts {};
    ::gmtime_r(&when, &parts);
    std::array<char, 32> out{};
    std::strftime(out.data(), out.size(), "%Y%m%dT%H:%M:%SZ", &parts);
    return {Value::Kind::time, out.data(), {}, {}};
}

Value refs(const std::vector<std::string>& all) {
    Value out = Value::list();
    for (const std::string& one : all) out.add(text(one));
    return out;
}

uint64_t bytes_of(uint64_t mib) { return mib << 20U; }

/// A domain, there or not. `config` is null where xend did not make it.
struct Vm {
    std::string ref, name;
    const DomainConfig* config = nullptr;
    const DomainGlance* there = nullptr;
    bool suspended = false;

    const char* power_state() const {
        if (there == nullptr) return suspended ? "Suspended" : "Halted";
        if (there->info.shutdown && there->info.reason == xenctrl::ShutdownReason::crash) return "Crashed";
        if (there->info.shutdown || there->info.dying) return "Halted";
        return there->info.paused ? "Paused" : "Running";
    }
    bool attached() const { return there != nullptr && !there->info.shutdown && !there->info.dying; }
};

/// One on its way out may share its uuid with its successor, which counts.
std::vector<Vm> vms(const Snapshot& s) {
    std::vector<Vm> out;
    for (const DomainGlance& one : s.domains) {
        Vm vm{one.uuid.text(), one.name, one.record ? &one.record->config : nullptr, &one, false};
        const auto same = std::ranges::find(out, vm.ref, &Vm::ref);
        if (same == out.end()) out.push_back(std::move(vm));
        else if (same->there->info.dying) *same = std::move(vm);
    }
    for (const HaltedVm& one : s.halted)
        if (std::ranges::find(out, one.config.uuid.text(), &Vm::ref) == out.end())
            out.push_back({one.config.uuid.text(), one.config.name, &one.config, nullptr, one.suspended});
    return out;
}

std::string metrics_ref(const Vm& vm) { return derived_ref("VM_metrics " + vm.ref); }
std::string guest_metrics_ref(const Vm& vm) { return derived_ref("VM_guest_metrics " + vm.ref); }
std::string console_ref(const Vm& vm) { return derived_ref("console " + vm.ref); }
std::string vif_ref(const Vm& vm, size_t index) { return derived_ref("VIF " + vm.ref + " " + std::to_string(index)); }
std::string vbd_ref(const Vm& vm, const config::Disk& disk) {
    return derived_ref("VBD " + vm.ref + " " + std::to_string(disk.devid));
}
std::string vdi_ref(const config::Disk& disk) { return derived_ref("VDI " + disk.uname()); }
std::string network_ref(const std::string& bridge) { return derived_ref("network " + bridge); }
std::string pif_ref(const std::string& card) { return derived_ref("PIF " + card); }
std::string cpu_ref(size_t cpu) { return derived_ref("host_cpu " + std::to_string(cpu)); }
std::string host_metrics_ref(const Snapshot& s) { return derived_ref("host_metrics " + s.host_ref); }
const std::string& sr_ref() {
    static const std::string ref = derived_ref("SR local");
    return ref;
}

/// Calls `each(vm, device, index)` for all devices of a kind.
template <class Device>
void each_device(const Snapshot& s, std::vector<Device> DomainConfig::*devices, const auto& each) {
    for (const Vm& vm : vms(s)) {
        if (vm.config == nullptr) continue;
        const auto& all = vm.config->*devices;
        for (size_t i = 0; i < all.size(); ++i) each(vm, all[i], i);
    }
}

Value vm_record(const Snapshot& s, const Vm& vm) {
    static const DomainConfig unknown;
    const DomainConfig& c = vm.config != nullptr ? *vm.config : unknown;
    Value vifs = Value::list(), vbds = Value::list();
    for (size_t i = 0; i < c.vifs.size(); ++i) vifs.add(text(vif_ref(vm, i)));
    for (const config::Disk& disk : c.disks) vbds.add(text(vbd_ref(vm, disk)));
    const bool known = vm.config != nullptr;
    const uint64_t has = vm.there != nullptr ? vm.there->info.memory_kib() * 1024 : bytes_of(c.memory_mib);
    const uint64_t most = known ? bytes_of(c.max_memory_mib()) : has;
    const uint64_t vcpus = vm.there != nullptr ? vm.there->info.vcpus : c.vcpus;
    const auto action = [](config::ExitAction one) {
        std::string word(config::name_of(config::without_dump(one)));
        if (config::without_dump(one) != one) word = "coredump_and_" + word;
        return text(word == "rename-restart" ? "rename_restart" : word);
    };
    Value params = Value::record();
    if (c.cpu_weight) params.add("weight", number(*c.cpu_weight));
    if (c.cpu_cap) params.add("cap", number(*c.cpu_cap));
    Value out = Value::record();
    out.add("uuid", text(vm.ref)).add("power_state", text(vm.power_state())).add("name_label", text(vm.name));
    out.add("name_description", text("")).add("user_version", number(1)).add("is_a_template", flag(false));
    out.add("auto_power_on", flag(false)).add("resident_on", text(vm.there != nullptr ? s.host_ref : ""));
    out.add("memory_static_min", number(0)).add("memory_static_max", number(most));
    out.add("memory_dynamic_min", number(0)).add("memory_dynamic_max", number(known ? bytes_of(c.memory_mib) : has));
    out.add("VCPUs_params", std::move(params)).add("VCPUs_max", number(vcpus)).add("VCPUs_at_startup", number(vcpus));
    out.add("actions_after_shutdown", action(c.on_poweroff)).add("actions_after_reboot", action(c.on_reboot));
    out.add("actions_after_crash", action(c.on_crash));
    out.add("consoles", refs({console_ref(vm)}))
        .add("VIFs", std::move(vifs))
        .add("VBDs", std::move(vbds))
        .add("VTPMs", Value::list());
    out.add("PV_bootloader", text(c.bootloader)).add("PV_bootloader_args", text(c.bootargs));
    out.add("PV_kernel", text(c.kernel)).add("PV_ramdisk", text(c.ramdisk)).add("PV_args", text(c.cmdline()));
    out.add("HVM_boot_policy", text(""))
        .add("HVM_boot_params", Value::record())
        .add("platform", Value::record())
        .add("PCI_bus", text(""));
    out.add("other_config", Value::record())
        .add("domid", text(vm.there != nullptr ? std::to_string(vm.there->info.id.raw) : "-1"));
    out.add("is_control_domain", flag(vm.there != nullptr && vm.there->info.id.raw == 0));
    out.add("metrics", text(metrics_ref(vm))).add("guest_metrics", text(guest_metrics_ref(vm))).add("crash_dumps", Value::list());
    return out;
}

std::vector<Record> all_vms(const Snapshot& s) {
    std::vector<Record> out;
    for (const Vm& vm : vms(s)) out.push_back(vm_record(s, vm));
    return out;
}

std::vector<Record> all_vm_metrics(const Snapshot& s) {
    std::vector<Record> out;
    for (const Vm& vm : vms(s)) {
        Value states = Value::list();
        const auto* info = vm.there != nullptr ? &vm.there->info : nullptr;
        if (info != nullptr)
            for (const auto& [is, name] : {std::pair(info->running, "running"),
                                           {info->blocked, "blocked"},
                                           {info->paused, "paused"},
                                           {info->shutdown, "shutdown"},
                                           {info->dying, "dying"}})
                if (is) states.add(text(name));
        const int64_t start = vm.there != nullptr && vm.there->record ? vm.there->record->start_time : 0;
        out.push_back(Value::record()
                          .add("uuid", text(metrics_ref(vm)))
                          .add("memory_actual", number(info != nullptr ? info->memory_kib() * 1024 : 0))
                          .add("VCPUs_number", number(info != nullptr ? info->online_vcpus : 0))
                          .add("state", std::move(states))
                          .add("start_time", time(start))
                          .add("last_updated", time(s.now)));
    }
    return out;
}

/// What guests tell of themselves: nobody asks them.
std::vector<Record> all_guest_metrics(const Snapshot& s) {
    std::vector<Record> out;
    for (const Vm& vm : vms(s)) {
        Value record = Value::record().add("uuid", text(guest_metrics_ref(vm)));
        for (const char* name : {"os_version", "PV_drivers_version", "memory", "disks", "networks", "other"})
            record.add(name, Value::record());
        out.push_back(std::move(record.add("last_updated", time(s.now))));
    }
    return out;
}

std::vector<Record> all_consoles(const Snapshot& s) {
    std::vector<Record> out;
    for (const Vm& vm : vms(s))
        out.push_back(Value::record()
                          .add("uuid", text(console_ref(vm)))
                          .add("protocol", text("vt100"))
                          .add("location", text("xm console " + vm.name))
                          .add("VM", text(vm.ref))
                          .add("other_config", Value::record()));
    return out;
}

std::vector<Record> all_vifs(const Snapshot& s) {
    std::vector<Record> out;
    each_device(s, &DomainConfig::vifs, [&](const Vm& vm, const config::Vif& vif, size_t i) {
        out.push_back(
            Value::record()
                .add("uuid", text(vif_ref(vm, i)))
                .add("device", text("eth" + std::to_string(i)))
                .add("network", text(network_ref(vif.bridge)))
                .add("VM", text(vm.ref))
                .add("MAC", text(vif.mac.empty() ? config::derived_mac(vm.config->uuid, static_cast<uint32_t>(i)) : vif.mac))
                .add("MTU", text(vif.mtu.empty() ? "1500" : vif.mtu))
                .add("currently_attached", flag(vm.attached()))
                .add("qos_algorithm_type", text(""))
                .add("qos_algorithm_params", Value::record())
                .add("qos_supported_algorithms", Value::list()));
    });
    return out;
}

std::vector<Record> all_vbds(const Snapshot& s) {
    std::vector<Record> out;
    each_device(s, &DomainConfig::disks, [&](const Vm& vm, const config::Disk& disk, size_t) {
        out.push_back(Value::record()
                          .add("uuid", text(vbd_ref(vm, disk)))
                          .add("VM", text(vm.ref))
                          .add("VDI", text(disk.target.empty() ? "" : vdi_ref(disk)))
                          .add("device", text(disk.vdev))
                          .add("bootable", flag(&disk == vm.config->disks.data()))
                          .add("mode", text(disk.mode == config::DiskMode::read_only ? "RO" : "RW"))
                          .add("type", text(disk.cdrom ? "CD" : "Disk"))
                          .add("currently_attached", flag(vm.attached()))
                          .add("qos_algorithm_type", text(""))
                          .add("qos_algorithm_params", Value::record())
                          .add("qos_supported_algorithms", Value::list()));
    });
    return out;
}

/// The images that disks name, each once.
std::vector<Record> all_vdis(const Snapshot& s) {
    struct Image {
        Value vbds = Value::list();
        bool read_only = true, shared = false;
    };
    std::map<std::string, Image> images;
    each_device(s, &DomainConfig::disks, [&](const Vm& vm, const config::Disk& disk, size_t) {
        if (disk.target.empty()) return;
        Image& image = images[disk.uname()];
        image.vbds.add(text(vbd_ref(vm, disk)));
        image.read_only = image.read_only && disk.mode == config::DiskMode::read_only;
        image.shared = image.shared || disk.mode == config::DiskMode::shared_write;
    });
    std::vector<Record> out;
    for (auto& [uname, image] : images)
        out.push_back(Value::record()
                          .add("uuid", text(derived_ref("VDI " + uname)))
                          .add("name_label", text(uname))
                          .add("name_description", text(""))
                          .add("SR", text(sr_ref()))
                          .add("VBDs", std::move(image.vbds))
                          .add("crash_dumps", Value::list())
                          .add("type", text("user"))
                          .add("sharable", flag(image.shared))
                          .add("read_only", flag(image.read_only))
                          .add("other_config", Value::record()));
    return out;
}

std::vector<Record> all_srs(const Snapshot& s) {
    Value vdis = Value::list();
    for (const Record& vdi : all_vdis(s)) vdis.add(*vdi.find("uuid"));
    return {Value::record()
                .add("uuid", text(sr_ref()))
                .add("name_label", text("local"))
                .add("name_description", text("The files and devices that configurations name."))
                .add("VDIs", std::move(vdis))
                .add("PBDs", Value::list())
                .add("type", text("local"))
                .add("content_type", text(""))};
}

using Names = std::set<std::string>;

Names names_in(const std::string& folder) {
    Names out;
    std::error_code none;
    for (std::filesystem::directory_iterator at(folder, none), end; !none && at != end; at.increment(none))
        out.insert(at->path().filename().string());
    return out;
}

bool is_there(const std::string& path) {
    std::error_code none;
    return std::filesystem::exists(path, none);
}

/// Bridges of this host, and those that cards name; "" for the one that the script chooses.
Names bridges(const Snapshot& s) {
    Names out;
    for (const std::string& name : names_in(s.sys + "/class/net"))
        if (is_there(s.sys + "/class/net/" + name + "/bridge")) out.insert(name);
    each_device(s, &DomainConfig::vifs, [&](const Vm&, const config::Vif& vif, size_t) { out.insert(vif.bridge); });
    return out;
}

/// Real cards in a bridge.
Names cards_in(const Snapshot& s, const std::string& bridge) {
    Names out;
    if (bridge.empty()) return out;
    for (const std::string& port : names_in(s.sys + "/class/net/" + bridge + "/brif"))
        if (is_there(s.sys + "/class/net/" + port + "/device") && !port.starts_with("vif")) out.insert(port);
    return out;
}

std::vector<Record> all_networks(const Snapshot& s) {
    std::vector<Record> out;
    for (const std::string& bridge : bridges(s)) {
        Value vifs = Value::list(), pifs = Value::list();
        each_device(s, &DomainConfig::vifs, [&](const Vm& vm, const config::Vif& vif, size_t i) {
            if (vif.bridge == bridge) vifs.add(text(vif_ref(vm, i)));
        });
        for (const std::string& card : cards_in(s, bridge)) pifs.add(text(pif_ref(card)));
        out.push_back(Value::record()
                          .add("uuid", text(network_ref(bridge)))
                          .add("name_label", text(bridge))
                          .add("name_description", text(bridge.empty() ? "The bridge that the vif-script chooses." : ""))
                          .add("VIFs", std::move(vifs))
                          .add("PIFs", std::move(pifs))
                          .add("default_gateway", text(""))
                          .add("default_netmask", text(""))
                          .add("other_config", Value::record()));
    }
    return out;
}

std::vector<Record> all_pifs(const Snapshot& s) {
    std::vector<Record> out;
    for (const std::string& bridge : bridges(s)) {
        for (const std::string& card : cards_in(s, bridge)) {
            const auto line = [&](const char* file) {
                std::string value;
                std::getline(std::ifstream(s.sys + "/class/net/" + card + "/" + file), value);
                return text(value);
            };
            out.push_back(Value::record()
                              .add("uuid", text(pif_ref(card)))
                              .add("device", text(card))
                              .add("network", text(network_ref(bridge)))
                              .add("host", text(s.host_ref))
                              .add("MAC", line("address"))
                              .add("MTU", line("mtu"))
                              .add("VLAN", text("-1")));
        }
    }
    return out;
}

std::vector<Record> all_hosts(const Snapshot& s) {
    Value residents = Value::list(), cpus = Value::list(), pifs = Value::list(), capabilities = Value::list();
    for (const Vm& vm : vms(s))
        if (vm.there != nullptr) residents.add(text(vm.ref));
    for (size_t i = 0; i < s.host.phys.cpus; ++i) cpus.add(text(cpu_ref(i)));
    for (const Record& pif : all_pifs(s)) pifs.add(*pif.find("uuid"));
    std::istringstream words(s.host.version.capabilities);
    for (std::string word; words >> word;) capabilities.add(text(word));
    const auto& v = s.host.version;
    return {Value::record()
                .add("uuid", text(s.host_ref))
                .add("name_label", text(s.host_name))
                .add("name_description", text(""))
                .add("API_version_major", number(1))
                .add("API_version_minor", number(0))
                .add("API_version_vendor", text("Xenolith"))
                .add("API_version_vendor_implementation", Value::record())
                .add("enabled", flag(true))
                .add("software_version",
                     Value::record().add("Xen", text(std::to_string(v.major) + "." + std::to_string(v.minor) + v.extra)))
                .add("other_config", Value::record())
                .add("capabilities", std::move(capabilities))
                .add("cpu_configuration", Value::record()
                                              .add("nr_nodes", number(s.host.phys.nodes))
                                              .add("cores_per_socket", number(s.host.phys.cores_per_socket))
                                              .add("threads_per_core", number(s.host.phys.threads_per_core)))
                .add("sched_policy", text(xenctrl::scheduler_name(s.host.scheduler)))
                .add("supported_bootloaders", refs({"pygrub"}))
                .add("resident_VMs", std::move(residents))
                .add("logging", Value::record())
                .add("PIFs", std::move(pifs))
                .add("host_CPUs", std::move(cpus))
                .add("PBDs", Value::list())
                .add("crashdumps", Value::list())
                .add("metrics", text(host_metrics_ref(s)))};
}

std::vector<Record> all_host_metrics(const Snapshot& s) {
    constexpr uint64_t page = 4096;
    return {Value::record()
                .add("uuid", text(host_metrics_ref(s)))
                .add("memory_total", number(s.host.phys.total_pages * page))
                .add("memory_free", number(s.host.phys.free_pages * page))
                .add("last_updated", time(s.now))};
}

std::vector<Record> all_host_cpus(const Snapshot& s) {
    std::vector<Record> out;
    for (size_t i = 0; i < s.host.phys.cpus; ++i)
        out.push_back(Value::record()
                          .add("uuid", text(cpu_ref(i)))
                          .add("host", text(s.host_ref))
                          .add("number", number(i))
                          .add("speed", number(s.host.phys.cpu_khz / 1000)));
    return out;
}

std::vector<Record> none(const Snapshot&) { return {}; }

constexpr Class all_classes[] = {
    {"VM", all_vms},
    {"VM_metrics", all_vm_metrics},
    {"VM_guest_metrics", all_guest_metrics},
    {"host", all_hosts},
    {"host_metrics", all_host_metrics},
    {"host_cpu", all_host_cpus},
    {"network", all_networks},
    {"PIF", all_pifs},
    {"VIF", all_vifs},
    {"VBD", all_vbds},
    {"VDI", all_vdis},
    {"SR", all_srs},
    {"console", all_consoles},
    {"task", none},
    {"PBD", none},
    {"crashdump", none},
    {"VTPM", none},
};

/// Of this installation, for ever.
std::string own_ref(const std::string& host_name) {
    std::string id;
    std::getline(std::ifstream("/etc/machine-id"), id);
    return derived_ref("host " + (id.empty() ? host_name : id));
}

}  // namespace

std::span<const Class> classes() { return all_classes; }

const Class* find_class(std::string_view name) {
    const auto* const at = std::ranges::find(all_classes, name, &Class::name);
    return at == std::end(all_classes) ? nullptr : at;
}

/// Two hashes (FNV-1a) of 64 bits, as a uuid of version 8.
std::string derived_ref(std::string_view words) {
    config::Uuid out;
    constexpr uint64_t prime = 0x100000001b3;
    for (size_t half = 0; half < 2; ++half) {
        uint64_t hash = half == 0 ? 0xcbf29ce484222325 : 0x6c62272e07bb0142;
        for (const char c : words) hash = (hash ^ static_cast<uint8_t>(c)) * prime;
        for (size_t i = 0; i < 8; ++i) out.bytes[half * 8 + i] = static_cast<uint8_t>(hash >> (8 * i));
    }
    out.bytes[6] = static_cast<uint8_t>((out.bytes[6] & 0x0fU) | 0x80U);
    out.bytes[8] = static_cast<uint8_t>((out.bytes[8] & 0x3fU) | 0x80U);
    return out.text();
}

Outcome<Snapshot> take_snapshot(Manager& manager, int64_t now, const std::string& sys) {
    Snapshot out;
    out.host = OTRY(manager.hypervisor().host());
    out.domains = OTRY(manager.domains());
    for (DomainConfig& config : OTRY(manager.halted())) {
        const bool suspended = manager.is_suspended(config.uuid);
        out.halted.push_back({std::move(config), suspended});
    }
    std::array<char, 256> name{};
    ::gethostname(name.data(), name.size() - 1);
    out.host_name = name.data();
    out.host_ref = own_ref(out.host_name);
    out.sys = sys;
    out.now = now;
    return out;
}

}  // namespace xend::xenapi
