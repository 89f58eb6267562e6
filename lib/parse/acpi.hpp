// SPDX-License-Identifier: Apache-2.0
/// The static ACPI tables a hypervisor needs: processors, interrupt controllers, timers, PCI windows, power-off.
/// Freestanding; no AML interpreter: of the DSDT only the \_S5 package is looked at.
#pragma once

#include <cstdint>
#include <optional>

#include "lib/base/result.hpp"
#include "lib/parse/bytes.hpp"

namespace parse {

/// A register as ACPI names it.
struct AcpiAddress {
    enum Space : std::uint8_t { memory = 0, io = 1, pci = 2 };
    std::uint8_t space = 0;
    std::uint8_t bit_width = 0;
    std::uint8_t bit_offset = 0;
    std::uint8_t access_size = 0;
    std::uint64_t address = 0;
    constexpr bool present() const { return address != 0; }
};

/// The root: finds tables by signature.
class AcpiTables {
public:
    /// Searches the BIOS areas (EBDA, 0xE0000-0xFFFFF) for the root pointer.
    /// Errors: noent none found; badmsg a checksum is wrong; range a table outside the window.
    static base::Result<AcpiTables> search(const PhysicalWindow& memory);
    /// From the root pointer's bytes (multiboot 2 hands them out).
    static base::Result<AcpiTables> from_rsdp(Bytes rsdp, const PhysicalWindow& memory);

    /// Number of tables the root lists.
    std::uint32_t count() const { return count_; }
    /// Physical address of table `index` < count().
    std::uint64_t address(std::uint32_t index) const;
    /// The `nth` table with this 4-character signature, header included, checksum checked.
    /// Errors: noent; badmsg; range.
    base::Result<Bytes> table(const char (&signature)[5], std::uint32_t nth = 0) const;
    /// The table at a physical address (the DSDT, named by the FADT). Errors: badmsg, range.
    base::Result<Bytes> table_at(std::uint64_t address) const;
    std::uint64_t root_address() const { return root_; }
    /// Physical address of the root pointer when it was searched for, else 0.
    std::uint64_t rsdp_address() const { return rsdp_; }

private:
    PhysicalWindow memory_;
    Bytes root_table_;
    std::uint64_t root_ = 0;
    std::uint64_t rsdp_ = 0;
    std::uint32_t entry_size_ = 4;
    std::uint32_t count_ = 0;
};

struct AcpiProcessor {
    std::uint32_t apic_id;
    std::uint32_t uid;
    bool enabled;         ///< usable now
    bool online_capable;  ///< may be enabled later
    bool x2apic;          ///< told by an x2APIC entry
};

struct AcpiIoApic {
    std::uint8_t id;
    std::uint32_t address;
    std::uint32_t gsi_base;
};

enum class AcpiPolarity : std::uint8_t { bus_default = 0, high = 1, low = 3 };
enum class AcpiTrigger : std::uint8_t { bus_default = 0, edge = 1, level = 3 };

/// ISA interrupt `irq` arrives at global interrupt `gsi`.
struct AcpiOverride {
    std::uint8_t irq;
    std::uint32_t gsi;
    AcpiPolarity polarity;
    AcpiTrigger trigger;
};

/// A local APIC input wired to NMI; uid 0xFFFFFFFF = all processors.
struct AcpiLocalNmi {
    std::uint32_t uid;
    std::uint8_t lint;
    AcpiPolarity polarity;
    AcpiTrigger trigger;
};

struct AcpiNmiSource {
    std::uint32_t gsi;
    AcpiPolarity polarity;
    AcpiTrigger trigger;
};

struct AcpiMadt {
    std::uint64_t local_apic = 0;
    bool has_8259 = false;
    FixedList<AcpiProcessor, 512> processors;
    FixedList<AcpiIoApic, 32> io_apics;
    FixedList<AcpiOverride, 32> overrides;
    FixedList<AcpiLocalNmi, 64> local_nmis;
    FixedList<AcpiNmiSource, 16> nmi_sources;

    /// Where ISA interrupt `irq` arrives: the override, or irq itself as edge, active high.
    AcpiOverride isa(std::uint8_t irq) const;
};

/// Errors: badmsg an entry reaches outside the table or is shorter than its kind; nospc more entries than we keep.
base::Status read_madt(Bytes table, AcpiMadt& out);

struct AcpiHpet {
    AcpiAddress address;
    std::uint32_t block_id;
    std::uint8_t number;
    std::uint16_t minimum_tick;
};
/// Errors: badmsg.
base::Result<AcpiHpet> read_hpet(Bytes table);

struct AcpiFadt {
    std::uint8_t revision = 0;
    std::uint16_t sci_interrupt = 0;
    std::uint32_t smi_command = 0;
    std::uint8_t acpi_enable = 0;
    std::uint8_t acpi_disable = 0;
    std::uint64_t facs = 0;
    std::uint64_t dsdt = 0;
    AcpiAddress pm1a_event, pm1b_event;
    AcpiAddress pm1a_control, pm1b_control;
    AcpiAddress pm_timer;
    bool pm_timer_32bit = false;
    AcpiAddress reset;  ///< only when the flags say it is supported
    std::uint8_t reset_value = 0;
    std::uint32_t flags = 0;
    std::uint16_t boot_flags = 0;
    bool hardware_reduced = false;
};
/// Errors: badmsg the table is too short.
base::Result<AcpiFadt> read_fadt(Bytes table);

/// A PCI memory-mapped configuration window.
struct AcpiMcfgWindow {
    std::uint64_t address;
    std::uint16_t segment;
    std::uint8_t first_bus;
    std::uint8_t last_bus;
};
/// Errors: badmsg, nospc.
base::Status read_mcfg(Bytes table, FixedList<AcpiMcfgWindow, 16>& out);

/// SLP_TYP values of a sleep state.
struct AcpiSleepType {
    std::uint8_t a;
    std::uint8_t b;
};
/// Looks for the package \_Sn_ (n = 1..5) in a DSDT or SSDT. Errors: noent.
base::Result<AcpiSleepType> find_sleep_type(Bytes table, unsigned state);

}  // namespace parse
