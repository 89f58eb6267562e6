// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenstored/journal_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "toolstack/xenstored/journal.hpp"

namespace xenstored {

using service::system_failure;

namespace {

base::Outcome<base::Unit> write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return system_failure("Cannot write the journal");
        bytes.remove_prefix(static_cast<size_t>(n));
    }
    return base::ok;
}

std::string read_file(const std::string& path) {
    const service::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string all;
    char part[65536];
    for (ssize_t n; file && (n = ::read(file.get(), part, sizeof part)) > 0;) all.append(part, static_cast<size_t>(n));
    return all;
}

}  // namespace

std::string read_boot_id() {
    std::string id = read_file("/proc/sys/kernel/random/boot_id");
    while (!id.empty() && id.back() == '\n') id.pop_back();
    return id;
}

std::string JournalFile::load() const { return read_file(path_); }

base::Outcome<base::Unit> JournalFile::rewrite(const std::vector<std::string>& groups) {
    const std::string fresh = path_ + ".new";
    service::Fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
    if (!file) return system_failure("Cannot create " + fresh);
    const std::string header = journal_header(boot_id_);
    OTRY(write_all(file.get(), header));
    size_t size = header.size();
    for (const std::string& group : groups) {
        OTRY(write_all(file.get(), group));
        size += group.size();
    }
    if (std::rename(fresh.c_str(), path_.c_str()) != 0) return system_failure("Cannot rename " + fresh);
    file_ = std::move(file);
    size_ = base_size_ = size;
    return base::ok;
}

base::Outcome<base::Unit> JournalFile::append(std::string_view group) {
    if (group.empty()) return base::ok;
    if (!file_) return base::fail(base::Errc::badf, "The journal is not open");
    OTRY(write_all(file_.get(), group));
    size_ += group.size();
    return base::ok;
}

}  // namespace xenstored
