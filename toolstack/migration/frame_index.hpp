// SPDX-License-Identifier: Apache-2.0
// Which page stands in a frame: a guest's list of its pages, looked up the other way round. Pure.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <vector>

namespace migration {

/// Numbers of pages, hashed by the frames that the list names for them. Of each page it takes eight to sixteen bytes beside the list.
class FrameIndex {
public:
    FrameIndex() = default;
    /// Room for `count` pages.
    explicit FrameIndex(size_t count) : slots_(std::bit_ceil(2 * count + 2)), shift_(64 - std::countr_zero(slots_.size())) {}

    /// Adds `list[pfn]`; `pfn` is below 2^32 - 1. The page that has this frame already, if there is one: nothing is added then.
    std::optional<uint64_t> add(std::span<const uint64_t> list, uint64_t pfn) {
        uint32_t& slot = slots_[place_of(list, list[pfn])];
        if (slot != 0) return slot - 1;
        slot = static_cast<uint32_t>(pfn + 1);
        return std::nullopt;
    }
    /// The page of a frame.
    std::optional<uint64_t> find(std::span<const uint64_t> list, uint64_t mfn) const {
        if (slots_.empty()) return std::nullopt;
        const uint32_t slot = slots_[place_of(list, mfn)];
        if (slot == 0) return std::nullopt;
        return slot - 1;
    }

private:
    /// Where it is, or would be. One slot in two is empty.
    size_t place_of(std::span<const uint64_t> list, uint64_t mfn) const {
        size_t at = mfn * factor_ >> shift_;
        while (slots_[at] != 0 && list[slots_[at] - 1] != mfn) at = (at + 1) & (slots_.size() - 1);
        return at;
    }

    std::vector<uint32_t> slots_;  // a page + 1, or 0
    int shift_ = 0;
    // A guest can choose among frames, but not so that they meet: it does not know this.
    uint64_t factor_ = uint64_t{std::random_device()()} << 33U | uint64_t{std::random_device()()} << 1U | 1;
};

}  // namespace migration
