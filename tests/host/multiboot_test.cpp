// SPDX-License-Identifier: Apache-2.0
// link: parse
#include "lib/parse/multiboot.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace {

using base::Errc;
using parse::BootRecord;

constexpr std::uint64_t first = 0x8000;

/// A piece of "physical memory" to write loader records into.
struct Memory {
    std::vector<std::byte> bytes = std::vector<std::byte>(8192);

    template <class T>
    void put(std::uint64_t address, T value) {
        std::memcpy(bytes.data() + (address - first), &value, sizeof value);
    }
    void text(std::uint64_t address, const std::string& value) {
        std::memcpy(bytes.data() + (address - first), value.c_str(), value.size() + 1);
    }
    parse::PhysicalWindow window() const { return {bytes.data(), first, bytes.size()}; }
};

Memory version1() {
    Memory m;
    m.put<std::uint32_t>(0x8000, 1u << 2 | 1u << 3 | 1u << 6 | 1u << 9);
    m.put<std::uint32_t>(0x8010, 0x9000);  // command line
    m.put<std::uint32_t>(0x8014, 2);       // modules
    m.put<std::uint32_t>(0x8018, 0x8100);
    m.put<std::uint32_t>(0x802c, 48);  // map
    m.put<std::uint32_t>(0x8030, 0x8200);
    m.put<std::uint32_t>(0x8040, 0x9100);  // loader
    m.text(0x9000, "xenolith loglvl=all");
    m.text(0x9100, "qemu");
    m.text(0x9200, "vmlinuz root=/dev/sda");
    m.put<std::uint32_t>(0x8100, 0x100000);
    m.put<std::uint32_t>(0x8104, 0x180000);
    m.put<std::uint32_t>(0x8108, 0x9200);
    m.put<std::uint32_t>(0x8110, 0x180000);
    m.put<std::uint32_t>(0x8114, 0x1a0000);
    for (int i = 0; i < 2; ++i) {
        const std::uint64_t at = 0x8200 + std::uint64_t(i) * 24;
        m.put<std::uint32_t>(at, 20);
        m.put<std::uint64_t>(at + 4, i == 0 ? 0 : 0x100000);
        m.put<std::uint64_t>(at + 12, i == 0 ? 0x9fc00 : 0x7f00000);
        m.put<std::uint32_t>(at + 20, 1);
    }
    return m;
}

TEST(Multiboot, ReadsVersion1) {
    const Memory m = version1();
    BootRecord record;
    ASSERT_TRUE(parse::read_multiboot(parse::multiboot1_magic, 0x8000, m.window(), record));
    EXPECT_EQ(record.command_line, "xenolith loglvl=all");
    EXPECT_EQ(record.loader, "qemu");
    ASSERT_EQ(record.modules.size(), 2u);
    EXPECT_EQ(record.modules[0].size(), 0x80000u);
    EXPECT_EQ(record.modules[0].command_line, "vmlinuz root=/dev/sda");
    EXPECT_EQ(record.modules[1].command_line, "");
    EXPECT_EQ(record.memory.ranges().size(), 2u);
    EXPECT_FALSE(record.framebuffer);
}

TEST(Multiboot, RefusesBrokenVersion1) {
    BootRecord record;
    Memory m = version1();
    EXPECT_EQ(parse::read_multiboot(1, 0x8000, m.window(), record).error(), Errc::noexec);
    EXPECT_EQ(parse::read_multiboot(parse::multiboot1_magic, 0x7000, m.window(), record).error(), Errc::range);
    m.put<std::uint32_t>(0x8018, 0xfffffff0);
    EXPECT_EQ(parse::read_multiboot(parse::multiboot1_magic, 0x8000, m.window(), record).error(), Errc::range);
    m = version1();
    m.put<std::uint32_t>(0x8104, 0x1000);
    EXPECT_EQ(parse::read_multiboot(parse::multiboot1_magic, 0x8000, m.window(), record).error(), Errc::inval);
    m = version1();
    m.put<std::uint32_t>(0x8200, 4);  // a map entry too short
    BootRecord other;
    EXPECT_EQ(parse::read_multiboot(parse::multiboot1_magic, 0x8000, m.window(), other).error(), Errc::inval);
    m = version1();
    m.put<std::uint32_t>(0x8000, 0);  // no memory told at all
    BootRecord third;
    EXPECT_EQ(parse::read_multiboot(parse::multiboot1_magic, 0x8000, m.window(), third).error(), Errc::inval);
}

struct Tags {
    std::vector<std::byte> bytes = std::vector<std::byte>(8);

    void add(std::uint32_t type, const std::string& payload) {
        const std::uint32_t head[2] = {type, static_cast<std::uint32_t>(8 + payload.size())};
        append(head, sizeof head);
        append(payload.data(), payload.size());
        bytes.resize((bytes.size() + 7) & ~std::size_t{7});
    }
    void append(const void* data, std::size_t size) {
        const auto* p = static_cast<const std::byte*>(data);
        bytes.insert(bytes.end(), p, p + size);
    }
    parse::PhysicalWindow finish() {
        add(0, "");
        const auto total = static_cast<std::uint32_t>(bytes.size());
        std::memcpy(bytes.data(), &total, 4);
        return {bytes.data(), first, bytes.size()};
    }
};

template <class... T>
std::string packed(T... values) {
    std::string out;
    (out.append(reinterpret_cast<const char*>(&values), sizeof values), ...);
    return out;
}

TEST(Multiboot, ReadsVersion2) {
    Tags tags;
    tags.add(1, std::string("line\0", 5));
    tags.add(2, std::string("GRUB\0", 5));
    tags.add(3, packed(0x200000u, 0x200400u) + std::string("dom0\0", 5));
    tags.add(6, packed(24u, 0u, std::uint64_t{0}, std::uint64_t{0x1000}, 1u, 0u, std::uint64_t{0x1000}, std::uint64_t{0x1000}, 2u,
                       0u));
    tags.add(8, packed(std::uint64_t{0xe0000000}, 4096u, 1024u, 768u, std::uint8_t{32}, std::uint8_t{1}, std::uint16_t{0},
                       std::uint8_t{16}, std::uint8_t{8}, std::uint8_t{8}, std::uint8_t{8}, std::uint8_t{0}, std::uint8_t{8}));
    tags.add(12, packed(std::uint64_t{0x3f9ec018}));
    tags.add(17, packed(48u, 1u) + std::string(96, 'm'));
    tags.add(15, "RSD PTR new");
    tags.add(14, "RSD PTR old");
    tags.add(77, "unknown");
    BootRecord record;
    const auto window = tags.finish();
    ASSERT_TRUE(parse::read_multiboot(parse::multiboot2_magic, first, window, record));
    EXPECT_EQ(record.command_line, "line");
    EXPECT_EQ(record.loader, "GRUB");
    EXPECT_EQ(record.efi_system_table, 0x3f9ec018u);
    EXPECT_EQ(record.efi_descriptor, 48u);
    EXPECT_EQ(record.efi_map.size(), 96u);
    ASSERT_EQ(record.modules.size(), 1u);
    EXPECT_EQ(record.modules[0].command_line, "dom0");
    EXPECT_EQ(record.modules[0].size(), 0x400u);
    ASSERT_EQ(record.memory.ranges().size(), 2u);
    EXPECT_EQ(parse::as_text(record.rsdp), "RSD PTR new");
    ASSERT_TRUE(record.framebuffer);
    EXPECT_EQ(record.framebuffer->width, 1024u);
    EXPECT_EQ(record.framebuffer->red_position, 16u);
    EXPECT_EQ(record.info_end - record.info_start, tags.bytes.size());
}

TEST(Multiboot, RefusesBrokenVersion2) {
    Tags tags;
    tags.add(3, packed(0x200000u));
    BootRecord record;
    EXPECT_EQ(parse::read_multiboot(parse::multiboot2_magic, first, tags.finish(), record).error(), Errc::range);
    Tags none;
    EXPECT_EQ(parse::read_multiboot(parse::multiboot2_magic, first, none.finish(), record).error(), Errc::inval);
    Tags many;
    for (int i = 0; i < 40; ++i) many.add(3, packed(0u, 1u) + std::string(1, '\0'));
    EXPECT_EQ(parse::read_multiboot(parse::multiboot2_magic, first, many.finish(), record).error(), Errc::nospc);
}

}  // namespace
