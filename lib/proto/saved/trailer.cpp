// SPDX-License-Identifier: Apache-2.0
#include "lib/proto/saved/trailer.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace proto::saved {

using base::Errc;
using base::Outcome;

namespace {

constexpr std::string_view magic{"XenolithTrailer\n", 16};
constexpr uint32_t version = 1;

template <class T>
void append(std::vector<std::byte>& out, std::span<const T> values) {
    const auto bytes = std::as_bytes(values);
    out.insert(out.end(), bytes.begin(), bytes.end());
}

template <class T>
std::vector<T> take(std::span<const std::byte>& bytes, uint64_t count) {
    std::vector<T> out(count);
    if (count != 0) std::memcpy(out.data(), bytes.data(), count * sizeof(T));
    bytes = bytes.subspan(count * sizeof(T));
    return out;
}

uint64_t hash_of(std::span<const std::byte> bytes) {
    base::Hash64 hash;
    hash.add(bytes);
    return hash.value();
}

TrailerFooter footer_of(std::span<const std::byte> bytes) {
    TrailerFooter footer{};
    std::memcpy(&footer, bytes.last(sizeof footer).data(), sizeof footer);
    return footer;
}

base::Failure damaged(const std::string& why) { return base::fail(Errc::badmsg, "the trailer is damaged: " + why); }

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

void ChunkHashes::add(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const auto part = bytes.first(std::min<uint64_t>(bytes.size(), hashed_chunk - used_));
        current_.add(part);
        used_ += part.size();
        bytes = bytes.subspan(part.size());
        if (used_ < hashed_chunk) return;
        hashes_.push_back(current_.value());
        current_ = {};
        used_ = 0;
    }
}

void ChunkHashes::add_zeros(uint64_t count) {
    static constexpr std::array<std::byte, base::page_size> zeros{};
    for (; count != 0; count -= std::min<uint64_t>(count, zeros.size()))
        add(std::span(zeros).first(std::min<uint64_t>(count, zeros.size())));
}

std::vector<uint64_t> ChunkHashes::finish() {
    if (used_ != 0) hashes_.push_back(current_.value());
    return hashes_;
}

std::vector<std::byte> encode(const Trailer& trailer) {
    std::vector<std::byte> out;
    append<PageRun>(out, trailer.runs);
    append<uint64_t>(out, trailer.hashes);
    TrailerFooter footer{trailer.stream_length, trailer.runs.size(), trailer.hashes.size(), version, hashed_chunk, 0, {}};
    std::ranges::copy(magic, footer.magic);
    append<TrailerFooter>(out, {&footer, 1});
    constexpr size_t behind = sizeof footer - offsetof(TrailerFooter, check);
    footer.check = hash_of(std::span(out).first(out.size() - behind));
    std::memcpy(out.data() + out.size() - sizeof footer, &footer, sizeof footer);
    return out;
}

Outcome<std::optional<uint64_t>> trailer_length(std::span<const std::byte, sizeof(TrailerFooter)> bytes, uint64_t file_size) {
    const TrailerFooter footer = footer_of(bytes);
    if (std::string_view(footer.magic, sizeof footer.magic) != magic) return std::optional<uint64_t>{};
    if (footer.version != version)
        return base::fail(Errc::opnotsupp, "a trailer of version " + std::to_string(footer.version) + "; 1 is known");
    if (footer.chunk != hashed_chunk) return damaged("hashes of " + std::to_string(footer.chunk) + " bytes");
    const uint64_t most = file_size / sizeof(uint64_t);
    if (footer.runs > most || footer.hashes > most) return damaged("it is longer than the file");
    const uint64_t length = footer.runs * sizeof(PageRun) + footer.hashes * sizeof(uint64_t) + sizeof footer;
    if (length > file_size || footer.stream_length != file_size - length) return damaged("it is not where the stream ends");
    if (footer.hashes != (footer.stream_length + hashed_chunk - 1) / hashed_chunk) return damaged("a hash is missing");
    return std::optional(length);
}

Outcome<Trailer> decode_trailer(std::span<const std::byte> bytes, uint64_t file_size) {
    if (bytes.size() < sizeof(TrailerFooter)) return damaged("it is too short");
    const auto length = OTRY(trailer_length(bytes.last<sizeof(TrailerFooter)>(), file_size));
    if (length != bytes.size()) return damaged("it has another length");
    const TrailerFooter footer = footer_of(bytes);
    constexpr size_t behind = sizeof footer - offsetof(TrailerFooter, check);
    if (hash_of(bytes.first(bytes.size() - behind)) != footer.check) return damaged("its own hash is another one");
    Trailer out;
    out.stream_length = footer.stream_length;
    out.runs = take<PageRun>(bytes, footer.runs);
    out.hashes = take<uint64_t>(bytes, footer.hashes);
    for (const PageRun& run : out.runs) {
        const bool data = PageKind{static_cast<uint8_t>(run.first >> PageEntry::kind_shift)}.has_data();
        const uint64_t room = run.offset > out.stream_length ? 0 : (out.stream_length - run.offset) / base::page_size;
        if (run.count == 0 || run.count > pfn_limit || (data && run.count > room)) return damaged("it names pages outside");
    }
    return out;
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

Outcome<size_t> CheckedSource::read(std::span<std::byte> out) {
    const auto inside = out.first(std::min<uint64_t>(out.size(), trailer_.stream_length - at_));
    const size_t got = OTRY(inner_.read(inside));
    at_ += got;
    hashes_.add(inside.first(got));
    OTRY(compare(hashes_.whole()));
    if (at_ == trailer_.stream_length && got != 0) OTRY(compare(hashes_.finish()));
    return got;
}

}  // namespace proto::saved
