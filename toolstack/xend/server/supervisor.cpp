// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "toolstack/service/ward.hpp"

namespace xend {

using service::Fd;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds first_pause{20}, longest_pause{2'000}, good_life{1'000};

volatile sig_atomic_t stop_asked = 0;
volatile pid_t server_pid = 0;

void on_stop(int signal) {
    stop_asked = 1;
    if (server_pid > 0) ::kill(server_pid, signal);
}

/// The kernel should kill something else first; what we start is as others are.
void avoid_memory_killer(const char* score) {
    const Fd file(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
    if (file) (void)!::write(file.get(), score, std::char_traits<char>::length(score));
}

/// A line in the server's log, which is the server's to rotate.
void tell(const std::string& log_file, const std::string& text) {
    const Fd file(::open(log_file.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    std::array<char, 40> time{};
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    ::localtime_r(&now, &local);
    std::strftime(time.data(), time.size(), "%Y-%m-%d %H:%M:%S", &local);
    const std::string line = std::string("[") + time.data() + " supervisor] warning " + text + "\n";
    if (file) (void)!::write(file.get(), line.data(), line.size());
}

/// Who sees to xenstored and xenconsoled: we do, unless the service manager says in XEND_WARDS that it does.
std::vector<service::Ward> wards_of(const service::Ward::Tell& tell) {
    std::vector<service::Ward> wards;
    const char* const word = std::getenv("XEND_WARDS");
    if (word != nullptr && std::string_view(word) == "no") return wards;
    wards.emplace_back("xenstored", "/run/xenstored/xenstored.pid", tell);
    wards.emplace_back("xenconsoled", "/run/xenconsoled.pid", tell);
    return wards;
}

/// Until `process` ends or `time` is over, whichever is first; the wards are looked at meanwhile.
void watch(std::vector<service::Ward>& wards, int process, steady_clock::time_point end) {
    constexpr milliseconds between_looks{500};
    for (;;) {
        std::vector<pollfd> fds{pollfd{process, POLLIN, 0}};
        for (service::Ward& ward : wards) {
            ward.look();
            fds.push_back(pollfd{ward.fd(), POLLIN, 0});
        }
        const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
        if (left.count() <= 0 || (process < 0 && stop_asked != 0)) return;
        ::poll(fds.data(), fds.size(), static_cast<int>(std::min(left, between_looks).count()));
        if (fds[0].revents != 0) return;
    }
}

pid_t begin_life(Life life, service::Detachment& detachment, const ServerLife& server) {
    const pid_t supervisor = ::getpid();
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a server without its supervisor would be a second xend beside the next
    if (::getppid() != supervisor) ::_exit(1);
    ::signal(SIGTERM, SIG_DFL);
    ::signal(SIGINT, SIG_DFL);
    avoid_memory_killer("0");
    const int status = server(life, detachment);
    std::fflush(nullptr);
    ::_exit(status);
}

}  // namespace

void supervise(const std::string& log_file, service::PidFile& pid_file, service::Detachment& detachment,
               const ServerLife& server) {
    struct sigaction action {};
    action.sa_handler = on_stop;
    ::sigaction(SIGTERM, &action, nullptr);
    ::sigaction(SIGINT, &action, nullptr);
    ::signal(SIGHUP, SIG_IGN);
    avoid_memory_killer("-1000");
    const auto telling = [&](const std::string& text) { tell(log_file, text); };
    std::vector<service::Ward> wards = wards_of(telling);
    int status = 0;
    milliseconds pause = first_pause;
    for (Life life = Life::first;; life = Life::again) {
        const auto begin = steady_clock::now();
        const pid_t pid = begin_life(life, detachment, server);
        if (pid < 0) break;
        detachment.leave_it_to_child();
        server_pid = pid;
        const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
        while (::waitpid(pid, &status, WNOHANG) == 0) {
            // A signal that came before the server's number was known, or its handlers stood, is not lost.
            if (stop_asked != 0) ::kill(pid, SIGTERM);
            watch(wards, process.get(), steady_clock::now() + std::chrono::seconds(1));
        }
        server_pid = 0;
        const bool told = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (stop_asked != 0 || told || (life == Life::first && WIFEXITED(status))) break;
        pause = steady_clock::now() - begin >= good_life ? first_pause : std::min(2 * pause, longest_pause);
        telling("xend's server has died and is started again");
        watch(wards, -1, steady_clock::now() + pause);
        if (stop_asked != 0) break;
    }
    pid_file.retire();
    std::_Exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

}  // namespace xend
