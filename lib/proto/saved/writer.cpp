// SPDX-License-Identifier: Apache-2.0
#include "lib/proto/saved/writer.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace proto::saved {

using base::Errc;
using base::Outcome;

namespace {

constexpr uint32_t to_be(uint32_t value) { return __builtin_bswap32(value); }

}  // namespace

Outcome<> Writer::put(std::span<const std::byte> bytes) {
    OTRY(sink_.write(bytes));
    if (ending_ == Ending::trailer) hashes_.add(bytes);
    offset_ += bytes.size();
    return base::ok;
}

Outcome<> Writer::zeros(uint64_t count) {
    if (count != 0) OTRY(sink_.zeros(count));
    if (ending_ == Ending::trailer) hashes_.add_zeros(count);
    offset_ += count;
    return base::ok;
}

template <class T>
Outcome<> Writer::put_one(const T& value) {
    return put(std::as_bytes(std::span(&value, 1)));
}

Outcome<> Writer::head(Record type, uint64_t length, uint32_t vcpu) {
    if (length > record_limit) return base::fail(Errc::toobig, std::string(name_of(type)) + " is too long for a record");
    if (auto s = order_.accept(type, vcpu); !s) return base::fail(Errc::inval, s.failure().text);
    return put_one(RecordHeader{static_cast<uint32_t>(type), static_cast<uint32_t>(length)});
}

Outcome<> Writer::whole(Record type, std::span<const std::byte> body) {
    OTRY(head(type, body.size()));
    OTRY(put(body));
    return pad(body.size());
}

Outcome<> Writer::file(const FileConfig& config) {
    FileHeader head{};
    std::ranges::copy(file_magic, head.magic);
    head.byte_order = byte_order;
    head.mandatory_flags = stream_v2 | (config.json ? config_is_json : 0);
    // xl takes JSON as a text of C, and a configuration file by its length.
    const std::string text = config.json ? config.text + '\0' : config.text;
    const uint64_t length = sizeof(uint32_t) + text.size() + config.tail.size();
    if (length > optional_data_limit) return base::fail(Errc::toobig, "the configuration is too long");
    head.optional_length = static_cast<uint32_t>(length);
    OTRY(put_one(head));
    OTRY(put_one(static_cast<uint32_t>(text.size())));
    OTRY(put(std::as_bytes(std::span(text))));
    return put(std::as_bytes(std::span(config.tail)));
}

Outcome<> Writer::stream(uint32_t xen_major, uint32_t xen_minor) {
    LibxlHeader libxl{};
    std::ranges::copy(libxl_ident, libxl.ident);
    libxl.version_be = to_be(libxl_version);
    OTRY(put_one(libxl));
    OTRY(put_one(RecordHeader{static_cast<uint32_t>(LibxlRecord::libxc_context), 0}));
    ImageHeader image{};
    image.marker = ~uint64_t{0};
    image.ident_be = to_be(image_ident);
    image.version_be = to_be(image_version);
    OTRY(put_one(image));
    return put_one(DomainHeader{domain_is_pv, base::page_shift, 0, xen_major, xen_minor});
}

Outcome<> Writer::pv_info() { return whole(Record::pv_info, std::as_bytes(std::span(&pv64_info, 1))); }
Outcome<> Writer::cpuid_policy(std::span<const xen::CpuidLeaf> leaves) {
    return whole(Record::cpuid_policy, std::as_bytes(leaves));
}
Outcome<> Writer::msr_policy(std::span<const xen::MsrEntry> msrs) { return whole(Record::msr_policy, std::as_bytes(msrs)); }
Outcome<> Writer::static_data_end() { return whole(Record::static_data_end, {}); }
Outcome<> Writer::tsc_info(const TscInfo& info) { return whole(Record::tsc_info, std::as_bytes(std::span(&info, 1))); }
Outcome<> Writer::shared_info(std::span<const std::byte, base::page_size> page) { return whole(Record::shared_info, page); }

Outcome<> Writer::p2m_frames(const P2mFrames& frames) {
    if (frames.last_pfn >= pfn_limit || frames.pfns.size() != frames.last_pfn / frames_per_p2m_page + 1)
        return base::fail(Errc::inval,
                          "a list of " + std::to_string(frames.pfns.size()) + " frames for the wrong number of pages");
    const P2mFramesHeader range{0, static_cast<uint32_t>(frames.last_pfn)};
    const auto list = std::as_bytes(std::span(frames.pfns));
    OTRY(head(Record::p2m_frames, sizeof range + list.size()));
    OTRY(put_one(range));
    return put(list);
}

Outcome<> Writer::page_data(std::span<const PageOut> pages) {
    std::vector<uint64_t> list;
    list.reserve(pages.size());
    uint64_t with_data = 0;
    for (const PageOut& page : pages) {
        list.push_back(page.entry.raw());
        with_data += page.entry.kind.has_data() ? 1 : 0;
    }
    const auto bytes = std::as_bytes(std::span(list));
    OTRY(head(Record::page_data, sizeof(PageDataHeader) + bytes.size() + with_data * base::page_size));
    OTRY(put_one(PageDataHeader{static_cast<uint32_t>(pages.size()), 0}));
    OTRY(put(bytes));
    // Zeros in one go: hashes and files find them dearer one page at a time.
    uint64_t blank = 0;
    for (const PageOut& page : pages) {
        if (ending_ == Ending::trailer) runs_.add(page.entry, offset_ + blank);
        if (!page.entry.kind.has_data()) continue;
        if (page.data == nullptr) {
            blank += base::page_size;
            continue;
        }
        if (blank != 0) OTRY(zeros(std::exchange(blank, 0)));
        OTRY(put({page.data, base::page_size}));
    }
    return zeros(blank);
}

Outcome<> Writer::vcpu(Record type, uint32_t vcpu, std::span<const std::byte> state) {
    const uint64_t length = sizeof(VcpuHeader) + state.size();
    OTRY(head(type, length, vcpu));
    OTRY(put_one(VcpuHeader{vcpu, 0}));
    OTRY(put(state));
    return pad(length);
}

Outcome<> Writer::end() {
    OTRY(whole(Record::end, {}));
    OTRY(put_one(RecordHeader{static_cast<uint32_t>(LibxlRecord::end), 0}));
    if (ending_ == Ending::plain) return base::ok;
    const std::vector<std::byte> trailer = encode({trailer_version, offset_, runs_.all(), hashes_.finish()});
    return trailer.size() > trailer_limit ? Outcome<>(base::ok) : sink_.write(trailer);
}

}  // namespace proto::saved
