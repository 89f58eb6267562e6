// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/script_runner.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include "toolstack/service/fd.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/service/process.hpp"
#include "toolstack/xend/adapters/tagged.hpp"

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

Outcome<pid_t> spawn(const ScriptCall& call, int output) {
    std::vector<std::string> arguments{call.path};
    arguments.insert(arguments.end(), call.arguments.begin(), call.arguments.end());
    std::vector<std::string> environment{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
    if (!call.tag.empty()) environment.push_back(tag_mark(call.tag));
    for (const auto& [key, value] : call.environment) environment.push_back(fmt::format("{}={}", key, value));

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_adddup2(&actions, output, 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);  // nothing of ours lives on in a script, whoever opened it
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);  // its own group, so that a timeout reaches its children
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    pid_t pid = 0;
    const int error = ::posix_spawn(&pid, call.path.c_str(), &actions, &attributes, service::exec_texts(arguments).data(),
                                    service::exec_texts(environment).data());
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error == ENOENT) return base::fail(Errc::noent, "there is no script " + call.path);
    if (error != 0) return base::fail(Errc::io, "cannot run " + call.path + ": " + std::strerror(error));
    return pid;
}

/// Takes what the pipe holds now. False: everybody has closed it.
bool drain(int input, std::string& out) {
    std::array<char, 4096> buffer{};
    for (;;) {
        const ssize_t got = ::read(input, buffer.data(), buffer.size());
        if (got == 0) return false;
        if (got < 0) return errno == EAGAIN || errno == EINTR;
        if (out.size() < 65536) out.append(buffer.data(), static_cast<size_t>(got));
    }
}

/// Reads what the script says until the process ends, whoever else holds its pipe; its status. Nothing: the deadline came first.
std::optional<int> await_end(pid_t pid, int input, steady_clock::time_point deadline, std::string& out) {
    const service::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    bool open = true;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
        if (left <= 0) return std::nullopt;
        std::array<pollfd, 2> fds{pollfd{process.get(), POLLIN, 0}, pollfd{open ? input : -1, POLLIN, 0}};
        ::poll(fds.data(), fds.size(), static_cast<int>(std::min<int64_t>(left + 1, process ? 60'000 : 10)));
        int status = 0;
        const pid_t ended = ::waitpid(pid, &status, WNOHANG);  // before the last look into the pipe
        open = open && drain(input, out);
        if (ended == pid) return status;
        if (ended < 0 && errno != EINTR) return 0;
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
    auto pipe = service::make_pipe();
    if (!pipe) return base::fail(Errc::mfile, std::string("cannot make a pipe: ") + std::strerror(errno));
    const service::Fd output = std::move(pipe->read);
    ::fcntl(output.get(), F_SETFL, O_NONBLOCK);
    auto pid = spawn(call, pipe->write.get());
    pipe->write = service::Fd();
    if (!pid) return std::move(pid).take_failure();
    std::string said;
    const auto status = await_end(*pid, output.get(), steady_clock::now() + call.timeout, said);
    if (!status) {
        ::kill(-*pid, SIGKILL);
        int ignored = 0;
        ::waitpid(*pid, &ignored, 0);
    }
    if (call.output != nullptr) *call.output = said;
    else append_log(log_file_, call, said);
    if (!status)
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

void ScriptRunner::end(const std::vector<std::string>& tags) {
    std::vector<std::string> marks;
    marks.reserve(tags.size());
    for (const std::string& tag : tags) marks.push_back(tag_mark(tag));
    for (int i = 0; i < 1000; ++i) {  // 5 s: a process inside the kernel may take its time
        const auto groups = marked_groups(marks);
        if (groups && groups->empty()) return;
        for (const pid_t group : groups ? *groups : std::set<pid_t>{}) {
            if (::kill(-group, SIGKILL) != 0) ::kill(group, SIGKILL);  // one in our own group is named by itself
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
    service::log(service::LogLevel::warning, "a hotplug script of an earlier xend does not end");
}

int64_t SystemClock::unix_seconds() {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void SystemClock::sleep(std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }

}  // namespace xend
