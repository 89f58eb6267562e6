// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/daemon.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "toolstack/service/process.hpp"
#include "toolstack/xencall/privcmd.hpp"
#include "toolstack/xend/adapters/control_hypervisor.hpp"
#include "toolstack/xend/adapters/file_records.hpp"
#include "toolstack/xend/adapters/script_runner.hpp"
#include "toolstack/xend/core/log.hpp"
#include "toolstack/xend/core/manager.hpp"
#include "toolstack/xend/server/http_server.hpp"
#include "toolstack/xend/server/log_file.hpp"
#include "toolstack/xend/server/router.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using service::Detachment;
using service::PidFile;
using std::chrono::milliseconds;

namespace {

/// Watches for domains that stop; one thread for xend's whole life.
class Reaper {
    Manager& manager_;
    Stores& stores_;
    std::atomic<bool> ending_{false};
    std::thread thread_;

    std::unique_ptr<xenstore::Store> watched_store() {
        auto store = stores_.open();
        if (store && (*store)->watch("@releaseDomain", "reap")) return std::move(store).take();
        return nullptr;
    }

    void run() {
        auto store = watched_store();
        int ticks = 0;
        while (!ending_) {
            auto again = manager_.reap();
            if (!again) log(LogLevel::warning, "while looking for stopped domains: " + again.failure().text);
            if (++ticks % 30 == 0) manager_.check_shutdown_timeouts();
            // Without an event we look all the same: an event can be lost, a domain must not be.
            const milliseconds pause{again && *again ? 100 : 1000};
            if (!store) {
                std::this_thread::sleep_for(pause);
                store = watched_store();
                continue;
            }
            auto event = store->next_event(pause);
            while (event && *event) event = store->poll_event();
            if (!event) store.reset();
        }
    }

public:
    Reaper(Manager& manager, Stores& stores) : manager_(manager), stores_(stores), thread_([this] { run(); }) {}
    ~Reaper() {
        ending_ = true;
        thread_.join();
    }
    Reaper(const Reaper&) = delete;
    Reaper& operator=(const Reaper&) = delete;
};

void run_network_script(const ServerSettings& settings, Scripts& scripts) {
    if (settings.network_script.empty()) return;
    ScriptCall call;
    std::string rest = settings.network_script;
    std::vector<std::string> words;
    for (size_t at = 0; at < rest.size();) {
        const size_t end = std::min(rest.find(' ', at), rest.size());
        if (end > at) words.push_back(rest.substr(at, end - at));
        at = end + 1;
    }
    if (words.empty()) return;
    call.path = words[0][0] == '/' ? words[0] : settings.core.scripts + "/" + words[0];
    call.arguments = {"start"};
    call.arguments.insert(call.arguments.end(), words.begin() + 1, words.end());
    auto ran = scripts.run(call);
    if (!ran) log(LogLevel::error, "network-script: " + ran.failure().text);
}

sigset_t ending_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

}  // namespace

Outcome<> serve(const ServerSettings& settings, const Ready& ready) {
    ::signal(SIGPIPE, SIG_IGN);
    const sigset_t ending = ending_signals();
    ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);  // before any thread: all inherit it, one waits for them

    auto backend = OTRY(xencall::open_privcmd());
    xenctrl::Control control(*backend);
    ControlHypervisor hypervisor(control);
    RealStores stores;
    ScriptRunner scripts;
    SystemClock clock;
    FileRecords records(settings.records);
    OTRY(records.prepare());
    Manager manager(Ports{hypervisor, stores, scripts, records, clock, settings.core});
    OTRY(manager.recover().context("while looking at the domains that run"));
    run_network_script(settings, scripts);

    Router router(manager, settings.log_file);
    HttpServer server([&router](const Request& request) { return router.handle(request); });
    for (const std::string& path : {settings.unix_path, settings.classic_unix_path}) {
        if (path.empty()) continue;
        OTRY(service::make_parent(path));
        OTRY(server.listen_unix(path));
    }
    if (settings.http_server) {
        // The classic port is a convenience: without it xm still works.
        auto listening = server.listen_tcp(settings.address, settings.port);
        if (!listening) log(LogLevel::warning, listening.failure().text);
    }
    std::thread waiter([&server, &ending] {
        int signal = 0;
        ::sigwait(&ending, &signal);
        log(LogLevel::info, std::string("xend ends (") + ::strsignal(signal) + ")");
        server.stop();
    });
    {
        const Reaper reaper(manager, stores);
        log(LogLevel::info, "xend is ready, pid " + std::to_string(::getpid()));
        ready();
        server.run();
    }
    waiter.join();
    return base::ok;
}

namespace {

/// One life of the server, in a child of the supervisor.
[[noreturn]] void server_life(const ServerSettings& settings, Detachment& detachment) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // a server without its supervisor would be a second xend beside the next
    Outcome<> served = open_log(settings.log_file, settings.log_level, LogTo::file);
    if (served) served = serve(settings, [&] { detachment.ready(); });
    if (served) std::exit(0);
    log(LogLevel::error, served.failure().text);
    std::fprintf(stderr, "xend: %s\n", served.failure().text.c_str());
    detachment.failed();
    std::_Exit(1);
}

volatile sig_atomic_t stop_asked = 0;
volatile pid_t server_pid = 0;

void on_stop(int signal) {
    stop_asked = 1;
    if (server_pid > 0) ::kill(server_pid, signal);
}

/// Starts the server, and again whenever it dies by a signal nobody sent on purpose.
[[noreturn]] void supervise(const ServerSettings& settings, PidFile& pid_file, Detachment& detachment) {
    struct sigaction action {};
    action.sa_handler = on_stop;
    ::sigaction(SIGTERM, &action, nullptr);
    ::sigaction(SIGINT, &action, nullptr);
    ::signal(SIGHUP, SIG_IGN);
    int status = 0;
    while (stop_asked == 0) {
        const pid_t pid = ::fork();
        if (pid == 0) {
            ::signal(SIGTERM, SIG_DFL);
            ::signal(SIGINT, SIG_DFL);
            server_life(settings, detachment);
        }
        detachment.leave_it_to_child();
        server_pid = pid;
        while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
        server_pid = 0;
        if (pid < 0 || WIFEXITED(status)) break;
        ::usleep(200'000);
    }
    pid_file.retire();
    std::_Exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

}  // namespace

Outcome<> start_in_background(const ServerSettings& settings) {
    PidFile pid_file = OTRY(PidFile::take(settings.pid_file, lock_patience));
    Detachment detachment = OTRY(Detachment::start(false, "xend"));
    OTRY(pid_file.write_pid());
    supervise(settings, pid_file, detachment);
}

}  // namespace xend
