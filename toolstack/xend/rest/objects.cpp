// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/rest/objects.hpp"

#include <unistd.h>

#include <climits>

#include "lib/base/number.hpp"
#include "toolstack/xend/core/domain_nodes.hpp"

namespace xend::rest {

using base::Outcome;
using Kind = Schema::Kind;

namespace {

Json members_of(const xenctrl::BitMap& map) {
    Json out = Json::array();
    for (uint32_t i = 0; i < map.size() * 8; ++i)
        if (((map[i / 8] >> (i % 8)) & 1U) != 0) out.push_back(i);
    return out;
}

/// Of what a store holds: nothing where it is no number.
void add_number(Json& out, const char* name, const std::string& text) {
    if (const auto number = base::parse_number<uint32_t>(text)) out[name] = *number;
}

using Leaves = std::vector<std::pair<std::string, std::string>>;

std::string leaf(const Leaves& leaves, std::string_view key) {
    for (const auto& [name, value] : leaves)
        if (name == key) return value;
    return {};
}

void add_text(Json& out, const char* name, std::string text) {
    if (!text.empty()) out[name] = std::move(text);
}

}  // namespace

std::string_view state_of(const xenctrl::DomainInfo& info) {
    using Reason = xenctrl::ShutdownReason;
    if (info.dying) return "dying";
    if (info.shutdown)
        return info.reason == Reason::crash ? "crashed" : info.reason == Reason::suspend ? "suspended" : "shutdown";
    return info.paused ? "paused" : "running";
}

Json domain_json(const DomainFacts& facts, const Record* record) {
    const xenctrl::DomainInfo& info = facts.info;
    Json out{{"id", info.id.raw},
             {"uuid", facts.uuid.text()},
             {"name", facts.name},
             {"type", info.hvm ? "hvm" : "pv"},
             {"state", state_of(info)}};
    if (info.shutdown) out["shutdown_reason"] = xenctrl::shutdown_reason_name(info.reason);
    out["vcpus"] = info.vcpus;
    out["online_vcpus"] = info.online_vcpus;
    out["memory_kib"] = info.memory_kib();
    if (info.max_memory_kib() != ~uint64_t{0}) out["max_memory_kib"] = info.max_memory_kib();
    out["pool"] = info.cpupool;
    out["made_by_xend"] = record != nullptr;
    if (record != nullptr && record->start_time > 0) out["started"] = record->start_time;
    if (record != nullptr) add_text(out, "reason", record->reason);
    return out;
}

Outcome<Json> domains_json(Manager& manager) {
    Json out{{"domains", Json::array()}, {"halted", Json::array()}, {"failed", Json::array()}};
    for (const DomainGlance& view : OTRY(manager.domains())) out["domains"].push_back(domain_json(view, view.record.get()));
    for (const config::DomainConfig& config : OTRY(manager.halted())) {
        out["halted"].push_back(
            {{"name", config.name}, {"uuid", config.uuid.text()}, {"suspended", manager.is_suspended(config.uuid)}});
    }
    for (const Record& record : OTRY(manager.failed())) {
        out["failed"].push_back({{"name", record.config.name},
                                 {"uuid", record.config.uuid.text()},
                                 {"reason", record.reason},
                                 {"remedy", failed_remedy(record)}});
    }
    return out;
}

Json usage_json(const DomainFacts& facts) {
    const xenctrl::DomainInfo& info = facts.info;
    return {{"id", info.id.raw},
            {"uuid", facts.uuid.text()},
            {"name", facts.name},
            {"cpu_time_ns", info.cpu_time.n},
            {"memory_kib", info.memory_kib()},
            {"claimed_kib", info.outstanding_pages * 4},
            {"running", info.running},
            {"blocked", info.blocked}};
}

Outcome<Json> vcpus_json(Manager& manager, const DomainFacts& facts) {
    Json out{{"vcpus", Json::array()}};
    for (const VcpuState& vcpu : OTRY(manager.hypervisor().vcpus(facts.info))) {
        const auto& info = vcpu.info;
        const char* const state = !info.online ? "offline" : info.running ? "running" : info.blocked ? "blocked" : "runnable";
        Json one{{"id", info.id.raw}, {"state", state}, {"cpu", info.cpu}, {"cpu_time_ns", info.cpu_time.n}};
        if (!vcpu.affinity.empty()) one["affinity"] = members_of(vcpu.affinity);
        out["vcpus"].push_back(std::move(one));
    }
    return out;
}

Outcome<Json> devices_json(Manager& manager, const DomainFacts& facts, const std::string& kind) {
    Json out{{kind + "s", Json::array()}};
    // By its number: two domains may share a name for a moment.
    for (const DeviceView& view : OTRY(manager.devices(std::to_string(facts.info.id.raw), kind))) {
        Json one{{"id", view.devid}, {"backend", view.backend}};
        if (kind == "vbd") {
            add_text(one, "device", leaf(view.back, "dev"));
            add_text(one, "type", leaf(view.back, "type"));
            add_text(one, "source", leaf(view.back, "params"));
            one["writable"] = leaf(view.back, "mode").starts_with('w');
        } else {
            for (const char* key : {"mac", "bridge", "ip", "vifname", "rate"}) add_text(one, key, leaf(view.back, key));
        }
        add_number(one, "frontend_state", leaf(view.front, "state"));
        add_number(one, "backend_state", leaf(view.back, "state"));
        add_text(one, "hotplug_status", leaf(view.back, "hotplug-status"));
        add_text(one, "hotplug_error", leaf(view.back, "hotplug-error"));
        out[kind + "s"].push_back(std::move(one));
    }
    return out;
}

Outcome<Json> console_json(Manager& manager, const DomainFacts& facts) {
    Json out = Json::object();
    const std::string path = domain_path(facts.info.id) + "/console/";
    add_text(out, "tty", OTRY(manager.store_value(path + "tty")));
    add_number(out, "buffer_bytes", OTRY(manager.store_value(path + "limit")));
    return out;
}

Outcome<Json> version_json(Manager& manager) {
    const HostState host = OTRY(manager.hypervisor().host());
    const xenctrl::VersionInfo& v = host.version;
    return Json{{"api", "v1"},
                {"hypervisor", std::to_string(v.major) + "." + std::to_string(v.minor) + v.extra},
                {"changeset", v.changeset},
                {"capabilities", v.capabilities},
                {"command_line", v.command_line},
                {"compiler", v.compiler},
                {"compile_date", v.compile_date}};
}

Outcome<Json> host_json(Manager& manager) {
    const HostState host = OTRY(manager.hypervisor().host());
    const xenctrl::PhysInfo& phys = host.phys;
    std::array<char, HOST_NAME_MAX + 1> name{};
    ::gethostname(name.data(), name.size() - 1);
    return Json{{"name", name.data()},
                {"cpus", phys.cpus},
                {"cpu_khz", phys.cpu_khz},
                {"cores_per_socket", phys.cores_per_socket},
                {"threads_per_core", phys.threads_per_core},
                {"nodes", phys.nodes},
                {"scheduler", xenctrl::scheduler_name(host.scheduler)},
                {"memory_kib", phys.total_pages * 4},
                {"free_kib", phys.free_pages * 4},
                {"scrub_kib", phys.scrub_pages * 4},
                {"claimed_kib", phys.outstanding_pages * 4}};
}

Json pool_json(const PoolView& view) {
    return {{"id", view.pool.id},
            {"name", view.name},
            {"scheduler", xenctrl::scheduler_name(view.pool.scheduler)},
            {"domains", view.pool.domains},
            {"cpus", members_of(view.pool.cpus)}};
}

Outcome<Json> pools_json(Manager& manager) {
    Json out{{"pools", Json::array()}};
    for (const PoolView& view : OTRY(manager.pools())) out["pools"].push_back(pool_json(view));
    return out;
}

}  // namespace xend::rest
