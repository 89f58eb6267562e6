// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/domain_nodes.hpp"

namespace xend {

using base::DomId;
using xenstore::Access;

namespace {

std::string text(uint64_t value) { return std::to_string(value); }

}  // namespace

std::string domain_path(DomId domain) { return "/local/domain/" + std::to_string(domain.raw); }
std::string vm_path(const config::Uuid& uuid) { return "/vm/" + uuid.text(); }

NodeSet vm_nodes(DomId domain, const Record& record) {
    const xenstore::Permissions readable = owned_by(DomId{0}, domain);
    const config::DomainConfig& c = record.config;
    NodeSet out{vm_path(c.uuid), readable, {}};
    const auto add = [&out](const char* key, const std::string& value) { out.values.emplace_back(key, value); };
    add("uuid", c.uuid.text());
    add("name", c.name);
    add("memory", text(c.memory_mib));
    add("maxmem", text(c.max_memory_mib()));
    add("vcpus", text(c.vcpus));
    add("on_poweroff", std::string(config::name_of(c.on_poweroff)));
    add("on_reboot", std::string(config::name_of(c.on_reboot)));
    add("on_crash", std::string(config::name_of(c.on_crash)));
    add("start_time", text(static_cast<uint64_t>(record.start_time)));
    add("image/ostype", "linux");
    add("image/kernel", c.kernel);
    add("image/ramdisk", c.ramdisk);
    add("image/cmdline", c.cmdline());
    add("xend/restart_count", text(record.restarts));
    if (record.previous_restart != 0) add("xend/previous_restart_time", text(static_cast<uint64_t>(record.previous_restart)));
    return out;
}

std::vector<NodeSet> domain_nodes(DomId domain, const Record& record) {
    const config::DomainConfig& c = record.config;
    const xenstore::Permissions readable = owned_by(DomId{0}, domain);
    const xenstore::Permissions own = {{domain, Access::none}};
    const std::string path = domain_path(domain);
    std::vector<NodeSet> out;
    out.push_back(vm_nodes(domain, record));
    NodeSet top{path, readable, {}};
    const auto add = [&top](const std::string& key, const std::string& value) { top.values.emplace_back(key, value); };
    add("vm", vm_path(c.uuid));
    add("name", c.name);
    add("domid", std::to_string(domain.raw));
    add("memory/static-max", text(c.max_memory_mib() * 1024));
    add("memory/target", text(c.memory_mib * 1024));
    add("memory/videoram", "0");
    for (uint32_t i = 0; i < c.vcpus; ++i) {
        const bool online = c.vcpu_avail == 0 || i >= 64 || ((c.vcpu_avail >> i) & 1U) != 0;
        add("cpu/" + std::to_string(i) + "/availability", online ? "online" : "offline");
    }
    add("control/platform-feature-multiprocessor-suspend", "1");
    add("control/platform-feature-xs_reset_watches", "1");
    out.push_back(std::move(top));
    out.push_back({path + "/device", readable, {}});
    for (const char* key : {"control/shutdown", "control/feature-poweroff", "control/feature-reboot", "control/feature-suspend",
                            "control/sysrq", "device/suspend/event-channel", "data", "drivers", "feature", "attr", "error"}) {
        out.push_back({path + "/" + key, own, {}});
    }
    return out;
}

std::vector<NodeSet> ring_nodes(DomId domain, const RingIntent& rings, uint32_t console_limit_kib) {
    const xenstore::Permissions readable = owned_by(DomId{0}, domain);
    const std::string path = domain_path(domain);
    const DeviceEnds ends{domain, DomId{0}};
    const std::string back = backend_path(ends, "console", 0);
    std::vector<NodeSet> out;
    out.push_back({path + "/store", readable, {{"port", text(rings.store_port)}, {"ring-ref", text(rings.store_frame)}}});
    out.push_back({back,
                   readable,
                   {{"frontend", path + "/console"},
                    {"frontend-id", text(domain.raw)},
                    {"online", "1"},
                    {"state", "1"},
                    {"protocol", "vt100"}}});
    out.push_back({path + "/console",
                   readable,
                   {{"backend", back},
                    {"backend-id", "0"},
                    {"limit", text(uint64_t{console_limit_kib} * 1024)},
                    {"type", "xenconsoled"},
                    {"output", "pty"},
                    {"tty", ""},
                    {"port", text(rings.console_port)},
                    {"ring-ref", text(rings.console_frame)}}});
    return out;
}

}  // namespace xend
