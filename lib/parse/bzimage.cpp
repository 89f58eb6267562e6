// SPDX-License-Identifier: Apache-2.0
// Layout: Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
#include "lib/parse/bzimage.hpp"

#include "lib/parse/elf.hpp"

namespace parse {

namespace {

using base::Errc;

constexpr std::uint64_t setup_sectors_at = 0x1f1;
constexpr std::uint64_t boot_flag_at = 0x1fe;
constexpr std::uint64_t header_magic_at = 0x202;
constexpr std::uint64_t version_at = 0x206;
constexpr std::uint64_t xloadflags_at = 0x236;
constexpr std::uint64_t payload_offset_at = 0x248;
constexpr std::uint64_t payload_length_at = 0x24c;
constexpr std::uint64_t header_end = 0x268;
constexpr std::uint32_t header_magic = 0x53726448;  // "HdrS"
constexpr std::uint16_t boot_flag = 0xAA55;
constexpr std::uint16_t first_with_payload = 0x208;
constexpr std::uint16_t first_with_xloadflags = 0x20c;
constexpr std::uint64_t sector = 512;

struct Magic {
    Packing packing;
    std::uint8_t size;
    std::uint8_t bytes[6];
};

constexpr Magic magics[] = {
    {Packing::elf, 4, {0x7f, 'E', 'L', 'F'}},
    {Packing::gzip, 2, {0x1f, 0x8b}},
    {Packing::gzip, 2, {0x1f, 0x9e}},
    {Packing::bzip2, 3, {'B', 'Z', 'h'}},
    {Packing::xz, 6, {0xfd, '7', 'z', 'X', 'Z', 0}},
    {Packing::lzma, 3, {0x5d, 0, 0}},
    {Packing::lzo, 4, {0x89, 'L', 'Z', 'O'}},
    {Packing::lz4, 4, {0x02, 0x21, 0x4c, 0x18}},
    {Packing::zstd, 4, {0x28, 0xb5, 0x2f, 0xfd}},
};

}  // namespace

Packing detect_packing(Bytes payload) {
    for (const Magic& magic : magics)
        if (inside(payload, 0, magic.size) && __builtin_memcmp(payload.data(), magic.bytes, magic.size) == 0)
            return magic.packing;
    return Packing::unknown;
}

const char* packing_name(Packing packing) {
    switch (packing) {
        case Packing::elf: return "ELF";
        case Packing::gzip: return "gzip";
        case Packing::bzip2: return "bzip2";
        case Packing::lzma: return "lzma";
        case Packing::xz: return "xz";
        case Packing::lzo: return "lzo";
        case Packing::lz4: return "lz4";
        case Packing::zstd: return "zstd";
        case Packing::unknown: break;
    }
    return "unknown";
}

bool is_bzimage(Bytes file) {
    return inside(file, 0, header_end) && load_unchecked<std::uint16_t>(file, boot_flag_at) == boot_flag &&
           load_unchecked<std::uint32_t>(file, header_magic_at) == header_magic;
}

base::Result<BzImage> open_bzimage(Bytes file) {
    if (!is_bzimage(file)) return base::Err{Errc::noexec};
    BzImage image{};
    image.protocol = load_unchecked<std::uint16_t>(file, version_at);
    if (image.protocol < first_with_payload) return base::Err{Errc::noexec};
    if (image.protocol >= first_with_xloadflags) image.load_flags = load_unchecked<std::uint16_t>(file, xloadflags_at);
    const auto sectors = load_unchecked<std::uint8_t>(file, setup_sectors_at);
    image.setup_size = (std::uint64_t{sectors == 0 ? std::uint8_t{4} : sectors} + 1) * sector;
    const std::uint64_t offset = image.setup_size + load_unchecked<std::uint32_t>(file, payload_offset_at);
    const std::uint32_t length = load_unchecked<std::uint32_t>(file, payload_length_at);
    if (length < sizeof(std::uint32_t)) return base::Err{Errc::range};
    image.payload = TRY(slice(file, offset, length));
    image.packing = detect_packing(image.payload);
    image.unpacked_size = load_unchecked<std::uint32_t>(image.payload, length - sizeof(std::uint32_t));
    return image;
}

}  // namespace parse
