// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenstored/service.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

namespace service {

Fd::~Fd() {
    if (fd_ >= 0) ::close(fd_);
}

base::Failure system_failure(const std::string& what) {
    const int number = errno;
    return base::fail(static_cast<base::Errc>(number), what + ": " + std::strerror(number));
}

base::Outcome<Detachment> Detachment::start(bool stay) {
    Detachment d;
    if (stay) return d;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return system_failure("pipe");
    Fd from_child(ends[0]);
    d.to_parent_ = Fd(ends[1]);
    const pid_t child = ::fork();
    if (child < 0) return system_failure("fork");
    if (child > 0) {
        d.to_parent_ = Fd();
        char word = 0;
        ssize_t n = 0;
        do n = ::read(from_child.get(), &word, 1);
        while (n < 0 && errno == EINTR);
        ::_exit(n == 1 ? 0 : 1);
    }
    ::setsid();
    if (::chdir("/") != 0) return system_failure("chdir /");
    ::umask(022);
    return d;
}

void Detachment::ready() {
    if (!to_parent_) return;
    const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (null) {
        for (int fd = 0; fd <= 2; ++fd) ::dup2(null.get(), fd);
    }
    const char word = 1;
    (void)!::write(to_parent_.get(), &word, 1);
    to_parent_ = Fd();
}

base::Outcome<Fd> take_pid_file(const std::string& path) {
    Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!file) return system_failure("Cannot open pid file " + path);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        char pid[16] = {};
        (void)!::pread(file.get(), pid, sizeof pid - 1, 0);
        if (char* end = std::strchr(pid, '\n')) *end = '\0';
        return base::fail(base::Errc::busy, "Already running as process " + std::string(pid) + " (" + path + ")");
    }
    const std::string text = std::to_string(::getpid()) + "\n";
    if (::ftruncate(file.get(), 0) != 0 || ::pwrite(file.get(), text.data(), text.size(), 0) < 0) {
        return system_failure("Cannot write pid file " + path);
    }
    return file;
}

Log::Log(std::string path) : path_(std::move(path)) { reopen(); }

void Log::reopen() {
    if (!path_.empty()) file_ = Fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
}

void Log::line(std::string_view text) {
    std::timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    std::tm parts{};
    ::gmtime_r(&now.tv_sec, &parts);
    char stamp[40];
    const size_t n = std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ ", &parts);
    std::string whole(stamp, n);
    whole += text;
    whole += '\n';
    (void)!::write(file_ ? file_.get() : 2, whole.data(), whole.size());
}

base::Outcome<base::Unit> make_directories(const std::string& path, unsigned mode) {
    for (size_t at = 1; at != std::string::npos;) {
        at = path.find('/', at + 1);
        const std::string part = path.substr(0, at);
        if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) return system_failure("Cannot make directory " + part);
    }
    return base::ok;
}

}  // namespace service
