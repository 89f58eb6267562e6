// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/metrics.hpp"

#include <array>
#include <bit>
#include <map>

#include "toolstack/xend/adapters/device_counters.hpp"

namespace xend {

using base::Outcome;
using Labels = PrometheusText::Labels;

namespace {

constexpr uint64_t page = 4096;
constexpr uint64_t sector = 512;

uint64_t members(const xenctrl::BitMap& map) {
    uint64_t out = 0;
    for (const uint8_t byte : map) out += static_cast<uint64_t>(std::popcount(byte));
    return out;
}

std::vector<PoolView> pools_of(Manager& manager) {
    if (auto pools = manager.pools()) return std::move(pools).take();
    std::vector<PoolView> out;
    if (auto bare = manager.hypervisor().pools()) {
        for (xenctrl::CpuPool& pool : *bare) out.push_back({pool, "Pool-" + std::to_string(pool.id)});
    }
    return out;
}

Labels with(Labels labels, std::string_view name, std::string value) {
    labels.emplace_back(name, std::move(value));
    return labels;
}

/// The number too: one that is on its way out may share name and uuid with its successor.
Labels labels_of(const DomainFacts& domain) {
    return {{"domid", std::to_string(domain.info.id.raw)}, {"name", domain.name}, {"uuid", domain.uuid.text()}};
}

// One column of a table: a family, and what it says of each.
template <class Of>
struct Column {
    const char* name;
    const char* help;
    uint64_t (*value)(const Of&);
};

using Info = xenctrl::DomainInfo;

// States do not exclude each other: what is blocked may be paused too.
constexpr auto domain_states = std::to_array<Column<Info>>({
    {"running", "", [](const Info& i) -> uint64_t { return i.running; }},
    {"blocked", "", [](const Info& i) -> uint64_t { return i.blocked; }},
    {"paused", "", [](const Info& i) -> uint64_t { return i.paused; }},
    {"shutdown", "", [](const Info& i) -> uint64_t { return i.shutdown && i.reason != xenctrl::ShutdownReason::crash; }},
    {"crashed", "", [](const Info& i) -> uint64_t { return i.shutdown && i.reason == xenctrl::ShutdownReason::crash; }},
    {"dying", "", [](const Info& i) -> uint64_t { return i.dying; }},
});

constexpr auto domain_gauges = std::to_array<Column<Info>>({
    {"xen_domain_memory_bytes", "Memory that the domain has.", [](const Info& i) { return i.pages * page; }},
    {"xen_domain_memory_claimed_bytes", "Memory that is promised to the domain and not given to it yet.",
     [](const Info& i) { return i.outstanding_pages * page; }},
    {"xen_domain_vcpus", "Virtual CPUs that the domain has.", [](const Info& i) -> uint64_t { return i.vcpus; }},
    {"xen_domain_vcpus_online", "Virtual CPUs that the domain uses.", [](const Info& i) -> uint64_t { return i.online_vcpus; }},
});

constexpr auto disk_columns = std::to_array<Column<DiskCounters>>({
    {"xen_vbd_read_requests_total", "Reads of the disk.", [](const DiskCounters& d) { return d.reads; }},
    {"xen_vbd_write_requests_total", "Writes to the disk.", [](const DiskCounters& d) { return d.writes; }},
    {"xen_vbd_flush_requests_total", "Flushes and barriers of the disk.", [](const DiskCounters& d) { return d.flushes; }},
    {"xen_vbd_discard_requests_total", "Discards of the disk.", [](const DiskCounters& d) { return d.discards; }},
    {"xen_vbd_stalled_requests_total", "Requests that waited because the back end had no room.",
     [](const DiskCounters& d) { return d.no_room; }},
    {"xen_vbd_read_bytes_total", "Bytes that the domain has read from the disk.",
     [](const DiskCounters& d) { return d.read_sectors * sector; }},
    {"xen_vbd_written_bytes_total", "Bytes that the domain has written to the disk.",
     [](const DiskCounters& d) { return d.written_sectors * sector; }},
});

constexpr auto card_columns = std::to_array<Column<CardCounters>>({
    {"xen_vif_receive_bytes_total", "Bytes that the domain has received.",
     [](const CardCounters& c) { return c.received.bytes; }},
    {"xen_vif_receive_packets_total", "Packets that the domain has received.",
     [](const CardCounters& c) { return c.received.packets; }},
    {"xen_vif_receive_drop_total", "Packets for the domain that were dropped.",
     [](const CardCounters& c) { return c.received.drops; }},
    {"xen_vif_receive_errs_total", "Packets for the domain that had errors.",
     [](const CardCounters& c) { return c.received.errors; }},
    {"xen_vif_transmit_bytes_total", "Bytes that the domain has sent.", [](const CardCounters& c) { return c.sent.bytes; }},
    {"xen_vif_transmit_packets_total", "Packets that the domain has sent.", [](const CardCounters& c) { return c.sent.packets; }},
    {"xen_vif_transmit_drop_total", "Packets of the domain that were dropped.",
     [](const CardCounters& c) { return c.sent.drops; }},
    {"xen_vif_transmit_errs_total", "Packets of the domain that had errors.",
     [](const CardCounters& c) { return c.sent.errors; }},
});

using Known = std::map<uint32_t, Labels>;  // by number

void write_domains(PrometheusText& out, const std::vector<DomainGlance>& domains, const Known& known, int64_t now) {
    out.gauge("xen_domains", "Domains that are there, dom0 among them.");
    out.sample({}, domains.size());
    out.gauge("xen_domain_state", "1 for each state that the domain is in.");
    for (const DomainGlance& one : domains) {
        for (const auto& state : domain_states)
            out.sample(with(known.at(one.info.id.raw), "state", state.name), state.value(one.info));
    }
    out.counter("xen_domain_cpu_seconds_total", "Time that the domain's virtual CPUs have run.");
    for (const DomainGlance& one : domains) out.sample(known.at(one.info.id.raw), one.info.cpu_time);
    for (const auto& column : domain_gauges) {
        out.gauge(column.name, column.help);
        for (const DomainGlance& one : domains) out.sample(known.at(one.info.id.raw), column.value(one.info));
    }
    out.gauge("xen_domain_memory_max_bytes", "Memory that the domain may have; nothing where there is no limit.");
    for (const DomainGlance& one : domains) {
        const uint64_t kib = one.info.max_memory_kib();
        if (kib != ~uint64_t{0} && kib <= ~uint64_t{0} / 1024) out.sample(known.at(one.info.id.raw), kib * 1024);
    }
    const auto started = [](const DomainGlance& one) { return one.record && one.record->start_time > 0; };
    out.gauge("xen_domain_start_time_seconds", "When the domain was started, of those that xend has made.");
    for (const DomainGlance& one : domains)
        if (started(one)) out.sample(known.at(one.info.id.raw), static_cast<uint64_t>(one.record->start_time));
    out.gauge("xen_domain_uptime_seconds", "How long ago that was.");
    for (const DomainGlance& one : domains)
        if (started(one))
            out.sample(known.at(one.info.id.raw), static_cast<uint64_t>(std::max<int64_t>(0, now - one.record->start_time)));
}

void write_vcpus(PrometheusText& out, Manager& manager, const std::vector<DomainGlance>& domains, const Known& known) {
    std::vector<std::pair<Labels, xenctrl::VcpuInfo>> all;
    for (const DomainGlance& one : domains) {
        const auto vcpus = manager.hypervisor().vcpus(one.info);
        if (!vcpus) continue;  // it is gone
        for (const VcpuState& vcpu : *vcpus)
            all.emplace_back(with(known.at(one.info.id.raw), "vcpu", std::to_string(vcpu.info.id.raw)), vcpu.info);
    }
    out.counter("xen_vcpu_seconds_total", "Time that the virtual CPU was in this state; the hypervisor tells of running alone.");
    for (const auto& [labels, vcpu] : all) out.sample(with(labels, "state", "running"), vcpu.cpu_time);
    out.gauge("xen_vcpu_state", "1 for the state that the virtual CPU is in.");
    for (const auto& [labels, vcpu] : all) {
        const bool runnable = vcpu.online && !vcpu.running && !vcpu.blocked;
        const std::pair<const char*, bool> states[] = {{"running", vcpu.online && vcpu.running},
                                                       {"runnable", runnable},
                                                       {"blocked", vcpu.online && !vcpu.running && vcpu.blocked},
                                                       {"offline", !vcpu.online}};
        for (const auto& [name, is] : states) out.sample(with(labels, "state", name), uint64_t{is});
    }
    out.gauge("xen_vcpu_cpu", "The CPU that the virtual CPU runs on, or last ran on.");
    for (const auto& [labels, vcpu] : all) out.sample(labels, vcpu.cpu);
}

void write_devices(PrometheusText& out, const DeviceCounters& counted, const Known& known) {
    for (const auto& column : disk_columns) {
        out.counter(column.name, column.help);
        for (const DiskCounters& disk : counted.disks) {
            const auto at = known.find(disk.domain);
            if (at != known.end()) out.sample(with(at->second, "devid", std::to_string(disk.devid)), column.value(disk));
        }
    }
    for (const auto& column : card_columns) {
        out.counter(column.name, column.help);
        for (const CardCounters& card : counted.cards) {
            const auto at = known.find(card.domain);
            if (at == known.end() || card.name.empty()) continue;
            out.sample(with(with(at->second, "devid", std::to_string(card.devid)), "device", card.name), column.value(card));
        }
    }
}

}  // namespace

Outcome<> write_host_metrics(PrometheusText& out, Manager& manager) {
    const HostState host = OTRY(manager.hypervisor().host());
    const auto gauge = [&out](const char* name, const char* help, uint64_t value) {
        out.gauge(name, help);
        out.sample({}, value);
    };
    out.gauge("xen_info", "1, with the hypervisor's version.");
    const auto& v = host.version;
    out.sample({{"version", std::to_string(v.major) + "." + std::to_string(v.minor) + v.extra}, {"changeset", v.changeset}},
               uint64_t{1});
    gauge("xen_host_cpus", "CPUs of the host.", host.phys.cpus);
    gauge("xen_host_nodes", "NUMA nodes of the host.", host.phys.nodes);
    gauge("xen_host_memory_bytes", "Memory of the host.", host.phys.total_pages * page);
    gauge("xen_host_memory_free_bytes", "Memory that nobody has.", host.phys.free_pages * page);
    gauge("xen_host_memory_scrub_bytes", "Memory that nobody has and that is to be cleaned.", host.phys.scrub_pages * page);
    gauge("xen_host_memory_claimed_bytes", "Memory that is promised to domains and not given to them yet.",
          host.phys.outstanding_pages * page);
    const auto pools = pools_of(manager);
    const auto labels = [](const PoolView& one) -> Labels {
        return {{"pool", std::to_string(one.pool.id)},
                {"name", one.name},
                {"scheduler", xenctrl::scheduler_name(one.pool.scheduler)}};
    };
    out.gauge("xen_pool_cpus", "CPUs of the pool.");
    for (const PoolView& one : pools) out.sample(labels(one), members(one.pool.cpus));
    out.gauge("xen_pool_domains", "Domains in the pool.");
    for (const PoolView& one : pools) out.sample(labels(one), one.pool.domains);
    return base::ok;
}

Outcome<> write_domain_metrics(PrometheusText& out, Manager& manager, int64_t now, const std::string& sys) {
    const auto domains = OTRY(manager.domains());
    Known known;
    for (const DomainGlance& one : domains) known[one.info.id.raw] = labels_of(one);
    write_domains(out, domains, known, now);
    write_vcpus(out, manager, domains, known);
    write_devices(out, device_counters(sys), known);
    const auto failed = manager.failed();
    out.gauge("xend_domains_failed", "Domains that are no more, because they could not be made again.");
    if (failed) out.sample({}, failed->size());
    return base::ok;
}

void write_own_metrics(PrometheusText& out, const Vitals& vitals, const service::JobQueues::Load& load) {
    out.gauge("xend_start_time_seconds", "When this xend was started.");
    out.sample({}, static_cast<uint64_t>(vitals.start_time()));
    out.gauge("xend_jobs", "Changes of domains that are under way, or wait for those before them.");
    out.sample({{"state", "running"}}, uint64_t{load.running});
    out.sample({{"state", "waiting"}}, uint64_t{load.waiting});
    out.gauge("xend_unfinished", "What this xend could not bring to its end yet.");
    out.sample({}, vitals.unfinished().size());
    out.counter("xend_http_replies_total", "Requests that were answered, by status.");
    for (const auto& [status, count] : vitals.replies()) out.sample({{"code", std::to_string(status)}}, count);
}

}  // namespace xend
