// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "toolstack/pygrub/file_system.hpp"
#include "toolstack/service/fd.hpp"

namespace pygrub {

/// A disk or an image of one that belongs to a guest. GRUB's own drivers read its partitions and file systems, in a process of their own
/// that sees that disk and the system's libraries, can only read and compute, and has little time: what it reads may be made
/// to break it.
class Image final : public Disk {
public:
    /// Errors: noent, access; inval: neither a file nor a block device; noent without grub-fstest.
    static base::Outcome<Image> open(const std::string& path);

    base::Outcome<std::vector<std::string>> partitions() override;
    base::Outcome<std::vector<std::string>> list(const std::string& device, const std::string& folder) override;
    base::Outcome<std::string> read(const std::string& device, const std::string& path) override;
    base::Outcome<> extract(const std::string& device, const std::string& path, int output, size_t most) override;

private:
    explicit Image(service::Fd disk) : disk_(std::move(disk)) {}
    base::Outcome<> run(const std::string& command, const std::string& path, int output, size_t most) const;
    base::Outcome<std::string> ask(const std::string& command, const std::string& path, size_t most) const;

    service::Fd disk_;
};

}  // namespace pygrub
