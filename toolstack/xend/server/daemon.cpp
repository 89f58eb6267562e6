// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/daemon.hpp"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "toolstack/service/caught.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/service/process.hpp"
#include "toolstack/xencall/privcmd.hpp"
#include "toolstack/xend/adapters/control_hypervisor.hpp"
#include "toolstack/xend/adapters/file_records.hpp"
#include "toolstack/xend/adapters/linux_blocks.hpp"
#include "toolstack/xend/adapters/linux_neighbours.hpp"
#include "toolstack/xend/adapters/script_runner.hpp"
#include "toolstack/xend/adapters/sqlite_domains.hpp"
#include "toolstack/xend/adapters/sqlite_jobs.hpp"
#include "toolstack/xend/adapters/sqlite_transfers.hpp"
#include "toolstack/xend/adapters/sqlite_vnets.hpp"
#include "toolstack/xend/core/manager.hpp"
#include "toolstack/xend/rest/server.hpp"
#include "toolstack/xend/server/dispatcher.hpp"
#include "toolstack/xend/server/http_server.hpp"
#include "toolstack/xend/server/monitor.hpp"
#include "toolstack/xend/server/reaper.hpp"
#include "toolstack/xend/server/relocation_server.hpp"
#include "toolstack/xend/server/router.hpp"
#include "toolstack/xend/server/supervisor.hpp"
#include "toolstack/xend/server/xenapi_server.hpp"
#include "toolstack/xend/server/xmlrpc_server.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using service::Detachment;
using service::log;
using service::LogLevel;
using service::PidFile;

namespace {

void run_network_script(const ServerSettings& settings, Scripts& scripts) {
    if (settings.network_script.empty()) return;
    ScriptCall call;
    call.take_script(settings.core.script_path(settings.network_script), "start");
    auto ran = scripts.run(call);
    if (!ran) log(LogLevel::error, "network-script: " + ran.failure().text);
}

/// The sockets of this xend.
Outcome<> listen(HttpServer& server, const ServerSettings& settings) {
    const std::string classic = settings.unix_server ? settings.classic_unix_path : "";
    const std::string xmlrpc = settings.xmlrpc_unix_server ? settings.xmlrpc_unix_path : "";
    const std::string xenapi = settings.xenapi_unix_server ? settings.xenapi_unix_path : "";
    for (const std::string& path : {settings.unix_path, classic, xmlrpc, xenapi}) {
        if (path.empty()) continue;
        OTRY(service::make_parent(path));
        OTRY(server.listen_unix(path));
    }
    // The ports are a convenience: without them xm still works.
    const auto listen_tcp = [&server](bool wanted, const std::string& address, uint16_t port) {
        const auto listening = wanted ? server.listen_tcp(address, port) : Outcome<>(base::ok);
        if (!listening) log(LogLevel::warning, listening.failure().text);
    };
    listen_tcp(settings.http_server, settings.address, settings.port);
    for (const auto& [address, port] : settings.xenapi_ports) listen_tcp(true, address, port);
    listen_tcp(settings.xmlrpc_tcp_server, settings.xmlrpc_address, settings.xmlrpc_port);
    return base::ok;
}

/// What is done once, while requests are answered already.
class Startup {
    static constexpr std::chrono::milliseconds before_next_try{500};

    service::EventLoop& loop_;
    Dispatcher& dispatcher_;
    Manager& manager_;
    Vitals& vitals_;
    std::function<void()> network_;
    Ready ready_;
    Life life_;
    Outcome<> result_ = base::ok;

    void announced(const Outcome<>& done) {
        vitals_.tried("dom0 in the store", done);
        if (done) {
            log(LogLevel::info, "xend is ready, pid " + std::to_string(::getpid()));
            return ready_();
        }
        log(LogLevel::error, done.failure().text);
        if (life_ == Life::again) {
            loop_.after(before_next_try, [this] { announce(); });
        } else {
            result_ = base::Failure(done.failure()).with("while looking at the domains that run");
            loop_.stop();
        }
    }
    /// Until it succeeds: the store may be away, and till then the domain's name and disks belong to nobody else.
    void finish(const Record& record) {
        dispatcher_.post(Dispatcher::lane_of_domain(record.config.name), [this, record] {
            const auto finished = service::caught([&] { return manager_.finish_interrupted(record); });
            vitals_.tried("domain '" + record.config.name + "'", finished);
            if (finished) return;
            log(LogLevel::error, "domain '" + record.config.name + "': " + finished.failure().text);
            loop_.post([this, record] { loop_.after(before_next_try, [this, record] { finish(record); }); });
        });
    }
    /// What cannot be made now is when a domain needs it.
    void settle_vnets() {
        const auto settled = service::caught([&] { return manager_.settle_vnets(); });
        if (!settled) log(LogLevel::error, "not all vnets are as they were: " + settled.failure().text);
    }
    void announce() {
        dispatcher_.post("startup", [this] {
            const auto done = service::caught([&] { return manager_.announce_dom0(); });
            if (done) network_();
            if (done) dispatcher_.post(Dispatcher::vnet_lane, [this] { settle_vnets(); });
            loop_.post([this, done] { announced(done); });
        });
    }

public:
    Startup(service::EventLoop& loop, Dispatcher& dispatcher, Manager& manager, Vitals& vitals, std::function<void()> network,
            Ready ready, Life life)
        : loop_(loop),
          dispatcher_(dispatcher),
          manager_(manager),
          vitals_(vitals),
          network_(std::move(network)),
          ready_(std::move(ready)),
          life_(life) {}

    /// Before the loop turns: so what an earlier xend left of a domain comes before requests for it.
    Outcome<> begin() {
        if (const auto ended = manager_.end_vnet_scripts(); !ended) log(LogLevel::error, ended.failure().text);
        // A journal that cannot be read decides nothing today; it is in the log.
        if (const auto swept = manager_.sweep_transfers(); !swept) log(LogLevel::error, swept.failure().text);
        for (const Record& record : OTRY(manager_.interrupted())) finish(record);
        announce();
        return base::ok;
    }
    const Outcome<>& result() const { return result_; }
};

}  // namespace

Outcome<> serve(const ServerSettings& settings, Life life, const Ready& ready) {
    ::signal(SIGPIPE, SIG_IGN);
    const auto loop = OTRY(service::EventLoop::make());
    // Before any thread: all inherit the mask, only the loop hears of these.
    OTRY(loop->watch_signals({SIGTERM, SIGINT}, [&loop](int signal) {
        log(LogLevel::info, std::string("xend ends (") + ::strsignal(signal) + ")");
        loop->stop();
    }));

    auto backend = OTRY(xencall::open_privcmd());
    xenctrl::Control control(*backend);
    ControlHypervisor hypervisor(control);
    RealStores stores;
    ScriptRunner scripts;
    LinuxBlocks blocks(scripts);
    SystemClock clock;
    FileRecords records(settings.records);
    OTRY(records.prepare());
    SqliteDomains managed(settings.core.domains_folder + "/managed.db");
    SqliteTransfers transfers(settings.core.domains_folder + "/transfers.db");
    HostKeys keys(settings.core.domains_folder + "/hosts.db");
    TlsHosts hosts(keys);
    LinuxNeighbours neighbours;
    TcpLines lines(settings.relocation_plain, keys);
    SqliteVnets vnets(settings.core.domains_folder + "/vnets.db");
    Manager manager(Ports{hypervisor, stores, scripts, blocks, records, clock, settings.core, &managed, &transfers, &lines,
                          &neighbours, &vnets});
    Vitals vitals;
    Router router(manager, settings.log_file, shown_options(settings), &hosts);
    Dispatcher* queues = nullptr;
    Monitor monitor(manager, clock, vitals, [&queues] { return queues->load(); });
    Dispatcher dispatcher(
        [&](const Request& request) { return Monitor::is_for(request) ? monitor.handle(request) : router.handle(request); });
    queues = &dispatcher;
    HttpServer server(
        *loop, [&dispatcher](Request request, HttpServer::Done done) { dispatcher.handle(std::move(request), std::move(done)); },
        &vitals);
    xenapi::Server xenapi(manager, clock, dispatcher);
    server.serve(xmlrpc_path, [&](const HttpRequest& request, HttpServer::Done done) {
        serve_xmlrpc(dispatcher, request, std::move(done), [&xenapi](const xmlrpc::Call& call, const auto& answered) {
            const bool taken = xenapi::Server::is_for(call.method);
            if (taken) xenapi.handle(call, answered);
            return taken;
        });
    });
    SqliteJobs jobs(settings.core.domains_folder + "/jobs.db");
    rest::Server api(
        manager, clock, dispatcher, *loop, [&server] { server.poke(); }, &jobs);
    if (const auto taken = api.take_over(); !taken) log(LogLevel::error, taken.failure().text);
    server.serve_below(
        rest::root, [&api](const HttpRequest& request, HttpServer::Done done) { api.handle(request, std::move(done)); },
        rest::Server::refused);
    OTRY(listen(server, settings));
    RelocationServer relocation(*loop, dispatcher, manager, settings, keys);
    if (settings.relocation_server) OTRY(relocation.listen());
    Reaper reaper(*loop, manager, stores, dispatcher, vitals);
    reaper.start();
    api.start();
    Startup startup(
        *loop, dispatcher, manager, vitals, [&] { run_network_script(settings, scripts); }, ready, life);
    OTRY(startup.begin());
    auto ran = loop->run();
    dispatcher.finish();  // what runs is brought to its end
    return ran ? startup.result() : ran;
}

namespace {

/// One life of the server, in a child of the supervisor.
int server_life(const ServerSettings& settings, Life life, Detachment& detachment) {
    auto target = service::rotating_log(settings.log_file, service::log_level_named(settings.log_level));
    Outcome<> served = target ? Outcome<>(base::ok) : Outcome<>(target.failure());
    if (target) {
        service::set_log(std::move(target).take());
        served = serve(settings, life, [&] { detachment.ready(); });
    }
    if (served) return 0;
    log(LogLevel::error, served.failure().text);
    std::fprintf(stderr, "xend: %s\n", served.failure().text.c_str());
    detachment.failed();
    return 1;
}

}  // namespace

Outcome<> start_in_background(const ServerSettings& settings) {
    PidFile pid_file = OTRY(PidFile::take(settings.pid_file, lock_patience));
    Detachment detachment = OTRY(Detachment::start(false, "xend"));
    OTRY(pid_file.write_pid());
    supervise(settings.log_file, pid_file, detachment,
              [&settings](Life life, Detachment& waiting) { return server_life(settings, life, waiting); });
}

}  // namespace xend
