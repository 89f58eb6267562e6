// SPDX-License-Identifier: Apache-2.0
/// Reads a saved domain's file. Everything in it may be hostile: lengths, counts, numbers of pages, types and the order of records
/// are checked before they are used, and a failure is one line with the offset.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "lib/proto/saved/order.hpp"
#include "lib/proto/saved/stream.hpp"

namespace proto::saved {

/// What stands in front of the stream.
struct FileConfig {
    bool json = false;  // the text is libxl's JSON; else a configuration file
    std::string text;   // without the final zero
    std::string tail;   // what xl skips
};

// The records of an image, decoded.
struct StaticDataEnd {};
struct ImageEnd {};
struct CpuidPolicy {
    std::vector<xen::CpuidLeaf> leaves;
};
struct MsrPolicy {
    std::vector<xen::MsrEntry> msrs;
};
/// Which pages hold the guest's own P2M list: of pfn 0 up to `last_pfn`.
struct P2mFrames {
    uint64_t last_pfn = 0;
    std::vector<uint64_t> pfns;
};
/// A page that was read. `data`: a page, valid until the next record is read; null for one of zeros, and where the kind has no data.
struct PageIn {
    PageEntry entry;
    const std::byte* data = nullptr;
};
struct PageData {
    std::vector<PageIn> pages;
};
struct SharedInfo {
    std::vector<std::byte> page;
};
/// One of the vCPU records: `type` says which.
struct VcpuState {
    Record type = Record::vcpu_basic;
    uint32_t vcpu = 0;
    std::vector<std::byte> bytes;
};
using ImageRecord =
    std::variant<PvInfo, CpuidPolicy, MsrPolicy, StaticDataEnd, P2mFrames, PageData, TscInfo, SharedInfo, VcpuState, ImageEnd>;

/// Reads in this order: file(), stream(), next() until it gives ImageEnd, finish().
class Reader {
public:
    /// `source` must outlive the reader.
    explicit Reader(Source& source) : source_(source) {}

    /// Where the pages of a record are put, one behind the other without those of zeros, when all that have data would find room.
    void put_pages_into(std::span<std::byte> storage) { storage_ = storage; }

    /// As Source's.
    void while_nobody_waits(std::function<void()> work) { source_.while_nobody_waits(std::move(work)); }

    /// Errors of all: badmsg "what is wrong (at byte OFFSET)", opnotsupp for what is right but not for us, and the source's.
    base::Outcome<FileConfig> file();
    /// The heads of libxl's stream and libxc's image.
    base::Outcome<> stream();
    /// The next record of the image; those that may be skipped are.
    base::Outcome<ImageRecord> next();
    /// What stands behind the image, up to the end of libxl's stream.
    base::Outcome<> finish();

    /// How many bytes were read.
    uint64_t offset() const { return offset_; }
    /// Where in the stream the page data of the last PageData begins.
    uint64_t data_offset() const { return data_offset_; }
    /// The Xen that wrote the image.
    uint32_t xen_major() const { return xen_major_; }
    uint32_t xen_minor() const { return xen_minor_; }

private:
    base::Outcome<> read(std::span<std::byte> out, const char* what);
    template <class T>
    base::Outcome<T> read_one(const char* what);
    base::Outcome<std::string> read_text(uint64_t length, const char* what);
    base::Outcome<> skip(uint64_t count, const char* what);
    base::Outcome<std::span<const std::byte>> body(uint32_t length, const char* what);
    base::Failure bad(const std::string& why, uint64_t at) const;
    base::Outcome<ImageRecord> decode(Record type, std::span<const std::byte> bytes);
    base::Outcome<ImageRecord> decode_p2m(std::span<const std::byte> bytes);
    base::Outcome<ImageRecord> read_pages(uint32_t length);
    base::Outcome<PageData> read_page_list(uint32_t length);
    base::Outcome<> read_page_data(PageData& pages);
    base::Outcome<ImageRecord> decode_vcpu(Record type, std::span<const std::byte> bytes);

    Source& source_;
    uint64_t offset_ = 0;
    uint64_t record_at_ = 0;
    uint64_t data_offset_ = 0;
    RecordOrder order_;
    uint64_t last_pfn_ = 0;
    uint32_t xen_major_ = 0, xen_minor_ = 0;
    std::vector<std::byte> buffer_;
    std::span<std::byte> storage_;
};

}  // namespace proto::saved
