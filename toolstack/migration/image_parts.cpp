// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/image_parts.hpp"

#include <cstring>
#include <utility>

#include "toolstack/migration/save.hpp"

namespace migration {

using base::DomId;
using base::Errc;
using base::Outcome;
using base::VcpuId;
using proto::saved::PageEntry;
using proto::saved::PageKind;
using proto::saved::Record;
using proto::saved::Writer;
using xenctrl::Control;

// -- pages ----------------------------------------------------------------------------------------------------------------

Outcome<> PageBatch::add(uint64_t pfn) {
    entries_.push_back({pfn, pages_.kind(pfn)});
    return entries_.size() == proto::saved::batch_pages ? flush() : Outcome<>(base::ok);
}

/// What is a table, and what is there at all, changes while the guest runs. Who changes it later has written to it.
Outcome<> PageBatch::ask_kinds() {
    std::vector<uint64_t> frames;
    for (PageEntry& entry : entries_) {
        entry.kind = proto::saved::absent_page;
        if (pages_.mfn(entry.pfn) != no_frame) frames.push_back(pages_.mfn(entry.pfn));
    }
    OTRY(control_.frame_types(domain_, frames));
    size_t used = 0;
    for (PageEntry& entry : entries_) {
        if (pages_.mfn(entry.pfn) != no_frame) entry.kind = PageKind::of_frame_info(static_cast<uint32_t>(frames[used++]));
    }
    return base::ok;
}

Outcome<> PageBatch::read_pages() {
    std::vector<base::Gfn> frames;
    for (const PageEntry& entry : entries_) {
        if (entry.kind.has_data()) frames.emplace_back(pages_.mfn(entry.pfn));
    }
    return reader_.read(frames);
}

/// A guest that runs may give pages back between the question what they are and their reading.
Outcome<> PageBatch::read_what_is_there() {
    for (unsigned tries = guest_ == Guest::runs ? 4 : 1;; --tries) {
        if (guest_ != Guest::stopped) OTRY(ask_kinds());
        auto done = read_pages();
        if (done || tries == 1) return done;
    }
}

/// Whether the reader has to be told of it.
bool PageBatch::is_news(const PageEntry& entry) {
    if (told_ == nullptr) return true;
    const PageKind before = std::exchange((*told_)[entry.pfn], entry.kind);
    return before.exists() || entry.kind.exists();
}

Outcome<> PageBatch::flush() {
    if (entries_.empty()) return base::ok;
    OTRY(read_what_is_there());
    size_t used = 0;
    tables_used_ = 0;
    out_.clear();
    for (const PageEntry& entry : entries_) {
        const std::byte* page = entry.kind.has_data() ? reader_.page(used++) : nullptr;
        const auto data = OTRY(form_of(entry, page));
        if (!data) deferred_.push_back(entry.pfn);
        else if (is_news(entry)) out_.push_back({entry, *data});
    }
    entries_.clear();
    if (!out_.empty()) OTRY(writer_.page_data(out_));
    reader_.done();
    return base::ok;
}

/// What is written of a page, of which `data` was read: null for zeros and for what has no data, nothing for a table that is to be written
/// later.
Outcome<std::optional<const std::byte*>> PageBatch::form_of(const PageEntry& entry, const std::byte* data) {
    if (data == nullptr || entry.kind.table_level() == 0) return std::optional(data);
    auto table = normal_form(entry, data, tables_used_);
    if (table) ++tables_used_;
    if (table || guest_ != Guest::runs) return std::optional(OTRY(std::move(table)));
    return std::optional<const std::byte*>();
}

/// The table with pages in place of frames, in storage number `index`.
Outcome<const std::byte*> PageBatch::normal_form(const PageEntry& entry, const std::byte* data, size_t index) {
    if (tables_.empty()) tables_.resize(proto::saved::batch_pages);
    std::array<uint64_t, table_entries> from{};
    std::memcpy(from.data(), data, base::page_size);
    auto done = translate(entry.kind.table_level(), from, tables_[index], [&](uint64_t mfn) { return pages_.pfn_of(mfn); });
    if (!done) return std::move(done).take_failure().with("Page " + std::to_string(entry.pfn) + " of the guest");
    return std::as_bytes(std::span(tables_[index])).data();
}

// -- what stands around them ----------------------------------------------------------------------------------------------

namespace {

Outcome<> write_policy(Control& control, DomId domain, Writer& writer) {
    const xenctrl::CpuPolicy policy = OTRY(control.cpu_policy(domain));
    std::vector<xen::CpuidLeaf> leaves;
    std::vector<xen::MsrEntry> msrs;
    for (const auto& l : policy.leaves) leaves.push_back({l.leaf, l.subleaf, l.a, l.b, l.c, l.d});
    for (const auto& m : policy.msrs) msrs.push_back({m.index, 0, m.value});
    if (!leaves.empty()) OTRY(writer.cpuid_policy(leaves));
    if (!msrs.empty()) OTRY(writer.msr_policy(msrs));
    return base::ok;
}

Outcome<> write_vcpu(Control& control, DomId domain, VcpuId vcpu, const GuestPages& pages, Writer& writer) {
    xen::VcpuGuestContext context = OTRY(control.vcpu_context(domain, vcpu));
    OTRY(to_pages(context, vcpu, pages));
    OTRY(writer.vcpu(Record::vcpu_basic, vcpu.raw, std::as_bytes(std::span(&context, 1))));
    const auto extended = OTRY(control.vcpu_extended(domain, vcpu));
    if (!extended.empty()) OTRY(writer.vcpu(Record::vcpu_extended, vcpu.raw, extended));
    const auto xsave = OTRY(control.vcpu_xsave(domain, vcpu));
    if (!xsave.empty()) OTRY(writer.vcpu(Record::vcpu_xsave, vcpu.raw, xsave));
    std::vector<xen::DomctlVcpuMsr> msrs;
    for (const auto& m : OTRY(control.vcpu_msrs(domain, vcpu))) msrs.push_back({m.index, 0, m.value});
    if (msrs.empty()) return base::ok;
    return writer.vcpu(Record::vcpu_msrs, vcpu.raw, std::as_bytes(std::span(msrs)));
}

Outcome<> write_vcpus(Control& control, const xenctrl::DomainInfo& info, const GuestPages& pages, Writer& writer) {
    for (uint32_t i = 0; i < info.vcpus; ++i) {
        if (!OTRY(control.vcpu_info(info.id, VcpuId{i})).online) continue;  // one that is offline is made anew by the guest
        OTRY(write_vcpu(control, info.id, VcpuId{i}, pages, writer).context("vCPU " + std::to_string(i)));
    }
    return base::ok;
}

}  // namespace

Outcome<> to_pages(xen::VcpuGuestContext& context, VcpuId vcpu, const GuestPages& pages) {
    const auto replace = [&](uint64_t frame, const char* what) -> Outcome<uint64_t> {
        const auto pfn = pages.pfn_of(frame);
        if (pfn) return *pfn;
        return base::fail(Errc::badmsg,
                          std::string(what) + " of vCPU " + std::to_string(vcpu.raw) + " is not the domain's memory");
    };
    // A guest that suspends says with vCPU 0 where its start-info page is.
    if (vcpu.raw == 0) context.user_regs.rdx = OTRY(replace(context.user_regs.rdx, "the start-info page"));
    constexpr uint64_t entries_per_frame = 512;
    const uint64_t gdt_frames = (context.gdt_ents + entries_per_frame - 1) / entries_per_frame;
    if (gdt_frames > std::size(context.gdt_frames)) return base::fail(Errc::badmsg, "the GDT of a vCPU is too long");
    for (uint64_t i = 0; i < gdt_frames; ++i) context.gdt_frames[i] = OTRY(replace(context.gdt_frames[i], "the GDT"));
    context.ctrlreg[3] = OTRY(replace(frame_of(context.ctrlreg[3]), "the page-table root")) << 12U;
    // The root of user mode: bit 0 says that there is one.
    if (context.ctrlreg[1] != 0)
        context.ctrlreg[1] = OTRY(replace(frame_of(context.ctrlreg[1]), "the page-table root for user mode")) << 12U | 1;
    return base::ok;
}

Outcome<> check_suspended(const xenctrl::DomainInfo& domain) {
    if (domain.shutdown && domain.reason == xenctrl::ShutdownReason::suspend) return base::ok;
    return base::fail(Errc::inval, "Domain " + std::to_string(domain.id.raw) + " is not suspended");
}

Outcome<> write_head(Control& control, DomId domain, const proto::saved::FileConfig& config, const GuestPages& pages,
                     Writer& writer) {
    const xenctrl::VersionInfo version = OTRY(control.version());
    OTRY(writer.file(config));
    OTRY(writer.stream(version.major, version.minor));
    OTRY(writer.pv_info());
    OTRY(write_policy(control, domain, writer));
    OTRY(writer.static_data_end());
    return writer.p2m_frames({pages.count() - 1, pages.list_pfns()});
}

Outcome<> write_state(Control& control, const xenctrl::DomainInfo& domain, const GuestPages& pages, Writer& writer) {
    const xenctrl::TscInfo tsc = OTRY(control.tsc_info(domain.id));
    OTRY(writer.tsc_info({tsc.mode, tsc.khz, tsc.elapsed_ns, tsc.incarnation, 0}));
    OTRY(writer.shared_info(pages.shared_info()));
    OTRY(write_vcpus(control, domain, pages, writer));
    return writer.end();
}

}  // namespace migration
