// SPDX-License-Identifier: Apache-2.0
/// LZMA2 and the x86 branch filter: the insides of the .xz decoder. Freestanding; no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "lib/base/result.hpp"
#include "lib/parse/bytes.hpp"
#include "lib/parse/xz.hpp"

namespace parse {

/// Where an LZMA2 stream ended.
struct Lzma2End {
    std::size_t consumed;
    std::size_t produced;
};

/// Unpacks one LZMA2 stream from the front of `in` to the front of `out`, which serves as the dictionary.
/// Errors: badmsg corrupt; range truncated; nobufs `out` is full.
base::Result<Lzma2End> lzma2_decode(Bytes in, std::span<std::byte> out, XzWorkspace& workspace);

/// Undoes the x86 filter over a whole block in place: CALL and JMP targets become relative again.
void undo_x86_filter(std::span<std::byte> block, std::uint32_t start_offset);

}  // namespace parse
