// SPDX-License-Identifier: Apache-2.0
// link: builder parse z lzma zstd lz4
// Reading kernels: every packing, and what is said about files that are none.
#include <gtest/gtest.h>
#include <lz4.h>
#include <lzma.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdlib>
#include <fstream>

#include "tests/host/test_kernel.hpp"
#include "toolstack/builder/builder.hpp"
#include "toolstack/builder/unpack.hpp"

namespace {

using namespace testing_tools;
using base::Errc;

void append32(Bytes& to, uint32_t value) {
    const auto* b = reinterpret_cast<const std::byte*>(&value);
    to.insert(to.end(), b, b + 4);
}

Bytes pack_gzip(const Bytes& plain) {
    z_stream z{};
    deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    Bytes out(deflateBound(&z, plain.size()) + 32);
    z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(plain.data()));
    z.avail_in = static_cast<uInt>(plain.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    deflate(&z, Z_FINISH);
    out.resize(z.total_out);
    deflateEnd(&z);
    return out;
}

Bytes pack_xz(const Bytes& plain) {
    Bytes out(plain.size() + 4096);
    size_t used = 0;
    lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, nullptr, reinterpret_cast<const uint8_t*>(plain.data()), plain.size(),
                            reinterpret_cast<uint8_t*>(out.data()), &used, out.size());
    out.resize(used);
    append32(out, static_cast<uint32_t>(plain.size()));
    return out;
}

Bytes pack_zstd(const Bytes& plain) {
    Bytes out(ZSTD_compressBound(plain.size()));
    out.resize(ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 3));
    append32(out, static_cast<uint32_t>(plain.size()));
    return out;
}

Bytes pack_lz4(const Bytes& plain) {
    Bytes out;
    append32(out, 0x184c2102);
    Bytes block(static_cast<size_t>(LZ4_compressBound(static_cast<int>(plain.size()))));
    const int n = LZ4_compress_default(reinterpret_cast<const char*>(plain.data()), reinterpret_cast<char*>(block.data()),
                                       static_cast<int>(plain.size()), static_cast<int>(block.size()));
    append32(out, static_cast<uint32_t>(n));
    out.insert(out.end(), block.begin(), block.begin() + n);
    append32(out, static_cast<uint32_t>(plain.size()));
    return out;
}

class BuilderLoad : public ::testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/builder_load.XXXXXX";
        folder_ = ::mkdtemp(name);
    }
    void TearDown() override { std::system(("rm -rf " + folder_).c_str()); }
    std::string file(const Bytes& bytes, const std::string& name = "k") {
        const std::string path = folder_ + "/" + name;
        std::ofstream(path, std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        return path;
    }
    std::string file(const std::string& text) {
        Bytes b(text.size());
        std::memcpy(b.data(), text.data(), text.size());
        return file(b);
    }
    static base::Outcome<builder::Images> load(const std::string& kernel, const std::string& ramdisk = "") {
        builder::BuildInput in;
        in.kernel = kernel;
        in.ramdisk = ramdisk;
        return builder::load(in);
    }
    /// The text after the folder's name.
    std::string refusal(const std::string& kernel, const std::string& ramdisk = "") {
        auto r = load(kernel, ramdisk);
        if (r) return "";
        std::string text = r.failure().text;
        for (size_t at; (at = text.find(folder_)) != std::string::npos;) text.replace(at, folder_.size(), "");
        return text;
    }
    std::string folder_;
};

TEST_F(BuilderLoad, EveryPacking) {
    const Bytes elf = make_kernel({.data_size = 300'000});
    EXPECT_EQ(*load(file(elf))->kernel, elf);
    EXPECT_EQ(*load(file(pack_gzip(elf)))->kernel, elf);
    for (const Bytes& payload : {elf, pack_gzip(elf), pack_xz(elf), pack_zstd(elf), pack_lz4(elf)}) {
        auto r = load(file(make_bzimage(payload)));
        ASSERT_TRUE(r) << r.failure().text;
        EXPECT_EQ(*r->kernel, elf);
    }
}

TEST_F(BuilderLoad, CutShortOrDamagedPayloads) {
    const Bytes elf = make_kernel({.data_size = 300'000});
    for (const Bytes& payload : {pack_gzip(elf), pack_xz(elf), pack_zstd(elf), pack_lz4(elf)}) {
        for (size_t size = 8; size < payload.size() - 4; size += payload.size() / 13) {
            const Bytes part(payload.begin(), payload.begin() + static_cast<ptrdiff_t>(size));
            auto r = load(file(make_bzimage(part)));
            ASSERT_FALSE(r) << size;
            EXPECT_EQ(r.failure().text.find('\n'), std::string::npos);
        }
    }
    for (const Bytes& payload : {pack_gzip(elf), pack_xz(elf)}) {  // the two that carry a checksum
        Bytes bad = payload;
        for (size_t i = payload.size() / 2; i < payload.size() / 2 + 40; ++i) bad[i] ^= std::byte{0x5a};
        EXPECT_FALSE(load(file(make_bzimage(bad))));
    }
    Bytes whole = make_bzimage(pack_xz(elf));
    whole.resize(whole.size() / 2);
    EXPECT_EQ(refusal(file(whole)), "Kernel /k is truncated");
}

TEST_F(BuilderLoad, ABombEndsAtTheLimit) {
    // Zeros pack a thousandfold: the unpacker must stop at its limit instead of filling the machine.
    z_stream z{};
    deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    const Bytes zeros(1 << 20);
    Bytes out(1 << 20);
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    for (int i = 0; i < 20; ++i) {
        z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(zeros.data()));
        z.avail_in = static_cast<uInt>(zeros.size());
        deflate(&z, i == 19 ? Z_FINISH : Z_NO_FLUSH);
    }
    out.resize(z.total_out);
    deflateEnd(&z);
    EXPECT_EQ(builder::unpack(out, parse::Packing::gzip, 0, 32 << 20)->size(), 20U << 20);
    auto r = builder::unpack(out, parse::Packing::gzip, 20 << 20, 8 << 20);
    ASSERT_FALSE(r);
    EXPECT_EQ(r.failure().code, Errc::toobig);
    EXPECT_EQ(r.failure().text, "unpacked it is larger than 8 MiB");
}

TEST_F(BuilderLoad, SaysWhatAFileIs) {
    EXPECT_EQ(refusal(""), "No kernel is configured");
    EXPECT_EQ(refusal(folder_ + "/none"), "Cannot read kernel /none: No such file or directory");
    EXPECT_EQ(refusal(folder_), "Cannot read kernel : it is a directory");
    EXPECT_EQ(refusal(file(Bytes{})), "Cannot read kernel /k: the file is empty");
    EXPECT_EQ(refusal(file(std::string("hello\nworld\n"))), "/k is not a kernel: it is a text file");
    EXPECT_EQ(refusal(file(std::string("#!/bin/sh\n"))), "/k is not a kernel: it is a script");
    EXPECT_EQ(refusal(file(std::string("070701000000"))), "/k is not a kernel: it is a cpio archive (an initrd?)");
    EXPECT_EQ(refusal(file(pack_gzip(Bytes(100)))), "/k is not a kernel: it is gzip-packed data that holds no kernel");
    EXPECT_EQ(refusal(file(make_bzimage(pack_gzip(Bytes(100))))), "/k is not a kernel: it is data of an unknown kind");
    ::mkfifo((folder_ + "/fifo").c_str(), 0600);
    EXPECT_EQ(refusal(folder_ + "/fifo"), "Cannot read kernel /fifo: it is not a regular file");
    EXPECT_EQ(refusal(file(make_kernel()), folder_ + "/initrd"), "Cannot read ramdisk /initrd: No such file or directory");
}

TEST_F(BuilderLoad, TheCacheGivesTheSameKernelUntilTheFileChanges) {
    builder::ImageCache cache;
    builder::BuildInput in;
    const Bytes first = make_kernel(), second = make_kernel({.data_size = 0x2800});
    in.kernel = file(make_bzimage(pack_xz(first)));
    const auto one = cache.load(in).take().kernel;
    const auto two = cache.load(in).take().kernel;
    EXPECT_EQ(one, two);
    EXPECT_EQ(*one, first);
    file(make_bzimage(pack_xz(second)));
    const auto three = cache.load(in).take().kernel;
    EXPECT_EQ(*three, second);
    cache.drop();
    EXPECT_EQ(*cache.load(in).take().kernel, second);
    EXPECT_EQ(*one, first);
}

TEST_F(BuilderLoad, AGuestsOwnKernelIsBoundedByItsMemoryAndNotKept) {
    builder::ImageCache cache;
    builder::BuildInput in;
    in.kernel = file(make_bzimage(pack_xz(make_kernel({.data_size = 0x400000}))));
    in.from_guest = true;
    in.memory_kib = 2048;
    const auto refused = cache.load(in);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.failure().text.find(in.kernel), std::string::npos) << refused.failure().text;
    in.memory_kib = 65536;
    auto one = cache.load(in);
    ASSERT_TRUE(one) << one.failure().text;
    EXPECT_EQ(one->kernel.use_count(), 1);
}

}  // namespace
