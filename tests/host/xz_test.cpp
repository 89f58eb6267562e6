// SPDX-License-Identifier: Apache-2.0
// link: parse lzma
// Our decoder against liblzma's encoder, and against damage.
#include "lib/parse/xz.hpp"

#include <gtest/gtest.h>
#include <lzma.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using base::Errc;
using Buffer = std::vector<std::uint8_t>;

struct Settings {
    std::uint32_t preset = 6;
    lzma_check check = LZMA_CHECK_CRC32;
    bool x86 = false;
    std::uint32_t lc = 3, lp = 0, pb = 2;
};

Buffer pack(const Buffer& plain, const Settings& s) {
    lzma_options_lzma options;
    EXPECT_FALSE(lzma_lzma_preset(&options, s.preset));
    options.lc = s.lc;
    options.lp = s.lp;
    options.pb = s.pb;
    lzma_filter filters[3];
    unsigned n = 0;
    if (s.x86) filters[n++] = {LZMA_FILTER_X86, nullptr};
    filters[n++] = {LZMA_FILTER_LZMA2, &options};
    filters[n] = {LZMA_VLI_UNKNOWN, nullptr};
    Buffer out(lzma_stream_buffer_bound(plain.size()));
    std::size_t at = 0;
    EXPECT_EQ(lzma_stream_buffer_encode(filters, s.check, nullptr, plain.data(), plain.size(), out.data(), &at, out.size()),
              LZMA_OK);
    out.resize(at);
    return out;
}

parse::XzWorkspace& workspace() {
    static const auto w = std::make_unique<parse::XzWorkspace>();
    return *w;
}

/// Unpacks into a buffer of exactly `room` bytes, from an exactly sized copy of the input (so that the address
/// sanitizer sees any byte read too far).
base::Result<std::size_t> unpack(const Buffer& packed, Buffer& out, std::size_t room) {
    const Buffer exact(packed.begin(), packed.end());
    out.assign(room, 0xEE);
    return parse::xz_decode(std::as_bytes(std::span(exact)), std::as_writable_bytes(std::span(out)), workspace());
}

/// Text-like, code-like and random stretches: matches, near and far repeats, literals, call instructions.
Buffer sample(std::size_t size, unsigned seed) {
    std::mt19937 engine(seed);
    const auto random = [&](std::size_t below) { return static_cast<std::size_t>(engine() % below); };
    Buffer out;
    while (out.size() < size) {
        switch (random(5)) {
            case 0:
                for (std::size_t i = random(200); i > 0; --i) out.push_back(static_cast<std::uint8_t>(random(256)));
                break;
            case 1:
                for (std::size_t i = random(60); i > 0; --i) {
                    out.push_back(static_cast<std::uint8_t>(0xE8 + random(2)));
                    for (int k = 0; k < 3; ++k) out.push_back(static_cast<std::uint8_t>(random(256)));
                    out.push_back(random(2) != 0 ? 0xff : 0x00);
                    for (std::size_t k = random(4); k > 0; --k) out.push_back(random(2) != 0 ? 0xE8 : 0x00);
                }
                break;
            case 2: out.insert(out.end(), random(3000), static_cast<std::uint8_t>(random(256))); break;
            default: {
                const std::size_t length = std::min(out.size(), random(400));
                const std::size_t from = out.size() - length - random(out.size() - length + 1);
                for (std::size_t i = 0; i < length; ++i) out.push_back(out[from + i]);
            }
        }
    }
    out.resize(size);
    return out;
}

TEST(Xz, UnpacksWhatLiblzmaPacks) {
    const Settings all[] = {{},
                            {.preset = 0},
                            {.preset = 9 | LZMA_PRESET_EXTREME},
                            {.check = LZMA_CHECK_CRC64},
                            {.check = LZMA_CHECK_NONE},
                            {.x86 = true},
                            {.check = LZMA_CHECK_CRC64, .x86 = true, .lc = 0, .lp = 4, .pb = 4},
                            {.lc = 4, .lp = 0, .pb = 0},
                            {.lc = 2, .lp = 2, .pb = 3}};
    unsigned seed = 0;
    for (const Settings& s : all)
        for (const std::size_t size : {0u, 1u, 2u, 5u, 77u, 4096u, 300000u}) {
            const Buffer plain = sample(size, ++seed);
            Buffer out;
            const auto got = unpack(pack(plain, s), out, size);
            ASSERT_TRUE(got) << "size " << size << " error " << static_cast<int>(got.error());
            ASSERT_EQ(got.value(), size);
            ASSERT_EQ(out, plain);
        }
}

TEST(Xz, UnpacksStoredChunksAndManySeeds) {
    std::mt19937 engine(1);
    Buffer noise(200000);
    for (auto& b : noise) b = static_cast<std::uint8_t>(engine());
    Buffer out;
    ASSERT_TRUE(unpack(pack(noise, {}), out, noise.size()));
    EXPECT_EQ(out, noise);
    for (unsigned seed = 100; seed < 160; ++seed) {
        const Buffer plain = sample(20000 + seed * 17, seed);
        ASSERT_TRUE(unpack(pack(plain, {.x86 = seed % 2 == 0}), out, plain.size()));
        ASSERT_EQ(out, plain) << seed;
    }
}

TEST(Xz, ConcatenatedStreamsAndTrailingBytes) {
    const Buffer a = sample(1000, 1), b = sample(5000, 2);
    Buffer packed = pack(a, {});
    packed.insert(packed.end(), 8, 0);  // stream padding
    const Buffer second = pack(b, {.check = LZMA_CHECK_CRC64});
    packed.insert(packed.end(), second.begin(), second.end());
    packed.insert(packed.end(), {0x88, 0x13, 0, 0});  // the size Linux appends
    Buffer out;
    const auto got = unpack(packed, out, 6000);
    ASSERT_TRUE(got);
    EXPECT_EQ(got.value(), 6000u);
    EXPECT_TRUE(std::equal(a.begin(), a.end(), out.begin()));
    EXPECT_TRUE(std::equal(b.begin(), b.end(), out.begin() + 1000));
}

TEST(Xz, EveryDamagedByteIsFound) {
    const Buffer plain = sample(600, 3);
    for (const Settings& s : {Settings{}, Settings{.check = LZMA_CHECK_CRC64, .x86 = true}}) {
        const Buffer good = pack(plain, s);
        Buffer out;
        for (std::size_t i = 0; i < good.size(); ++i)
            for (const std::uint8_t flip : {std::uint8_t{0x01}, std::uint8_t{0x80}, std::uint8_t{0xff}}) {
                Buffer bad = good;
                bad[i] = static_cast<std::uint8_t>(bad[i] ^ flip);
                ASSERT_FALSE(unpack(bad, out, plain.size() + 1000)) << i;
            }
        for (std::size_t n = 0; n < good.size(); ++n)
            ASSERT_FALSE(unpack(Buffer(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)), out, 2000)) << n;
    }
}

TEST(Xz, NamesTheCause) {
    const Buffer plain = sample(3000, 4);
    Buffer out;
    EXPECT_EQ(unpack({}, out, 10).error(), Errc::noexec);
    EXPECT_EQ(unpack(Buffer(100, 'x'), out, 10).error(), Errc::noexec);
    EXPECT_EQ(unpack(pack(plain, {}), out, plain.size() - 1).error(), Errc::nobufs);
    EXPECT_EQ(unpack(pack(plain, {.check = LZMA_CHECK_SHA256}), out, plain.size()).error(), Errc::opnotsupp);
}

TEST(Xz, ChecksumsAgreeWithLiblzma) {
    for (std::size_t size = 0; size < 70; ++size) {
        const Buffer bytes = sample(size, static_cast<unsigned>(size));
        const auto view = std::as_bytes(std::span(bytes));
        EXPECT_EQ(parse::crc32(view), lzma_crc32(bytes.data(), size, 0));
        EXPECT_EQ(parse::crc64(view), lzma_crc64(bytes.data(), size, 0));
        EXPECT_EQ(parse::crc32(view.subspan(size / 3), parse::crc32(view.first(size / 3))), parse::crc32(view));
        EXPECT_EQ(parse::crc64(view.subspan(size / 3), parse::crc64(view.first(size / 3))), parse::crc64(view));
    }
}

}  // namespace
