// SPDX-License-Identifier: Apache-2.0
// `xm top`: what domains use, in the columns of xentop's batch output, which programs read; and what other programs read: `xm metrics`, `xm health`.
#include <chrono>

#include "lib/base/number.hpp"
#include "toolstack/xend/adapters/device_counters.hpp"
#include "toolstack/xm/app.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

struct Networks {
    unsigned count = 0;
    uint64_t sent = 0, received = 0;  // bytes, as the guest sees it
};

struct Disks {
    unsigned count = 0;
    uint64_t no_room = 0, reads = 0, writes = 0, read_sectors = 0, written_sectors = 0;
};

Networks networks_of(const xend::DeviceCounters& counted, uint32_t domid) {
    Networks out;
    for (const auto& card : counted.cards) {
        if (card.domain != domid) continue;
        ++out.count;
        out.sent += card.sent.bytes;
        out.received += card.received.bytes;
    }
    return out;
}

Disks disks_of(const xend::DeviceCounters& counted, uint32_t domid) {
    Disks out;
    for (const auto& disk : counted.disks) {
        if (disk.domain != domid) continue;
        ++out.count;
        out.no_room += disk.no_room;
        out.reads += disk.reads;
        out.writes += disk.writes;
        out.read_sectors += disk.read_sectors;
        out.written_sectors += disk.written_sectors;
    }
    return out;
}

/// xentop's letters: dying, shut down, blocked, crashed, paused, running.
std::string state_of(const Sxp& domain) {
    const std::string state = domain.child_value("state", "------");
    std::string out;
    for (const char letter : std::string_view("dsbcpr")) out += state.find(letter) != std::string::npos ? letter : '-';
    return out;
}

double number(const Sxp& sxp, const char* name) { return base::parse_number<double>(sxp.child_value(name, "0")).value_or(0); }

/// What the last look saw, for shares of time.
struct Last {
    std::chrono::steady_clock::time_point when;
    std::map<std::string, double> seconds;  // by domain id
};

void header(std::ostream& out) {
    out << "      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS NETS NETTX(k) NETRX(k) VBDS   "
           "VBD_OO   "
           "VBD_RD   VBD_WR  VBD_RSECT  VBD_WSECT SSID\n";
}

std::string row(const Call& call, const Sxp& domain, const xend::DeviceCounters& counted, double total_kib, double share) {
    const auto domid = base::parse_number<uint32_t>(domain.child_value("domid", "")).value_or(0);
    const Networks nets = networks_of(counted, domid);
    const Disks disks = disks_of(counted, domid);
    const double memory = number(domain, "memory_kib"), most = number(domain, "maxmem_kib");
    const auto of_total = [&](double kib) { return total_kib == 0 ? 0 : kib * 100 / total_kib; };
    std::string out = format(call.line.has("full-name") ? "%10s" : "%10.10s", domain.child_value("name", "").c_str());
    out += format(" %6s %10.0f %6.1f %10.0f %6.1f", state_of(domain).c_str(), number(domain, "cpu_time"), share, memory,
                  of_total(memory));
    out += most == 0 ? format(" %10s %9s", "no limit", "n/a") : format(" %10.0f %9.1f", most, of_total(most));
    out += format(" %5s %4u %8llu %8llu", domain.child_value("online_vcpus", "0").c_str(), nets.count,
                  static_cast<unsigned long long>(nets.sent / 1024), static_cast<unsigned long long>(nets.received / 1024));
    return out + format(" %4u %8llu %8llu %8llu %10llu %10llu %4u", disks.count, static_cast<unsigned long long>(disks.no_room),
                        static_cast<unsigned long long>(disks.reads), static_cast<unsigned long long>(disks.writes),
                        static_cast<unsigned long long>(disks.read_sectors),
                        static_cast<unsigned long long>(disks.written_sectors), 0U);
}

/// One look at all domains.
Outcome<> look(Call& call, double total_kib, Last& last) {
    const std::vector<Sxp> domains = OTRY(call.xend.domains());
    const auto now = std::chrono::steady_clock::now();
    const double elapsed = std::chrono::duration<double>(now - last.when).count();
    const xend::DeviceCounters counted = xend::device_counters(call.world.sys);
    Last seen{now, {}};
    for (const Sxp& domain : domains) {
        const std::string domid = domain.child_value("domid", "");
        const double seconds = number(domain, "cpu_time");
        const auto before = last.seconds.find(domid);
        const bool known = before != last.seconds.end() && elapsed > 0;
        call.out << row(call, domain, counted, total_kib, known ? (seconds - before->second) * 100 / elapsed : 0) << "\n";
        seen.seconds[domid] = seconds;
    }
    call.out << std::flush;
    last = std::move(seen);
    return base::ok;
}

Outcome<unsigned> positive(const Call& call, const char* option, unsigned otherwise) {
    if (!call.line.has(option)) return otherwise;
    const auto value = base::parse_number<uint32_t>(call.line.value(option));
    if (!value || *value == 0) return base::fail(Errc::inval, "Invalid argument.");
    return *value;
}

Outcome<> top(Call& call) {
    const bool batch = call.line.has("batch");
    const unsigned delay = OTRY(positive(call, "delay", 3));
    unsigned rounds = OTRY(positive(call, "iterations", 0));
    const bool endless = rounds == 0;
    const Sxp node = OTRY(call.xend.get("/xend/node"));
    Last last;
    for (bool first = true; endless || rounds-- > 0; first = false) {
        if (!first) call.world.sleep(delay * 1000);
        if (!batch) call.out << "\x1b[H\x1b[J";  // a terminal begins again at its top
        header(call.out);
        OTRY(look(call, number(node, "total_memory") * 1024, last));
    }
    return base::ok;
}

/// What xend says at `path`, which is text.
Outcome<> print_page(Call& call, const std::string& path) {
    const xend::Reply reply = OTRY(call.world.xend.call({xend::Request::Method::get, path, {}}));
    call.out << reply.body;
    if (reply.status == 200) return base::ok;
    return base::fail(Errc::io, reply.status == 503 ? "This host is not well." : "This xend has no " + path + ".");
}

Outcome<> metrics(Call& call) { return print_page(call, "/metrics"); }
Outcome<> health(Call& call) { return print_page(call, "/healthz"); }

}  // namespace

std::vector<Verb> top_verbs() {
    const Option help{'h', "help", "", "Print this help."};
    return {{"health",
             "",
             "Say whether the host is well: the store, the hypervisor, what xend has to finish.",
             {help},
             0,
             0,
             false,
             health},
            {"metrics", "", "Print what xend and the host count, for Prometheus.", {help}, 0, 0, false, metrics},
            {"top",
             "[-b] [-i N] [-d SECONDS] [-f]",
             "Monitor a host and the domains in real time.",
             {{'d', "delay", "SECONDS", "Seconds between looks (3)."},
              {'b', "batch", "", "Only text, one look below the other."},
              {'i', "iterations", "N", "So many looks; else until it is ended."},
              {'f', "full-name", "", "Names are not cut off."},
              {'r', "repeat-header", "", "No effect: it is repeated."},
              {'h', "help", "", "Print this help."}},
             0,
             0,
             false,
             top}};
}

}  // namespace xm
