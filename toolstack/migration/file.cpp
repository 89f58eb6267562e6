// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace migration {

using base::Errc;
using base::fail;
using base::Outcome;
using service::Fd;
using service::system_failure;

namespace {

constexpr size_t buffer_bytes = 1U << 18U;
constexpr uint64_t least_hole = 4096;

Outcome<> write_all(int fd, const std::string& path, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_failure("Cannot write " + path);
        bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return base::ok;
}

/// What stays the same when a file gets another name. Numbers of files are used again: the size is there to notice.
std::string identity_of(const struct stat& s) {
    return std::to_string(s.st_dev) + ":" + std::to_string(s.st_ino) + ":" + std::to_string(s.st_size);
}

/// What was done to the names in the folder is so after a power cut too.
void sync_folder_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    if (const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); fd) ::fsync(fd.get());
}

/// From PATH.part to PATH.
Outcome<> give_name(const std::string& path) {
    if (::rename((path + ".part").c_str(), path.c_str()) != 0) return system_failure("Cannot give its name to " + path);
    sync_folder_of(path);
    return base::ok;
}

}  // namespace

PartFile::PartFile(std::string path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) { buffer_.reserve(buffer_bytes); }

Outcome<std::unique_ptr<PartFile>> PartFile::create(const std::string& path) {
    const std::string what = "Unable to create file " + path;
    struct stat s {};
    if (::stat(path.c_str(), &s) == 0 && !S_ISREG(s.st_mode))
        return fail(S_ISDIR(s.st_mode) ? Errc::isdir : Errc::inval, what + ": it is no file");
    const std::string part = path + ".part";
    Fd fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (!fd) return system_failure(what);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return fail(Errc::busy, what + ": it is being written already");
    // The folder may be everybody's: what another one of ours left is taken, what somebody else put there is not.
    struct stat named {};
    if (::fstat(fd.get(), &s) != 0 || ::lstat(part.c_str(), &named) != 0) return system_failure(what);
    if (s.st_dev != named.st_dev || s.st_ino != named.st_ino) return fail(Errc::busy, what + ": it was written just now");
    if (!S_ISREG(s.st_mode) || s.st_uid != ::geteuid() || s.st_nlink != 1)
        return fail(Errc::perm, what + ": " + part + " is somebody else's");
    // The memory of a domain is for root alone.
    if (::fchmod(fd.get(), 0600) != 0 || ::ftruncate(fd.get(), 0) != 0) return system_failure(what);
    return std::unique_ptr<PartFile>(new PartFile(path, std::move(fd)));
}

PartFile::~PartFile() {
    if (!kept_) ::unlink(part().c_str());
}

Outcome<> PartFile::flush() {
    if (buffer_.empty()) return base::ok;
    auto written = write_all(fd_.get(), path_, buffer_);
    buffer_.clear();
    return written;
}

Outcome<> PartFile::write(std::span<const std::byte> bytes) {
    end_ += bytes.size();
    if (buffer_.size() + bytes.size() > buffer_bytes) OTRY(flush());
    if (bytes.size() > buffer_bytes) return write_all(fd_.get(), path_, bytes);
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return base::ok;
}

Outcome<> PartFile::zeros(uint64_t count) {
    end_ += count;
    if (count < least_hole && buffer_.size() + count <= buffer_bytes) {
        buffer_.resize(buffer_.size() + count);
        return base::ok;
    }
    OTRY(flush());
    if (::lseek(fd_.get(), static_cast<off_t>(end_), SEEK_SET) < 0) return system_failure("Cannot write " + path_);
    return base::ok;
}

Outcome<std::string> PartFile::seal() {
    OTRY(flush());
    struct stat s {};
    if (::ftruncate(fd_.get(), static_cast<off_t>(end_)) != 0 || ::fsync(fd_.get()) != 0 || ::fstat(fd_.get(), &s) != 0)
        return system_failure("Cannot write " + path_);
    sealed_ = true;
    return identity_of(s);
}

Outcome<> PartFile::keep() {
    if (!sealed_) OTRY(seal());
    OTRY(give_name(path_));
    kept_ = true;
    return base::ok;
}

Outcome<bool> PartFile::keep_sealed(const std::string& path, const std::string& identity) {
    struct stat s {};
    if (::lstat((path + ".part").c_str(), &s) == 0 && identity_of(s) == identity) {
        OTRY(give_name(path));
        return true;
    }
    if (::lstat(path.c_str(), &s) == 0) return identity_of(s) == identity;
    return errno == ENOENT ? Outcome<bool>(false) : system_failure("Cannot read " + path);
}

bool PartFile::is_kept(const std::string& path, const std::string& identity) {
    struct stat s {};
    return ::lstat(path.c_str(), &s) == 0 && identity_of(s) == identity;
}

Outcome<> PartFile::remove(const std::string& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return system_failure("Cannot remove " + path);
    sync_folder_of(path);
    return base::ok;
}

Outcome<std::unique_ptr<FileSource>> FileSource::open(const std::string& path) {
    const std::string what = "Unable to read file " + path;
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // no writer of a pipe is waited for
    if (!fd) return system_failure(what);
    struct stat s {};
    if (::fstat(fd.get(), &s) != 0) return system_failure(what);
    if (S_ISDIR(s.st_mode)) return fail(Errc::isdir, what + ": it is a folder");
    if (!S_ISREG(s.st_mode) && !S_ISBLK(s.st_mode)) return fail(Errc::inval, what + ": it is no file");
    return std::unique_ptr<FileSource>(new FileSource(path, std::move(fd)));
}

Outcome<size_t> FileSource::read(std::span<std::byte> out) {
    size_t done = 0;
    while (done < out.size()) {
        const ssize_t n = ::pread(fd_.get(), out.data() + done, out.size() - done, static_cast<off_t>(at_));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_failure("Cannot read " + path_);
        if (n == 0) break;
        done += static_cast<size_t>(n);
        at_ += static_cast<uint64_t>(n);
    }
    return done;
}

Outcome<proto::saved::Source::Some> FileSource::read_some(std::span<std::byte> out) {
    if (at_ >= known_to_) OTRY(look_for_holes());
    const auto count = static_cast<size_t>(std::min<uint64_t>(out.size(), known_to_ - at_));
    if (!in_hole_) return Some{OTRY(read(out.first(count))), false};
    at_ += count;
    return Some{count, true};
}

/// Where what stands at `at_` ends. What has no holes that one could ask for is data to its end.
Outcome<> FileSource::look_for_holes() {
    const auto at = static_cast<off_t>(at_);
    const off_t hole = ::lseek(fd_.get(), at, SEEK_HOLE);
    in_hole_ = hole == at;
    off_t end = hole;
    if (in_hole_) end = ::lseek(fd_.get(), at, SEEK_DATA);
    if (in_hole_ && end < 0) end = static_cast<off_t>(OTRY(size()));  // nothing follows
    known_to_ = end < 0 ? ~uint64_t{0} : static_cast<uint64_t>(end);
    return base::ok;
}

Outcome<uint64_t> FileSource::size() const {
    const off_t end = ::lseek(fd_.get(), 0, SEEK_END);
    if (end < 0) return system_failure("Cannot read " + path_);
    return static_cast<uint64_t>(end);
}

Outcome<> FileSource::read_at(uint64_t offset, std::span<std::byte> out) const {
    while (!out.empty()) {
        const ssize_t n = ::pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_failure("Cannot read " + path_);
        if (n == 0) return fail(Errc::io, path_ + " ends at byte " + std::to_string(offset));
        offset += static_cast<uint64_t>(n);
        out = out.subspan(static_cast<size_t>(n));
    }
    return base::ok;
}

}  // namespace migration
