// SPDX-License-Identifier: Apache-2.0
/// What an interrupt is on the bus: a write of `data` to `address`. Devices send it themselves (MSI), I/O APICs for their inputs.
#pragma once

#include <cstdint>

namespace x86 {

struct InterruptMessage {
    uint64_t address;
    uint32_t data;
    bool operator==(const InterruptMessage&) const = default;
};

/// As local APICs take it: to the one CPU with this id, below 256. Source: SDM 3A, 11.11.
constexpr InterruptMessage message_to_cpu(uint8_t vector, uint32_t apic_id) {
    return {0xfee00000u | ((apic_id & 0xff) << 12), vector};
}

namespace ioapic_entry {
inline constexpr uint64_t low = 1u << 13, level = 1u << 15, masked = 1u << 16;
}

/// The redirection entry, masked, by which an I/O APIC sends `m`. The fields of the message stand in other places: bits 4 to 19 of
/// the address from 48 on, its bit 2 in bit 11. Source: 82093AA; VT-d specification 5.1.5.
constexpr uint64_t ioapic_entry_for(InterruptMessage m, bool level, bool active_low) {
    return (m.address >> 4 & 0xffff) << 48 | (m.address >> 2 & 1) << 11 | (m.data & 0x7ff) | (level ? ioapic_entry::level : 0) |
           (active_low ? ioapic_entry::low : 0) | ioapic_entry::masked;
}

}  // namespace x86
