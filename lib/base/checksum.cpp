// SPDX-License-Identifier: Apache-2.0
#include "lib/base/checksum.hpp"

#include <nmmintrin.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace base {

namespace {

constexpr uint32_t polynomial = 0x82f63b78;  // CRC-32C, the lowest bit first
using Table = std::array<uint32_t, 256>;

/// tables[k][b]: what byte b becomes once k more bytes have followed it.
constexpr std::array<Table, 8> make_tables() {
    std::array<Table, 8> out{};
    for (uint32_t b = 0; b < 256; ++b) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? polynomial : 0);
        out[0][b] = crc;
    }
    for (size_t k = 1; k < out.size(); ++k)
        for (size_t b = 0; b < 256; ++b) out[k][b] = (out[k - 1][b] >> 8U) ^ out[0][out[k - 1][b] & 0xffU];
    return out;
}
constexpr auto tables = make_tables();

/// What zeros do to a checksum is linear: that of each of its four bytes can be looked up, for a whole page of them. A lane takes a
/// quarter of it.
constexpr size_t zero_page = 4096;
constexpr std::array<Table, 4> make_zero_tables() {
    std::array<uint32_t, 32> of_bit{};
    for (size_t bit = 0; bit < of_bit.size(); ++bit) {
        uint32_t crc = uint32_t{1} << bit;
        for (size_t i = 0; i < zero_page / 4; ++i) crc = (crc >> 8U) ^ tables[0][crc & 0xffU];
        of_bit[bit] = crc;
    }
    std::array<Table, 4> out{};
    for (size_t k = 0; k < out.size(); ++k)
        for (size_t b = 0; b < 256; ++b)
            for (size_t bit = 0; bit < 8; ++bit)
                if ((b >> bit & 1U) != 0) out[k][b] ^= of_bit[8 * k + bit];
    return out;
}
constexpr auto zero_tables = make_zero_tables();

void add_page_of_zeros(CrcLanes& lanes) {
    for (uint32_t& lane : lanes) {
        const uint32_t old = std::exchange(lane, 0);
        for (size_t k = 0; k < zero_tables.size(); ++k) lane ^= zero_tables[k][(old >> (8 * k)) & 0xffU];
    }
}

uint64_t word_at(const std::byte* at) {
    uint64_t out = 0;
    std::memcpy(&out, at, sizeof out);
    return out;
}

using Stripes = void (*)(CrcLanes&, const std::byte*, size_t);
Stripes stripes_of_this_machine() { return __builtin_cpu_supports("sse4.2") ? crc_stripes_by_processor : crc_stripes_by_tables; }
const Stripes add_stripes = stripes_of_this_machine();

uint64_t pair(uint32_t low, uint32_t high) { return low | uint64_t{high} << 32U; }

}  // namespace

[[gnu::target("sse4.2")]] void crc_stripes_by_processor(CrcLanes& lanes, const std::byte* at, size_t count) {
    uint64_t a = lanes[0], b = lanes[1], c = lanes[2], d = lanes[3];
    const auto add_one = [&]() __attribute__((always_inline, target("sse4.2"))) {
        a = _mm_crc32_u64(a, word_at(at));
        b = _mm_crc32_u64(b, word_at(at + 8));
        c = _mm_crc32_u64(c, word_at(at + 16));
        d = _mm_crc32_u64(d, word_at(at + 24));
        at += crc_stripe;
    };
    constexpr size_t at_once = 8;  // the loop itself would be a third of it
    for (; count >= at_once; count -= at_once) {
#pragma GCC unroll 8
        for (size_t i = 0; i < at_once; ++i) add_one();
    }
    for (; count != 0; --count) add_one();
    lanes = {static_cast<uint32_t>(a), static_cast<uint32_t>(b), static_cast<uint32_t>(c), static_cast<uint32_t>(d)};
}

void crc_stripes_by_tables(CrcLanes& lanes, const std::byte* at, size_t count) {
    for (; count != 0; --count)
        for (uint32_t& lane : lanes) {
            const uint64_t word = word_at(at) ^ lane;
            at += sizeof word;
            lane = 0;
            for (unsigned i = 0; i < 8; ++i) lane ^= tables[7 - i][(word >> (8 * i)) & 0xffU];
        }
}

void Checksum::add(std::span<const std::byte> bytes) {
    length_ += bytes.size();
    if (held_ != 0) {
        const size_t part = std::min(bytes.size(), crc_stripe - held_);
        std::copy_n(bytes.begin(), part, buffer_.begin() + static_cast<ptrdiff_t>(held_));
        held_ += part;
        bytes = bytes.subspan(part);
        if (held_ < crc_stripe) return;
        add_stripes(lanes_, buffer_.data(), 1);
    }
    add_stripes(lanes_, bytes.data(), bytes.size() / crc_stripe);
    held_ = bytes.size() % crc_stripe;
    std::ranges::copy(bytes.last(held_), buffer_.begin());
}

void Checksum::add_zeros(uint64_t count) {
    static constexpr std::array<std::byte, zero_page> zeros{};
    const auto add_some = [&](uint64_t some) {
        add(std::span(zeros).first(some));
        count -= some;
    };
    if (held_ != 0) add_some(std::min<uint64_t>(count, crc_stripe - held_));
    for (; count >= zero_page; count -= zero_page, length_ += zero_page) add_page_of_zeros(lanes_);
    add_some(count);
}

uint64_t Checksum::value() const {
    CrcLanes lanes = lanes_;
    if (held_ != 0) {
        auto last = buffer_;
        std::fill(last.begin() + static_cast<ptrdiff_t>(held_), last.end(), std::byte{0});
        add_stripes(lanes, last.data(), 1);
    }
    // Odd factors and rotations can be undone: two lanes that differ give another value whatever the other two are.
    const uint64_t high = std::rotl(pair(lanes[0], lanes[1]) * 0x9e3779b97f4a7c15, 31) * 0xbf58476d1ce4e5b9;
    uint64_t out = high + pair(lanes[2], lanes[3]) * 0x94d049bb133111eb + length_;
    out = (out ^ out >> 32U) * 0xd6e8feb86659fd93;
    return out ^ out >> 29U;
}

}  // namespace base
