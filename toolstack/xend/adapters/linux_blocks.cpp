// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/linux_blocks.hpp"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fmt/format.h>

#include <cstdio>
#include <fstream>

#include "toolstack/service/fd.hpp"
#include "toolstack/xend/adapters/device_numbers.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using service::Fd;
using service::system_failure;

namespace {

constexpr int loop_tries = 50;  // another program may take the free one before us

/// A free loop device on `backing`. Errors: the system's; busy: somebody else was faster.
Outcome<BlockDevice> bind_free(const Fd& control, const Fd& backing, const std::string& file, bool read_only) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return system_failure("Failed to find an unused loop device for " + file);
    BlockDevice out;
    out.path = "/dev/loop" + std::to_string(number);
    auto fd = std::make_shared<Fd>(::open(out.path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    if (!*fd) return system_failure("Cannot open " + out.path);
    loop_config config{};
    config.fd = static_cast<__u32>(backing.get());
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (read_only) config.info.lo_flags |= LO_FLAGS_READ_ONLY;
    file.copy(reinterpret_cast<char*>(config.info.lo_file_name), LO_NAME_SIZE - 1);
    if (::ioctl(fd->get(), LOOP_CONFIGURE, &config) != 0) return system_failure("Cannot put " + out.path + " on " + file);
    struct stat s {};
    if (::fstat(fd->get(), &s) != 0) return system_failure(out.path);
    out.numbers = device_numbers(::major(s.st_rdev), ::minor(s.st_rdev));
    out.held = std::move(fd);
    return out;
}

}  // namespace

Outcome<BlockDevice> LinuxBlocks::device(const std::string& path) {
    struct stat s {};
    if (::stat(path.c_str(), &s) != 0) return base::fail(Errc::noent, path + " does not exist.");
    if (!S_ISBLK(s.st_mode)) return base::fail(Errc::inval, path + " is not a block device.");
    return BlockDevice{path, device_numbers(::major(s.st_rdev), ::minor(s.st_rdev)), nullptr};
}

Outcome<BlockDevice> LinuxBlocks::loop(const std::string& file, config::DiskMode mode) {
    const bool read_only = mode == config::DiskMode::read_only;
    const Fd backing(::open(file.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    if (!backing && errno == ENOENT) return base::fail(Errc::noent, file + " does not exist.");
    if (!backing) return system_failure("Cannot open " + file);
    const Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    if (!control) return system_failure("Cannot open /dev/loop-control (is the module loop loaded?)");
    for (int tries = 1;; ++tries) {
        auto made = bind_free(control, backing, file, read_only);
        if (made || made.failure().code != Errc::busy || tries == loop_tries) return made;
    }
}

bool LinuxBlocks::served(base::DomId front, uint32_t devid) {
    // The driver makes this file when it has opened the device.
    const std::string file = fmt::format("/sys/bus/xen-backend/devices/vbd-{}-{}/physical_device", front.raw, devid);
    return ::access(file.c_str(), F_OK) == 0 || ::access("/sys/bus/xen-backend", F_OK) != 0;
}

Outcome<bool> LinuxBlocks::settled(base::DomId front, uint32_t devid) {
    if (::access("/sys/bus/xen-backend", F_OK) != 0) return true;
    // What the driver has opened: "MAJOR:MINOR", in hexadecimal.
    const std::string of = fmt::format("/sys/bus/xen-backend/devices/vbd-{}-{}/physical_device", front.raw, devid);
    std::string numbers, counts, name;
    unsigned major = 0, minor = 0;
    if (!std::getline(std::ifstream(of), numbers) || std::sscanf(numbers.c_str(), "%x:%x", &major, &minor) != 2)
        return base::fail(Errc::io, "Cannot see which disk the guest has: " + of);
    const std::string device = fmt::format("/sys/dev/block/{}:{}", major, minor);
    uint64_t reads = 1, writes = 1;
    std::ifstream(device + "/inflight") >> reads >> writes;
    if (reads + writes != 0) return false;
    std::ifstream about(device + "/uevent");
    constexpr std::string_view key = "DEVNAME=";
    while (std::getline(about, name) && !name.starts_with(key)) continue;
    if (!name.starts_with(key)) return base::fail(Errc::io, "Cannot see which disk the guest has: " + device);
    const std::string path = "/dev/" + name.substr(key.size());
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) return system_failure("Cannot write what is left to " + path);
    return true;
}

}  // namespace xend
