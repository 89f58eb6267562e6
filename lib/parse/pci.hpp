// SPDX-License-Identifier: Apache-2.0
/// What a PCI function's configuration space says of it. Source: PCI Local Bus specification 3.0, chapter 6.
#pragma once

#include <cstdint>

namespace parse {

/// One function's configuration space: `read` takes `at` plus a register's offset, and 1, 2 or 4 bytes, naturally aligned. Where
/// nobody answers it yields ones.
struct PciSpace {
    uint32_t (*read)(uint32_t address, unsigned bytes);
    uint32_t at;
    uint32_t operator()(uint32_t reg, unsigned bytes) const { return read(at + reg, bytes); }
};

enum class PciCapability : uint8_t { msi = 5, msix = 0x11 };
/// Its offset; 0 when the function has none, or is not there. A list longer than the space is a broken device's.
uint16_t pci_capability(const PciSpace& space, PciCapability wanted);

/// Where in the function's memory something is: which BAR, and how far behind its start.
struct PciPlace {
    uint8_t bar = 0;
    uint32_t offset = 0;
};
struct PciMsix {
    uint16_t capability = 0;  ///< offset; 0: it has none
    uint16_t entries = 0;
    PciPlace table, pending;
};
PciMsix pci_msix(const PciSpace& space);

struct PciBar {
    enum class Kind : uint8_t { none, memory, port } kind = Kind::none;
    bool wide = false;     ///< takes the next register, too
    uint64_t address = 0;  ///< as it is now: who drives the machine may move it
};
PciBar pci_bar(const PciSpace& space, unsigned number);

}  // namespace parse
