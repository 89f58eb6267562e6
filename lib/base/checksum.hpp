// SPDX-License-Identifier: Apache-2.0
/// A checksum against accidents, not against people, at the speed of memory: four CRC-32C side by side, each of every fourth 64-bit
/// word, so that a processor which has the instruction (all since 2008) takes 32 bytes in four of them. One changed word never goes
/// unnoticed when at most 32 bits in a row differ; anything else does once in 2^32 at most. Source: the Castagnoli polynomial, RFC 3720.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace base {

using CrcLanes = std::array<uint32_t, 4>;
inline constexpr size_t crc_stripe = 32;

/// Both take `count` stripes into the lanes, and do the same. The first needs SSE 4.2.
void crc_stripes_by_processor(CrcLanes& lanes, const std::byte* at, size_t count);
void crc_stripes_by_tables(CrcLanes& lanes, const std::byte* at, size_t count);

/// Takes bytes in parts of any length.
class Checksum {
public:
    void add(std::span<const std::byte> bytes);
    void add_zeros(uint64_t count);
    /// Of all so far; more may be added.
    uint64_t value() const;

private:
    CrcLanes lanes_{~0U, ~0U, ~0U, ~0U};
    std::array<std::byte, crc_stripe> buffer_{};
    size_t held_ = 0;
    uint64_t length_ = 0;
};

}  // namespace base
