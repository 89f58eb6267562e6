// SPDX-License-Identifier: Apache-2.0
/// PCI functions of the machine that is none: bytes of configuration space, and a page of registers behind one BAR.
#pragma once

#include <cstdint>

namespace hv::host {

struct PciFunction {
    uint8_t bus, devfn;
    uint8_t config[256] = {};
    uint64_t memory_at = 0;  ///< the address where the page answers
    alignas(4096) uint8_t memory[4096] = {};

    void set(unsigned reg, unsigned bytes, uint32_t value);
    uint32_t get(unsigned reg, unsigned bytes) const;
    /// A capability in front of those that it has.
    void capability(uint8_t at, uint8_t id);
    /// A 32-bit memory BAR with the page behind it.
    void bar(unsigned number, uint32_t address);
};

/// Puts a function with a vendor into the machine; it stays until unplug().
PciFunction& plug(uint8_t bus, uint8_t devfn);
void unplug(PciFunction& f);

}  // namespace hv::host
