// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/saved_file.hpp"

#include <algorithm>
#include <array>

namespace migration {

using base::Errc;
using base::Outcome;
using proto::saved::PageEntry;
using proto::saved::PageKind;
using proto::saved::PageRun;
using proto::saved::Trailer;
using proto::saved::TrailerFooter;

namespace {

Outcome<std::optional<Trailer>> read_trailer(const FileSource& file) {
    const uint64_t size = OTRY(file.size());
    std::array<std::byte, sizeof(TrailerFooter)> footer{};
    if (size < footer.size()) return std::optional<Trailer>{};
    OTRY(file.read_at(size - footer.size(), footer));
    const auto length = OTRY(proto::saved::trailer_length(footer, size));
    if (!length) return std::optional<Trailer>{};
    std::vector<std::byte> bytes(*length);
    OTRY(file.read_at(size - *length, bytes));
    return std::optional(OTRY(proto::saved::decode_trailer(bytes, size)));
}

/// Reads the stream to its end.
Outcome<SavedSummary> read_all(proto::saved::Source& source) {
    proto::saved::Reader reader(source);
    SavedSummary out;
    proto::saved::PageRuns runs;
    out.config = OTRY(reader.file());
    OTRY(reader.stream());
    for (bool more = true; more;) {
        const auto record = OTRY(reader.next());
        more = !std::holds_alternative<proto::saved::ImageEnd>(record);
        const auto* batch = std::get_if<proto::saved::PageData>(&record);
        if (batch == nullptr) continue;
        uint64_t offset = reader.data_offset();
        for (const PageEntry& page : batch->pages) {
            runs.add(page, offset);
            if (page.kind.has_data()) offset += base::page_size;
        }
    }
    OTRY(reader.finish());
    out.xen_major = reader.xen_major();
    out.xen_minor = reader.xen_minor();
    out.stream_length = reader.offset();
    out.runs = runs.all();
    return out;
}

PageEntry entry_of(uint64_t raw) {
    return {raw & PageEntry::pfn_mask, PageKind{static_cast<uint8_t>(raw >> PageEntry::kind_shift)}};
}

}  // namespace

Outcome<std::unique_ptr<CheckedFile>> CheckedFile::open(const std::string& path) {
    auto out = std::make_unique<CheckedFile>();
    out->file_ = OTRY(FileSource::open(path));
    out->trailer_ = OTRY(read_trailer(*out->file_).context(path));
    if (out->trailer_) out->checked_.emplace(*out->file_, *out->trailer_);
    return out;
}

Outcome<SavedSummary> verify_saved(const std::string& path) {
    const auto file = OTRY(CheckedFile::open(path));
    SavedSummary out = OTRY(read_all(*file).context(path));
    const std::optional<Trailer>& trailer = file->trailer();
    out.hashed = trailer.has_value();
    const uint64_t size = OTRY(file->file().size());
    const uint64_t behind = trailer ? trailer->stream_length - out.stream_length : size - out.stream_length;
    if (behind != 0) {
        return base::fail(Errc::badmsg, path + ": " + std::to_string(behind) + " bytes behind the end (at byte " +
                                            std::to_string(out.stream_length) + ") that are no trailer");
    }
    if (trailer && trailer->runs != out.runs) return base::fail(Errc::badmsg, path + ": the trailer's index is of another file");
    return out;
}

Outcome<SavedPages> SavedPages::open(const std::string& path) {
    SavedPages out;
    out.path_ = path;
    out.file_ = OTRY(CheckedFile::open(path));
    out.runs_ = out.file_->trailer() ? out.file_->trailer()->runs : OTRY(verify_saved(path)).runs;
    for (const PageRun& run : out.runs_) {
        for (uint64_t i = 0; i < run.count; ++i) {
            const PageEntry entry = entry_of(run.first + i);
            out.pages_.push_back({entry, entry.kind.has_data() ? run.offset + i * base::page_size : 0});
        }
    }
    // A page that comes again replaces what came before.
    std::ranges::stable_sort(out.pages_, {}, [](const Page& page) { return page.entry.pfn; });
    const auto same = [](const Page& a, const Page& b) { return a.entry.pfn == b.entry.pfn; };
    const auto kept = std::unique(out.pages_.rbegin(), out.pages_.rend(), same);
    out.pages_.erase(out.pages_.begin(), kept.base());
    return out;
}

Outcome<std::vector<std::byte>> SavedPages::read(uint64_t pfn) const {
    const auto at = std::ranges::lower_bound(pages_, pfn, {}, [](const Page& page) { return page.entry.pfn; });
    if (at == pages_.end() || at->entry.pfn != pfn || !at->entry.kind.has_data())
        return base::fail(Errc::noent, path_ + ": it has no data of page " + std::to_string(pfn));
    return read(*at);
}

Outcome<std::vector<std::byte>> SavedPages::read(const Page& page) const {
    std::vector<std::byte> out(base::page_size);
    if (!page.entry.kind.has_data()) return out;
    OTRY(file_->file().read_at(page.offset, out));
    return out;
}

}  // namespace migration
