// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "toolstack/xend/adapters/image_server.hpp"

namespace xend {

/// Linux' block devices, loop devices, images and block back end.
class LinuxBlocks final : public BlockDevices {
    ImageServer images_;

public:
    /// `scripts` runs what serves images.
    explicit LinuxBlocks(Scripts& scripts, ImageSettings images = {}) : images_(scripts, std::move(images)) {}
    base::Outcome<BlockDevice> device(const std::string& path) override;
    base::Outcome<BlockDevice> loop(const std::string& file, config::DiskMode mode) override;
    base::Outcome<BlockDevice> image(const ImageFile& image, const std::string& tag) override {
        return images_.serve(image, tag);
    }
    base::Outcome<> release(const std::string& tag) override { return images_.release(tag); }
    base::Outcome<> end_dead() override { return images_.end_dead(); }
    bool served(base::DomId front, uint32_t devid) override;
    base::Outcome<bool> settled(base::DomId front, uint32_t devid) override;
};

}  // namespace xend
