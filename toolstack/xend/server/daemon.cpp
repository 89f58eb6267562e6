// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/daemon.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

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
using std::chrono::milliseconds;

namespace {

void make_parent(const std::string& path) {
    std::error_code ignored;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
}

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

void run_network_script(const Settings& settings, Scripts& scripts) {
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
    call.path = words[0][0] == '/' ? words[0] : settings.scripts + "/" + words[0];
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

Outcome<> serve(const Settings& settings, const Ready& ready) {
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
    Manager manager(Ports{hypervisor, stores, scripts, records, clock, settings});
    OTRY(manager.recover().context("while looking at the domains that run"));
    run_network_script(settings, scripts);

    Router router(manager);
    HttpServer server([&router](const Request& request) { return router.handle(request); });
    for (const std::string& path : {settings.unix_path, settings.classic_unix_path}) {
        if (path.empty()) continue;
        make_parent(path);
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

PidFile::~PidFile() {
    if (fd_ >= 0) ::close(fd_);
}

Outcome<> PidFile::claim() {
    make_parent(path_);
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0)
        return base::fail(errno == EACCES ? Errc::access : Errc::io, "cannot open " + path_ + ": " + std::strerror(errno));
    // A predecessor that was killed a moment ago may take a moment to let go.
    for (int i = 0; ::flock(fd_, LOCK_EX | LOCK_NB) != 0; ++i) {
        if (i == 20) return base::fail(Errc::busy, "xend is running already");
        std::this_thread::sleep_for(milliseconds{50});
    }
    return base::ok;
}

void PidFile::write_pid() {
    const std::string text = std::to_string(::getpid()) + "\n";
    if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, text.data(), text.size(), 0) < 0) {
        log(LogLevel::warning, "cannot write " + path_ + ": " + std::strerror(errno));
    }
}

void PidFile::retire() { ::unlink(path_.c_str()); }

int PidFile::running(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    std::array<char, 32> text{};
    const bool locked = ::flock(fd, LOCK_SH | LOCK_NB) != 0;
    const ssize_t got = ::read(fd, text.data(), text.size() - 1);
    ::close(fd);
    return locked && got > 0 ? std::atoi(text.data()) : 0;
}

namespace {

/// One life of the server, in a child of the supervisor. `report` gets "ok" or the error line and is then closed.
[[noreturn]] void server_life(const Settings& settings, int report) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // a server without its supervisor would be a second xend beside the next
    bool told = false;
    const auto tell = [&](const std::string& text) {
        if (told || report < 0) return;
        told = true;
        const ssize_t ignored = ::write(report, text.data(), text.size());
        static_cast<void>(ignored);
        ::close(report);
    };
    auto logging = open_log(settings.log_file, settings.log_level, LogTo::file);
    if (!logging) tell(logging.failure().text);
    auto served = serve(settings, [&] { tell("ok"); });
    if (!served) {
        log(LogLevel::error, served.failure().text);
        tell(served.failure().text);
        std::_Exit(1);
    }
    std::exit(0);
}

volatile sig_atomic_t stop_asked = 0;
volatile pid_t server_pid = 0;

void on_stop(int signal) {
    stop_asked = 1;
    if (server_pid > 0) ::kill(server_pid, signal);
}

/// Starts the server, and again whenever it dies by a signal nobody sent on purpose.
[[noreturn]] void supervise(const Settings& settings, PidFile& pid_file, int report) {
    struct sigaction action {};
    action.sa_handler = on_stop;
    ::sigaction(SIGTERM, &action, nullptr);
    ::sigaction(SIGINT, &action, nullptr);
    ::signal(SIGHUP, SIG_IGN);
    int status = 0;
    for (bool first = true; stop_asked == 0; first = false) {
        const pid_t pid = ::fork();
        if (pid == 0) {
            ::signal(SIGTERM, SIG_DFL);
            ::signal(SIGINT, SIG_DFL);
            server_life(settings, first ? report : -1);
        }
        if (first) ::close(report);
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

Outcome<> start_in_background(const Settings& settings) {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) return base::fail(Errc::mfile, std::strerror(errno));
    PidFile pid_file(settings.pid_file);
    OTRY(pid_file.claim());
    const pid_t child = ::fork();
    if (child < 0) return base::fail(Errc::nomem, std::string("cannot fork: ") + std::strerror(errno));
    if (child == 0) {
        ::close(ends[0]);
        ::setsid();
        if (::chdir("/") != 0) std::_Exit(1);
        const int null = ::open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
        if (null > 2) ::close(null);
        pid_file.write_pid();
        supervise(settings, pid_file, ends[1]);
    }
    ::close(ends[1]);
    std::string said;
    std::array<char, 512> buffer{};
    for (ssize_t got = 0; (got = ::read(ends[0], buffer.data(), buffer.size())) != 0;) {
        if (got > 0) said.append(buffer.data(), static_cast<size_t>(got));
        if (got < 0 && errno != EINTR) break;
    }
    ::close(ends[0]);
    if (said == "ok") return base::ok;
    return base::fail(Errc::io, said.empty() ? "xend died while starting; see " + settings.log_file : said);
}

}  // namespace xend
