// SPDX-License-Identifier: Apache-2.0
#include "toolstack/builder/unpack.hpp"

#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace builder {
namespace {

using base::Errc;
using base::fail;
using base::Outcome;
using parse::Bytes;
using parse::Packing;

/// The growing result: every codec writes into room() and reports with wrote().
class Sink {
public:
    Sink(size_t hint, size_t limit) : limit_(limit) { grow(std::max<size_t>(hint, 64 << 10)); }
    std::span<std::byte> room() {
        if (used_ == data_.size()) grow(data_.size() * 2);
        return std::span(data_).subspan(used_);
    }
    void wrote(size_t n) { used_ += n; }
    bool too_big() const { return used_ >= limit_; }
    base::Failure too_big_failure() const {
        return fail(Errc::toobig, "unpacked it is larger than " + std::to_string(limit_ >> 20) + " MiB");
    }
    Outcome<std::vector<std::byte>> finish() {
        data_.resize(used_);
        return std::move(data_);
    }

private:
    void grow(size_t size) { data_.resize(std::min(size, limit_)); }
    size_t limit_;
    std::vector<std::byte> data_;
    size_t used_ = 0;
};

base::Failure damaged(const char* why) { return fail(Errc::badmsg, std::string("the packed data is damaged (") + why + ")"); }
base::Failure cut_short() { return fail(Errc::badmsg, "the packed data is cut short"); }

/// Room for libraries that count in 32 bits.
uint32_t count32(size_t n) { return static_cast<uint32_t>(std::min<size_t>(n, 1U << 30)); }

Outcome<std::vector<std::byte>> gunzip(Bytes in, Sink& out) {
    z_stream z{};
    if (inflateInit2(&z, 15 + 16) != Z_OK) return fail(Errc::nomem, "no memory to unpack");
    const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&z, inflateEnd);
    // zlib's interface predates const; it only reads.
    z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
    z.avail_in = count32(in.size());
    for (;;) {
        if (out.too_big()) return out.too_big_failure();
        const auto room = out.room();
        z.next_out = reinterpret_cast<Bytef*>(room.data());
        z.avail_out = count32(room.size());
        const uint32_t before = z.avail_out;
        const int r = inflate(&z, Z_NO_FLUSH);
        out.wrote(before - z.avail_out);
        if (r == Z_STREAM_END) return out.finish();
        if (r == Z_BUF_ERROR || (r == Z_OK && z.avail_in == 0 && z.avail_out != 0)) return cut_short();
        if (r != Z_OK) return damaged("gzip");
    }
}

Outcome<std::vector<std::byte>> unxz(Bytes in, Sink& out, Packing packing) {
    lzma_stream s = LZMA_STREAM_INIT;
    constexpr uint64_t memory = 256 << 20;
    const lzma_ret made = packing == Packing::xz ? lzma_stream_decoder(&s, memory, 0) : lzma_alone_decoder(&s, memory);
    if (made != LZMA_OK) return fail(Errc::nomem, "no memory to unpack");
    const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> end(&s, lzma_end);
    s.next_in = reinterpret_cast<const uint8_t*>(in.data());
    s.avail_in = in.size();
    for (;;) {
        if (out.too_big()) return out.too_big_failure();
        const auto room = out.room();
        s.next_out = reinterpret_cast<uint8_t*>(room.data());
        s.avail_out = room.size();
        const lzma_ret r = lzma_code(&s, s.avail_in == 0 ? LZMA_FINISH : LZMA_RUN);
        out.wrote(room.size() - s.avail_out);
        if (r == LZMA_STREAM_END) return out.finish();
        if (r == LZMA_BUF_ERROR) return cut_short();
        if (r != LZMA_OK) return damaged(parse::packing_name(packing));
    }
}

Outcome<std::vector<std::byte>> unzstd(Bytes in, Sink& out) {
    const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> s(ZSTD_createDStream(), ZSTD_freeDStream);
    if (!s) return fail(Errc::nomem, "no memory to unpack");
    ZSTD_DCtx_setParameter(s.get(), ZSTD_d_windowLogMax, 27);  // 128 MiB: what the kernel build uses at most
    ZSTD_inBuffer input{in.data(), in.size(), 0};
    for (;;) {
        if (out.too_big()) return out.too_big_failure();
        const auto room = out.room();
        ZSTD_outBuffer output{room.data(), room.size(), 0};
        const size_t r = ZSTD_decompressStream(s.get(), &output, &input);
        if (ZSTD_isError(r)) return damaged("zstd");
        out.wrote(output.pos);
        if (r == 0) return out.finish();
        if (input.pos == input.size && output.pos < room.size()) return cut_short();
    }
}

/// The "legacy" LZ4 framing kernels use: magic, then blocks of at most 8 MiB, each with its packed length in front.
/// The kernel build appends the unpacked size, which ends the list here as a length that no block can have or as
/// leftover bytes.
Outcome<std::vector<std::byte>> unlz4(Bytes in, Sink& out) {
    constexpr size_t block = 8 << 20;
    std::vector<std::byte> plain(block);
    in = in.subspan(4);
    bool any = false;
    while (in.size() >= 8) {
        uint32_t packed = 0;
        std::memcpy(&packed, in.data(), sizeof packed);
        in = in.subspan(4);
        if (packed == 0x184c2102) continue;  // another stream follows
        if (packed == 0 || packed > static_cast<uint32_t>(LZ4_compressBound(static_cast<int>(block)))) return damaged("lz4");
        if (packed > in.size()) return cut_short();
        const int n = LZ4_decompress_safe(reinterpret_cast<const char*>(in.data()), reinterpret_cast<char*>(plain.data()),
                                          static_cast<int>(packed), static_cast<int>(block));
        if (n < 0) return damaged("lz4");
        for (size_t done = 0; done < static_cast<size_t>(n);) {
            if (out.too_big()) return out.too_big_failure();
            const auto room = out.room();
            const size_t step = std::min(room.size(), static_cast<size_t>(n) - done);
            std::memcpy(room.data(), plain.data() + done, step);
            out.wrote(step);
            done += step;
        }
        in = in.subspan(packed);
        any = true;
        if (static_cast<size_t>(n) < block) break;  // only the last block is short
    }
    if (!any) return cut_short();
    return out.finish();
}

}  // namespace

Outcome<std::vector<std::byte>> unpack(Bytes bytes, Packing packing, size_t size_hint, size_t limit) {
    constexpr size_t likely_ratio = 32;
    Sink out(std::min(size_hint, bytes.size() * likely_ratio), limit);
    switch (packing) {
        case Packing::gzip: return gunzip(bytes, out);
        case Packing::xz:
        case Packing::lzma: return unxz(bytes, out, packing);
        case Packing::lz4: return unlz4(bytes, out);
        case Packing::zstd: return unzstd(bytes, out);
        case Packing::bzip2:
        case Packing::lzo: return fail(Errc::opnotsupp, std::string(parse::packing_name(packing)) + " packing is not supported");
        case Packing::unknown:
        case Packing::elf: break;
    }
    return std::vector<std::byte>(bytes.begin(), bytes.end());
}

}  // namespace builder
