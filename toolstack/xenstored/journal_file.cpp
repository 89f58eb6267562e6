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

/// Room is allocated in such steps.
constexpr size_t step = 256 * 1024;

base::Outcome<base::Unit> write_all(const service::Fd& file, size_t at, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return system_failure("Cannot write the journal");
        bytes.remove_prefix(static_cast<size_t>(n));
        at += static_cast<size_t>(n);
    }
    return base::ok;
}

/// Makes sure that [0, size) of the file can be written. Where the file system cannot say, writing will.
base::Outcome<base::Unit> allocate(const service::Fd& file, size_t size) {
    if (::fallocate(file.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size)) == 0 || errno == EOPNOTSUPP) return base::ok;
    return system_failure("No room for the journal");
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

/// The header is written last: until then the file is no journal.
base::Outcome<base::Unit> JournalFile::write_groups(const service::Fd& file, const std::vector<std::string>& groups) {
    const std::string header = journal_header(boot_id_);
    size_t size = header.size();
    for (const std::string& group : groups) size += group.size();
    const size_t room = (size / step + 1) * step;
    OTRY(allocate(file, room));
    size_t at = header.size();
    for (const std::string& group : groups) {
        OTRY(write_all(file, at, group));
        at += group.size();
    }
    OTRY(write_all(file, 0, header));
    size_ = base_size_ = size;
    allocated_ = room;
    return base::ok;
}

base::Outcome<base::Unit> JournalFile::replace(const std::vector<std::string>& groups) {
    const std::string fresh = path_ + ".new";
    service::Fd file(::open(fresh.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) return system_failure("Cannot create " + fresh);
    auto written = write_groups(file, groups);
    if (written && std::rename(fresh.c_str(), path_.c_str()) != 0) written = system_failure("Cannot rename " + fresh);
    if (!written) {
        ::unlink(fresh.c_str());
        return written;
    }
    file_ = std::move(file);
    return base::ok;
}

base::Outcome<base::Unit> JournalFile::rewrite_in_place(const std::vector<std::string>& groups) {
    service::Fd file(::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) return system_failure("Cannot open " + path_);
    if (auto written = write_groups(file, groups); !written) {
        if (::ftruncate(file.get(), 0) != 0) ::unlink(path_.c_str());
        return written;
    }
    file_ = std::move(file);
    return base::ok;
}

base::Outcome<base::Unit> JournalFile::rewrite(const std::vector<std::string>& groups) {
    if (replace(groups)) return base::ok;
    file_ = service::Fd();
    return rewrite_in_place(groups);
}

base::Outcome<base::Unit> JournalFile::append(std::string_view group) {
    if (group.empty()) return base::ok;
    if (!file_) return base::fail(base::Errc::badf, "The journal is not open");
    if (size_ + group.size() > allocated_) {
        const size_t room = ((size_ + group.size()) / step + 1) * step;
        OTRY(allocate(file_, room));
        allocated_ = room;
    }
    if (auto written = write_all(file_, size_, group); !written) {
        if (::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) file_ = service::Fd();
        allocated_ = size_;  // what lay behind is given back too
        return written;
    }
    size_ += group.size();
    return base::ok;
}

}  // namespace xenstored
