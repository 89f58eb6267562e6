// SPDX-License-Identifier: Apache-2.0
#include "toolstack/pygrub/image.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "toolstack/service/sandbox.hpp"

namespace pygrub {

using base::Errc;
using base::Outcome;
using service::Fd;

namespace {

constexpr const char* program = "/usr/bin/grub-fstest";
constexpr int no_sandbox = 126, no_program = 127;
constexpr std::chrono::seconds time_for_one{60};
constexpr size_t most_listed = size_t{1} << 20U;
constexpr int disk_at = 3;

/// Binds what a program needs of the system, if it is there, below the new root.
int bind_system(const std::string& root) {
    for (const std::string name : {"/usr", "/lib", "/lib64"}) {
        struct stat s {};
        if (::lstat(name.c_str(), &s) != 0) continue;
        const std::string here = root + name;
        if (S_ISLNK(s.st_mode)) {
            std::array<char, 256> target{};
            if (::readlink(name.c_str(), target.data(), target.size() - 1) < 0 || ::symlink(target.data(), here.c_str()) != 0)
                return errno;
        } else if (::mkdir(here.c_str(), 0755) != 0 ||
                   ::mount(name.c_str(), here.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) {
            return errno;
        }
    }
    return 0;
}

/// Leaves this process nothing to see but the libraries and the disk, as /disk. The new root is over /tmp, in a name space of its own.
int hide_the_system() {
    const std::string root = "/tmp";
    if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) != 0) return errno;
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return errno;
    // The descriptor's own path is gone when something stands over it.
    std::array<char, 4096> disk{};
    if (::readlink(("/proc/self/fd/" + std::to_string(disk_at)).c_str(), disk.data(), disk.size() - 1) < 0) return errno;
    const Fd held(::open(disk.data(), O_PATH));
    if (!held || ::mount("tmpfs", root.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") != 0) return errno;
    const Fd place(::open((root + "/disk").c_str(), O_WRONLY | O_CREAT, 0600));
    const std::string source = "/proc/self/fd/" + std::to_string(held.get());
    if (!place || ::mount(source.c_str(), (root + "/disk").c_str(), nullptr, MS_BIND, nullptr) != 0) return errno;
    if (const int bad = bind_system(root); bad != 0) return bad;
    return ::chroot(root.c_str()) != 0 || ::chdir("/") != 0 ? errno : 0;
}

/// The child's end of it all.
[[noreturn]] void become_reader(int disk, int output, int errors, const std::string& command, const std::string& path,
                                size_t most) {
    const int nothing = ::open("/dev/null", O_RDONLY);
    if (nothing < 0 || !service::take_descriptors({nothing, output, errors, disk})) ::_exit(no_sandbox);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // nobody waits for it then
    std::string where = "/disk";
    if (::geteuid() == 0) {
        if (hide_the_system() != 0) ::_exit(no_sandbox);
    } else {
        where = "/proc/self/fd/" + std::to_string(disk_at);
    }
    const rlimit bytes{most, most};
    if (::setrlimit(RLIMIT_FSIZE, &bytes) != 0) ::_exit(no_sandbox);
    if (service::enter_sandbox({.cpu_seconds = static_cast<unsigned>(time_for_one.count())}) != 0) ::_exit(no_sandbox);
    const std::array<const char*, 5> arguments = {program, where.c_str(), command.c_str(), path.empty() ? nullptr : path.c_str(),
                                                  nullptr};
    const std::array<const char*, 3> environment = {"PATH=/usr/bin:/bin", "LC_ALL=C", nullptr};
    ::execve(program, const_cast<char**>(arguments.data()), const_cast<char**>(environment.data()));
    ::_exit(no_program);
}

/// Its status; nothing when it does not end in time.
std::optional<int> await(pid_t child) {
    const bool ended = service::ends_by(child, std::chrono::steady_clock::now() + time_for_one);
    if (!ended) ::kill(child, SIGKILL);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return ended ? std::optional(status) : std::nullopt;
}

std::string content_of(int file, size_t most) {
    std::string out(most, '\0');
    const ssize_t got = ::pread(file, out.data(), out.size(), 0);
    out.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return out;
}

/// The first line of what GRUB says of itself, without its own name.
std::string words_of_failure(std::string text) {
    text = without_controls(text.substr(0, text.find('\n'))).substr(0, 200);
    const std::string own = "grub-fstest: ", error = "error: ";
    if (text.starts_with(own)) text.erase(0, own.size());
    if (text.starts_with(error)) text.erase(0, error.size());
    return text.empty() ? "it cannot be read" : text;
}

}  // namespace

Outcome<Image> Image::open(const std::string& path) {
    if (::access(program, X_OK) != 0)
        return base::fail(Errc::noent, std::string("there is no ") + program + ": install grub-common");
    Fd disk(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!disk) return service::system_failure(path);
    struct stat s {};
    if (::fstat(disk.get(), &s) != 0) return service::system_failure(path);
    if (!S_ISREG(s.st_mode) && !S_ISBLK(s.st_mode)) return base::fail(Errc::inval, path + ": neither a file nor a block device");
    return Image(std::move(disk));
}

Outcome<> Image::run(const std::string& command, const std::string& path, int output, size_t most) const {
    const Fd errors(::memfd_create("errors", MFD_CLOEXEC));
    if (!errors) return service::system_failure("memfd_create");
    const pid_t child = ::fork();
    if (child < 0) return service::system_failure("fork");
    if (child == 0) become_reader(disk_.get(), output, errors.get(), command, path, most);
    const auto status = await(child);
    if (!status) return base::fail(Errc::timedout, "reading it takes more than " + std::to_string(time_for_one.count()) + " s");
    if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return base::ok;
    if (WIFEXITED(*status) && WEXITSTATUS(*status) == no_sandbox)
        return base::fail(Errc::perm, "the reader's sandbox cannot be made");
    if (WIFSIGNALED(*status) && WTERMSIG(*status) == SIGXFSZ) return base::fail(Errc::toobig, "it is too large");
    if (WIFSIGNALED(*status)) return base::fail(Errc::io, "reading it ended by signal " + std::to_string(WTERMSIG(*status)));
    return base::fail(Errc::noent, words_of_failure(content_of(errors.get(), 4096)));
}

Outcome<std::string> Image::ask(const std::string& command, const std::string& path, size_t most) const {
    const Fd answer(::memfd_create("answer", MFD_CLOEXEC));
    if (!answer) return service::system_failure("memfd_create");
    OTRY(run(command, path, answer.get(), most));
    return content_of(answer.get(), most);
}

Outcome<std::vector<std::string>> Image::partitions() {
    std::vector<std::string> out;
    for (std::string& name : words_of(OTRY(ask("ls", "", most_listed)))) {
        if (name.starts_with("(loop0") && name.ends_with(")")) out.push_back(std::move(name));
    }
    // GRUB names the last partition first.
    const auto number = [](const std::string& name) {
        const size_t digits = name.find_last_not_of("0123456789", name.size() - 2);
        return name == "(loop0)" ? 0 : std::atoi(name.c_str() + digits + 1);
    };
    std::ranges::stable_sort(out, {}, number);
    return out;
}

Outcome<std::vector<std::string>> Image::list(const std::string& device, const std::string& folder) {
    auto names = words_of(OTRY(ask("ls", device + folder + (folder.ends_with('/') ? "" : "/"), most_listed)));
    for (std::string& name : names) {
        if (name.ends_with('/')) name.pop_back();
    }
    return names;
}

Outcome<std::string> Image::read(const std::string& device, const std::string& path) {
    return ask("cat", device + path, most_text);
}

Outcome<> Image::extract(const std::string& device, const std::string& path, int output, size_t most) {
    return run("cat", device + path, output, most).context(path);
}

}  // namespace pygrub
