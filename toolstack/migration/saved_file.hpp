// SPDX-License-Identifier: Apache-2.0
// A saved domain's file as a whole: read in order with its hashes compared, or looked into.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/proto/saved/reader.hpp"
#include "lib/proto/saved/trailer.hpp"
#include "toolstack/migration/file.hpp"

namespace migration {

/// The stream, of which every byte is what was written, if the file has hashes.
class CheckedFile final : public proto::saved::Source {
public:
    /// Errors: of FileSource::open(); badmsg, opnotsupp: of a trailer.
    static base::Outcome<std::unique_ptr<CheckedFile>> open(const std::string& path);
    CheckedFile() = default;
    CheckedFile(const CheckedFile&) = delete;  // checked_ refers to trailer_
    CheckedFile& operator=(const CheckedFile&) = delete;

    /// Errors: badmsg: a part of the file is not what was written; of the system.
    base::Outcome<size_t> read(std::span<std::byte> out) override { return checked_ ? checked_->read(out) : file_->read(out); }
    base::Outcome<Some> read_some(std::span<std::byte> out) override {
        return checked_ ? checked_->read_some(out) : file_->read_some(out);
    }
    const std::optional<proto::saved::Trailer>& trailer() const { return trailer_; }
    FileSource& file() { return *file_; }

private:
    std::unique_ptr<FileSource> file_;
    std::optional<proto::saved::Trailer> trailer_;
    std::optional<proto::saved::CheckedSource> checked_;
};

/// What a file says of its domain.
struct SavedSummary {
    proto::saved::FileConfig config;
    uint32_t xen_major = 0, xen_minor = 0;
    uint64_t stream_length = 0;
    bool hashed = false;
    std::vector<proto::saved::PageRun> runs;
};

/// Reads all of the stream, and compares it with what stands behind it. Errors: one line, what is wrong and where.
base::Outcome<SavedSummary> verify_saved(const std::string& path);

/// A file to be looked into, by its index where it has one.
class SavedPages {
public:
    /// Without an index all of the stream is read. Errors: of verify_saved().
    static base::Outcome<SavedPages> open(const std::string& path);

    const std::vector<proto::saved::PageRun>& runs() const { return runs_; }
    /// A page that is in the file, with where its data are.
    struct Page {
        proto::saved::PageEntry entry;
        uint64_t offset = 0;
    };
    /// Goes over the pages, each once, in order of the numbers: a list of them would be longer than any file.
    class Cursor {
    public:
        explicit Cursor(const SavedPages& pages) : run_(pages.in_order_.begin()), end_(pages.in_order_.end()) {}
        explicit operator bool() const { return run_ != end_; }
        Page operator*() const;
        void next();

    private:
        std::vector<proto::saved::PageRun>::const_iterator run_, end_;
        uint64_t index_ = 0;  // in the run
    };
    /// Errors: noent: it is not in the file, or has no data.
    base::Outcome<std::vector<std::byte>> read(uint64_t pfn) const;
    base::Outcome<std::vector<std::byte>> read(const Page& page) const;

private:
    std::string path_;
    std::unique_ptr<CheckedFile> file_;
    std::vector<proto::saved::PageRun> runs_;
    std::vector<proto::saved::PageRun> in_order_;  // that do not overlap
};

}  // namespace migration
