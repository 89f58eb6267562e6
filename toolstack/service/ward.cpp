// SPDX-License-Identifier: Apache-2.0
#include "toolstack/service/ward.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "toolstack/service/process.hpp"

namespace service {

namespace {

/// The texts in a file of /proc, each ended by a zero.
std::vector<std::string> texts_of(const std::string& file) {
    std::vector<std::string> out;
    std::ifstream in(file);
    for (std::string text; std::getline(in, text, '\0');) out.push_back(text);
    return out;
}

bool has_ended(const Fd& process) {
    pollfd p{process.get(), POLLIN, 0};
    return ::poll(&p, 1, 0) > 0;
}

/// Whether the process has the file open: one that was given the number of a daemon that is gone has not.
bool has_open(const std::string& process_folder, const std::string& file) {
    struct stat wanted {};
    if (::stat(file.c_str(), &wanted) != 0) return false;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(process_folder + "/fd", error)) {
        struct stat s {};
        if (::stat(entry.path().c_str(), &s) == 0 && s.st_dev == wanted.st_dev && s.st_ino == wanted.st_ino) return true;
    }
    return false;
}

}  // namespace

/// The process that holds the pid file, if there is one that was not known.
void Ward::find() {
    const pid_t pid = PidFile::running(pid_file_);
    if (pid <= 0) return;
    Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    const std::string folder = "/proc/" + std::to_string(pid);
    char program[4096] = {};
    const ssize_t size = ::readlink((folder + "/exe").c_str(), program, sizeof program - 1);
    Command command{size > 0 ? program : "", texts_of(folder + "/cmdline"), texts_of(folder + "/environ")};
    const std::string replaced = " (deleted)";  // by a newer one of the same name
    if (command.program.ends_with(replaced)) command.program.resize(command.program.size() - replaced.size());
    // While the process lives its number is its own: so all that was read is of one process, and that is the daemon.
    if (!has_open(folder, pid_file_) || !process || has_ended(process) || command.program.empty() || command.arguments.empty())
        return;
    if (pid_ != 0) tell_(name_ + " runs again as process " + std::to_string(pid));
    pid_ = pid;
    process_ = std::move(process);
    command_ = std::move(command);
    started_ = Clock::now();
}

void Ward::look() {
    if (starter_ != 0 && ::waitpid(starter_, nullptr, WNOHANG) != 0) starter_ = 0;
    if (process_) {
        if (!has_ended(process_)) return;
        process_ = Fd();
        if (::access(pid_file_.c_str(), F_OK) != 0) {
            pid_ = 0;  // it was told to end
            return;
        }
        tell_(name_ + " (process " + std::to_string(pid_) + ") has died");
        pause_ = Clock::now() - started_ >= good_life ? first_pause : std::min(2 * pause_, longest_pause);
        next_start_ = Clock::now() + pause_;
    }
    find();
    if (process_ || pid_ == 0 || starter_ != 0 || Clock::now() < next_start_) return;
    start();
}

void Ward::start() {
    next_start_ = Clock::now() + pause_;
    pause_ = std::min(2 * pause_, longest_pause);
    const std::vector<char*> arguments = exec_texts(command_.arguments);
    const std::vector<char*> environment = exec_texts(command_.environment);
    starter_ = ::fork();
    if (starter_ < 0) starter_ = 0;
    if (starter_ != 0) return;
    ::setsid();
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int s : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) ::signal(s, SIG_DFL);
    ::syscall(SYS_close_range, 3U, ~0U, 0U);
    ::execve(command_.program.c_str(), arguments.data(), environment.data());
    ::_exit(127);
}

}  // namespace service
