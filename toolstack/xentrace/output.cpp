// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xentrace/output.hpp"

#include <sys/statvfs.h>

#include "abi/xen/trace.hpp"

namespace xentrace {

using base::Errc;
using base::Outcome;

Outcome<Output> Output::open(const std::string& file, uint64_t reserve) {
    if (file.empty()) {
        if (::isatty(STDOUT_FILENO))
            return base::fail(Errc::inval, "records are nothing for a terminal: name a file, or use a pipe");
        return Output(service::Fd(), STDOUT_FILENO, reserve);
    }
    service::Fd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd) return service::system_failure(file);
    const int number = fd.get();
    return Output(std::move(fd), number, reserve);
}

Outcome<> Output::write_all(std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return service::system_failure("writing records");
        bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return base::ok;
}

Outcome<> Output::add(uint32_t cpu, const Window& records) const {
    struct statvfs disk;
    if (reserve_ != 0 && ::fstatvfs(fd_, &disk) == 0 && disk.f_bavail * disk.f_frsize < reserve_ + records.bytes())
        return base::fail(Errc::nospc, "the disk is nearly full: what is reserved would not stay free");
    constexpr uint32_t words = 2;
    const uint32_t run[] = {xen::TRC_TRACE_CPU_CHANGE | words << xen::TRACE_EXTRA_SHIFT, cpu,
                            static_cast<uint32_t>(records.bytes())};
    OTRY(write_all(std::as_bytes(std::span(run))));
    OTRY(write_all(records.first));
    return write_all(records.second);
}

}  // namespace xentrace
