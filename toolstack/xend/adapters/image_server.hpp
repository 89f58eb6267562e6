// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <string>

#include "toolstack/service/fd.hpp"
#include "toolstack/xend/adapters/nbd_link.hpp"
#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// Where things are, and how long they may take.
struct ImageSettings {
    std::string qemu_img = "/usr/bin/qemu-img";
    std::string qemu_nbd = "/usr/bin/qemu-nbd";
    std::string modprobe = "/sbin/modprobe";
    std::string folder = "/var/run/xend/images";
    std::chrono::milliseconds patience{30'000};  // of release(), before it ends processes by force
    std::chrono::milliseconds pause{500};        // before a process is asked once more
};

/// Images as block devices of dom0: each has a qemu-nbd, which Linux' driver of network block devices reads from. The qemu-nbd
/// knows by its environment, and the device by its owner's name, which tag made it; neither hangs on xend's life.
class ImageServer {
public:
    ImageServer(Scripts& scripts, ImageSettings settings) : scripts_(scripts), settings_(std::move(settings)) {}
    /// As BlockDevices::image() and release().
    base::Outcome<BlockDevice> serve(const ImageFile& image, const std::string& tag);
    base::Outcome<> release(const std::string& tag);
    /// As BlockDevices::end_dead().
    base::Outcome<> end_dead();

    /// The first step of serve(): looks at the image and all below it. Errors: inval, noent.
    base::Outcome<> inspect(const ImageFile& image);
    /// The second: starts a qemu-nbd and greets it. The socket closes with it: qemu-nbd ends when nobody is left to serve.
    base::Outcome<service::Fd> start(const ImageFile& image, const std::string& tag, NbdExport& what);

private:
    base::Outcome<> run(ScriptCall call, const std::string& what);
    base::Outcome<NbdLink> driver();
    base::Outcome<> end_those_without_server();

    Scripts& scripts_;
    ImageSettings settings_;
    std::mutex mutex_;  // of the socket's name
    std::mutex deaths_mutex_;
    std::optional<NbdLink> deaths_;
    unsigned looks_ = 0;  // that are due
};

}  // namespace xend
