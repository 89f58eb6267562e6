// SPDX-License-Identifier: Apache-2.0
#include "lib/proto/saved/reader.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "lib/proto/saved/page_store.hpp"

namespace proto::saved {

using base::Errc;
using base::Outcome;

namespace {

constexpr size_t chunk = 1U << 20U;  // memory is taken for what is there, not for what a length promises
// More than any CPU has. A file's holes are memory here.
constexpr size_t most_leaves = 4096, most_msrs = 4096, most_xsave = 1U << 20U;
// No record has room for the data of more. Pages without any take eight bytes there, and many times that here.
constexpr uint32_t most_pages_of_record = record_limit / base::page_size;

constexpr uint32_t from_be(uint32_t value) { return __builtin_bswap32(value); }

template <class T>
T copy_as(std::span<const std::byte> bytes) {
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

template <class T>
std::vector<T> copy_list(std::span<const std::byte> bytes) {
    std::vector<T> list(bytes.size() / sizeof(T));
    if (!list.empty()) std::memcpy(list.data(), bytes.data(), bytes.size());
    return list;
}

bool starts_with(std::span<const char> field, std::string_view text) {
    return std::string_view(field.data(), field.size()).starts_with(text);
}

}  // namespace

base::Failure Reader::bad(const std::string& why, uint64_t at) const {
    return base::fail(Errc::badmsg, why + " (at byte " + std::to_string(at) + ")");
}

Outcome<> Reader::read(std::span<std::byte> out, const char* what) {
    const size_t got = OTRY(source_.read(out));
    offset_ += got;
    if (got == out.size()) return base::ok;
    return bad(std::string("the file ends inside ") + what, offset_);
}

template <class T>
Outcome<T> Reader::read_one(const char* what) {
    T value;
    OTRY(read(std::as_writable_bytes(std::span(&value, 1)), what));
    return value;
}

Outcome<std::string> Reader::read_text(uint64_t length, const char* what) {
    std::string text;
    while (text.size() < length) {
        const size_t had = text.size();
        text.resize(had + std::min<uint64_t>(chunk, length - had));
        OTRY(read(std::as_writable_bytes(std::span(text).subspan(had)), what));
    }
    return text;
}

Outcome<> Reader::skip(uint64_t count, const char* what) {
    std::array<std::byte, 4096> buffer{};
    while (count != 0) {
        const size_t part = std::min<uint64_t>(count, buffer.size());
        OTRY(read(std::span(buffer).first(part), what));
        count -= part;
    }
    return base::ok;
}

/// The body of a record and its padding, which is all zeros.
Outcome<std::span<const std::byte>> Reader::body(uint32_t length, const char* what) {
    const uint64_t whole = padded(length);
    for (uint64_t done = 0; done < whole;) {
        const size_t part = std::min<uint64_t>(chunk, whole - done);
        if (buffer_.size() < done + part) buffer_.resize(done + part);
        OTRY(read(std::span(buffer_).subspan(done, part), what));
        done += part;
    }
    const auto padding = std::span<const std::byte>(buffer_).subspan(length, whole - length);
    if (std::ranges::any_of(padding, [](std::byte b) { return b != std::byte{}; }))
        return bad(std::string("the padding of ") + what + " is not zero", offset_);
    return std::span<const std::byte>(buffer_).first(length);
}

Outcome<FileConfig> Reader::file() {
    const auto head = OTRY(read_one<FileHeader>("its header"));
    if (!starts_with(head.magic, file_magic)) return bad("not a saved domain in xl's format", 0);
    if (head.byte_order != byte_order) return bad("written on a machine of another byte order", offsetof(FileHeader, byte_order));
    const uint32_t unknown = head.mandatory_flags & ~(config_is_json | stream_v2);
    if (unknown != 0)
        return base::fail(Errc::opnotsupp,
                          "the file needs features that are not known here (flags " + std::to_string(unknown) + ")");
    if ((head.mandatory_flags & stream_v2) == 0)
        return base::fail(Errc::opnotsupp,
                          "a file from before Xen 4.6: convert-legacy-stream of Debian's xen-utils makes one of today's from it");
    const uint32_t length = head.optional_length;
    if (length < sizeof(uint32_t)) return bad("there is no configuration in it", offsetof(FileHeader, optional_length));
    if (length > optional_data_limit)
        return bad("a configuration of " + std::to_string(length) + " bytes", offsetof(FileHeader, optional_length));
    const auto config_length = OTRY(read_one<uint32_t>("the length of the configuration"));
    if (config_length > length - sizeof config_length)
        return bad("the configuration is longer than what holds it", offset_ - sizeof config_length);
    FileConfig out;
    out.json = (head.mandatory_flags & config_is_json) != 0;
    out.text = OTRY(read_text(config_length, "the configuration"));
    out.tail = OTRY(read_text(length - sizeof config_length - config_length, "what stands behind the configuration"));
    while (out.text.ends_with('\0')) out.text.pop_back();
    if (out.text.find('\0') != std::string::npos) return bad("the configuration has a zero byte in it", sizeof head);
    return out;
}

Outcome<> Reader::stream() {
    uint64_t at = offset_;
    const auto libxl = OTRY(read_one<LibxlHeader>("the head of libxl's stream"));
    if (!starts_with(libxl.ident, libxl_ident)) return bad("libxl's stream is not where it should be", at);
    const uint32_t version = from_be(libxl.version_be);
    if (version > libxl_version)
        return base::fail(Errc::opnotsupp, "a stream of version " + std::to_string(version) + " of libxl; 2 is known");
    if (version != libxl_version || libxl.options_be != 0) return bad("a stream of libxl's that nobody writes", at);
    at = offset_;
    const auto record = OTRY(read_one<RecordHeader>("the first record of libxl's stream"));
    if (record.type != static_cast<uint32_t>(LibxlRecord::libxc_context) || record.length != 0)
        return bad("libxl's stream does not begin with the image", at);
    at = offset_;
    const auto image = OTRY(read_one<ImageHeader>("the head of the image"));
    if (image.marker != ~uint64_t{0} || from_be(image.ident_be) != image_ident)
        return bad("the image is not where it should be", at);
    const uint32_t image_is = from_be(image.version_be);
    if (image_is > image_version)
        return base::fail(Errc::opnotsupp, "an image of version " + std::to_string(image_is) + "; 3 is known");
    if (image_is != image_version) return base::fail(Errc::opnotsupp, "an image of the old version " + std::to_string(image_is));
    if (image.options_be != 0 || image.reserved1 != 0 || image.reserved2 != 0) return bad("an image of another byte order", at);
    at = offset_;
    const auto domain = OTRY(read_one<DomainHeader>("the head of the image"));
    if (domain.type == domain_is_hvm)
        return base::fail(Errc::opnotsupp, "it holds an HVM or PVH domain, of which none can be restored yet");
    if (domain.type != domain_is_pv || domain.page_shift != base::page_shift || domain.reserved != 0)
        return bad("a domain of an unknown type", at);
    xen_major_ = domain.xen_major;
    xen_minor_ = domain.xen_minor;
    return base::ok;
}

Outcome<ImageRecord> Reader::next() {
    for (;;) {
        record_at_ = offset_;
        const auto head = OTRY(read_one<RecordHeader>("the head of a record"));
        if (head.length > record_limit) return bad("a record of " + std::to_string(head.length) + " bytes", record_at_);
        const auto type = static_cast<Record>(head.type);
        const char* name = name_of(type);
        if (name == nullptr) {
            if ((head.type & optional_record) == 0)
                return bad("a record of the unknown type " + std::to_string(head.type), record_at_);
            OTRY(skip(padded(head.length), "a record that is skipped"));
            continue;
        }
        if (type == Record::page_data) return read_pages(head.length);
        return decode(type, OTRY(body(head.length, name)));
    }
}

Outcome<ImageRecord> Reader::decode(Record type, std::span<const std::byte> bytes) {
    const auto wrong = [&](const char* why) { return bad(std::string(name_of(type)) + " " + why, record_at_); };
    const auto multiple_of = [&](size_t size) { return !bytes.empty() && bytes.size() % size == 0; };
    switch (type) {
        case Record::vcpu_basic:
        case Record::vcpu_extended:
        case Record::vcpu_xsave:
        case Record::vcpu_msrs: return decode_vcpu(type, bytes);
        case Record::hvm_context:
        case Record::hvm_params:
        case Record::verify:
        case Record::checkpoint: return wrong("has no place in a saved PV domain");
        default: break;
    }
    if (auto s = order_.accept(type); !s) return bad(s.failure().text, record_at_);
    switch (type) {
        case Record::pv_info: {
            if (bytes.size() != sizeof(PvInfo)) return wrong("has another size");
            const auto info = copy_as<PvInfo>(bytes);
            if (info.width != pv64_info.width || info.levels != pv64_info.levels)
                return base::fail(Errc::opnotsupp, "it holds a 32-bit PV domain, which cannot run here");
            return ImageRecord(info);
        }
        case Record::cpuid_policy:
            if (!multiple_of(sizeof(xen::CpuidLeaf))) return wrong("has a part of a leaf");
            if (bytes.size() > most_leaves * sizeof(xen::CpuidLeaf)) return wrong("has more leaves than any CPU");
            return ImageRecord(CpuidPolicy{copy_list<xen::CpuidLeaf>(bytes)});
        case Record::msr_policy:
            if (!multiple_of(sizeof(xen::MsrEntry))) return wrong("has a part of an MSR");
            if (bytes.size() > most_msrs * sizeof(xen::MsrEntry)) return wrong("has more MSRs than any CPU");
            return ImageRecord(MsrPolicy{copy_list<xen::MsrEntry>(bytes)});
        case Record::p2m_frames: return decode_p2m(bytes);
        case Record::tsc_info:
            if (bytes.size() != sizeof(TscInfo)) return wrong("has another size");
            return ImageRecord(copy_as<TscInfo>(bytes));
        case Record::shared_info:
            if (bytes.size() != base::page_size) return wrong("is not one page");
            return ImageRecord(SharedInfo{{bytes.begin(), bytes.end()}});
        case Record::static_data_end:
            if (!bytes.empty()) return wrong("is not empty");
            return ImageRecord(StaticDataEnd{});
        case Record::end:
            if (!bytes.empty()) return wrong("is not empty");
            return ImageRecord(ImageEnd{});
        default: return wrong("is not known");
    }
}

Outcome<ImageRecord> Reader::decode_p2m(std::span<const std::byte> bytes) {
    const auto wrong = [&](const std::string& why) { return bad("X86_PV_P2M_FRAMES " + why, record_at_); };
    if (bytes.size() < sizeof(P2mFramesHeader)) return wrong("is too short");
    const auto head = copy_as<P2mFramesHeader>(bytes);
    if (head.first_pfn != 0) return wrong("does not begin with page 0");
    const uint64_t frames = head.last_pfn / frames_per_p2m_page + 1;
    const auto list = bytes.subspan(sizeof head);
    if (list.size() != frames * sizeof(uint64_t))
        return wrong("lists " + std::to_string(list.size() / sizeof(uint64_t)) + " frames for " +
                     std::to_string(uint64_t{head.last_pfn} + 1) + " pages");
    P2mFrames out{head.last_pfn, copy_list<uint64_t>(list)};
    for (const uint64_t pfn : out.pfns) {
        if (pfn > head.last_pfn) return wrong("names page " + std::to_string(pfn) + ", which there is not");
    }
    if (head.last_pfn < last_pfn_) return wrong("names fewer pages than before");
    last_pfn_ = head.last_pfn;
    return ImageRecord(std::move(out));
}

Outcome<ImageRecord> Reader::read_pages(uint32_t length) {
    if (auto s = order_.accept(Record::page_data); !s) return bad(s.failure().text, record_at_);
    PageData out = OTRY(read_page_list(length));
    data_offset_ = offset_;
    OTRY(read_page_data(out));
    return ImageRecord(std::move(out));
}

/// What stands in front of the pages, which says whether the record is as long as it should be.
Outcome<PageData> Reader::read_page_list(uint32_t length) {
    const auto wrong = [&](const std::string& why) { return bad("PAGE_DATA " + why, record_at_); };
    if (length < sizeof(PageDataHeader)) return wrong("is too short");
    const auto head = OTRY(read_one<PageDataHeader>("PAGE_DATA"));
    const uint64_t list_bytes = uint64_t{head.count} * sizeof(uint64_t);
    if (head.count == 0) return wrong("has no pages");
    if (head.count > most_pages_of_record) return wrong("has more pages than any record: " + std::to_string(head.count));
    if (length - sizeof head < list_bytes) return wrong("is too short for its " + std::to_string(head.count) + " pages");
    std::vector<uint64_t> list(head.count);
    OTRY(read(std::as_writable_bytes(std::span(list)), "PAGE_DATA"));
    PageData out;
    out.pages.reserve(head.count);
    uint64_t with_data = 0;
    for (const uint64_t raw : list) {
        const PageEntry page{raw & PageEntry::pfn_mask, {static_cast<uint8_t>(raw >> PageEntry::kind_shift)}};
        if (page.raw() != raw) return wrong("has an entry with unknown bits");
        if (page.pfn > last_pfn_) return wrong("names page " + std::to_string(page.pfn) + ", which there is not");
        if (!page.kind.valid()) return wrong("has a page of the unknown type " + std::to_string(page.kind.raw));
        with_data += page.kind.has_data() ? 1 : 0;
        out.pages.push_back({page});
    }
    const uint64_t left = length - sizeof head - list_bytes;
    if (left != with_data * base::page_size)
        return wrong("has " + std::to_string(left) + " bytes for " + std::to_string(with_data) + " pages");
    return out;
}

Outcome<> Reader::read_page_data(PageData& pages) {
    const auto has_data = [](const PageIn& page) { return page.entry.kind.has_data(); };
    PageStore store(static_cast<size_t>(std::ranges::count_if(pages.pages, has_data)), storage_, buffer_);
    while (store.left() != 0) {
        const auto some = OTRY(source_.read_some(store.room()));
        if (some.count == 0) return bad("the file ends inside PAGE_DATA", offset_);
        offset_ += some.count;
        if (some.zeros) store.zeros_came(some.count);
        else store.came(some.count);
    }
    const auto data = store.pages();
    size_t used = 0;
    for (PageIn& page : pages.pages) {
        if (has_data(page)) page.data = data[used++];
    }
    return base::ok;
}

Outcome<ImageRecord> Reader::decode_vcpu(Record type, std::span<const std::byte> bytes) {
    const auto wrong = [&](const char* why) { return bad(std::string(name_of(type)) + " " + why, record_at_); };
    if (bytes.size() < sizeof(VcpuHeader)) return wrong("is too short");
    const auto head = copy_as<VcpuHeader>(bytes);
    const auto state = bytes.subspan(sizeof head);
    constexpr size_t entry = sizeof(xen::DomctlVcpuMsr);
    if (auto s = order_.accept(type, head.vcpu); !s) return bad(s.failure().text, record_at_);
    const bool fits = type == Record::vcpu_basic      ? state.size() == sizeof(xen::VcpuGuestContext)
                      : type == Record::vcpu_extended ? state.size() <= sizeof(xen::DomctlExtVcpuContext)
                      : type == Record::vcpu_msrs     ? state.size() % entry == 0 && state.size() <= most_msrs * entry
                                                      : state.size() >= 2 * sizeof(uint64_t) && state.size() <= most_xsave;
    if (!fits) return wrong("has another size");
    return ImageRecord(VcpuState{type, head.vcpu, {state.begin(), state.end()}});
}

Outcome<> Reader::finish() {
    const uint64_t at = offset_;
    const auto record = OTRY(read_one<RecordHeader>("the record behind the image"));
    if (record.type == static_cast<uint32_t>(LibxlRecord::end) && record.length == 0) return base::ok;
    return bad("libxl's stream goes on behind the image of a PV domain", at);
}

}  // namespace proto::saved
