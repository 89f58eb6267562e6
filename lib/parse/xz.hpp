// SPDX-License-Identifier: Apache-2.0
/// Our own .xz decoder: LZMA2, the x86 BCJ filter, CRC32 and CRC64. One call, no allocation: the output buffer is the
/// dictionary. Freestanding; runs at every boot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "lib/base/result.hpp"
#include "lib/parse/bytes.hpp"

namespace parse {

/// Probabilities of the LZMA model (28 KiB): too large for a hypervisor stack, so the caller owns it. Any content.
struct XzWorkspace {
    static constexpr std::size_t literal_size = 0x300;
    std::uint16_t is_match[12][16];
    std::uint16_t is_rep[12];
    std::uint16_t is_rep0[12];
    std::uint16_t is_rep1[12];
    std::uint16_t is_rep2[12];
    std::uint16_t is_rep0_long[12][16];
    std::uint16_t distance_slot[4][64];
    std::uint16_t distance_special[128];
    std::uint16_t distance_align[16];
    struct Length {
        std::uint16_t choice;
        std::uint16_t choice2;
        std::uint16_t low[16][8];
        std::uint16_t mid[16][8];
        std::uint16_t high[256];
    };
    Length match_length;
    Length rep_length;
    std::uint16_t literal[16][literal_size];
    /// The last input bytes, when the decoder could otherwise read past the caller's buffer.
    std::uint8_t tail[96];
};

/// Unpacks every stream in `in` (streams may be concatenated; trailing bytes that are no stream, such as the size Linux
/// appends, are ignored) into `out`; returns the bytes written.
/// Errors: noexec no .xz file; opnotsupp a filter or check we do not have; nobufs `out` is too small; badmsg corrupt
/// data or a wrong checksum; range truncated input.
base::Result<std::size_t> xz_decode(Bytes in, std::span<std::byte> out, XzWorkspace& workspace);

/// CRC-32 (IEEE) and CRC-64 (ECMA) as .xz uses them; `crc` continues an earlier call.
std::uint32_t crc32(Bytes bytes, std::uint32_t crc = 0);
std::uint64_t crc64(Bytes bytes, std::uint64_t crc = 0);

}  // namespace parse
