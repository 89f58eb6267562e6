// SPDX-License-Identifier: Apache-2.0
/// Machine interrupts: one IrqLine for every I/O APIC input or MSI in use, found by its vector.
#pragma once

#include <atomic>
#include <cstdint>

#include "hypervisor/irq/pci_config.hpp"
#include "hypervisor/irq/pirq.hpp"
#include "hypervisor/mm/frame.hpp"
#include "lib/base/list.hpp"
#include "lib/base/result.hpp"

namespace hv {

struct PciDevice;  // pci_device.hpp

inline constexpr unsigned max_gsis = 256;

enum class IrqKind : uint8_t { free, ioapic, msi, msix };

struct IrqLine {
    IrqKind kind = IrqKind::free;
    uint8_t vector = 0;  ///< 0: none yet
    bool level = false;
    bool active_low = false;
    std::atomic<bool> in_service{false};  ///< level: masked until the guest's EOI
    bool described = false;               ///< a GSI: ACPI has said how it behaves, which stays when nobody has it mapped
    uint32_t gsi = 0;
    uint32_t mappings = 0;                 ///< numberings that it is in: a GSI may be in many, an MSI is in one
    void (*handler)() = nullptr;           ///< the hypervisor's own use
    std::atomic<Domain*> target{nullptr};  ///< bound: an event channel of this domain listens
    std::atomic<uint32_t> pirq{0};         ///< the target's number for it
    std::atomic<uint32_t> deliveries{0};   ///< interrupts on their way to what was the target when they came
    // MSI and MSI-X, while they are mapped
    PciDevice* device = nullptr;  ///< whose they are
    base::ListNode of_device;
    PirqTable* numbering = nullptr;
    volatile uint32_t* entry = nullptr;  ///< in the MSI-X table: address (2 words), data, vector control
};

/// Handles the device interrupt `vector` and acknowledges it at the local APIC.
void irq_dispatch(uint8_t vector);
/// The hypervisor's own handler for a GSI (serial line). Errors: busy, nospc.
base::Status irq_claim(uint32_t gsi, bool level, bool active_low, void (*handler)());

/// PHYSDEVOP_map_pirq for a GSI; `wanted` < 0: same number as the GSI. Several domains may have it mapped, one at a time may bind it.
/// Errors: inval, exist (either is mapped to something else), nospc, nomem.
base::Result<uint32_t> pirq_map_gsi(PirqTable& t, uint32_t gsi, int32_t wanted);
struct MsiRequest {
    PciAddress device;
    uint16_t entry = 0;  ///< of MSI-X
    uint64_t table_base =
        0;  ///< 0: MSI; else MSI-X, and where the memory with the table begins if the device does not say so itself
};
/// Errors: inval, nodev (not announced, or no such capability), exist (its message, or `wanted`, is in use), nospc, nomem.
base::Result<uint32_t> pirq_map_msi(PirqTable& t, const MsiRequest& m, int32_t wanted);
/// Unbinds it first if need be. Errors: inval.
base::Status pirq_unmap(PirqTable& t, uint32_t pirq);
/// PHYSDEVOP_setup_gsi: trigger mode and polarity, as ACPI told dom0. Errors: inval.
base::Status gsi_setup(uint32_t gsi, bool level, bool active_low);
/// PHYSDEVOP_alloc_irq_vector. Errors: inval, nospc.
base::Result<uint8_t> gsi_vector(uint32_t gsi);
/// PHYSDEVOP_apic_read: a register of the I/O APIC at `physical`. Errors: inval.
base::Result<uint32_t> ioapic_register(uint64_t physical, uint32_t reg);
/// A number that nothing is mapped to, above the GSIs. Errors: nospc.
base::Result<uint32_t> pirq_free_number(PirqTable& t);

}  // namespace hv
