// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// Linux' block devices, loop devices and block back end.
class LinuxBlocks final : public BlockDevices {
public:
    base::Outcome<BlockDevice> device(const std::string& path) override;
    base::Outcome<BlockDevice> loop(const std::string& file, config::DiskMode mode) override;
    bool served(base::DomId front, uint32_t devid) override;
    base::Outcome<bool> settled(base::DomId front, uint32_t devid) override;
};

}  // namespace xend
