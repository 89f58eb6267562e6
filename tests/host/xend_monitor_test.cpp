// link: xend_fakes xendcore xendhttp xendxmlrpc xendxenapi xendrest xendclient xmverbs
// SPDX-License-Identifier: Apache-2.0
// tsan
// GET /metrics and GET /healthz, as programs that watch a host see them.
#include "toolstack/xend/server/monitor.hpp"

#include <future>
#include <regex>
#include <set>

#include "toolstack/xend/adapters/control_hypervisor.hpp"
#include "toolstack/xend/client/http_client.hpp"
#include "toolstack/xm/app.hpp"
#include "xend_api_server.hpp"

namespace {

using fakes::HttpAnswer;
using fakes::ListeningXend;

struct Sample {
    std::string family;
    std::map<std::string, std::string> labels;
    std::string value;
};

/// Reads the text format 0.0.4, more strictly than Prometheus does: each family is described, once, before its samples, which are
/// together and differ; names and units are as its conventions say.
struct Scrape {
    std::map<std::string, std::string> types;
    std::vector<Sample> samples;
    std::vector<std::string> faults;

    explicit Scrape(const std::string& text) {
        std::istringstream lines(text);
        std::string helped, family;
        std::set<std::string> seen;
        if (!text.ends_with("\n")) faults.push_back("the last line has no end");
        for (std::string line; std::getline(lines, line);) {
            std::smatch m;
            if (std::regex_match(line, m, std::regex("# HELP ([a-z_]+) ([^\\n]+)"))) {
                helped = m[1];
            } else if (std::regex_match(line, m, std::regex("# TYPE ([a-z_]+) (gauge|counter)"))) {
                family = m[1];
                if (helped != family) faults.push_back("no help: " + line);
                if (!types.emplace(family, m[2]).second) faults.push_back("twice: " + line);
                if ((m[2] == "counter") != family.ends_with("_total")) faults.push_back("not a counter's name: " + line);
                if (!family.starts_with("xen_") && !family.starts_with("xend_")) faults.push_back("whose: " + line);
            } else if (std::regex_match(line, m, std::regex("([a-z_]+)(?:\\{(.*)\\})? ([0-9]+(?:\\.[0-9]+)?)"))) {
                if (m[1] != family) faults.push_back("out of its family: " + line);
                if (!seen.insert(m[1].str() + "{" + m[2].str()).second) faults.push_back("the same again: " + line);
                samples.push_back({m[1], labels_of(m[2], line), m[3]});
            } else {
                faults.push_back("what is: " + line);
            }
        }
    }
    std::map<std::string, std::string> labels_of(const std::string& text, const std::string& line) {
        static const std::regex one("([a-z_]+)=\"((?:[^\"\\\\\\n]|\\\\[\\\\\"n])*)\"(,|$)");
        std::map<std::string, std::string> out;
        size_t at = 0;
        for (std::smatch m; at < text.size(); at += static_cast<size_t>(m.length())) {
            const std::string rest = text.substr(at);
            if (!std::regex_search(rest, m, one, std::regex_constants::match_continuous)) {
                faults.push_back("labels: " + line);
                break;
            }
            if (!out.emplace(m[1], m[2]).second) faults.push_back("label twice: " + line);
        }
        return out;
    }
    /// The value of the one sample with these labels, "none" or "many".
    std::string at(const std::string& family, const std::map<std::string, std::string>& labels = {}) const {
        std::string out = "none";
        for (const Sample& one : samples) {
            const bool fits = std::all_of(labels.begin(), labels.end(), [&](const auto& l) {
                const auto at = one.labels.find(l.first);
                return at != one.labels.end() && at->second == l.second;
            });
            if (one.family == family && fits) out = out == "none" ? one.value : "many";
        }
        return out;
    }
};

Scrape scrape(const ListeningXend& x) {
    const HttpAnswer answer = x.get("/metrics");
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_NE(answer.head.find("Content-Type: text/plain; version=0.0.4; charset=utf-8"), std::string::npos) << answer.head;
    Scrape out(answer.body);
    EXPECT_EQ(out.faults, std::vector<std::string>()) << answer.body;
    if (const char* file = std::getenv("XENOLITH_METRICS_FILE")) std::ofstream(file) << answer.body;
    return out;
}

void counters(const ListeningXend& x, const std::string& folder, const std::vector<std::pair<std::string, uint64_t>>& values) {
    const auto path = std::filesystem::path(x.sys()) / "bus/xen-backend/devices" / folder / "statistics";
    std::filesystem::create_directories(path);
    for (const auto& [name, value] : values) std::ofstream(path / name) << value << "\n";
}

TEST(Metrics, SayWhatThereIs) {
    ListeningXend x;
    fakes::run_demo(x.machine, config::ExitAction::destroy, config::ExitAction::restart, config::ExitAction::destroy);
    x.machine.clock.now += 90;
    counters(x, "vbd-1-51712", {{"rd_req", 7}, {"wr_req", 5}, {"f_req", 2}, {"rd_sect", 16}, {"wr_sect", 9}, {"oo_req", 1}});
    counters(x, "vif-1-0/net/vif1.0",
             {{"rx_bytes", 100}, {"tx_bytes", 200}, {"rx_packets", 3}, {"tx_packets", 4}, {"rx_dropped", 1}, {"tx_errors", 6}});
    counters(x, "vif-1-1/other", {{"rx_bytes", 9}});  // not connected yet
    counters(x, "vbd-7-51712", {{"rd_req", 1}});      // of nobody that is there
    counters(x, "vbd-x-1", {{"rd_req", 1}});          // no device's name
    const Scrape s = scrape(x);
    const std::map<std::string, std::string> demo{{"name", "demo"}};
    EXPECT_EQ(s.at("xen_host_cpus"), "4");
    EXPECT_EQ(s.at("xen_host_memory_bytes"), std::to_string(262144ULL * 4096));
    EXPECT_EQ(s.at("xen_host_memory_free_bytes"), std::to_string(x.machine.hypervisor.free_pages * 4096));
    EXPECT_EQ(s.at("xen_host_memory_claimed_bytes"), std::to_string(x.machine.hypervisor.promised_pages * 4096));
    EXPECT_EQ(s.at("xen_pool_cpus", {{"name", "Pool-0"}, {"scheduler", "credit2"}}), "4");
    EXPECT_EQ(s.at("xen_domains"), "2");
    EXPECT_EQ(s.at("xen_domain_state", {{"name", "demo"}, {"state", "blocked"}}), "1");
    EXPECT_EQ(s.at("xen_domain_state", {{"name", "demo"}, {"state", "paused"}}), "0");
    EXPECT_EQ(s.at("xen_domain_cpu_seconds_total", demo), "0.300000000");
    EXPECT_EQ(s.at("xen_domain_memory_bytes", demo), std::to_string(x.machine.hypervisor.at(base::DomId{1})->pages * 4096));
    EXPECT_EQ(s.at("xen_domain_uptime_seconds", demo), "90");
    EXPECT_EQ(s.at("xen_domain_uptime_seconds", {{"name", "Domain-0"}}), "none") << "xend has not made it";
    EXPECT_EQ(s.at("xen_vcpu_seconds_total", {{"name", "demo"}, {"vcpu", "0"}, {"state", "running"}}), "1.500000000");
    EXPECT_EQ(s.at("xen_vcpu_state", {{"name", "demo"}, {"vcpu", "0"}, {"state", "blocked"}}), "1");
    EXPECT_EQ(s.at("xen_vcpu_cpu", {{"name", "demo"}, {"vcpu", "0"}}), "0");
    const std::map<std::string, std::string> disk{{"name", "demo"}, {"devid", "51712"}};
    EXPECT_EQ(s.at("xen_vbd_read_requests_total", disk), "7");
    EXPECT_EQ(s.at("xen_vbd_write_requests_total", disk), "5");
    EXPECT_EQ(s.at("xen_vbd_flush_requests_total", disk), "2");
    EXPECT_EQ(s.at("xen_vbd_stalled_requests_total", disk), "1");
    EXPECT_EQ(s.at("xen_vbd_read_bytes_total", disk), "8192");
    EXPECT_EQ(s.at("xen_vbd_written_bytes_total"), "4608") << "and of nobody else";
    const std::map<std::string, std::string> card{{"name", "demo"}, {"devid", "0"}, {"device", "vif1.0"}};
    EXPECT_EQ(s.at("xen_vif_receive_bytes_total", card), "200") << "as the guest sees it";
    EXPECT_EQ(s.at("xen_vif_transmit_bytes_total", card), "100");
    EXPECT_EQ(s.at("xen_vif_transmit_drop_total", card), "1");
    EXPECT_EQ(s.at("xen_vif_receive_errs_total"), "6");
    EXPECT_EQ(s.at("xend_jobs", {{"state", "running"}}), "0");
    EXPECT_EQ(s.at("xend_domains_failed"), "0");
}

TEST(Metrics, CountRepliesByStatus) {
    ListeningXend x;
    for (int i = 0; i < 3; ++i) EXPECT_EQ(x.get("/nowhere").status, 404);
    EXPECT_EQ(x.ask("PUT /metrics HTTP/1.1").status, 403);
    EXPECT_EQ(x.post("/metrics", "op=x").status, 405);
    const Scrape s = scrape(x);
    EXPECT_EQ(s.at("xend_http_replies_total", {{"code", "404"}}), "3");
    EXPECT_EQ(s.at("xend_http_replies_total", {{"code", "403"}}), "1");
    EXPECT_EQ(s.at("xend_http_replies_total", {{"code", "405"}}), "1");
    EXPECT_EQ(scrape(x).at("xend_http_replies_total", {{"code", "200"}}), "1") << "the one before";
}

TEST(Metrics, NamesFromOtherToolsCannotBreakTheText) {
    ListeningXend x;
    ASSERT_TRUE(x.machine.manager.create(x.machine.demo()));
    x.machine.stores.tree.write("/local/domain/1/name", "a\"b\\c\nd\xff{}# " + std::string(1000, 'x'));
    const Scrape s = scrape(x);
    EXPECT_EQ(s.at("xen_domain_vcpus", {{"name", "a\\\"b\\\\c\\nd?{}# " + std::string(244, 'x')}}), "2");
}

// A dying domain and its successor share a name and a uuid.
TEST(Metrics, ADyingDomainAndItsSuccessorAreTwo) {
    ListeningXend x;
    ASSERT_TRUE(x.machine.manager.create(x.machine.demo()));
    auto twin = *x.machine.hypervisor.at(base::DomId{1});
    twin.id = base::DomId{9};
    twin.dying = true;
    x.machine.hypervisor.all.push_back(twin);
    x.machine.stores.tree.write("/local/domain/9/name", "demo");
    const Scrape s = scrape(x);
    EXPECT_EQ(s.at("xen_domain_state", {{"domid", "9"}, {"state", "dying"}}), "1");
    EXPECT_EQ(s.at("xen_domain_state", {{"domid", "1"}, {"state", "dying"}}), "0");
}

// A look waits for no lane: a script of the domain's hangs meanwhile, with others behind it.
TEST(Metrics, AreThereWhileAJobHangs) {
    ListeningXend x;
    std::promise<void> release;
    auto released = release.get_future().share();
    std::atomic<bool> hanging = false;
    ASSERT_TRUE(x.machine.manager.create(x.machine.demo()));
    x.machine.hypervisor.before_unpause = [&] {
        hanging = true;
        released.wait();
    };
    std::vector<std::future<HttpAnswer>> jobs;
    for (int i = 0; i < 3; ++i)
        jobs.push_back(std::async(std::launch::async, [&] { return x.post("/xend/domain/demo", "op=unpause"); }));
    for (int i = 0; i < 500 && !hanging; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::string waiting;
    for (int i = 0; i < 500 && waiting != "2"; ++i) {
        const Scrape s = scrape(x);
        EXPECT_EQ(s.at("xend_jobs", {{"state", "running"}}), "1");
        waiting = s.at("xend_jobs", {{"state", "waiting"}});
    }
    EXPECT_EQ(waiting, "2");
    EXPECT_EQ(x.get("/healthz").status, 200);
    release.set_value();
    for (auto& job : jobs) EXPECT_EQ(job.get().status, 200);
}

TEST(Health, IsOneLineForEachPart) {
    ListeningXend x;
    EXPECT_EQ(x.get("/healthz").body, "ok store\nok hypervisor\nok recovery\n");
    x.vitals.tried("domain 'a'", base::fail(base::Errc::io, "its disk\nhangs"));
    const HttpAnswer answer = x.get("/healthz");
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(answer.body, "ok store\nok hypervisor\nnot ok recovery: domain 'a': its disk hangs\n");
    x.vitals.tried("domain 'a'", base::ok);
    EXPECT_EQ(x.get("/healthz").status, 200);
    EXPECT_EQ(x.post("/healthz", "").status, 405);
}

// A domain that could not be followed up and is gone by now: nobody tries again, and nobody is told of it for ever.
TEST(Health, WhatNobodyTriesAgainIsForgotten) {
    xend::Vitals vitals;
    for (const char* what : {"stopped domain 'a'", "stopped domain 'b'", "stopped domains", "domain 'a'"})
        vitals.tried(what, base::fail(base::Errc::io, "no"));
    vitals.only("stopped domain ", {"stopped domain 'b'", "stopped domain 'c'"});
    const auto left = vitals.unfinished();
    EXPECT_EQ(left.size(), 3U);
    EXPECT_FALSE(left.contains("stopped domain 'a'"));
}

TEST(Health, SaysWhoDoesNotAnswer) {
    ListeningXend x;
    x.machine.stores.tree.write("/local/domain/0/name", "Domain-0");
    for (int i = 0; i < 2; ++i) scrape(x);  // the names are known, and that nobody has changed them
    x.machine.stores.tree.broken = "/local";
    const HttpAnswer store = x.get("/healthz");
    EXPECT_EQ(store.status, 503);
    EXPECT_NE(store.body.find("not ok store: "), std::string::npos) << store.body;
    EXPECT_NE(store.body.find("the store has failed"), std::string::npos) << store.body;
    EXPECT_EQ(x.get("/metrics").status, 200) << "the names are known";
    x.machine.stores.tree.broken.clear();
}

// What a timer of root's runs for those who may not ask xend.
TEST(Metrics, XmPrintsThem) {
    ListeningXend x;
    const auto xm = [&](const char* verb) {
        xend::SocketTransport sockets({x.socket()});
        std::ostringstream out, err;
        xm::World world{sockets,
                        out,
                        err,
                        true,
                        [](unsigned) {},
                        [](const std::string&, const auto&) -> base::Outcome<> { return base::ok; }};
        const int status = xm::run(world, {verb});
        return std::to_string(status) + " " + out.str() + err.str();
    };
    const std::string printed = xm("metrics");
    EXPECT_EQ(printed.substr(0, 2), "0 ");
    EXPECT_EQ(Scrape(printed.substr(2)).faults, std::vector<std::string>());
    EXPECT_EQ(xm("health"), "0 ok store\nok hypervisor\nok recovery\n");
    x.vitals.tried("domain 'a'", base::fail(base::Errc::io, "no"));
    EXPECT_EQ(xm("health"), "1 ok store\nok hypervisor\nnot ok recovery: domain 'a': no\nError: This host is not well.\n");
}

/// A hypervisor that is not there.
struct DeadXen final : xencall::Backend {
    int64_t hypercall(uint64_t, const std::array<uint64_t, 5>&) override { return -static_cast<int64_t>(base::Errc::nosys); }
    base::Outcome<void*> allocate(size_t) override { return nothing(); }
    void release(void*, size_t) noexcept override {}
    base::Outcome<xencall::ForeignMapping> map_foreign(base::DomId, std::span<const base::Gfn>, xencall::Access) override {
        return nothing();
    }
    base::Outcome<xencall::ForeignMapping> map_resource(base::DomId, uint32_t, uint32_t, uint64_t, size_t) override {
        return nothing();
    }
    void unmap(void*, size_t) noexcept override {}
    base::Outcome<std::unique_ptr<xencall::EventChannels>> open_event_channels() override { return nothing(); }
    base::Outcome<std::unique_ptr<xencall::Grants>> open_grants() override { return nothing(); }
    static base::Failure nothing() { return base::fail(base::Errc::nosys, "no hypervisor"); }
};

TEST(Health, SaysThatTheHypervisorIsNotThere) {
    fakes::Machine m;
    DeadXen dead;
    xenctrl::Control control(dead);
    xend::ControlHypervisor hypervisor(control);
    xend::Manager manager({hypervisor, m.stores, m.scripts, m.blocks, m.records, m.clock, fakes::Machine::settings()});
    xend::Vitals vitals;
    xend::Monitor monitor(manager, m.clock, vitals, [] { return service::JobQueues::Load{}; });
    const xend::Reply health = monitor.handle({xend::Request::Method::get, "/healthz", {}});
    EXPECT_EQ(health.status, 503);
    EXPECT_EQ(health.body.find("ok store\nnot ok hypervisor: "), 0U) << health.body;
    const xend::Reply metrics = monitor.handle({xend::Request::Method::get, "/metrics", {}});
    EXPECT_EQ(metrics.status, 503);
    EXPECT_EQ(std::count(metrics.body.begin(), metrics.body.end(), '\n'), 1) << metrics.body;
}

// A store that hangs: one asks it, the others are told so at once, and `xm list` has its threads.
TEST(Health, AStoreThatHangsHoldsUpOneAlone) {
    ListeningXend x;
    std::optional<std::unique_lock<std::recursive_mutex>> hangs(std::in_place, x.machine.stores.tree.mutex);
    auto first = std::async(std::launch::async, [&] { return x.get("/healthz"); });
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    for (int i = 0; i < 40; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        const HttpAnswer answer = x.get("/healthz");
        EXPECT_EQ(answer.status, 503);
        EXPECT_EQ(answer.body, "not ok store: it was asked and has not answered yet\nok hypervisor\nok recovery\n");
        EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
    }
    hangs.reset();
    EXPECT_EQ(first.get().status, 200);
    EXPECT_EQ(x.get("/healthz").status, 200);
}

}  // namespace
