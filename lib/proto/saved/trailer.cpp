// SPDX-License-Identifier: Apache-2.0
#include "lib/proto/saved/trailer.hpp"

#include <algorithm>
#include <cstring>

namespace proto::saved {

using base::Errc;
using base::Outcome;

namespace {

constexpr std::string_view magic{"XenolithTrailer\n", 16};

template <class T>
void append(std::vector<std::byte>& out, std::span<const T> values) {
    const auto bytes = std::as_bytes(values);
    out.insert(out.end(), bytes.begin(), bytes.end());
}

uint64_t hash_of(uint32_t version, std::span<const std::byte> bytes) {
    VersionedHash hash(version);
    hash.add(bytes);
    return hash.value();
}

base::Failure damaged(const std::string& why) { return base::fail(Errc::badmsg, "the trailer is damaged: " + why); }

/// How long the trailer is that ends with `footer`; 0 when that is none.
Outcome<uint64_t> length_of(const TrailerFooter& footer, uint64_t file_size) {
    if (std::string_view(footer.magic, sizeof footer.magic) != magic) return uint64_t{0};
    if (footer.version == 0 || footer.version > trailer_version)
        return base::fail(Errc::opnotsupp, "a trailer of version " + std::to_string(footer.version) + "; 1 and 2 are known");
    if (footer.chunk != hashed_chunk) return damaged("hashes of " + std::to_string(footer.chunk) + " bytes");
    if (footer.runs > trailer_limit / sizeof(PageRun) || footer.hashes > trailer_limit / sizeof(uint64_t))
        return damaged("it is longer than any");
    const uint64_t length = footer.runs * sizeof(PageRun) + footer.hashes * sizeof(uint64_t) + sizeof footer;
    if (length > trailer_limit) return damaged("it is longer than any");
    if (length > file_size || footer.stream_length != file_size - length) return damaged("it is not where the stream ends");
    if (footer.runs > footer.stream_length / sizeof(uint64_t)) return damaged("it names more pages than the stream has");
    if (footer.hashes != (footer.stream_length + hashed_chunk - 1) / hashed_chunk) return damaged("a hash is missing");
    return length;
}

/// Compares what the trailer says of itself, in pieces.
Outcome<> check_hash(const ReadAt& read, const TrailerFooter& footer, uint64_t length) {
    constexpr size_t behind = sizeof footer - offsetof(TrailerFooter, check);
    std::vector<std::byte> piece;
    VersionedHash hash(footer.version);
    for (uint64_t done = 0; done < length - behind; done += piece.size()) {
        piece.resize(std::min<uint64_t>(hashed_chunk, length - behind - done));
        OTRY(read(footer.stream_length + done, piece));
        hash.add(piece);
    }
    return hash.value() == footer.check ? Outcome<>(base::ok) : damaged("its own hash is another one");
}

/// A page takes its entry and its data in the stream, each time that it is there.
Outcome<> check_runs(const Trailer& trailer) {
    uint64_t left = trailer.stream_length;
    for (const PageRun& run : trailer.runs) {
        const bool data = PageKind{static_cast<uint8_t>(run.first >> PageEntry::kind_shift)}.has_data();
        const uint64_t each = sizeof(uint64_t) + (data ? base::page_size : 0);
        const uint64_t pfn = run.first & PageEntry::pfn_mask;
        const uint64_t room = run.offset > trailer.stream_length ? 0 : (trailer.stream_length - run.offset) / base::page_size;
        if (run.count == 0 || pfn >= pfn_limit || run.count > pfn_limit - pfn || run.count > left / each ||
            (data && run.count > room))
            return damaged("it names pages outside");
        left -= run.count * each;
    }
    return base::ok;
}

}  // namespace

void PageRuns::add(const PageEntry& page, uint64_t offset) {
    const bool data = page.kind.has_data();
    if (!runs_.empty()) {
        PageRun& last = runs_.back();
        if (page.raw() == last.first + last.count && (!data || offset == last.offset + last.count * base::page_size)) {
            ++last.count;
            return;
        }
    }
    runs_.push_back({page.raw(), 1, data ? offset : 0});
}

/// At most what the current chunk has room for.
void ChunkHashes::took(uint64_t count) {
    used_ += count;
    if (used_ < hashed_chunk) return;
    hashes_.push_back(current_.value());
    current_ = VersionedHash(version_);
    used_ = 0;
}

void ChunkHashes::add(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const auto part = bytes.first(std::min<uint64_t>(bytes.size(), hashed_chunk - used_));
        current_.add(part);
        took(part.size());
        bytes = bytes.subspan(part.size());
    }
}

void ChunkHashes::add_zeros(uint64_t count) {
    for (uint64_t part = 0; count != 0; count -= part) {
        part = std::min(count, hashed_chunk - used_);
        current_.add_zeros(part);
        took(part);
    }
}

std::vector<uint64_t> ChunkHashes::finish() {
    if (used_ != 0) hashes_.push_back(current_.value());
    return hashes_;
}

std::vector<std::byte> encode(const Trailer& trailer) {
    std::vector<std::byte> out;
    append<PageRun>(out, trailer.runs);
    append<uint64_t>(out, trailer.hashes);
    TrailerFooter footer{trailer.stream_length, trailer.runs.size(), trailer.hashes.size(), trailer.version, hashed_chunk, 0, {}};
    std::ranges::copy(magic, footer.magic);
    append<TrailerFooter>(out, {&footer, 1});
    constexpr size_t behind = sizeof footer - offsetof(TrailerFooter, check);
    footer.check = hash_of(trailer.version, std::span(out).first(out.size() - behind));
    std::memcpy(out.data() + out.size() - sizeof footer, &footer, sizeof footer);
    return out;
}

Outcome<std::optional<Trailer>> read_trailer(const ReadAt& read, uint64_t file_size) {
    TrailerFooter footer{};
    if (file_size < sizeof footer) return std::optional<Trailer>{};
    OTRY(read(file_size - sizeof footer, std::as_writable_bytes(std::span(&footer, 1))));
    const uint64_t length = OTRY(length_of(footer, file_size));
    if (length == 0) return std::optional<Trailer>{};
    OTRY(check_hash(read, footer, length));
    Trailer out{footer.version, footer.stream_length, std::vector<PageRun>(footer.runs), std::vector<uint64_t>(footer.hashes)};
    OTRY(read(out.stream_length, std::as_writable_bytes(std::span(out.runs))));
    OTRY(read(out.stream_length + footer.runs * sizeof(PageRun), std::as_writable_bytes(std::span(out.hashes))));
    OTRY(check_runs(out));
    return std::optional(std::move(out));
}

Outcome<> CheckedSource::compare(std::span<const uint64_t> hashes) {
    for (; compared_ < hashes.size(); ++compared_) {
        if (hashes[compared_] == trailer_.hashes[compared_]) continue;
        const uint64_t begin = compared_ * hashed_chunk;
        return base::fail(Errc::badmsg, "the file is damaged: a byte from " + std::to_string(begin) + " to " +
                                            std::to_string(std::min(begin + hashed_chunk, trailer_.stream_length) - 1) +
                                            " is not what was written");
    }
    return base::ok;
}

/// What is behind the stream is not read.
std::span<std::byte> CheckedSource::inside(std::span<std::byte> out) const {
    return out.first(std::min<uint64_t>(out.size(), trailer_.stream_length - at_));
}

Outcome<size_t> CheckedSource::read(std::span<std::byte> out) {
    const size_t got = OTRY(inner_.read(inside(out)));
    hashes_.add(out.first(got));
    OTRY(compare_read(got));
    return got;
}

Outcome<Source::Some> CheckedSource::read_some(std::span<std::byte> out) {
    const Some some = OTRY(inner_.read_some(inside(out)));
    if (some.zeros) hashes_.add_zeros(some.count);
    else hashes_.add(out.first(some.count));
    OTRY(compare_read(some.count));
    return some;
}

/// The hashes have `count` bytes more.
Outcome<> CheckedSource::compare_read(uint64_t count) {
    at_ += count;
    OTRY(compare(hashes_.whole()));
    if (at_ == trailer_.stream_length && count != 0) OTRY(compare(hashes_.finish()));
    return base::ok;
}

}  // namespace proto::saved
