// SPDX-License-Identifier: Apache-2.0
// link: proto
// The file of a saved domain: what is written is read back, and what is damaged, cut short or out of order is refused in one line.
#include <gtest/gtest.h>

#include "tests/host/saved_image.hpp"

namespace {

using namespace proto::saved;
using namespace testing_tools;

std::vector<std::byte> image() {
    BytesSink sink;
    return small_image(sink);
}

/// One line, which says where.
bool is_clear(const base::Failure& failure) {
    return !failure.text.empty() && failure.text.find('\n') == std::string::npos &&
           (failure.code == base::Errc::opnotsupp || failure.text.find("(at byte ") != std::string::npos);
}

TEST(SavedFormat, RoundTrip) {
    BytesSink sink;
    const auto bytes = small_image(sink);
    const auto back = read_back(bytes);
    ASSERT_TRUE(back) << back.failure().text;
    EXPECT_EQ(back->config.text, "name = \"a\"\n");
    EXPECT_EQ(back->config.tail, "tail");
    EXPECT_FALSE(back->config.json);
    EXPECT_EQ(back->p2m.last_pfn, 599U);
    EXPECT_EQ(back->p2m.pfns, (std::vector<uint64_t>{4, 5}));
    ASSERT_EQ(back->pages.size(), 6U);
    EXPECT_EQ(back->pages[1], (PageEntry{3, PageKind{12}}));
    EXPECT_EQ(back->pages[1].kind.table_level(), 4U);
    EXPECT_TRUE(back->pages[1].kind.pinned());
    EXPECT_FALSE(back->pages[4].kind.exists());
    EXPECT_TRUE(back->pages[3].kind.exists());
    EXPECT_EQ(back->page_bytes.size(), 4U * 4096);
    EXPECT_EQ(back->page_bytes[2 * 4096], std::byte{0});
    EXPECT_GE(sink.told_zero, 4096U);
    EXPECT_EQ(back->tsc.elapsed_ns, 123456789U);
    ASSERT_EQ(back->vcpus.size(), 7U);
    EXPECT_EQ(back->vcpus[6].type, Record::vcpu_msrs);
    EXPECT_EQ(back->vcpus[6].vcpu, 2U);
    EXPECT_EQ(back->vcpus[6].bytes.size(), 32U);
    EXPECT_EQ(back->end, bytes.size());
}

TEST(SavedFormat, WhatStandsBehindTheEndIsNotRead) {
    auto bytes = image();
    const size_t end = bytes.size();
    bytes.resize(end + 1000, std::byte{0xee});
    const auto back = read_back(bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->end, end);
}

TEST(SavedFormat, JsonEndsWithAZeroForXl) {
    BytesSink sink;
    Writer writer(sink);
    ASSERT_TRUE(writer.file({true, "{}", ""}));
    EXPECT_EQ(sink.bytes.back(), std::byte{0});
    BytesSource source(sink.bytes);
    Reader reader(source);
    const auto config = reader.file();
    ASSERT_TRUE(config);
    EXPECT_TRUE(config->json);
    EXPECT_EQ(config->text, "{}");
}

TEST(SavedFormat, CutShortAnywhere) {
    const auto bytes = image();
    for (size_t length = 0; length < bytes.size(); ++length) {
        const auto back = read_back(std::span(bytes).first(length));
        ASSERT_FALSE(back) << "cut at " << length;
        ASSERT_TRUE(is_clear(back.failure())) << back.failure().text;
        ASSERT_NE(back.failure().text.find("ends inside"), std::string::npos) << length << ": " << back.failure().text;
    }
}

/// Where bytes stand that mean something only to whom they are given: contents of pages, registers, the configuration.
std::vector<bool> payload_of(const std::vector<std::byte>& bytes) {
    std::vector<bool> payload(bytes.size(), false);
    const auto mark = [&](size_t from, size_t length) {
        std::fill_n(payload.begin() + static_cast<ptrdiff_t>(from), length, true);
    };
    const auto u32 = [&](size_t at) {
        uint32_t v = 0;
        std::memcpy(&v, &bytes[at], 4);
        return v;
    };
    const size_t optional = u32(44);
    mark(52, optional - 4);
    size_t at = 48 + optional + 16 + 8 + 24;
    mark(at + 8, 8);  // Xen's version
    at += 16;
    for (;;) {
        const auto type = static_cast<Record>(u32(at));
        const uint32_t length = u32(at + 4);
        const size_t body = at + 8;
        if (type == Record::end) break;
        if (type == Record::page_data) {
            mark(body + 8, u32(body) * 8);  // another page or kind is as good, as far as the stream goes: judged below
            mark(body + 4, 4);
            mark(body + 8 + u32(body) * 8, length - 8 - u32(body) * 8);
        } else if (type == Record::vcpu_basic || type == Record::vcpu_extended || type == Record::vcpu_xsave ||
                   type == Record::vcpu_msrs) {
            mark(body + 4, length - 4);
        } else if (type == Record::pv_info) {
            mark(body + 2, 6);
        } else if (type == Record::p2m_frames) {
            mark(body + 8, length - 8);
        } else {
            mark(body, length);
        }
        at = body + padded(length);
    }
    return payload;
}

TEST(SavedFormat, DamageAnywhere) {
    const auto whole = image();
    const auto payload = payload_of(whole);
    size_t accepted = 0, refused = 0;
    for (size_t at = 0; at < whole.size(); ++at) {
        if (payload[at] && at % 61 != 0) continue;  // a sample of these: thousands are alike
        for (const unsigned flip : {0x01U, 0x80U, 0xffU}) {
            auto bytes = whole;
            bytes[at] ^= static_cast<std::byte>(flip);
            const auto back = read_back(bytes);
            if (!back) {
                ++refused;
                ASSERT_TRUE(is_clear(back.failure())) << at << ": " << back.failure().text;
                continue;
            }
            ++accepted;
            // P2M_FRAMES: 599 and 600 pages need as many frames; a JSON flag is believed; a vCPU of another number is one.
            const bool number_of_pages = back->p2m.last_pfn != 599;
            bool vcpus_differ = false;
            for (size_t i = 0; i < back->vcpus.size(); ++i) vcpus_differ |= back->vcpus[i].vcpu != (i < 3 ? 0U : 2U);
            ASSERT_TRUE(payload[at] || number_of_pages || back->config.json || vcpus_differ || back->order.size() != 18)
                << "byte " << at << " changed to " << unsigned(bytes[at]) << " and nobody noticed";
            for (const PageEntry& page : back->pages) {
                ASSERT_LE(page.pfn, back->p2m.last_pfn);
                ASSERT_TRUE(page.kind.valid());
            }
            for (const uint64_t pfn : back->p2m.pfns) ASSERT_LE(pfn, back->p2m.last_pfn);
        }
    }
    EXPECT_GT(refused, 300U);
    EXPECT_GT(accepted, 100U);
}

/// Writes record by record without the writer's own judgement.
class Raw {
public:
    Raw() {
        Writer writer(sink_);
        EXPECT_TRUE(writer.file({false, "x", ""}));
        EXPECT_TRUE(writer.stream(4, 17));
    }
    Raw& add(Record type, std::vector<uint64_t> words = {}) { return add(static_cast<uint32_t>(type), std::move(words)); }
    Raw& add(uint32_t type, std::vector<uint64_t> words = {}) {
        const RecordHeader head{type, static_cast<uint32_t>(words.size() * 8)};
        EXPECT_TRUE(sink_.write(std::as_bytes(std::span(&head, 1))));
        EXPECT_TRUE(sink_.write(std::as_bytes(std::span(words))));
        return *this;
    }
    Raw& start() {
        return add(Record::pv_info, {0x0408}).add(Record::static_data_end).add(Record::p2m_frames, {599ULL << 32U, 1, 2});
    }
    Raw& pages(std::vector<uint64_t> entries, size_t bytes) {
        std::vector<uint64_t> words = {entries.size()};
        words.insert(words.end(), entries.begin(), entries.end());
        words.resize(words.size() + bytes / 8);
        return add(Record::page_data, std::move(words));
    }
    Raw& vcpu(Record type, uint32_t number, size_t bytes) {
        std::vector<uint64_t> words(1 + bytes / 8);
        words[0] = number;
        return add(type, std::move(words));
    }
    std::string refusal() {
        const auto back = read_back(sink_.bytes);
        return back ? "accepted" : back.failure().text;
    }

private:
    BytesSink sink_;
};

void expect_refusal(Raw& raw, const std::string& reason) {
    const std::string got = raw.refusal();
    EXPECT_NE(got.find(reason), std::string::npos) << "wanted: " << reason << "\ngot:    " << got;
}

TEST(SavedFormat, OrderIsKept) {
    constexpr size_t basic = sizeof(xen::VcpuGuestContext);
    expect_refusal(Raw().add(Record::static_data_end), "comes before X86_PV_INFO");
    expect_refusal(Raw().add(Record::pv_info, {0x0408}).add(Record::pv_info, {0x0408}), "comes twice");
    expect_refusal(Raw().add(Record::pv_info, {0x0408}).add(Record::p2m_frames, {599ULL << 32U, 1, 2}), "before STATIC_DATA_END");
    expect_refusal(Raw().add(Record::pv_info, {0x0408}).add(Record::static_data_end).pages({0}, 4096),
                   "before X86_PV_P2M_FRAMES");
    expect_refusal(Raw().start().add(Record::cpuid_policy, {0, 0, 0}), "behind STATIC_DATA_END");
    expect_refusal(Raw().start().add(Record::tsc_info, {0, 0, 0}).pages({0}, 4096), "behind the state");
    expect_refusal(Raw().start().vcpu(Record::vcpu_xsave, 0, 592), "before its X86_PV_VCPU_BASIC");
    expect_refusal(Raw().start().vcpu(Record::vcpu_basic, 0, basic).vcpu(Record::vcpu_basic, 0, basic), "vCPU 0 comes twice");
    expect_refusal(Raw().start().vcpu(Record::vcpu_basic, 4096, basic), "there are none above");
    expect_refusal(Raw().start().add(Record::end), "without X86_TSC_INFO");
    expect_refusal(
        Raw().start().add(Record::tsc_info, {0, 0, 0}).add(Record::shared_info, std::vector<uint64_t>(512)).add(Record::end),
        "without the state of vCPU 0");
}

TEST(SavedFormat, NumbersAreJudged) {
    expect_refusal(Raw().add(Record::pv_info, {0x0304}), "32-bit");
    expect_refusal(Raw().start().pages({600}, 4096), "names page 600");
    expect_refusal(Raw().start().pages({5ULL << 60U}, 4096), "unknown type 5");
    expect_refusal(Raw().start().pages({1ULL << 55U}, 4096), "unknown bits");
    expect_refusal(Raw().start().pages({0}, 0), "0 bytes for 1 pages");
    expect_refusal(Raw().start().pages({0xfULL << 60U}, 4096), "4096 bytes for 0 pages");
    expect_refusal(Raw().start().pages({}, 0), "has no pages");
    expect_refusal(Raw().start().pages(std::vector<uint64_t>(32769, 0xfULL << 60U), 0), "more pages than any record: 32769");
    expect_refusal(Raw().start().add(Record::page_data, {1000, 0}), "too short for its 1000 pages");
    expect_refusal(Raw().add(Record::pv_info, {0x0408}).add(Record::static_data_end).add(Record::p2m_frames, {599ULL << 32U, 1}),
                   "1 frames for 600 pages");
    expect_refusal(
        Raw().add(Record::pv_info, {0x0408}).add(Record::static_data_end).add(Record::p2m_frames, {599ULL << 32U, 1, 600}),
        "names page 600");
    expect_refusal(
        Raw().add(Record::pv_info, {0x0408}).add(Record::static_data_end).add(Record::p2m_frames, {599ULL << 32U | 1, 1, 2}),
        "begin with page 0");
    expect_refusal(Raw().start().vcpu(Record::vcpu_basic, 0, 5160), "another size");
    expect_refusal(Raw().start().add(Record::hvm_context), "no place");
    expect_refusal(Raw().add(0x7f), "unknown type 127");
}

/// Holes of a file cost nothing, and one record for each of many vCPUs could be all holes.
TEST(SavedFormat, StatesAreNoLargerThanTheyCanBe) {
    const size_t basic = sizeof(xen::VcpuGuestContext);
    expect_refusal(Raw().start().vcpu(Record::vcpu_basic, 0, basic).vcpu(Record::vcpu_xsave, 0, 2 << 20U), "another size");
    expect_refusal(Raw().start().vcpu(Record::vcpu_basic, 0, basic).vcpu(Record::vcpu_msrs, 0, 1 << 20U), "another size");
    expect_refusal(Raw().add(Record::pv_info, {0x0408}).add(Record::cpuid_policy, std::vector<uint64_t>(3 * 4097)),
                   "more leaves");
    expect_refusal(Raw().add(Record::pv_info, {0x0408}).add(Record::msr_policy, std::vector<uint64_t>(2 * 4097)), "more MSRs");
}

TEST(SavedFormat, RecordsThatMayBeSkippedAre) {
    Raw raw;
    raw.add(0x80000055U, {1, 2, 3}).start().add(0x80000000U);
    expect_refusal(raw, "ends inside the head of a record");
}

TEST(SavedFormat, AHugeLengthTakesNoMemory) {
    Raw raw;
    raw.add(Record::pv_info, {0x0408});
    BytesSink sink;
    auto bytes = image();
    const uint32_t long_record = record_limit;
    std::memcpy(&bytes[48 + 4 + 15 + 4 + 16 + 8 + 24 + 16 + 4], &long_record, 4);
    const auto back = read_back(bytes);
    ASSERT_FALSE(back);
    EXPECT_TRUE(is_clear(back.failure()));
}

TEST(SavedFormat, OtherFilesAreNamed) {
    const auto refusal = [](size_t at, uint32_t value, uint32_t size) {
        auto bytes = image();
        std::memcpy(&bytes[at], &value, size);
        return read_back(bytes).failure().text;
    };
    EXPECT_NE(refusal(36, 0, 4).find("before Xen 4.6"), std::string::npos);
    EXPECT_NE(refusal(36, 6, 4).find("not known here"), std::string::npos);
    const size_t libxl = 48 + 4 + 15, image_at = libxl + 16 + 8;
    EXPECT_NE(refusal(libxl - 4 + 8 + 4, 0x03000000, 4).find("version 3"), std::string::npos);
    EXPECT_NE(refusal(image_at + 24 - 4 + 4, 2, 4).find("HVM"), std::string::npos);
    std::vector<std::byte> text(100, std::byte{'a'});
    EXPECT_NE(read_back(text).failure().text.find("not a saved domain"), std::string::npos);
}

TEST(SavedFormat, TheWriterRefusesDisorder) {
    BytesSink sink;
    Writer writer(sink);
    EXPECT_TRUE(writer.file({false, "", ""}));
    EXPECT_TRUE(writer.stream(4, 17));
    const size_t before = sink.bytes.size();
    EXPECT_FALSE(writer.static_data_end());
    EXPECT_EQ(sink.bytes.size(), before);
}

}  // namespace
