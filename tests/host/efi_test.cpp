// SPDX-License-Identifier: Apache-2.0
// link: parse
#include "lib/parse/efi.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace {

using base::Errc;
using parse::EfiFirmware;
using parse::EfiRegion;
using parse::EfiService;

constexpr std::uint64_t first = 0x3f00'0000, system_table = first + 0x100, vendor = first + 0x400, services = first + 0x800,
                        tables = first + 0xc00, code = 0x3f80'0000;

/// Firmware as it lies in memory, right until a test spoils it.
struct Firmware {
    std::vector<std::byte> bytes = std::vector<std::byte>(0x1000);
    std::vector<std::byte> map;

    template <class T>
    void put(std::uint64_t address, T value) {
        std::memcpy(bytes.data() + (address - first), &value, sizeof value);
    }
    void add_region(std::uint32_t type, std::uint64_t start, std::uint64_t pages, std::uint64_t attributes) {
        const std::uint64_t row[6] = {type, start, 0, pages, attributes, 0};
        const auto* p = reinterpret_cast<const std::byte*>(row);
        map.insert(map.end(), p, p + sizeof row);
    }
    Firmware() {
        put(system_table, std::uint64_t{0x5453'5953'2049'4249});
        put(system_table + 8, std::uint32_t{2u << 16 | 70});
        put(system_table + 24, vendor);
        put(system_table + 32, std::uint32_t{0x10000});
        put(system_table + 88, services);
        put(system_table + 104, std::uint64_t{3});
        put(system_table + 112, tables);
        const std::u16string name = u"EDK II";
        std::memcpy(bytes.data() + (vendor - first), name.c_str(), 2 * (name.size() + 1));
        put(services, std::uint64_t{0x5652'4553'544e'5552});
        put(services + 8, std::uint32_t{2u << 16 | 70});
        put(services + 12, std::uint32_t{136});
        for (std::uint64_t i = 0; i < 14; ++i) put(services + 24 + 8 * i, code + 16 * i);
        add_region(7, 0, 0x9f, 0xf);
        add_region(5, code, 16, EfiRegion::run_time | 0xf);
        add_region(EfiRegion::memory_mapped_io, 0xffc0'0000, 1024, EfiRegion::run_time | 1);
    }
    Errc read(EfiFirmware& out, std::uint32_t row = 48) const {
        const auto s = parse::read_efi(system_table, map, row, {bytes.data(), first, bytes.size()}, out);
        return s ? Errc{} : s.error();
    }
};

TEST(Efi, ReadsWhatIsThere) {
    EfiFirmware f;
    ASSERT_EQ(Firmware{}.read(f), Errc{});
    EXPECT_TRUE(f.present());
    EXPECT_EQ(f.revision, 2u << 16 | 70);
    EXPECT_EQ(f.firmware_revision, 0x10000u);
    EXPECT_EQ(std::u16string(f.vendor.begin(), f.vendor.end()), u"EDK II");
    EXPECT_EQ(f.tables, tables);
    EXPECT_EQ(f.table_count, 3u);
    ASSERT_EQ(f.regions.size(), 3u);
    ASSERT_TRUE(f.has_services());
    EXPECT_EQ(f.services_revision, 2u << 16 | 70);
    EXPECT_EQ(f.services[static_cast<std::size_t>(EfiService::get_variable)], code + 16 * 6);
    EXPECT_EQ(f.services[static_cast<std::size_t>(EfiService::query_variable_info)], code + 16 * 13);
    EXPECT_EQ(f.region_of(code + 0xffff), &f.regions[1]);
    EXPECT_EQ(f.region_of(code + 0x10000), nullptr);
    EXPECT_TRUE(f.regions[1].at_run_time());
    EXPECT_FALSE(f.regions[0].at_run_time());
}

TEST(Efi, NoTableIsRefused) {
    EfiFirmware f;
    Firmware w;
    w.put(system_table, std::uint64_t{0});
    EXPECT_EQ(w.read(f), Errc::badmsg);
    w = {};
    w.put(system_table + 104, std::uint64_t{5000});
    EXPECT_EQ(w.read(f), Errc::badmsg);
    w = {};
    w.put(system_table + 112, first + 0xff0);
    EXPECT_EQ(w.read(f), Errc::range) << "the list of tables lies half outside";
    w = {};
    EXPECT_EQ(parse::read_efi(first + 0xfa0, w.map, 48, {w.bytes.data(), first, w.bytes.size()}, f).error(), Errc::range);
    EXPECT_FALSE(f.present());
}

TEST(Efi, ServicesThatCannotBeTrustedAreLeftOut) {
    const auto without = [](auto spoil, std::uint32_t row = 48) {
        EfiFirmware f;
        Firmware w;
        spoil(w);
        EXPECT_EQ(w.read(f, row), Errc{});
        EXPECT_TRUE(f.present());
        return !f.has_services();
    };
    EXPECT_FALSE(without([](Firmware&) {}));
    EXPECT_TRUE(without([](Firmware& w) { w.map.clear(); })) << "the loader tells of no map";
    EXPECT_TRUE(without([](Firmware&) {}, 16)) << "rows that are too short";
    EXPECT_TRUE(without([](Firmware& w) { w.put(services, std::uint64_t{1}); })) << "another table";
    EXPECT_TRUE(without([](Firmware& w) { w.put(system_table + 88, first + 0xfff); })) << "a table that lies outside";
    EXPECT_TRUE(without([](Firmware& w) { w.put(services + 24 + 8 * 13, std::uint64_t{0}); })) << "one that is not there";
    EXPECT_TRUE(without([](Firmware& w) { w.put(services + 24 + 8 * 2, std::uint64_t{0x1000}); }))
        << "code in memory that is ours";
    EXPECT_TRUE(without([](Firmware& w) { w.add_region(5, 0x1234, 1, EfiRegion::run_time); })) << "no page's address";
    EXPECT_TRUE(without([](Firmware& w) { w.add_region(5, ~std::uint64_t{4095}, 2, EfiRegion::run_time); }))
        << "a range that wraps";
    EXPECT_TRUE(without([](Firmware& w) { w.add_region(5, 0x1000, ~std::uint64_t{0}, EfiRegion::run_time); })) << "without end";
    EXPECT_TRUE(without([](Firmware& w) {
        for (int i = 0; i < 300; ++i) w.add_region(7, 0x10'0000, 1, 0);
    })) << "more rows than there is room for";
}

TEST(Efi, AVendorWithoutEndIsCut) {
    EfiFirmware f;
    Firmware w;
    for (std::uint64_t at = vendor; at < services; at += 2) w.put(at, char16_t{'x'});
    ASSERT_EQ(w.read(f), Errc{});
    EXPECT_EQ(f.vendor.size(), EfiFirmware::max_vendor);
}

}  // namespace
