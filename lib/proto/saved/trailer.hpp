// SPDX-License-Identifier: Apache-2.0
/// What we put behind the end of a saved domain's stream, where xl has stopped reading: where each page is, and hashes. All numbers
/// are little-endian: the runs, the hashes, then the footer, with which the file ends.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <variant>
#include <vector>

#include "lib/base/checksum.hpp"
#include "lib/base/hash64.hpp"
#include "lib/proto/saved/format.hpp"
#include "lib/proto/saved/stream.hpp"

namespace proto::saved {

/// Pages of one kind whose numbers, and data, follow each other.
struct PageRun {
    uint64_t first = 0;  ///< PageEntry::raw() of the first
    uint64_t count = 0;
    uint64_t offset = 0;  ///< of the first one's data in the file; 0 for kinds without
    bool operator==(const PageRun&) const = default;
};
static_assert(sizeof(PageRun) == 24);

/// The bytes of the stream that one hash stands for; of the last one what is left.
inline constexpr uint64_t hashed_chunk = 1U << 20U;

/// A longer one is neither written nor read. Hashes of 16 TiB are half of it.
inline constexpr uint64_t trailer_limit = 256U << 20U;

/// Which hash it has: 1 is XXH64, 2, which is written, base::Checksum.
inline constexpr uint32_t trailer_version = 2;

struct Trailer {
    uint32_t version = trailer_version;
    uint64_t stream_length = 0;
    std::vector<PageRun> runs;  ///< in the order of the stream
    std::vector<uint64_t> hashes;
    bool operator==(const Trailer&) const = default;
};

/// Collects runs as pages come.
class PageRuns {
public:
    /// `offset`: of the page's data; not used for kinds without.
    void add(const PageEntry& page, uint64_t offset);
    const std::vector<PageRun>& all() const { return runs_; }

private:
    std::vector<PageRun> runs_;
};

/// The hash that a version has.
class VersionedHash {
public:
    explicit VersionedHash(uint32_t version) {
        if (version == 1) hash_.emplace<base::Hash64>();
    }
    void add(std::span<const std::byte> bytes) {
        std::visit([&](auto& hash) { hash.add(bytes); }, hash_);
    }
    void add_zeros(uint64_t count) {
        if (auto* sum = std::get_if<base::Checksum>(&hash_)) return sum->add_zeros(count);
        static constexpr std::array<std::byte, base::page_size> zeros{};
        for (uint64_t some = 0; count != 0; count -= some) {
            some = std::min<uint64_t>(count, zeros.size());
            add(std::span(zeros).first(some));
        }
    }
    uint64_t value() const {
        return std::visit([](const auto& hash) { return hash.value(); }, hash_);
    }

private:
    std::variant<base::Checksum, base::Hash64> hash_;
};

/// Hashes a stream, chunk by chunk.
class ChunkHashes {
public:
    explicit ChunkHashes(uint32_t version = trailer_version) : version_(version), current_(version) {}
    void add(std::span<const std::byte> bytes);
    void add_zeros(uint64_t count);
    /// Of the whole chunks so far.
    const std::vector<uint64_t>& whole() const { return hashes_; }
    /// Of all there was. Nothing may be added any more.
    std::vector<uint64_t> finish();

private:
    void took(uint64_t count);

    uint32_t version_;
    VersionedHash current_;
    uint64_t used_ = 0;  // of the current chunk
    std::vector<uint64_t> hashes_;
};

struct TrailerFooter {
    uint64_t stream_length;
    uint64_t runs;
    uint64_t hashes;
    uint32_t version;
    uint32_t chunk;
    uint64_t check;  ///< of all of the trailer in front of this
    char magic[16];
};
static_assert(sizeof(TrailerFooter) == 56);

std::vector<std::byte> encode(const Trailer& trailer);

/// Reads all of `out` from this place of a file.
using ReadAt = std::function<base::Outcome<>(uint64_t offset, std::span<std::byte> out)>;
/// That of a file of `file_size`; nothing when it has none. Its runs name no more pages than the stream has room for. Memory is taken
/// only when its own hash is right: a hole costs nothing to make. Errors: badmsg, opnotsupp; those of `read`.
base::Outcome<std::optional<Trailer>> read_trailer(const ReadAt& read, uint64_t file_size);

/// Compares what is read with the hashes of a trailer, as soon as a chunk was read.
class CheckedSource final : public Source {
public:
    /// Both must outlive this.
    CheckedSource(Source& inner, const Trailer& trailer) : inner_(inner), trailer_(trailer), hashes_(trailer.version) {}
    /// Errors: badmsg: a chunk is not what was written; the inner source's.
    base::Outcome<size_t> read(std::span<std::byte> out) override;
    base::Outcome<Some> read_some(std::span<std::byte> out) override;

private:
    std::span<std::byte> inside(std::span<std::byte> out) const;
    base::Outcome<> compare_read(uint64_t count);
    base::Outcome<> compare(std::span<const uint64_t> hashes);

    Source& inner_;
    const Trailer& trailer_;
    ChunkHashes hashes_;
    uint64_t at_ = 0;
    size_t compared_ = 0;
};

}  // namespace proto::saved
