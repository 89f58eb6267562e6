// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/xend/core/domain_nodes.hpp"
#include "toolstack/xend/server/router.hpp"

namespace xend {

using base::Outcome;
using proto::Sxp;

namespace {

std::string text(uint64_t value) { return std::to_string(value); }

std::string seconds(base::Nanos time) {
    constexpr int64_t second = 1'000'000'000;
    const std::string nanoseconds = std::to_string(second + time.n % second);  // with a 1 in front, for the zeros
    return std::to_string(time.n / second) + "." + nanoseconds.substr(1);
}

/// MiB, rounded to the nearest.
uint64_t mib(uint64_t kib) { return (kib + 512) / 1024; }

void add_config(Sxp& out, const Record& record) {
    const config::DomainConfig& c = record.config;
    if (c.cpu_weight) out.add("cpu_weight", text(*c.cpu_weight));
    if (c.cpu_cap) out.add("cpu_cap", text(*c.cpu_cap));
    out.add("vcpu_avail", text(c.vcpu_avail != 0 ? c.vcpu_avail : c.vcpus >= 64 ? ~uint64_t{0} : (uint64_t{1} << c.vcpus) - 1));
    out.add("shadow_memory", "0");
    if (!c.bootloader.empty()) out.add("bootloader", c.bootloader).add("bootloader_args", c.bootargs);
    out.add("on_poweroff", std::string(config::name_of(c.on_poweroff)));
    out.add("on_reboot", std::string(config::name_of(c.on_reboot)));
    out.add("on_crash", std::string(config::name_of(c.on_crash)));
    out.add("on_xend_start", c.on_xend_start);
    out.add("on_xend_stop", c.on_xend_stop);
    out.add("start_time", text(static_cast<uint64_t>(record.start_time)));
    out.add(config::image_sxp(c));
    for (const char* name : {"vif", "vbd"}) {  // in the order that they always had here
        const config::DeviceKind& kind = *config::device_kind(name);
        for (size_t i = 0; i < kind.count(c); ++i) out.add(config::device_sxp(kind, c, i));
    }
}

void add_rings(Manager& manager, Sxp& out, const DomainFacts& view) {
    const std::string path = domain_path(view.info.id);
    auto store = manager.store_value(path + "/store/ring-ref");
    auto console = manager.store_value(path + "/console/ring-ref");
    auto tty = manager.store_value(path + "/console/tty");
    if (store && !store->empty()) out.add("store_mfn", *store);
    if (console && !console->empty()) out.add("console_mfn", *console);
    if (tty && !tty->empty()) out.add("console_tty", *tty);
}

}  // namespace

void write_columns(proto::SxpWriter& out, const DomainGlance& view) {
    const xenctrl::DomainInfo& info = view.info;
    out.open();
    out.atom("domain");
    out.pair("domid", text(info.id.raw));
    out.pair("name", view.name);
    out.pair("memory", text(mib((info.pages + info.outstanding_pages) * 4)));
    out.pair("online_vcpus", text(info.online_vcpus));
    out.pair("cpu_time", seconds(info.cpu_time));
    out.pair("state", info.state());
    if (view.record && !view.record->reason.empty()) out.pair("reason", view.record->reason);
    out.close();
}

Sxp domain_sxp(Manager& manager, const DomainFacts& view, const Record* record, Detail detail) {
    const xenctrl::DomainInfo& info = view.info;
    Sxp out = Sxp::named("domain");
    out.items().reserve(16);
    out.add("domid", text(info.id.raw));
    out.add("uuid", view.uuid.text());
    out.add("vcpus", text(info.vcpus));
    out.add("name", view.name);
    out.add("memory", text(mib((info.pages + info.outstanding_pages) * 4)));
    const bool unlimited = info.max_memory_kib() == ~uint64_t{0};
    out.add("maxmem", record != nullptr ? text(record->config.max_memory_mib())
                                        : text(unlimited ? mib(info.memory_kib()) : mib(info.max_memory_kib())));
    out.add("online_vcpus", text(info.online_vcpus));
    out.add("cpu_time", seconds(info.cpu_time));
    out.add("state", info.state());
    if (info.cpupool != 0) out.add("cpupool", text(info.cpupool));
    if (info.shutdown) out.add("shutdown_reason", xenctrl::shutdown_reason_name(info.reason));
    if (record != nullptr && record->start_time != 0) out.add("start_time", text(static_cast<uint64_t>(record->start_time)));
    if (record != nullptr && !record->reason.empty()) out.add("reason", record->reason);
    if (detail == Detail::brief) {
        // For programs: exact. No limit is 0.
        out.add("memory_kib", text(info.memory_kib()));
        return out.add("maxmem_kib", text(unlimited ? 0 : info.max_memory_kib()));
    }
    out.remove("start_time");
    if (record != nullptr) add_config(out, *record);
    out.add("status", info.shutdown || info.dying ? "0" : "2");
    add_rings(manager, out, view);
    if (!info.id.raw) return out;
    out.add(Sxp::named("device").add(Sxp::named("console").add("protocol", "vt100").add("uuid", view.uuid.text())));
    return out;
}

namespace {

/// Of a domain that is not there.
Sxp absent_sxp(const config::DomainConfig& config, const char* status) {
    Sxp out = Sxp::named("domain");
    out.add("uuid", config.uuid.text());
    out.add("vcpus", text(config.vcpus));
    out.add("name", config.name);
    out.add("memory", text(config.memory_mib));
    out.add("maxmem", text(config.max_memory_mib()));
    out.add("state", "------");
    return out.add("status", status);
}

}  // namespace

Sxp halted_sxp(const config::DomainConfig& config, bool suspended) {
    return absent_sxp(config, suspended ? "suspended" : "halted");
}

Sxp failed_sxp(const Record& record) {
    Sxp out = absent_sxp(record.config, "failed");
    out.add("reason", record.reason);
    return out.add("remedy", failed_remedy(record));
}

Outcome<Sxp> vcpu_sxp(Manager& manager, const DomainView& view) {
    const auto vcpus = OTRY(manager.hypervisor().vcpus(view.info));
    const HostState host = OTRY(manager.hypervisor().host());
    Sxp out = Sxp::named("domain");
    out.add("domid", text(view.info.id.raw));
    out.add("name", view.name);
    out.add("vcpu_count", text(vcpus.size()));
    out.add("nr_cpus", text(host.phys.cpus));
    for (const VcpuState& vcpu : vcpus) {
        Sxp one = Sxp::named("vcpu");
        one.add("number", text(vcpu.info.id.raw));
        one.add("online", vcpu.info.online ? "1" : "0");
        one.add("blocked", vcpu.info.blocked ? "1" : "0");
        one.add("running", vcpu.info.running ? "1" : "0");
        one.add("cpu_time", seconds(vcpu.info.cpu_time));
        one.add("cpu", text(vcpu.info.cpu));
        Sxp map = Sxp::list();
        for (uint32_t cpu = 0; cpu < host.phys.cpus; ++cpu) {
            const bool set =
                vcpu.affinity.empty() || (cpu / 8 < vcpu.affinity.size() && ((vcpu.affinity[cpu / 8] >> (cpu % 8)) & 1U) != 0);
            if (set) map.add(Sxp::atom(text(cpu)));
        }
        one.add(Sxp::pair("cpumap", std::move(map)));
        out.add(std::move(one));
    }
    return out;
}

Sxp device_sxp(const DeviceView& view) {
    Sxp out = Sxp::named(view.kind);
    out.add("devid", text(view.devid));
    out.add("backend-id", text(view.backend));
    out.add("backend", view.backend_path);
    // Values from the guest's own folder, and from the back end's what the guest cannot know.
    for (const auto& [key, value] : view.front) {
        if (key != "backend" && key != "backend-id") out.add(key, value);
    }
    Sxp back = Sxp::named("back");
    for (const auto& [key, value] : view.back) back.add(key, value);
    return out.add(std::move(back));
}

}  // namespace xend
