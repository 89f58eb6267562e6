// SPDX-License-Identifier: Apache-2.0
/// Machine interrupts: one IrqLine for every I/O APIC input or MSI in use, found by its vector.
#pragma once

#include <atomic>
#include <cstdint>

#include "hypervisor/mm/frame.hpp"
#include "lib/base/result.hpp"

namespace hv {

struct Domain;

inline constexpr unsigned max_gsis = 256;

enum class IrqKind : uint8_t { free, ioapic, msi, msix };

struct IrqLine {
    IrqKind kind = IrqKind::free;
    uint8_t vector = 0;  ///< 0: none yet
    bool level = false;
    bool active_low = false;
    std::atomic<bool> in_service{false};  ///< level: masked until the guest's EOI
    bool bound = false;                   ///< an event channel listens
    uint32_t gsi = 0;
    uint32_t pirq = 0;
    std::atomic<Domain*> owner{nullptr};  ///< dom0 for all but the hypervisor's own lines
    void (*handler)() = nullptr;          ///< the hypervisor's own use
    // MSI and MSI-X
    uint8_t bus = 0, devfn = 0;
    uint16_t capability = 0;             ///< configuration space offset
    volatile uint32_t* entry = nullptr;  ///< in the MSI-X table: address (2 words), data, vector control
};

/// A domain's numbering of the interrupts it may use. pirq < gsi_count(): the GSI of that number.
struct PirqTable {
    static constexpr unsigned capacity = 1024;
    IrqLine* lines[capacity] = {};
};

/// Handles the device interrupt `vector` and acknowledges it at the local APIC.
void irq_dispatch(uint8_t vector);
/// The hypervisor's own handler for a GSI (serial line). Errors: busy, nospc.
base::Status irq_claim(uint32_t gsi, bool level, bool active_low, void (*handler)());

/// The domain's table; null when it has none: it drives no devices. domain/ knows.
PirqTable* pirqs_of(const Domain& d);
base::Result<PirqTable*> pirqs_create();
/// Gives all lines back and frees the table.
void pirqs_destroy(Domain& d);

/// PHYSDEVOP_map_pirq for a GSI; `wanted` < 0: same number as the GSI. Errors: inval, busy, nospc.
base::Result<uint32_t> pirq_map_gsi(Domain& d, uint32_t gsi, int32_t wanted);
/// For one MSI (`bar` 0) or MSI-X entry of a device; `bar` as in msi_find(). Errors: inval, noent (no such capability), nospc.
base::Result<uint32_t> pirq_map_msi(Domain& d, uint8_t bus, uint8_t devfn, uint16_t entry, uint64_t bar, int32_t wanted);
base::Status pirq_unmap(Domain& d, uint32_t pirq);
/// PHYSDEVOP_setup_gsi: trigger mode and polarity, as ACPI told dom0. Errors: inval.
base::Status gsi_setup(uint32_t gsi, bool level, bool active_low);
/// PHYSDEVOP_alloc_irq_vector. Errors: inval, nospc.
base::Result<uint8_t> gsi_vector(uint32_t gsi);
/// A number no line of the domain has, above the GSIs. Errors: nospc.
base::Result<uint32_t> pirq_free_number(Domain& d);

}  // namespace hv
