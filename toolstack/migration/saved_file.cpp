// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/saved_file.hpp"

#include <algorithm>
#include <map>

namespace migration {

using base::Errc;
using base::Outcome;
using proto::saved::PageEntry;
using proto::saved::PageKind;
using proto::saved::PageRun;
using proto::saved::Trailer;

namespace {

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
        for (const proto::saved::PageIn& page : batch->pages) {
            runs.add(page.entry, offset);
            if (page.entry.kind.has_data()) offset += base::page_size;
        }
    }
    OTRY(reader.finish());
    out.xen_major = reader.xen_major();
    out.xen_minor = reader.xen_minor();
    out.stream_length = reader.offset();
    out.runs = runs.all();
    return out;
}

uint64_t pfn_of(const PageRun& run) { return run.first & PageEntry::pfn_mask; }
PageKind kind_of(const PageRun& run) { return {static_cast<uint8_t>(run.first >> PageEntry::kind_shift)}; }

/// What of the run stands from page `pfn` on, which is not in front of it.
PageRun rest_of(const PageRun& run, uint64_t pfn) {
    const uint64_t skipped = std::min(run.count, pfn - pfn_of(run));
    return {run.first + skipped, run.count - skipped, kind_of(run).has_data() ? run.offset + skipped * base::page_size : 0};
}

/// Each page once, in order of the numbers: one that comes again replaces what came before.
std::vector<PageRun> in_order_of_pages(const std::vector<PageRun>& runs) {
    std::map<uint64_t, PageRun> by_pfn;
    for (const PageRun& run : runs) {
        const uint64_t begin = pfn_of(run), end = begin + run.count;
        auto at = by_pfn.lower_bound(begin);
        if (at != by_pfn.begin()) {
            PageRun& before = std::prev(at)->second;
            if (const PageRun rest = rest_of(before, end); rest.count != 0) at = by_pfn.emplace_hint(at, end, rest);
            before.count = std::min(before.count, begin - pfn_of(before));
        }
        while (at != by_pfn.end() && at->first < end) {
            const PageRun rest = rest_of(at->second, end);
            at = by_pfn.erase(at);
            if (rest.count != 0) at = by_pfn.emplace_hint(at, end, rest);
        }
        by_pfn.emplace_hint(at, begin, run);
    }
    std::vector<PageRun> out;
    out.reserve(by_pfn.size());
    for (const auto& [pfn, run] : by_pfn) out.push_back(run);
    return out;
}

}  // namespace

Outcome<std::unique_ptr<CheckedFile>> CheckedFile::open(const std::string& path) {
    auto out = std::make_unique<CheckedFile>();
    out->file_ = OTRY(FileSource::open(path));
    const FileSource& file = *out->file_;
    const auto read = [&file](uint64_t offset, std::span<std::byte> into) { return file.read_at(offset, into); };
    const uint64_t size = OTRY(file.size());
    out->trailer_ = OTRY(proto::saved::read_trailer(read, size).context(path));
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
    out.in_order_ = in_order_of_pages(out.runs_);
    return out;
}

SavedPages::Page SavedPages::Cursor::operator*() const {
    const PageRun rest = rest_of(*run_, pfn_of(*run_) + index_);
    return {{pfn_of(rest), kind_of(rest)}, rest.offset};
}

void SavedPages::Cursor::next() {
    if (++index_ < run_->count) return;
    ++run_;
    index_ = 0;
}

Outcome<std::vector<std::byte>> SavedPages::read(uint64_t pfn) const {
    const auto behind = std::ranges::upper_bound(in_order_, pfn, {}, pfn_of);
    const PageRun rest = behind == in_order_.begin() ? PageRun{} : rest_of(*std::prev(behind), pfn);
    if (rest.count == 0 || !kind_of(rest).has_data())
        return base::fail(Errc::noent, path_ + ": it has no data of page " + std::to_string(pfn));
    return read(Page{{pfn, kind_of(rest)}, rest.offset});
}

Outcome<std::vector<std::byte>> SavedPages::read(const Page& page) const {
    std::vector<std::byte> out(base::page_size);
    if (!page.entry.kind.has_data()) return out;
    OTRY(file_->file().read_at(page.offset, out));
    return out;
}

}  // namespace migration
