// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/tagged.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "lib/base/number.hpp"
#include "toolstack/service/fd.hpp"

namespace xend {

using base::Outcome;
using service::Fd;
using service::system_failure;

namespace {

/// What a process was started with; nothing when it has gone, is about to, or is none of ours to look at.
Outcome<std::string> environment_of(pid_t pid) {
    const std::string file = "/proc/" + std::to_string(pid) + "/environ";
    const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    const auto nobodys = [] { return errno == ENOENT || errno == ESRCH || errno == EACCES || errno == EPERM; };
    std::string out;
    if (!fd && nobodys()) return out;
    if (!fd) return system_failure("Cannot see what runs: " + file);
    std::array<char, 4096> buffer{};
    for (;;) {
        const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got == 0 || (got < 0 && nobodys())) return out;
        if (got < 0) return system_failure("Cannot see what runs: " + file);
        out.append(buffer.data(), static_cast<size_t>(got));
    }
}

bool has_one(std::string_view environment, const std::vector<std::string>& marks) {
    while (!environment.empty()) {
        const std::string_view variable = environment.substr(0, environment.find('\0'));
        if (std::ranges::find(marks, variable) != marks.end()) return true;
        environment.remove_prefix(std::min(variable.size() + 1, environment.size()));
    }
    return false;
}

}  // namespace

std::string tag_mark(const std::string& tag) { return "XEND_SCRIPT=" + tag; }

Outcome<std::set<pid_t>> marked_groups(const std::vector<std::string>& marks) {
    std::set<pid_t> out;
    std::error_code error;
    std::filesystem::directory_iterator entry("/proc", error), end;
    for (; !error && entry != end; entry.increment(error)) {
        const auto pid = base::parse_number<pid_t>(entry->path().filename().string());
        if (!pid || *pid == ::getpid() || !has_one(OTRY(environment_of(*pid)), marks)) continue;
        const pid_t group = ::getpgid(*pid);
        if (group > 0) out.insert(group == ::getpgrp() ? *pid : group);
    }
    if (!error) return out;
    errno = error.value();
    return system_failure("Cannot see what runs: /proc");
}

}  // namespace xend
