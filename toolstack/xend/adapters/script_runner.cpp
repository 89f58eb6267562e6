// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/script_runner.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

namespace xend {

using base::Errc;
using base::Outcome;
using std::chrono::steady_clock;

namespace {

/// The last line that is not blank.
std::string last_line(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    const size_t at = text.find_last_of('\n');
    return text.substr(at == std::string::npos ? 0 : at + 1).substr(0, 500);
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    out.reserve(texts.size() + 1);
    for (std::string& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

Outcome<pid_t> spawn(const ScriptCall& call, int output) {
    std::vector<std::string> arguments{call.path};
    arguments.insert(arguments.end(), call.arguments.begin(), call.arguments.end());
    std::vector<std::string> environment{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
    for (const auto& [key, value] : call.environment) environment.push_back(fmt::format("{}={}", key, value));

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_adddup2(&actions, output, 2);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);  // its own group, so that a timeout reaches its children
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    pid_t pid = 0;
    const int error =
        ::posix_spawn(&pid, call.path.c_str(), &actions, &attributes, pointers(arguments).data(), pointers(environment).data());
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error == ENOENT) return base::fail(Errc::noent, "there is no script " + call.path);
    if (error != 0) return base::fail(Errc::io, "cannot run " + call.path + ": " + std::strerror(error));
    return pid;
}

/// Reads what the script says until its end or the deadline. False: the deadline came first.
bool collect(int input, steady_clock::time_point deadline, std::string& out) {
    std::array<char, 4096> buffer{};
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
        if (left <= 0) return false;
        struct pollfd p {
            input, POLLIN, 0
        };
        const int ready = ::poll(&p, 1, static_cast<int>(std::min<int64_t>(left, 60'000)));
        if (ready < 0 && errno != EINTR) return true;
        if (ready <= 0) continue;
        const ssize_t got = ::read(input, buffer.data(), buffer.size());
        if (got <= 0) return true;
        if (out.size() < 65536) out.append(buffer.data(), static_cast<size_t>(got));
    }
}

/// Waits for the end of the process up to the deadline.
std::optional<int> reap_child(pid_t pid, steady_clock::time_point deadline) {
    int status = 0;
    for (;;) {
        const pid_t got = ::waitpid(pid, &status, WNOHANG);
        if (got == pid) return status;
        if (got < 0 && errno != EINTR) return 0;
        if (steady_clock::now() >= deadline) return std::nullopt;
        std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
}

void append_log(const std::string& file, const ScriptCall& call, const std::string& text) {
    if (text.empty()) return;
    const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) return;
    const std::string line =
        call.path + " " + (call.arguments.empty() ? "" : call.arguments[0]) + ": " + text + (text.back() == '\n' ? "" : "\n");
    const ssize_t ignored = ::write(fd, line.data(), line.size());
    static_cast<void>(ignored);
    ::close(fd);
}

}  // namespace

Outcome<> ScriptRunner::run(const ScriptCall& call) {
    int pipe_ends[2] = {-1, -1};
    if (::pipe2(pipe_ends, O_CLOEXEC) != 0)
        return base::fail(Errc::mfile, std::string("cannot make a pipe: ") + std::strerror(errno));
    auto pid = spawn(call, pipe_ends[1]);
    ::close(pipe_ends[1]);
    if (!pid) {
        ::close(pipe_ends[0]);
        return std::move(pid).take_failure();
    }
    const auto deadline = steady_clock::now() + call.timeout;
    std::string said;
    bool in_time = collect(pipe_ends[0], deadline, said);
    ::close(pipe_ends[0]);
    std::optional<int> status;
    if (in_time) status = reap_child(*pid, deadline);
    if (!status) {
        ::kill(-*pid, SIGKILL);
        int ignored = 0;
        ::waitpid(*pid, &ignored, 0);
        in_time = false;
    }
    append_log(log_file_, call, said);
    if (!in_time)
        return base::fail(Errc::timedout, call.path + " did not end within " + std::to_string(call.timeout.count()) + " s");
    if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return base::ok;
    const std::string how = WIFEXITED(*status) ? "exit status " + std::to_string(WEXITSTATUS(*status))
                                               : "signal " + std::to_string(WTERMSIG(*status));
    const std::string line = last_line(said);
    return base::fail(Errc::io, call.path + " failed (" + how + ")" + (line.empty() ? "" : ": " + line));
}

int64_t SystemClock::local_offset() {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    return ::localtime_r(&now, &local) != nullptr ? local.tm_gmtoff : 0;
}

int64_t SystemClock::unix_seconds() {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void SystemClock::sleep(std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }

}  // namespace xend
