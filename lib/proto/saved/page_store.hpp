// SPDX-License-Identifier: Apache-2.0
/// The pages of a record while they come: those of zeros are found, and take no place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lib/base/types.hpp"

namespace proto::saved {

/// Bytes come in parts of any length. Pages stand one behind the other in `storage` if that is long enough for `pages` of them, or in
/// `own`, which grows with what comes.
class PageStore {
public:
    PageStore(size_t pages, std::span<std::byte> storage, std::vector<std::byte>& own)
        : left_(pages * base::page_size), in_storage_(storage.size() >= left_), storage_(storage), own_(own) {}

    uint64_t left() const { return left_; }
    /// Where the next bytes go: room for some of those that are left.
    std::span<std::byte> room();
    /// So many came into the room().
    void came(size_t bytes);
    /// So many zeros come, no more than are left.
    void zeros_came(uint64_t count);
    /// When nothing is left: each page, null for one of zeros. Valid as long as the memory is.
    std::vector<const std::byte*> pages() const;

private:
    std::byte* begin() { return in_storage_ ? storage_.data() : own_.data(); }
    void page_came(const std::byte* at);

    uint64_t left_;
    const bool in_storage_;
    std::span<std::byte> storage_;
    std::vector<std::byte>& own_;
    size_t placed_ = 0;            // pages that have a place
    size_t filled_ = 0;            // bytes of the one behind these
    std::vector<bool> has_place_;  // each page that came
};

}  // namespace proto::saved
