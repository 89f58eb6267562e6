// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "toolstack/pygrub/boot_menu.hpp"

namespace pygrub {

/// What a disk has to be asked. Devices are named as partitions() names them.
class Disk {
public:
    virtual ~Disk() = default;
    /// The whole disk and each partition, in their order.
    virtual base::Outcome<std::vector<std::string>> partitions() = 0;
    /// Names in a folder. Errors: noent, also without a file system.
    virtual base::Outcome<std::vector<std::string>> list(const std::string& device, const std::string& folder) = 0;
    /// A small file. Errors: noent, toobig.
    virtual base::Outcome<std::string> read(const std::string& device, const std::string& path) = 0;
    /// Appends a file to `output`, which may then hold `most` bytes. Errors: io; toobig.
    virtual base::Outcome<> extract(const std::string& device, const std::string& path, int output, size_t most) = 0;
};

/// Where a menu was found.
struct Found {
    std::string device, file;
    BootMenu menu;
};

/// The first configuration of a boot loader on the disk, in the order in which Xen's pygrub looks for them.
/// Errors: noent; inval "FILE:LINE: what is wrong".
base::Outcome<Found> find_menu(Disk& disk);

/// The configuration of this text, whose language its file's name says. `device` has what stands beside it.
base::Outcome<BootMenu> parse_configuration(Disk& disk, const std::string& device, const std::string& file,
                                            std::string_view text);

}  // namespace pygrub
