// SPDX-License-Identifier: Apache-2.0
// Keeps the kernel used last in its unpacked form: unpacking takes longer than everything else a builder does.
#pragma once

#include <compare>
#include <cstdint>
#include <mutex>
#include <optional>

#include "toolstack/builder/plan.hpp"

namespace builder {

/// Tells a file's contents apart without reading them.
struct FileIdentity {
    uint64_t device = 0, inode = 0;
    int64_t size = 0;
    int64_t mtime_s = 0, mtime_ns = 0;
    int64_t ctime_s = 0, ctime_ns = 0;
    bool operator==(const FileIdentity&) const = default;
};

/// Thread-safe. Holds one kernel (some tens of MiB).
class ImageCache {
public:
    /// As load(); the kernel comes from memory when the file is the one used last, unchanged.
    base::Outcome<Images> load(const BuildInput& input);
    /// Gives the memory back, for example after some idle time.
    void drop();

private:
    std::mutex lock_;
    std::optional<FileIdentity> identity_;
    SharedBytes kernel_;
};

}  // namespace builder
