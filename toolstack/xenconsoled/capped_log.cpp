// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenconsoled/capped_log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace xenconsoled {

using base::Outcome;
using service::Fd;

Outcome<> CappedLog::open(const std::string& path) {
    path_ = path;
    file_ = Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    if (!file_) return service::system_failure("Cannot open " + path);
    struct stat s {};
    size_ = ::fstat(file_.get(), &s) == 0 ? static_cast<uint64_t>(s.st_size) : 0;
    return base::ok;
}

void CappedLog::make_room(size_t bytes) {
    if (limit_ == 0 || size_ == 0 || size_ + bytes <= limit_) return;
    // A file that somebody moved away is not ours to move again; it only gets a successor.
    struct stat ours {
    }, named{};
    const bool there = ::fstat(file_.get(), &ours) == 0 && ::stat(path_.c_str(), &named) == 0 && ours.st_ino == named.st_ino;
    if (there && ::rename(path_.c_str(), (path_ + ".1").c_str()) != 0 && ::ftruncate(file_.get(), 0) != 0) return;
    auto ignored = open(path_);
}

void CappedLog::append(std::string_view bytes) {
    if (!file_) return;
    make_room(bytes.size());
    while (file_ && !bytes.empty()) {
        const ssize_t n = ::write(file_.get(), bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;  // a full disk must not stop the console
        size_ += static_cast<uint64_t>(n);
        bytes.remove_prefix(static_cast<size_t>(n));
    }
}

}  // namespace xenconsoled
