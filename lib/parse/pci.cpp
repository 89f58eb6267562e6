// SPDX-License-Identifier: Apache-2.0
#include "lib/parse/pci.hpp"

namespace parse {
namespace {

constexpr uint32_t vendor_register = 0, status_register = 6, header_register = 0xe, first_bar = 0x10, capability_pointer = 0x34;
constexpr uint32_t no_vendor = 0xffff, status_has_capabilities = 1u << 4;

/// Bridges have fewer.
unsigned bars_of(const PciSpace& space) {
    switch (space(header_register, 1) & 0x7f) {
        case 0: return 6;
        case 1: return 2;
        case 2: return 1;
        default: return 0;
    }
}

PciPlace place(uint32_t word) { return {static_cast<uint8_t>(word & 7), word & ~7u}; }

}  // namespace

uint16_t pci_capability(const PciSpace& space, PciCapability wanted) {
    constexpr uint32_t first = 0x40, most = (256 - first) / 4;
    if (space(vendor_register, 2) == no_vendor || !(space(status_register, 2) & status_has_capabilities)) return 0;
    uint32_t at = space(capability_pointer, 1) & 0xfc;
    for (unsigned steps = 0; at >= first && steps < most; ++steps) {
        if (space(at, 1) == static_cast<uint32_t>(wanted)) return static_cast<uint16_t>(at);
        at = space(at + 1, 1) & 0xfc;
    }
    return 0;
}

PciMsix pci_msix(const PciSpace& space) {
    const uint16_t at = pci_capability(space, PciCapability::msix);
    if (at == 0) return {};
    const auto entries = static_cast<uint16_t>((space(at + 2u, 2) & 0x7ff) + 1);
    return {at, entries, place(space(at + 4u, 4)), place(space(at + 8u, 4))};
}

PciBar pci_bar(const PciSpace& space, unsigned number) {
    constexpr uint32_t is_port = 1, kind_bits = 6, is_wide = 4;
    const unsigned count = bars_of(space);
    if (number >= count) return {};
    const uint32_t low = space(first_bar + 4 * number, 4);
    if (low & is_port) return {PciBar::Kind::port, false, low & ~3u};
    if ((low & kind_bits) != is_wide) return {PciBar::Kind::memory, false, low & ~15u};
    if (number + 1 >= count) return {};
    const uint64_t high = space(first_bar + 4 * number + 4, 4);
    return {PciBar::Kind::memory, true, high << 32 | (low & ~15u)};
}

}  // namespace parse
