// SPDX-License-Identifier: Apache-2.0
/// Linux's x86 bzImage: where the compressed kernel lies and how it is packed. Freestanding.
#pragma once

#include <cstdint>

#include "lib/base/result.hpp"
#include "lib/parse/bytes.hpp"

namespace parse {

enum class Packing : std::uint8_t { unknown, elf, gzip, bzip2, lzma, xz, lzo, lz4, zstd };

/// Recognises a packed (or plain ELF) kernel by its first bytes.
Packing detect_packing(Bytes payload);
const char* packing_name(Packing packing);

inline constexpr std::uint16_t bzimage_kernel_64 = 1u << 0;  ///< xloadflags: has the 64-bit entry
inline constexpr std::uint16_t bzimage_above_4g = 1u << 1;   ///< xloadflags: may be loaded above 4 GiB

struct BzImage {
    std::uint16_t protocol;    ///< boot protocol version, 0x20d = 2.13
    std::uint16_t load_flags;  ///< xloadflags (0 before protocol 2.12)
    std::uint64_t setup_size;  ///< bytes of real-mode code in front of the protected-mode part
    Packing packing;
    Bytes payload;                ///< the packed kernel; for packings other than gzip its last 4 bytes are the unpacked size
    std::uint32_t unpacked_size;  ///< what those bytes claim: a hint from the file, judge before use
};

/// Whether the file carries a Linux boot header.
bool is_bzimage(Bytes file);

/// Errors: noexec when it is no bzImage, or one too old to tell its payload (before protocol 2.08); range when the
/// payload reaches outside the file (a truncated file).
base::Result<BzImage> open_bzimage(Bytes file);

}  // namespace parse
