// SPDX-License-Identifier: Apache-2.0
// Eight bytes per step over eight tables: the check runs over every byte of every kernel we start.
#include "lib/parse/xz.hpp"

namespace parse {

namespace {

template <class Word>
struct Tables {
    Word at[8][256];
};

/// Table k turns one byte into its effect after k further zero bytes.
template <class Word>
consteval Tables<Word> make_tables(Word polynomial) {
    Tables<Word> t{};
    for (unsigned byte = 0; byte < 256; ++byte) {
        Word value = byte;
        for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? polynomial : 0);
        t.at[0][byte] = value;
    }
    for (unsigned byte = 0; byte < 256; ++byte)
        for (unsigned k = 1; k < 8; ++k) {
            const Word before = t.at[k - 1][byte];
            t.at[k][byte] = (before >> 8) ^ t.at[0][before & 0xff];
        }
    return t;
}

constexpr auto tables32 = make_tables<std::uint32_t>(0xEDB88320);
constexpr auto tables64 = make_tables<std::uint64_t>(0xC96C5795D7870F42);

template <class Word>
Word run(const Tables<Word>& t, Bytes bytes, Word crc) {
    crc = ~crc;
    const std::byte* p = bytes.data();
    const std::byte* const end = p + bytes.size();
    for (; end - p >= 8; p += 8) {
        std::uint64_t block;
        __builtin_memcpy(&block, p, sizeof block);
        block ^= crc;
        crc = t.at[7][block & 0xff] ^ t.at[6][(block >> 8) & 0xff] ^ t.at[5][(block >> 16) & 0xff] ^
              t.at[4][(block >> 24) & 0xff] ^ t.at[3][(block >> 32) & 0xff] ^ t.at[2][(block >> 40) & 0xff] ^
              t.at[1][(block >> 48) & 0xff] ^ t.at[0][block >> 56];
    }
    for (; p != end; ++p) crc = (crc >> 8) ^ t.at[0][(crc ^ std::to_integer<Word>(*p)) & 0xff];
    return ~crc;
}

}  // namespace

std::uint32_t crc32(Bytes bytes, std::uint32_t crc) { return run(tables32, bytes, crc); }

std::uint64_t crc64(Bytes bytes, std::uint64_t crc) { return run(tables64, bytes, crc); }

}  // namespace parse
