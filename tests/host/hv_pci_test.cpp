// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// PCI devices and their messages: announced, used by dom0 and others, reset, and gone with everything in use.
#include "hypervisor/irq/pci_device.hpp"

#include "abi/xen/sysctl.hpp"
#include "hypervisor/rt/log_ring.hpp"
#include "tests/host/hv_interrupts.hpp"
#include "tests/machine/pci.hpp"

#include <memory>

namespace {

using namespace hvtest;

constexpr uint8_t bus = 3, devfn = 0x1a;
constexpr uint8_t msi_at = 0x50, msix_at = 0x70;
constexpr uint32_t registers_at = 0xfe000000, table_offset = 0x100;
constexpr unsigned entries = 4;

/// The vector that a message has.
uint8_t vector_of(uint32_t data) { return static_cast<uint8_t>(data); }

class Pci : public InterruptTest {
protected:
    host::PciFunction& card = host::plug(bus, devfn);
    Pci() {
        card.capability(msi_at, 5);
        card.set(msi_at + 2, 2, 1u << 7);
        card.capability(msix_at, 0x11);
        card.set(msix_at + 2, 2, entries - 1);
        card.set(msix_at + 4, 4, table_offset | 1);
        card.set(msix_at + 8, 4, 0x800 | 1);
        card.bar(1, registers_at);
    }
    ~Pci() override {
        (void)remove();
        host::unplug(card);
    }
    Errc add(uint8_t b = bus, uint8_t f = devfn, uint16_t segment = 0, uint32_t flags = 0) {
        auto a = xen::zeroed<xen::PhysdevPciDeviceAdd>();
        a.seg = segment;
        a.bus = b;
        a.devfn = f;
        a.flags = flags;
        a.physfn = {bus, 0x40};
        return physdev(dom0, xen::PHYSDEVOP_pci_device_add, &a);
    }
    Errc on_device(uint32_t op, uint8_t b = bus, uint8_t f = devfn, uint16_t segment = 0) {
        xen::PhysdevPciDevice d{segment, b, f};
        return physdev(dom0, op, &d);
    }
    Errc remove(uint8_t b = bus, uint8_t f = devfn) { return on_device(xen::PHYSDEVOP_pci_device_remove, b, f); }
    /// Maps a message: of MSI, or with a table's address of MSI-X.
    Errc map_message(uint16_t domain, uint64_t table = 0, int32_t entry = 0, int32_t at_bus = bus) {
        auto m = xen::zeroed<xen::PhysdevMapPirq>();
        m.domid = domain;
        m.type = xen::MAP_PIRQ_TYPE_MSI_SEG;
        m.index = m.pirq = -1;
        m.bus = at_bus;
        m.devfn = devfn;
        m.entry_nr = entry;
        m.table_base = table;
        const Errc e = physdev(dom0, xen::PHYSDEVOP_map_pirq, &m);
        if (e == Errc{}) number = m.pirq;
        return e;
    }
    uint32_t pirq() const { return static_cast<uint32_t>(number); }
    bool msi_enabled() const { return card.get(msi_at + 2, 2) & 1; }
    uint8_t msi_vector() const { return vector_of(card.get(msi_at + 12, 2)); }
    uint32_t word(unsigned entry, unsigned n) const {
        uint32_t w = 0;
        std::memcpy(&w, card.memory + table_offset + 16 * entry + 4 * n, 4);
        return w;
    }
};

TEST_F(Pci, ADeviceIsAnnouncedOnceOrAgain) {
    const Resources before;
    EXPECT_EQ(remove(), Errc::nodev);
    EXPECT_EQ(add(), Errc{});
    EXPECT_NE(Resources(), before);
    EXPECT_EQ(add(), Errc{});
    EXPECT_EQ(remove(), Errc{});
    EXPECT_EQ(remove(), Errc::nodev);
    EXPECT_EQ(Resources(), before);
    EXPECT_EQ(add(bus, devfn, 1, 0x100), Errc{}) << "flags that are not known are no matter";
    EXPECT_EQ(remove(), Errc::nodev) << "another segment's";
    EXPECT_EQ(on_device(xen::PHYSDEVOP_pci_device_remove, bus, devfn, 1), Errc{});
    Guest g(1);
    xen::PhysdevPciDevice d{0, bus, devfn};
    EXPECT_EQ(physdev(g, xen::PHYSDEVOP_pci_device_remove, &d), Errc::perm);
}

TEST_F(Pci, TheOlderCallsAreOfSegment0) {
    xen::PhysdevManagePci old{bus, devfn};
    EXPECT_EQ(physdev(dom0, xen::PHYSDEVOP_manage_pci_remove, &old), Errc::nodev);
    EXPECT_EQ(physdev(dom0, xen::PHYSDEVOP_manage_pci_add, &old), Errc{});
    EXPECT_EQ(on_device(xen::PHYSDEVOP_restore_msi_ext), Errc{});
    EXPECT_EQ(physdev(dom0, xen::PHYSDEVOP_manage_pci_remove, &old), Errc{});
    auto ext = xen::zeroed<xen::PhysdevManagePciExt>();
    ext.bus = bus;
    ext.devfn = devfn;
    ext.is_extfn = 2;
    EXPECT_EQ(physdev(dom0, xen::PHYSDEVOP_manage_pci_add_ext, &ext), Errc::inval);
    ext.is_extfn = 1;
    EXPECT_EQ(physdev(dom0, xen::PHYSDEVOP_manage_pci_add_ext, &ext), Errc{});
    EXPECT_EQ(remove(), Errc{});
}

TEST_F(Pci, AVirtualFunctionBringsItsDevice) {
    EXPECT_EQ(add(bus, devfn, 0, xen::XEN_PCI_DEV_VIRTFN), Errc{});
    EXPECT_EQ(remove(bus, 0x40), Errc{});
    EXPECT_EQ(remove(), Errc{});
}

TEST_F(Pci, OnlyDevicesThatAreKnownSendMessages) {
    EXPECT_EQ(map_message(0), Errc::nodev);
    ASSERT_EQ(add(), Errc{});
    EXPECT_EQ(map_message(0, 0, 0, bus + 1), Errc::nodev);
    EXPECT_EQ(map_message(0, 0, 0, 1 << 16 | bus), Errc::opnotsupp) << "in a segment that is out of reach";
    ASSERT_EQ(map_message(0), Errc{});
    EXPECT_GE(pirq(), ioapic::gsi_count()) << "above the numbers of GSIs";
    EXPECT_EQ(map_message(0), Errc::exist);
    card.set(msi_at + 2, 2, 1u << 7 | 1);  // its driver does not wait for an event channel
    EXPECT_EQ(unmap(dom0, 0, pirq()), Errc{});
    EXPECT_FALSE(msi_enabled());
    EXPECT_EQ(map_message(0), Errc{});
    EXPECT_EQ(unmap(dom0, 0, pirq()), Errc{});
    ASSERT_EQ(remove(), Errc{});
    card.config[0x34] = 0;
    ASSERT_EQ(add(), Errc{});
    EXPECT_EQ(map_message(0), Errc::nodev) << "no such capability";
    EXPECT_EQ(map_message(0, registers_at), Errc::nodev);
}

TEST_F(Pci, AMessageReachesTheDomainItIsMappedFor) {
    Guest g(1);
    ASSERT_EQ(add(), Errc{});
    ASSERT_EQ(map_message(1), Errc{});
    EXPECT_EQ(card.get(msi_at + 4, 4), 0xfee00000u);
    EXPECT_FALSE(msi_enabled());
    ASSERT_EQ(bind(g, pirq()), Errc{});
    EXPECT_TRUE(msi_enabled());
    irq_dispatch(msi_vector());
    EXPECT_TRUE(pending(g, port));
    EXPECT_EQ(bind(dom0, pirq()), Errc::inval) << "it is nobody else's";
}

TEST_F(Pci, RemovingADeviceTakesItsMessagesAlong) {
    Guest g(1);
    const Resources before;
    ASSERT_EQ(add(), Errc{});
    ASSERT_EQ(map_message(1), Errc{});
    ASSERT_EQ(bind(g, pirq()), Errc{});
    const uint8_t vector = msi_vector();
    ASSERT_EQ(map_message(0, registers_at, 2), Errc{});
    ASSERT_EQ(remove(), Errc{});
    EXPECT_FALSE(msi_enabled());
    EXPECT_EQ(word(2, 3), 1u) << "masked";
    irq_dispatch(vector);
    EXPECT_FALSE(pending(g, port));
    EXPECT_EQ(unmap(dom0, 0, pirq()), Errc::inval) << "it is gone already";
    ASSERT_TRUE(event_close(g, port));
    ASSERT_EQ(add(), Errc{});
    ASSERT_EQ(map_message(0), Errc{});
    EXPECT_EQ(msi_vector(), vector) << "the vector is free again";
}

TEST_F(Pci, RightsToMessagesGoWithTheDevice) {
    Guest g(1), other(2);
    ASSERT_EQ(add(), Errc{});
    ASSERT_EQ(map_message(1), Errc{});
    const uint32_t of_guest = must(pirq_machine_number(g->pirqs, pirq()));
    ASSERT_EQ(map_message(0, registers_at, 2), Errc{});
    const uint32_t of_dom0 = must(pirq_machine_number(dom0->pirqs, pirq()));
    ASSERT_EQ(permit(2, pirq(), true), Errc{}) << "dom0's message, which another may use";
    const auto has = [](Guest& who, uint32_t n) {
        Guard held(who->lock);
        return who->irqs.contains(n, n);
    };
    EXPECT_TRUE(has(g, of_guest));
    EXPECT_TRUE(has(other, of_dom0));
    EXPECT_FALSE(has(other, of_guest));
    ASSERT_EQ(remove(), Errc{});
    EXPECT_FALSE(has(g, of_guest));
    EXPECT_FALSE(has(other, of_dom0));
    EXPECT_EQ(remove(), Errc::nodev);
}

TEST_F(Pci, ADomainThatDiesGivesItsMessagesBack) {
    ASSERT_EQ(add(), Errc{});
    {
        Guest g(1);
        ASSERT_EQ(map_message(1), Errc{});
        ASSERT_EQ(bind(g, pirq()), Errc{});
        ASSERT_EQ(map_message(1, registers_at, 0), Errc{});
        ASSERT_EQ(bind(g, pirq()), Errc{});
    }
    EXPECT_FALSE(msi_enabled());
    EXPECT_EQ(word(0, 3), 1u);
    domains_reap();
    ASSERT_EQ(map_message(0), Errc{});
    ASSERT_EQ(bind(dom0, pirq()), Errc{});
    irq_dispatch(msi_vector());
    EXPECT_TRUE(pending(dom0, port));
    clear(dom0, port);
    ASSERT_TRUE(event_close(dom0, port));
}

TEST_F(Pci, EntriesOfATable) {
    ASSERT_EQ(add(), Errc{});
    EXPECT_EQ(map_message(0, registers_at, entries), Errc::inval) << "beyond its end";
    ASSERT_EQ(map_message(0, registers_at + 0x100000, 0), Errc{}) << "the device says where it is";
    const uint32_t first = pirq();
    EXPECT_EQ(word(0, 0), 0xfee00000u);
    EXPECT_EQ(word(0, 3), 1u);
    EXPECT_EQ(map_message(0, registers_at, 0), Errc::exist);
    ASSERT_EQ(map_message(0, registers_at, 3), Errc{});
    EXPECT_NE(pirq(), first);
    EXPECT_NE(word(3, 2), word(0, 2));
    ASSERT_EQ(bind(dom0, pirq()), Errc{});
    EXPECT_EQ(word(3, 3), 0u);
    EXPECT_EQ(word(0, 3), 1u);
    irq_dispatch(vector_of(word(3, 2)));
    EXPECT_TRUE(pending(dom0, port));
    clear(dom0, port);
    ASSERT_TRUE(event_close(dom0, port));
    EXPECT_EQ(word(3, 3), 1u);
    card.bar(1, 0x2000);
    EXPECT_EQ(map_message(0, registers_at, 1), Errc::inval) << "a table in memory";
    card.bar(1, 0);
    EXPECT_EQ(map_message(0, registers_at + 4, 1), Errc::inval) << "a virtual function's, where no table may be";
    EXPECT_EQ(map_message(0, registers_at + 0xff8 - table_offset, 0), Errc::inval) << "an entry in two pages";
}

TEST_F(Pci, ATableIsKeptForSomebody) {
    EXPECT_EQ(on_device(xen::PHYSDEVOP_prepare_msix), Errc::nodev);
    ASSERT_EQ(add(), Errc{});
    EXPECT_EQ(on_device(xen::PHYSDEVOP_release_msix), Errc::busy) << "was not kept";
    EXPECT_EQ(on_device(xen::PHYSDEVOP_prepare_msix), Errc{});
    EXPECT_EQ(on_device(xen::PHYSDEVOP_prepare_msix), Errc::busy);
    ASSERT_EQ(map_message(0, registers_at, 0), Errc{});
    EXPECT_EQ(on_device(xen::PHYSDEVOP_release_msix), Errc::busy) << "in use";
    ASSERT_EQ(unmap(dom0, 0, pirq()), Errc{});
    EXPECT_EQ(on_device(xen::PHYSDEVOP_release_msix), Errc{});
    ASSERT_EQ(map_message(0, registers_at, 0), Errc{});
    EXPECT_EQ(on_device(xen::PHYSDEVOP_prepare_msix), Errc::busy) << "in use";
}

TEST_F(Pci, AfterAResetItsMessagesAreWrittenAgain) {
    EXPECT_EQ(on_device(xen::PHYSDEVOP_restore_msi_ext), Errc::nodev);
    ASSERT_EQ(add(), Errc{});
    ASSERT_EQ(map_message(0), Errc{});
    ASSERT_EQ(bind(dom0, pirq()), Errc{});
    const Port of_msi = port;
    ASSERT_EQ(map_message(0, registers_at, 1), Errc{});
    const uint8_t vector = msi_vector();
    const uint32_t data = word(1, 2);
    for (const unsigned reg : {2u, 4u, 8u, 12u}) card.set(msi_at + reg, 2, reg == 2 ? 1u << 7 : 0);
    std::memset(card.memory, 0, sizeof card.memory);
    xen::PhysdevRestoreMsi old{bus, devfn};
    EXPECT_EQ(physdev(dom0, xen::PHYSDEVOP_restore_msi, &old), Errc{});
    EXPECT_EQ(msi_vector(), vector);
    EXPECT_TRUE(msi_enabled());
    EXPECT_EQ(word(1, 2), data);
    EXPECT_EQ(word(1, 3), 1u) << "nobody listens to it";
    EXPECT_TRUE(card.get(msix_at + 2, 2) & 1u << 15);
    ASSERT_TRUE(event_close(dom0, of_msi));
}

TEST_F(Pci, ThereIsAnEndToThem) {
    const Resources before;
    unsigned added = 0;
    for (unsigned n = 0; n < max_pci_devices; ++n) added += add(static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n)) == Errc{};
    EXPECT_EQ(added, max_pci_devices);
    EXPECT_EQ(add(200, 0), Errc::nomem);
    EXPECT_EQ(add(0, 0), Errc{}) << "known already";
    for (unsigned n = 0; n < max_pci_devices; ++n)
        added -= remove(static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n)) == Errc{};
    EXPECT_EQ(added, 0u);
    EXPECT_EQ(Resources(), before);
}

TEST_F(Pci, MessagesAreComposedInOnePlace) {
    const MessageComposer as_ever = compose_message;
    compose_message = [](const IrqLine& line) { return x86::InterruptMessage{0x1'fee00010, line.vector | 0x5500u}; };
    ASSERT_EQ(add(), Errc{});
    EXPECT_EQ(map_message(0), Errc{});
    EXPECT_EQ(map_message(0, registers_at, 1), Errc{});
    compose_message = as_ever;
    EXPECT_EQ(card.get(msi_at + 4, 4), 0xfee00010u);
    EXPECT_EQ(card.get(msi_at + 8, 4), 1u);
    EXPECT_EQ(card.get(msi_at + 12, 2) & 0xff00, 0x5500u);
    EXPECT_EQ(word(1, 0), 0xfee00010u);
    EXPECT_EQ(word(1, 1), 1u);
}

std::string shown;
ConsoleSink capture{[](TextFrom, const char* text, size_t n) { shown.append(text, n); }, [](size_t) { return true; }};

TEST_F(Pci, ADebugKeyListsThem) {
    add_console(capture);
    set_log_levels({3, 3}, {3, 3});
    ASSERT_EQ(add(), Errc{});
    ASSERT_EQ(add(bus, 0x40), Errc{});
    ASSERT_EQ(add(1, 8), Errc{});
    ASSERT_EQ(map_message(0), Errc{});
    shown.clear();
    char key = 'Q';
    auto op = xen::zeroed<xen::Sysctl>();
    op.cmd = xen::XEN_SYSCTL_debug_keys;
    op.interface_version = xen::XEN_SYSCTL_INTERFACE_VERSION;
    op.u.debug_keys = {{address(&key)}, 1, 0};
    EXPECT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_sysctl), dom0.vcpu(), address(&op)));
    set_log_levels({1, 1}, {1, 1});
    const size_t first = shown.find("0000:01:01.0 - d0 - node -1"), second = shown.find("0000:03:03.2 - d0 - node -1 - MSIs < ");
    EXPECT_LT(shown.find("==== PCI devices ===="), first) << shown;
    EXPECT_LT(first, second) << shown;
    EXPECT_NE(shown.find(std::to_string(max_gsis + msi_vector()) + " >", second), std::string::npos) << shown;
    EXPECT_GT(shown.find("0000:03:08.0 - d0"), second) << shown;
    EXPECT_EQ(remove(bus, 0x40), Errc{});
    EXPECT_EQ(remove(1, 8), Errc{});
}

}  // namespace
