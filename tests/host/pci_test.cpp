// SPDX-License-Identifier: Apache-2.0
// link: parse
/// Configuration spaces of whole and broken functions.
#include "lib/parse/pci.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace {

using namespace parse;

uint8_t bytes[256];
unsigned reads = 0;
uint32_t read(uint32_t address, unsigned n) {
    ++reads;
    EXPECT_EQ(address & ~0xffu, 0x12300u) << "of this function";
    EXPECT_EQ(address % n, 0u);
    uint32_t value = 0;
    std::memcpy(&value, bytes + (address & 0xff), n);
    return value;
}

struct Pci : testing::Test {
    const PciSpace space{read, 0x12300};
    Pci() {
        std::memset(bytes, 0, sizeof bytes);
        set(0, 4, 0x12345678);
        reads = 0;
    }
    void set(unsigned at, unsigned n, uint32_t value) { std::memcpy(bytes + at, &value, n); }
    void capability(uint8_t at, uint8_t id, uint8_t next) {
        set(6, 2, 1u << 4);
        bytes[at] = id;
        bytes[at + 1] = next;
    }
};

TEST_F(Pci, CapabilitiesAreAList) {
    EXPECT_EQ(pci_capability(space, PciCapability::msi), 0);
    bytes[0x34] = 0x50;
    EXPECT_EQ(pci_capability(space, PciCapability::msi), 0) << "it says that it has none";
    capability(0x50, 1, 0x70);
    capability(0x70, 5, 0);
    EXPECT_EQ(pci_capability(space, PciCapability::msi), 0x70);
    EXPECT_EQ(pci_capability(space, PciCapability::msix), 0);
}

TEST_F(Pci, ABrokenListEnds) {
    bytes[0x34] = 0x50;
    capability(0x50, 1, 0x50);
    EXPECT_EQ(pci_capability(space, PciCapability::msi), 0);
    EXPECT_LT(reads, 200u);
    capability(0x50, 1, 0x3c);
    EXPECT_EQ(pci_capability(space, PciCapability::msi), 0) << "into the header";
    bytes[0x34] = 0x52;
    capability(0x50, 5, 0);
    EXPECT_EQ(pci_capability(space, PciCapability::msi), 0x50) << "the low bits mean nothing";
}

TEST_F(Pci, WhatIsNotThereHasNothing) {
    std::memset(bytes, 0xff, sizeof bytes);
    EXPECT_EQ(pci_capability(space, PciCapability::msi), 0);
    EXPECT_EQ(pci_msix(space).capability, 0);
    EXPECT_EQ(pci_bar(space, 0).kind, PciBar::Kind::none);
}

TEST_F(Pci, MsixSaysWhereItsTablesAre) {
    EXPECT_EQ(pci_msix(space).capability, 0);
    bytes[0x34] = 0xb0;
    capability(0xb0, 0x11, 0);
    set(0xb2, 2, 0xc007);
    set(0xb4, 4, 0x2004);
    set(0xb8, 4, 0x3005);
    const PciMsix m = pci_msix(space);
    EXPECT_EQ(m.capability, 0xb0);
    EXPECT_EQ(m.entries, 8);
    EXPECT_EQ(m.table.bar, 4);
    EXPECT_EQ(m.table.offset, 0x2000u);
    EXPECT_EQ(m.pending.bar, 5);
    EXPECT_EQ(m.pending.offset, 0x3000u);
}

TEST_F(Pci, BarsOfEachKind) {
    set(0x10, 4, 0xc001);
    set(0x14, 4, 0xfebd1008);
    set(0x18, 4, 0xfe00000c);
    set(0x1c, 4, 0x12);
    set(0x24, 4, 0xfe00000c);
    PciBar b = pci_bar(space, 0);
    EXPECT_EQ(b.kind, PciBar::Kind::port);
    EXPECT_EQ(b.address, 0xc000u);
    b = pci_bar(space, 1);
    EXPECT_EQ(b.kind, PciBar::Kind::memory);
    EXPECT_FALSE(b.wide);
    EXPECT_EQ(b.address, 0xfebd1000u);
    b = pci_bar(space, 2);
    EXPECT_TRUE(b.wide);
    EXPECT_EQ(b.address, 0x12fe000000u);
    EXPECT_EQ(pci_bar(space, 5).kind, PciBar::Kind::none) << "a wide one without a second half";
    EXPECT_EQ(pci_bar(space, 6).kind, PciBar::Kind::none);
    bytes[0xe] = 0x81;
    EXPECT_EQ(pci_bar(space, 1).kind, PciBar::Kind::memory);
    EXPECT_EQ(pci_bar(space, 2).kind, PciBar::Kind::none) << "a bridge has two";
    bytes[0xe] = 7;
    EXPECT_EQ(pci_bar(space, 0).kind, PciBar::Kind::none);
}

}  // namespace
