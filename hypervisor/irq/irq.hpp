// SPDX-License-Identifier: Apache-2.0
/// Machine interrupts: one IrqLine for every I/O APIC input or MSI in use, found by its vector.
#pragma once

#include <atomic>
#include <cstdint>

#include "hypervisor/irq/pirq.hpp"
#include "hypervisor/mm/frame.hpp"
#include "lib/base/result.hpp"

namespace hv {

inline constexpr unsigned max_gsis = 256;

enum class IrqKind : uint8_t { free, ioapic, msi, msix };

struct IrqLine {
    IrqKind kind = IrqKind::free;
    uint8_t vector = 0;  ///< 0: none yet
    bool level = false;
    bool active_low = false;
    std::atomic<bool> in_service{false};  ///< level: masked until the guest's EOI
    uint32_t gsi = 0;
    uint32_t mappings = 0;                 ///< numberings that it is in: a GSI may be in many, an MSI is in one
    void (*handler)() = nullptr;           ///< the hypervisor's own use
    std::atomic<Domain*> target{nullptr};  ///< bound: an event channel of this domain listens
    std::atomic<uint32_t> pirq{0};         ///< the target's number for it
    std::atomic<uint32_t> deliveries{0};   ///< interrupts on their way to what was the target when they came
    // MSI and MSI-X
    uint8_t bus = 0, devfn = 0;
    uint16_t capability = 0;             ///< configuration space offset
    volatile uint32_t* entry = nullptr;  ///< in the MSI-X table: address (2 words), data, vector control
};

/// Handles the device interrupt `vector` and acknowledges it at the local APIC.
void irq_dispatch(uint8_t vector);
/// The hypervisor's own handler for a GSI (serial line). Errors: busy, nospc.
base::Status irq_claim(uint32_t gsi, bool level, bool active_low, void (*handler)());

/// PHYSDEVOP_map_pirq for a GSI; `wanted` < 0: same number as the GSI. Several domains may have it mapped, one at a time may bind it.
/// Errors: inval, exist (either is mapped to something else), nospc, nomem.
base::Result<uint32_t> pirq_map_gsi(PirqTable& t, uint32_t gsi, int32_t wanted);
/// For one MSI (`bar` 0) or MSI-X entry of a device; `bar` as in msi_find(). Errors: inval, noent (no such capability), nospc, nomem.
base::Result<uint32_t> pirq_map_msi(PirqTable& t, uint8_t bus, uint8_t devfn, uint16_t entry, uint64_t bar, int32_t wanted);
/// Unbinds it first if need be. Errors: inval.
base::Status pirq_unmap(PirqTable& t, uint32_t pirq);
/// PHYSDEVOP_setup_gsi: trigger mode and polarity, as ACPI told dom0. Errors: inval.
base::Status gsi_setup(uint32_t gsi, bool level, bool active_low);
/// PHYSDEVOP_alloc_irq_vector. Errors: inval, nospc.
base::Result<uint8_t> gsi_vector(uint32_t gsi);
/// A number that nothing is mapped to, above the GSIs. Errors: nospc.
base::Result<uint32_t> pirq_free_number(PirqTable& t);

}  // namespace hv
