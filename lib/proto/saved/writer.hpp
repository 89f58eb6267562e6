// SPDX-License-Identifier: Apache-2.0
/// Writes a saved domain's file. Pages of zeros are told to the sink as such, which then stores none.
#pragma once

#include <string_view>

#include "lib/proto/saved/reader.hpp"
#include "lib/proto/saved/trailer.hpp"

namespace proto::saved {

/// A page to write. `data`: a page; null for one of zeros, and where the kind has no data.
struct PageOut {
    PageEntry entry;
    const std::byte* data = nullptr;
};

/// To be called in the order of the format: file(), stream(), the records, end(). Errors of all: the sink's; inval for a record that
/// is out of order, which is then not written.
class Writer {
public:
    /// Whether end() writes a trailer too.
    enum class Ending : uint8_t { plain, trailer };

    /// `sink` must outlive the writer.
    explicit Writer(Sink& sink, Ending ending = Ending::plain) : sink_(sink), ending_(ending) {}

    base::Outcome<> file(const FileConfig& config);
    base::Outcome<> stream(uint32_t xen_major, uint32_t xen_minor);
    base::Outcome<> pv_info();
    base::Outcome<> cpuid_policy(std::span<const xen::CpuidLeaf> leaves);
    base::Outcome<> msr_policy(std::span<const xen::MsrEntry> msrs);
    base::Outcome<> static_data_end();
    base::Outcome<> p2m_frames(const P2mFrames& frames);
    base::Outcome<> page_data(std::span<const PageOut> pages);
    base::Outcome<> tsc_info(const TscInfo& info);
    base::Outcome<> shared_info(std::span<const std::byte, base::page_size> page);
    base::Outcome<> vcpu(Record type, uint32_t vcpu, std::span<const std::byte> state);
    /// The ends of the image and of libxl's stream, and what is to stand behind them.
    base::Outcome<> end();

    uint64_t offset() const { return offset_; }

private:
    base::Outcome<> put(std::span<const std::byte> bytes);
    base::Outcome<> zeros(uint64_t count);
    template <class T>
    base::Outcome<> put_one(const T& value);
    base::Outcome<> head(Record type, uint64_t length, uint32_t vcpu = 0);
    base::Outcome<> pad(uint64_t length) { return zeros(padded(length) - length); }
    base::Outcome<> whole(Record type, std::span<const std::byte> body);

    Sink& sink_;
    const Ending ending_;
    RecordOrder order_;
    PageRuns runs_;
    ChunkHashes hashes_;
    uint64_t offset_ = 0;
};

}  // namespace proto::saved
