// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "toolstack/service/log.hpp"
#include "toolstack/service/process.hpp"
#include "toolstack/xend/server/daemon.hpp"
#include "toolstack/xend/server/settings.hpp"

namespace {

constexpr int exit_no_rights = 4;
constexpr int exit_not_running = 3;

int usage(FILE* to, int status) {
    std::fputs("usage: xend start|stop|restart|status|foreground\n", to);
    return status;
}

int complain(const std::string& text) {
    std::fprintf(stderr, "xend: %s\n", text.c_str());
    return 1;
}

/// Whether the pid file's process, and not only a server that it leaves behind for a moment, is there.
bool is_supervised(const xend::ServerSettings& settings) {
    const int pid = service::PidFile::running(settings.pid_file);
    return pid > 0 && ::kill(pid, 0) == 0;
}

int start(const xend::ServerSettings& settings) {
    if (is_supervised(settings)) return 0;  // as it always was
    auto started = xend::start_in_background(settings);
    if (started || is_supervised(settings)) return 0;  // somebody else was faster
    return complain(started.failure().text);
}

int stop(const xend::ServerSettings& settings) {
    const int pid = service::PidFile::running(settings.pid_file);
    if (pid <= 0) return 0;
    ::kill(pid, SIGTERM);
    for (int i = 0; i < 600; ++i) {
        if (service::PidFile::running(settings.pid_file) == 0) return 0;
        std::this_thread::sleep_for(std::chrono::milliseconds{50});
    }
    return complain("the running xend (pid " + std::to_string(pid) + ") does not end; a job of it may hang");
}

int foreground(const xend::ServerSettings& settings) {
    auto pid_file = service::PidFile::take(settings.pid_file, xend::lock_patience);
    if (!pid_file) return complain(pid_file.failure().text);
    if (auto written = pid_file->write_pid(); !written) return complain(written.failure().text);
    auto logging = service::terminal_log(service::log_level_named(settings.log_level));
    if (!logging) return complain(logging.failure().text);
    service::set_log(std::move(logging).take());
    auto served = xend::serve(settings, xend::Life::first, [] {});
    pid_file->retire();
    return served ? 0 : complain(served.failure().text);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return usage(stderr, 1);
    const std::string command = argv[1];
    if (command == "-h" || command == "--help") return usage(stdout, 0);
    std::vector<std::string> warnings;
    auto settings = xend::load_settings(warnings);
    if (!settings) return complain(settings.failure().text);
    const bool starts = command == "start" || command == "restart" || command == "foreground" || command == "reload";
    for (const std::string& warning : warnings) {
        if (starts) std::fprintf(stderr, "xend: warning: %s\n", warning.c_str());
    }
    if (command == "status") return service::PidFile::running(settings->pid_file) != 0 ? 0 : exit_not_running;
    if (!starts && command != "stop") return usage(stderr, 1);
    if (::geteuid() != 0) {
        complain("only root may do this");
        return exit_no_rights;
    }
    if (command == "start") return start(*settings);
    if (command == "stop") return stop(*settings);
    if (command == "foreground") return foreground(*settings);
    const int stopped = stop(*settings);
    return stopped != 0 ? stopped : start(*settings);
}
