// SPDX-License-Identifier: Apache-2.0
// The .xz container (tukaani.org, "The .xz File Format" 1.1.0): streams of blocks, then an index that repeats the
// sizes, then a footer. Section numbers below are of that text.
#include "lib/parse/xz.hpp"

#include "lib/parse/lzma.hpp"

namespace parse {

namespace {

using base::Errc;

constexpr std::size_t header_size = 12;
constexpr std::size_t footer_size = 12;
constexpr std::uint8_t header_magic[6] = {0xFD, '7', 'z', 'X', 'Z', 0x00};
constexpr std::uint8_t footer_magic[2] = {'Y', 'Z'};

enum Check : std::uint8_t { check_none = 0x0, check_crc32 = 0x1, check_crc64 = 0x4 };

constexpr std::uint64_t filter_lzma2 = 0x21;
constexpr std::uint64_t filter_x86 = 0x04;

std::uint8_t byte_at(Bytes b, std::size_t i) { return std::to_integer<std::uint8_t>(b[i]); }

bool starts_with_magic(Bytes in) {
    return inside(in, 0, header_size) && __builtin_memcmp(in.data(), header_magic, sizeof header_magic) == 0;
}

/// Reads fields one after the other.
class Reader {
public:
    explicit Reader(Bytes bytes) : bytes_(bytes) {}
    std::size_t position() const { return at_; }
    std::size_t left() const { return bytes_.size() - at_; }
    base::Result<std::uint8_t> byte() {
        if (left() == 0) return base::Err{Errc::badmsg};
        return byte_at(bytes_, at_++);
    }
    /// Multibyte integer (1.2): seven bits per byte, at most nine bytes.
    base::Result<std::uint64_t> number() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 63; shift += 7) {
            const std::uint8_t b = TRY(byte());
            value |= std::uint64_t{b & 0x7Fu} << shift;
            if (b < 0x80) {
                if (b == 0 && shift != 0) return base::Err{Errc::badmsg};
                return value;
            }
        }
        return base::Err{Errc::badmsg};
    }
    base::Status skip(std::uint64_t n) {
        if (n > left()) return base::Err{Errc::badmsg};
        at_ += static_cast<std::size_t>(n);
        return base::ok;
    }
    /// Errors: badmsg when one of the next `n` bytes is not zero.
    base::Status zeros(std::size_t n) {
        if (n > left()) return base::Err{Errc::badmsg};
        for (; n != 0; --n)
            if (byte_at(bytes_, at_++) != 0) return base::Err{Errc::badmsg};
        return base::ok;
    }

private:
    Bytes bytes_;
    std::size_t at_ = 0;
};

struct BlockHeader {
    std::size_t size = 0;
    std::uint64_t packed_size = UINT64_MAX;  ///< UINT64_MAX: not told
    std::uint64_t unpacked_size = UINT64_MAX;
    bool x86 = false;
    std::uint32_t x86_start = 0;
};

/// What the index must repeat. Sums are enough: blocks are checked by their own checksums.
struct Totals {
    std::uint64_t blocks = 0;
    std::uint64_t unpadded = 0;
    std::uint64_t unpacked = 0;
};

/// 3.1.5: the x86 filter may come first, LZMA2 must come last.
base::Status read_filters(Reader& r, unsigned count, BlockHeader& out) {
    for (unsigned i = 0; i < count; ++i) {
        const std::uint64_t id = TRY(r.number());
        const std::uint64_t size = TRY(r.number());
        const bool last = i + 1 == count;
        if (last != (id == filter_lzma2)) return base::Err{Errc::opnotsupp};
        if (last) {
            if (size != 1) return base::Err{Errc::badmsg};
            TRY(r.skip(1));  // the dictionary size does not matter: the output is the dictionary
        } else if (id == filter_x86 && !out.x86 && (size == 0 || size == 4)) {
            out.x86 = true;
            for (unsigned shift = 0; shift < size * 8; shift += 8) out.x86_start |= std::uint32_t{TRY(r.byte())} << shift;
        } else {
            return base::Err{Errc::opnotsupp};
        }
    }
    return base::ok;
}

/// 3.1: `in` begins with the size byte, which is not zero.
base::Result<BlockHeader> read_block_header(Bytes in) {
    BlockHeader out;
    out.size = (std::size_t{byte_at(in, 0)} + 1) * 4;
    const Bytes header = TRY(slice(in, 0, out.size));
    if (crc32(header.first(out.size - 4)) != load_unchecked<std::uint32_t>(header, out.size - 4)) return base::Err{Errc::badmsg};
    Reader r(header.first(out.size - 4));
    TRY(r.skip(1));
    const std::uint8_t flags = TRY(r.byte());
    if ((flags & 0x3C) != 0) return base::Err{Errc::opnotsupp};
    if ((flags & 0x40) != 0) out.packed_size = TRY(r.number());
    if ((flags & 0x80) != 0) out.unpacked_size = TRY(r.number());
    TRY(read_filters(r, (flags & 3u) + 1, out));
    TRY(r.zeros(r.left()));
    return out;
}

class StreamDecoder {
public:
    StreamDecoder(Bytes in, std::span<std::byte> out, XzWorkspace& w) : in_(in), out_(out), w_(w) {}

    /// One stream. Afterwards consumed() and produced() tell how far it reached.
    base::Status run();
    std::size_t consumed() const { return at_; }
    std::size_t produced() const { return produced_; }

private:
    base::Status read_header();
    base::Status block();
    base::Status check(Bytes unpacked);
    base::Status read_index();
    base::Status read_footer(std::size_t index_size);
    std::size_t check_size() const { return check_ == check_none ? 0 : check_ == check_crc32 ? 4 : 8; }

    Bytes in_;
    std::span<std::byte> out_;
    XzWorkspace& w_;
    std::size_t at_ = 0;
    std::size_t produced_ = 0;
    std::uint8_t check_ = 0;
    Totals totals_;
};

base::Status StreamDecoder::read_header() {
    if (!starts_with_magic(in_)) return base::Err{Errc::noexec};
    const Bytes flags = in_.subspan(sizeof header_magic, 2);
    if (crc32(flags) != load_unchecked<std::uint32_t>(in_, 8)) return base::Err{Errc::badmsg};
    check_ = byte_at(flags, 1);
    if (byte_at(flags, 0) != 0) return base::Err{Errc::opnotsupp};
    if (check_ != check_none && check_ != check_crc32 && check_ != check_crc64) return base::Err{Errc::opnotsupp};
    at_ = header_size;
    return base::ok;
}

base::Status StreamDecoder::check(Bytes unpacked) {
    const Bytes stored = TRY(slice(in_, at_, check_size()));
    if (check_ == check_crc32 && crc32(unpacked) != load_unchecked<std::uint32_t>(stored, 0)) return base::Err{Errc::badmsg};
    if (check_ == check_crc64 && crc64(unpacked) != load_unchecked<std::uint64_t>(stored, 0)) return base::Err{Errc::badmsg};
    at_ += check_size();
    return base::ok;
}

base::Status StreamDecoder::block() {
    const BlockHeader header = TRY(read_block_header(in_.subspan(at_)));
    at_ += header.size;
    const Lzma2End end = TRY(lzma2_decode(in_.subspan(at_), out_.subspan(produced_), w_));
    if (header.packed_size != UINT64_MAX && header.packed_size != end.consumed) return base::Err{Errc::badmsg};
    if (header.unpacked_size != UINT64_MAX && header.unpacked_size != end.produced) return base::Err{Errc::badmsg};
    const std::span<std::byte> unpacked = out_.subspan(produced_, end.produced);
    if (header.x86) undo_x86_filter(unpacked, header.x86_start);

    at_ += end.consumed;
    Reader padding(in_.subspan(at_));
    TRY(padding.zeros((0 - end.consumed) & 3));
    at_ += padding.position();
    TRY(check(unpacked));
    produced_ += end.produced;
    ++totals_.blocks;
    totals_.unpadded += header.size + end.consumed + check_size();
    totals_.unpacked += end.produced;
    return base::ok;
}

/// Section 4. at_ is at the index indicator.
base::Status StreamDecoder::read_index() {
    const Bytes index = in_.subspan(at_);
    Reader r(index);
    TRY(r.skip(1));
    if (TRY(r.number()) != totals_.blocks) return base::Err{Errc::badmsg};
    Totals told;
    for (; told.blocks < totals_.blocks; ++told.blocks) {
        told.unpadded += TRY(r.number());
        told.unpacked += TRY(r.number());
    }
    if (told.unpadded != totals_.unpadded || told.unpacked != totals_.unpacked) return base::Err{Errc::badmsg};
    TRY(r.zeros((0 - r.position()) & 3));
    const std::size_t size = r.position();
    if (crc32(index.first(size)) != TRY(load<std::uint32_t>(index, size))) return base::Err{Errc::badmsg};
    at_ += size + 4;
    return read_footer(size + 4);
}

/// 2.1.2
base::Status StreamDecoder::read_footer(std::size_t index_size) {
    const Bytes footer = TRY(slice(in_, at_, footer_size));
    if (__builtin_memcmp(footer.data() + 10, footer_magic, sizeof footer_magic) != 0) return base::Err{Errc::badmsg};
    if (crc32(footer.subspan(4, 6)) != load_unchecked<std::uint32_t>(footer, 0)) return base::Err{Errc::badmsg};
    if ((std::uint64_t{load_unchecked<std::uint32_t>(footer, 4)} + 1) * 4 != index_size) return base::Err{Errc::badmsg};
    if (__builtin_memcmp(footer.data() + 8, in_.data() + sizeof header_magic, 2) != 0) return base::Err{Errc::badmsg};
    at_ += footer_size;
    return base::ok;
}

base::Status StreamDecoder::run() {
    TRY(read_header());
    for (;;) {
        if (at_ >= in_.size()) return base::Err{Errc::range};
        if (byte_at(in_, at_) == 0) return read_index();
        TRY(block());
    }
}

}  // namespace

base::Result<std::size_t> xz_decode(Bytes in, std::span<std::byte> out, XzWorkspace& workspace) {
    std::size_t produced = 0;
    do {
        StreamDecoder stream(in, out.subspan(produced), workspace);
        TRY(stream.run());
        produced += stream.produced();
        in = in.subspan(stream.consumed());
        while (inside(in, 0, 4) && load_unchecked<std::uint32_t>(in, 0) == 0) in = in.subspan(4);  // stream padding
    } while (starts_with_magic(in));
    return produced;
}

}  // namespace parse
