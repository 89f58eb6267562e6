// SPDX-License-Identifier: Apache-2.0
// Bytes in memory as a saved domain's file, and a small one to take apart.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "lib/proto/saved/writer.hpp"

namespace testing_tools {

class BytesSource final : public proto::saved::Source {
public:
    explicit BytesSource(std::span<const std::byte> bytes) : bytes_(bytes) {}
    base::Outcome<size_t> read(std::span<std::byte> out) override {
        const size_t n = std::min(out.size(), bytes_.size());
        std::copy_n(bytes_.begin(), n, out.begin());
        bytes_ = bytes_.subspan(n);
        return n;
    }
    size_t left() const { return bytes_.size(); }

private:
    std::span<const std::byte> bytes_;
};

class BytesSink final : public proto::saved::Sink {
public:
    base::Outcome<> write(std::span<const std::byte> b) override {
        bytes.insert(bytes.end(), b.begin(), b.end());
        return base::ok;
    }
    base::Outcome<> zeros(uint64_t count) override {
        bytes.resize(bytes.size() + count);
        told_zero += count;
        return base::ok;
    }
    std::vector<std::byte> bytes;
    uint64_t told_zero = 0;
};

/// Everything that a reader gave, in a form that compares.
struct ReadBack {
    proto::saved::FileConfig config;
    std::vector<proto::saved::Record> order;
    std::vector<proto::saved::PageEntry> pages;
    std::vector<std::byte> page_bytes;
    proto::saved::P2mFrames p2m;
    proto::saved::TscInfo tsc{};
    std::vector<std::byte> shared;
    std::vector<proto::saved::VcpuState> vcpus;
    size_t leaves = 0, msrs = 0;
    uint64_t end = 0;
};

inline base::Outcome<ReadBack> read_back(std::span<const std::byte> bytes) {
    using namespace proto::saved;
    BytesSource source(bytes);
    Reader reader(source);
    ReadBack out;
    out.config = OTRY(reader.file());
    OTRY(reader.stream());
    for (bool more = true; more;) {
        ImageRecord record = OTRY(reader.next());
        if (std::holds_alternative<PvInfo>(record)) {
            out.order.push_back(Record::pv_info);
        } else if (auto* c = std::get_if<CpuidPolicy>(&record)) {
            out.order.push_back(Record::cpuid_policy);
            out.leaves = c->leaves.size();
        } else if (auto* m = std::get_if<MsrPolicy>(&record)) {
            out.order.push_back(Record::msr_policy);
            out.msrs = m->msrs.size();
        } else if (std::holds_alternative<StaticDataEnd>(record)) {
            out.order.push_back(Record::static_data_end);
        } else if (auto* f = std::get_if<P2mFrames>(&record)) {
            out.order.push_back(Record::p2m_frames);
            out.p2m = *f;
        } else if (auto* d = std::get_if<PageData>(&record)) {
            out.order.push_back(Record::page_data);
            for (const PageIn& page : d->pages) {
                out.pages.push_back(page.entry);
                if (!page.entry.kind.has_data()) continue;
                const size_t at = out.page_bytes.size();
                out.page_bytes.resize(at + 4096);
                if (page.data != nullptr) std::memcpy(&out.page_bytes[at], page.data, 4096);
            }
        } else if (auto* t = std::get_if<TscInfo>(&record)) {
            out.order.push_back(Record::tsc_info);
            out.tsc = *t;
        } else if (auto* s = std::get_if<SharedInfo>(&record)) {
            out.order.push_back(Record::shared_info);
            out.shared = s->page;
        } else if (auto* v = std::get_if<VcpuState>(&record)) {
            out.order.push_back(v->type);
            out.vcpus.push_back(*v);
        } else {
            more = false;
        }
    }
    OTRY(reader.finish());
    out.end = reader.offset();
    return out;
}

/// 600 pages, of which six are in it: two of data, one of zeros, a pinned table, one that is only allocated, one that is absent.
inline std::vector<std::byte> small_image(BytesSink& sink,
                                          proto::saved::Writer::Ending ending = proto::saved::Writer::Ending::plain) {
    using namespace proto::saved;
    Writer writer(sink, ending);
    const auto must = [](const base::Outcome<>& done) {
        if (!done) std::abort();
    };
    must(writer.file({false, "name = \"a\"\n", "tail"}));
    must(writer.stream(4, 17));
    must(writer.pv_info());
    const xen::CpuidLeaf leaf{1, ~0U, 2, 3, 4, 5};
    must(writer.cpuid_policy({&leaf, 1}));
    const xen::MsrEntry msr{0xce, 0, 1};
    must(writer.msr_policy({&msr, 1}));
    must(writer.static_data_end());
    must(writer.p2m_frames({599, {4, 5}}));
    std::vector<std::byte> page(4096, std::byte{0x5a});
    const PageOut pages[] = {{{0, plain_page}, page.data()},
                             {{3, PageKind{12}}, page.data()},
                             {{4, plain_page}, nullptr},
                             {{5, unfilled_page}, nullptr},
                             {{9, absent_page}, nullptr}};
    must(writer.page_data(pages));
    must(writer.page_data(std::span(pages).first(1)));
    must(writer.tsc_info({0, 2000000, 123456789, 1, 0}));
    must(writer.shared_info(std::span<const std::byte, 4096>(page)));
    const std::vector<std::byte> basic(sizeof(xen::VcpuGuestContext), std::byte{1}), extended(64, std::byte{2}),
        xsave(592, std::byte{3}), msrs(32, std::byte{4});
    for (const uint32_t vcpu : {0U, 2U}) {
        must(writer.vcpu(Record::vcpu_basic, vcpu, basic));
        must(writer.vcpu(Record::vcpu_extended, vcpu, extended));
        must(writer.vcpu(Record::vcpu_xsave, vcpu, xsave));
    }
    must(writer.vcpu(Record::vcpu_msrs, 2, msrs));
    must(writer.end());
    return sink.bytes;
}

}  // namespace testing_tools
