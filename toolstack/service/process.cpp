// SPDX-License-Identifier: Apache-2.0
#include "toolstack/service/process.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>
#include <string_view>
#include <thread>

#include "lib/base/number.hpp"

namespace service {
namespace {

void leave_terminal() {
    const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!null) return;
    for (int fd = 0; fd <= 2; ++fd) ::dup2(null.get(), fd);
}

/// The id that a pid file begins with; 0 when it holds none.
int pid_in(int file) {
    char text[32] = {};
    const ssize_t got = ::pread(file, text, sizeof text, 0);
    std::string_view line(text, got > 0 ? static_cast<size_t>(got) : 0);
    return base::take_number<int>(line).value_or(0);
}

base::Outcome<> write_pid_to(const Fd& file, const std::string& path) {
    const std::string text = std::to_string(::getpid()) + "\n";
    if (::ftruncate(file.get(), 0) != 0 || ::pwrite(file.get(), text.data(), text.size(), 0) < 0) {
        return system_failure("Cannot write pid file " + path);
    }
    return base::ok;
}

}  // namespace

base::Outcome<Detachment> Detachment::start(bool stay, const std::string& name) {
    Detachment d;
    if (stay) return d;
    Pipe pipe = OTRY(make_pipe());
    const Fd from_child = std::move(pipe.read);
    d.to_parent_ = std::move(pipe.write);
    const pid_t child = ::fork();
    if (child < 0) return system_failure("fork");
    if (child > 0) {
        d.to_parent_ = Fd();
        char word = word_failed;
        ssize_t n = 0;
        do n = ::read(from_child.get(), &word, 1);
        while (n < 0 && errno == EINTR);
        if (n != 1) std::fprintf(stderr, "%s died while starting\n", name.c_str());
        ::_exit(n == 1 && word == word_ready ? 0 : 1);
    }
    ::setsid();
    if (::chdir("/") != 0) return system_failure("chdir /");
    ::umask(022);
    return d;
}

void Detachment::tell(char word) {
    if (!to_parent_) return;
    (void)!::write(to_parent_.get(), &word, 1);
    to_parent_ = Fd();
}

void Detachment::ready() {
    if (to_parent_) leave_terminal();
    tell(word_ready);
}

void Detachment::leave_it_to_child() {
    if (to_parent_) leave_terminal();
    to_parent_ = Fd();
}

base::Outcome<PidFile> PidFile::take(std::string path, std::chrono::milliseconds patience) {
    constexpr std::chrono::milliseconds pause{50};
    OTRY(make_parent(path));
    Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!file) return system_failure("Cannot open pid file " + path);
    for (; ::flock(file.get(), LOCK_EX | LOCK_NB) != 0; patience -= pause) {
        if (patience < pause) {
            return base::fail(base::Errc::busy,
                              "Already running as process " + std::to_string(pid_in(file.get())) + " (" + path + ")");
        }
        std::this_thread::sleep_for(pause);
    }
    return PidFile(std::move(path), std::move(file));
}

base::Outcome<> PidFile::write_pid() { return write_pid_to(file_, path_); }

void PidFile::retire() { ::unlink(path_.c_str()); }

int PidFile::running(const std::string& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return file && ::flock(file.get(), LOCK_SH | LOCK_NB) != 0 ? pid_in(file.get()) : 0;
}

base::Outcome<> write_pid_file(const std::string& path) {
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (!file) return system_failure("Cannot open pid file " + path);
    return write_pid_to(file, path);
}

base::Outcome<> make_directories(const std::string& path, unsigned mode) {
    for (size_t at = 1; at != std::string::npos;) {
        at = path.find('/', at + 1);
        const std::string part = path.substr(0, at);
        if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) return system_failure("Cannot make directory " + part);
    }
    return base::ok;
}

base::Outcome<> make_parent(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos || slash == 0) return base::ok;
    return make_directories(path.substr(0, slash), 0755);
}

std::vector<char*> exec_texts(std::vector<std::string>& texts) {
    std::vector<char*> out;
    out.reserve(texts.size() + 1);
    for (std::string& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

}  // namespace service
