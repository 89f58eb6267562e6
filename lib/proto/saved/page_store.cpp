// SPDX-License-Identifier: Apache-2.0
#include "lib/proto/saved/page_store.hpp"

#include <algorithm>
#include <cstring>

#include "lib/base/zeros.hpp"

namespace proto::saved {

namespace {

constexpr size_t at_once = 1U << 18U;

}  // namespace

std::span<std::byte> PageStore::room() {
    const size_t at = placed_ * base::page_size + filled_;
    const size_t some = std::min<uint64_t>(left_, at_once);
    if (!in_storage_ && own_.size() < at + some) own_.resize(at + some);
    return {begin() + at, some};
}

void PageStore::came(size_t bytes) {
    left_ -= bytes;
    const std::byte* from = begin() + placed_ * base::page_size;
    for (filled_ += bytes; filled_ >= base::page_size; filled_ -= base::page_size, from += base::page_size) page_came(from);
    std::byte* const to = begin() + placed_ * base::page_size;
    if (filled_ != 0 && to != from) std::memmove(to, from, filled_);
}

/// A whole page stands at `at`, which is its place or behind that.
void PageStore::page_came(const std::byte* at) {
    const bool full = !base::all_zeros({at, base::page_size});
    has_place_.push_back(full);
    if (!full) return;
    std::byte* const place = begin() + placed_++ * base::page_size;
    if (place != at) std::memcpy(place, at, base::page_size);
}

void PageStore::zeros_came(uint64_t count) {
    if (filled_ != 0) {
        const size_t some = std::min<uint64_t>(count, base::page_size - filled_);
        std::ranges::fill(room().first(some), std::byte{});
        came(some);
        count -= some;
    }
    for (; count >= base::page_size; count -= base::page_size, left_ -= base::page_size) has_place_.push_back(false);
    if (count == 0) return;
    std::ranges::fill(room().first(count), std::byte{});
    came(count);
}

std::vector<const std::byte*> PageStore::pages() const {
    std::vector<const std::byte*> out;
    const std::byte* next = in_storage_ ? storage_.data() : own_.data();
    for (const bool placed : has_place_) {
        out.push_back(placed ? next : nullptr);
        if (placed) next += base::page_size;
    }
    return out;
}

}  // namespace proto::saved
