// SPDX-License-Identifier: Apache-2.0
// link: parse
#include "lib/parse/acpi.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace {

using base::Errc;

template <class... T>
std::string packed(T... values) {
    std::string out;
    (out.append(reinterpret_cast<const char*>(&values), sizeof values), ...);
    return out;
}

void fix_sum(std::string& bytes, std::size_t at, std::size_t length) {
    bytes[at] = 0;
    unsigned sum = 0;
    for (std::size_t i = 0; i < length; ++i) sum += static_cast<unsigned char>(bytes[i]);
    bytes[at] = static_cast<char>(0 - sum);
}

std::string table(const char* signature, const std::string& body) {
    std::string out(signature, 4);
    out += packed(static_cast<std::uint32_t>(36 + body.size()));
    out.resize(36);
    out += body;
    fix_sum(out, 9, out.size());
    return out;
}

parse::Bytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text.data(), text.size())); }

/// One MiB of memory with the tables in the BIOS area.
struct Machine {
    std::vector<std::byte> memory = std::vector<std::byte>(0x100000);

    void put(std::uint64_t at, const std::string& bytes) { std::memcpy(memory.data() + at, bytes.data(), bytes.size()); }
    parse::PhysicalWindow window() const { return {memory.data(), 0, memory.size()}; }
};

Machine machine(bool new_root) {
    Machine m;
    m.put(0x1000, table("APIC", packed(0xfee00000u, 1u)));
    m.put(0x2000, table("HPET", std::string(20, 'h')));
    m.put(0x3000, new_root ? table("XSDT", packed(std::uint64_t{0x1000}, std::uint64_t{0x9999999999}, std::uint64_t{0x2000}))
                           : table("RSDT", packed(0x1000u, 0x2000u)));
    std::string root = "RSD PTR ";
    root.resize(36);
    root[15] = new_root ? 2 : 0;
    const std::string address = packed(std::uint64_t{0x3000});
    root.replace(16, 4, address.substr(0, 4));
    if (new_root) root.replace(16, 4, std::string(4, '\0')).replace(20, 4, packed(36u)).replace(24, 8, address);
    fix_sum(root, 8, 20);
    if (new_root) fix_sum(root, 32, 36);
    m.put(0xF1230, root);
    return m;
}

TEST(Acpi, FindsTablesThroughBothRoots) {
    for (const bool new_root : {false, true}) {
        const Machine m = machine(new_root);
        auto found = parse::AcpiTables::search(m.window());
        ASSERT_TRUE(found);
        const auto tables = std::move(found).take();
        EXPECT_EQ(tables.rsdp_address(), 0xF1230u);
        EXPECT_EQ(tables.count(), new_root ? 3u : 2u);
        ASSERT_TRUE(tables.table("APIC"));
        EXPECT_EQ(tables.table("HPET").value().size(), 56u);
        EXPECT_EQ(tables.table("APIC", 1).error(), Errc::noent);
        EXPECT_EQ(tables.table("MCFG").error(), Errc::noent);
    }
}

TEST(Acpi, WrongChecksumsAndAddressesAreErrors) {
    Machine m = machine(false);
    m.memory[0x1020] ^= std::byte{1};
    auto found = parse::AcpiTables::search(m.window());
    ASSERT_TRUE(found);
    EXPECT_EQ(found.value().table("APIC").error(), Errc::badmsg);
    EXPECT_EQ(found.value().table_at(0xFFFFF0).error(), Errc::range);
    m.memory[0x3000] ^= std::byte{1};
    EXPECT_EQ(parse::AcpiTables::search(m.window()).error(), Errc::badmsg);
    EXPECT_EQ(parse::AcpiTables::search(Machine{}.window()).error(), Errc::noent);
    EXPECT_EQ(parse::AcpiTables::search({}).error(), Errc::noent);
    EXPECT_EQ(parse::AcpiTables::from_rsdp({}, m.window()).error(), Errc::noent);
}

TEST(Acpi, ReadsTheMadt) {
    using u8 = std::uint8_t;
    std::string body = packed(0xfee00000u, 1u);
    body += packed(u8{0}, u8{8}, u8{0}, u8{0}, 1u);
    body += packed(u8{0}, u8{8}, u8{1}, u8{2}, 0u);
    body += packed(u8{0}, u8{8}, u8{2}, u8{0xff}, 0u);
    body += packed(u8{1}, u8{12}, u8{5}, u8{0}, 0xfec00000u, 0u);
    body += packed(u8{2}, u8{10}, u8{0}, u8{9}, 9u, std::uint16_t{0xd});
    body += packed(u8{2}, u8{10}, u8{0}, u8{0}, 2u, std::uint16_t{0});
    body += packed(u8{4}, u8{6}, u8{0xff}, u8{0x5}, u8{0}, u8{1});
    body += packed(u8{9}, u8{16}, std::uint16_t{0}, 300u, 3u, 7u);
    body += packed(u8{127}, u8{3}, u8{0});
    const std::string text = table("APIC", body);
    parse::AcpiMadt madt;
    ASSERT_TRUE(parse::read_madt(bytes_of(text), madt));
    EXPECT_TRUE(madt.has_8259);
    ASSERT_EQ(madt.processors.size(), 3u);
    EXPECT_TRUE(madt.processors[0].enabled);
    EXPECT_FALSE(madt.processors[1].enabled);
    EXPECT_EQ(madt.processors[2].apic_id, 300u);
    EXPECT_TRUE(madt.processors[2].x2apic && madt.processors[2].online_capable);
    ASSERT_EQ(madt.io_apics.size(), 1u);
    EXPECT_EQ(madt.isa(0).gsi, 2u);
    EXPECT_EQ(madt.isa(1).gsi, 1u);
    EXPECT_EQ(madt.isa(9).trigger, parse::AcpiTrigger::level);
    EXPECT_EQ(madt.isa(9).polarity, parse::AcpiPolarity::high);
    ASSERT_EQ(madt.local_nmis.size(), 1u);
    EXPECT_EQ(madt.local_nmis[0].uid, UINT32_MAX);
    EXPECT_EQ(madt.local_nmis[0].lint, 1u);

    const std::string broken = table("APIC", packed(0u, 0u, u8{1}, u8{4}, u8{0}, u8{0}));
    parse::AcpiMadt other;
    EXPECT_EQ(parse::read_madt(bytes_of(broken), other).error(), Errc::badmsg);
    const std::string endless = table("APIC", packed(0u, 0u, u8{99}, u8{0}));
    EXPECT_EQ(parse::read_madt(bytes_of(endless), other).error(), Errc::badmsg);
}

TEST(Acpi, ReadsTheFadtOldAndNew) {
    std::string body(80, '\0');  // revision 1: 116 bytes in all
    body.replace(4, 4, packed(0x5000u));
    body.replace(10, 2, packed(std::uint16_t{9}));
    body.replace(28, 4, packed(0x604u));
    body.replace(40, 4, packed(0x608u));
    body[53] = 2;
    body[55] = 4;
    body.replace(76, 4, packed(1u << 8 | 1u << 10));
    const std::string old_table = table("FACP", body);
    auto fadt = parse::read_fadt(bytes_of(old_table));
    ASSERT_TRUE(fadt);
    EXPECT_EQ(fadt.value().dsdt, 0x5000u);
    EXPECT_EQ(fadt.value().pm1a_control.address, 0x604u);
    EXPECT_EQ(fadt.value().pm1a_control.bit_width, 16u);
    EXPECT_EQ(fadt.value().pm_timer.address, 0x608u);
    EXPECT_EQ(fadt.value().pm_timer.space, parse::AcpiAddress::io);
    EXPECT_TRUE(fadt.value().pm_timer_32bit);
    EXPECT_FALSE(fadt.value().reset.present());
    EXPECT_FALSE(fadt.value().pm1b_control.present());

    body.resize(208);
    body[80] = 1;
    body.replace(84, 8, packed(std::uint64_t{0xcf9}));
    body[92] = 0xf;
    body.replace(104, 8, packed(std::uint64_t{0x123456789}));
    body[172] = 0;
    body.replace(176, 8, packed(std::uint64_t{0xb000}));
    const std::string new_table = table("FACP", body);
    auto newer = parse::read_fadt(bytes_of(new_table));
    ASSERT_TRUE(newer);
    EXPECT_EQ(newer.value().dsdt, 0x123456789u);
    EXPECT_EQ(newer.value().reset.address, 0xcf9u);
    EXPECT_EQ(newer.value().reset_value, 0xfu);
    EXPECT_EQ(newer.value().pm_timer.address, 0xb000u);
    EXPECT_EQ(parse::read_fadt(bytes_of(std::string(115, 'x'))).error(), Errc::badmsg);
}

TEST(Acpi, ReadsHpetAndMcfg) {
    std::string hpet = packed(0x8086a201u, std::uint32_t{0x00004000}, std::uint64_t{0xfed00000});
    hpet += packed(std::uint8_t{0}, std::uint16_t{100}, std::uint8_t{0});
    const std::string hpet_table = table("HPET", hpet);
    EXPECT_EQ(parse::read_hpet(bytes_of(hpet_table)).value().address.address, 0xfed00000u);
    EXPECT_EQ(parse::read_hpet(bytes_of(hpet_table)).value().minimum_tick, 100u);
    EXPECT_EQ(parse::read_hpet({}).error(), Errc::badmsg);
    const std::string mcfg = table(
        "MCFG", packed(std::uint64_t{0}, std::uint64_t{0xb0000000}, std::uint16_t{0}, std::uint8_t{0}, std::uint8_t{255}, 0u));
    parse::FixedList<parse::AcpiMcfgWindow, 16> windows;
    ASSERT_TRUE(parse::read_mcfg(bytes_of(mcfg), windows));
    ASSERT_EQ(windows.size(), 1u);
    EXPECT_EQ(windows[0].last_bus, 255u);
}

TEST(Acpi, FindsSleepTypes) {
    const auto find = [](const std::string& aml, unsigned state = 5) {
        const std::string text = table("DSDT", aml);
        auto found = parse::find_sleep_type(bytes_of(text), state);
        return found ? found.value().a * 256 + found.value().b : -static_cast<int>(found.error());
    };
    using namespace std::string_literals;
    EXPECT_EQ(find("\x08_S5_\x12\x06\x04\x0a\x05\x0a\x07\0\0"s), 0x507);
    EXPECT_EQ(find("\x10\x08\\_S5_\x12\x06\x04\0\x01\0\0"s), 1);
    EXPECT_EQ(find("\x08_S3_\x12\x06\x04\x01\x01\0\0"s, 3), 0x101);
    EXPECT_EQ(find("\x08_S5_\x12\x46\x00\x02\x0b\x07\x00\x0c\x03\0\0\0"s), 0x703);
    EXPECT_EQ(find("x_S5_\x12\x06\x04\0\x01\0\0"s), -2);
    EXPECT_EQ(find("\x08_S5_\x12"s), -2);
    EXPECT_EQ(find(""s), -2);
}

}  // namespace
