// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// Checks before anything is made that every disk of `config` is there and that sharing it is safe: writing needs it
/// alone, reading beside readers is fine, `w!` skips the check. Looks at the disks of `records`, at every other back end in the
/// store and at what dom0 has mounted. `own` is the domain's uuid: its own earlier incarnation does not count.
/// A record that is to be resumed is a suspended domain's.
/// Errors: noent "Disk image does not exist: P", busy "Device P is mounted … in …, and so cannot be mounted … now."
base::Outcome<> check_disks(xenstore::Store& store, const config::DomainConfig& config, std::span<const RecordPtr> records,
                            const std::string& proc_mounts = "/proc/mounts", const std::string& sys_block = "/sys/block");

/// Whether another host may open the disks before this one has closed them. Errors: opnotsupp.
base::Outcome<> check_can_move(const config::DomainConfig& config);

/// Whether both are there and the same file, or device.
bool is_same_file(const std::string& one, const std::string& other);

}  // namespace xend
