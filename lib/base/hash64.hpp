// SPDX-License-Identifier: Apache-2.0
/// XXH64 with seed 0: a fast hash against accidents, not against people. Fact: the algorithm's published description.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace base {

/// Takes bytes in parts of any length.
class Hash64 {
public:
    void add(std::span<const std::byte> bytes) {
        length_ += bytes.size();
        if (held_ != 0) {
            const size_t part = bytes.size() < stripe - held_ ? bytes.size() : stripe - held_;
            if (part != 0) std::memcpy(buffer_.data() + held_, bytes.data(), part);
            held_ += part;
            bytes = bytes.subspan(part);
            if (held_ < stripe) return;
            mix(buffer_.data());
            held_ = 0;
        }
        for (; bytes.size() >= stripe; bytes = bytes.subspan(stripe)) mix(bytes.data());
        if (!bytes.empty()) std::memcpy(buffer_.data(), bytes.data(), bytes.size());
        held_ = bytes.size();
    }

    uint64_t value() const {
        uint64_t h = length_ < stripe ? prime[4] : joined();
        h += length_;
        const std::byte* at = buffer_.data();
        size_t left = held_;
        for (; left >= 8; left -= 8, at += 8) h = std::rotl(h ^ round(0, word<uint64_t>(at)), 27) * prime[0] + prime[3];
        for (; left >= 4; left -= 4, at += 4) h = std::rotl(h ^ (word<uint32_t>(at) * prime[0]), 23) * prime[1] + prime[2];
        for (; left != 0; --left, ++at) h = std::rotl(h ^ (static_cast<uint64_t>(*at) * prime[4]), 11) * prime[0];
        h = (h ^ (h >> 33U)) * prime[1];
        h = (h ^ (h >> 29U)) * prime[2];
        return h ^ (h >> 32U);
    }

private:
    static constexpr size_t stripe = 32;
    static constexpr std::array<uint64_t, 5> prime = {0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
                                                      0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5};

    template <class T>
    static uint64_t word(const std::byte* at) {
        T out;
        std::memcpy(&out, at, sizeof out);
        return out;
    }
    static uint64_t round(uint64_t lane, uint64_t input) { return std::rotl(lane + input * prime[1], 31) * prime[0]; }
    void mix(const std::byte* at) {
        for (size_t i = 0; i < lanes_.size(); ++i) lanes_[i] = round(lanes_[i], word<uint64_t>(at + 8 * i));
    }
    uint64_t joined() const {
        uint64_t h = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) + std::rotl(lanes_[3], 18);
        for (const uint64_t lane : lanes_) h = (h ^ round(0, lane)) * prime[0] + prime[3];
        return h;
    }

    std::array<uint64_t, 4> lanes_ = {prime[0] + prime[1], prime[1], 0, 0 - prime[0]};
    std::array<std::byte, stripe> buffer_{};
    size_t held_ = 0;
    uint64_t length_ = 0;
};

}  // namespace base
