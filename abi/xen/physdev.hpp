// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_physdev_op.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t PHYSDEVOP_eoi = 12;

struct PhysdevEoi {
    std::uint32_t irq;
};
static_assert(exact_layout<PhysdevEoi, 4>);

inline constexpr std::uint32_t PHYSDEVOP_pirq_eoi_gmfn_v1 = 17;
inline constexpr std::uint32_t PHYSDEVOP_pirq_eoi_gmfn_v2 = 28;

struct PhysdevPirqEoiGmfn {
    xen_pfn_t gmfn;
};
static_assert(exact_layout<PhysdevPirqEoiGmfn, 8>);

inline constexpr std::uint32_t PHYSDEVOP_irq_status_query = 5;

struct PhysdevIrqStatusQuery {
    std::uint32_t irq;
    std::uint32_t flags;
};
static_assert(exact_layout<PhysdevIrqStatusQuery, 8>);

inline constexpr std::uint32_t XENIRQSTAT_needs_eoi = 1u << 0;
inline constexpr std::uint32_t XENIRQSTAT_shared = 1u << 1;

inline constexpr std::uint32_t PHYSDEVOP_set_iopl = 6;

struct PhysdevSetIopl {
    std::uint32_t iopl;
};
static_assert(exact_layout<PhysdevSetIopl, 4>);

inline constexpr std::uint32_t PHYSDEVOP_set_iobitmap = 7;

struct PhysdevSetIobitmap {
    Handle<std::uint8_t> bitmap;
    std::uint32_t nr_ports;
    std::uint32_t _pad;
};
static_assert(exact_layout<PhysdevSetIobitmap, 16>);

inline constexpr std::uint32_t PHYSDEVOP_apic_read = 8;
inline constexpr std::uint32_t PHYSDEVOP_apic_write = 9;

struct PhysdevApic {
    std::uint64_t apic_physbase;
    std::uint32_t reg;
    std::uint32_t value;
};
static_assert(exact_layout<PhysdevApic, 16>);

inline constexpr std::uint32_t PHYSDEVOP_alloc_irq_vector = 10;

inline constexpr std::uint32_t PHYSDEVOP_free_irq_vector = 11;

struct PhysdevIrq {
    std::uint32_t irq;
    std::uint32_t vector;
};
static_assert(exact_layout<PhysdevIrq, 8>);

inline constexpr std::uint32_t MAP_PIRQ_TYPE_MSI = 0x0;
inline constexpr std::uint32_t MAP_PIRQ_TYPE_GSI = 0x1;
inline constexpr std::uint32_t MAP_PIRQ_TYPE_UNKNOWN = 0x2;
inline constexpr std::uint32_t MAP_PIRQ_TYPE_MSI_SEG = 0x3;
inline constexpr std::uint32_t MAP_PIRQ_TYPE_MULTI_MSI = 0x4;

inline constexpr std::uint32_t PHYSDEVOP_map_pirq = 13;

/// Gives a domain a GSI or MSI as a pirq.
struct PhysdevMapPirq {
    domid_t domid;
    std::uint16_t _pad;
    std::int32_t type;
    std::int32_t index;
    std::int32_t pirq;
    std::int32_t bus;
    std::int32_t devfn;
    std::int32_t entry_nr;
    std::uint32_t _pad1;
    std::uint64_t table_base;
};
static_assert(exact_layout<PhysdevMapPirq, 40>);

inline constexpr std::uint32_t PHYSDEVOP_unmap_pirq = 14;

struct PhysdevUnmapPirq {
    domid_t domid;
    std::uint16_t _pad;
    std::int32_t pirq;
};
static_assert(exact_layout<PhysdevUnmapPirq, 8>);

inline constexpr std::uint32_t PHYSDEVOP_manage_pci_add = 15;
inline constexpr std::uint32_t PHYSDEVOP_manage_pci_remove = 16;

struct PhysdevManagePci {
    std::uint8_t bus;
    std::uint8_t devfn;
};
static_assert(exact_layout<PhysdevManagePci, 2>);

inline constexpr std::uint32_t PHYSDEVOP_restore_msi = 19;

struct PhysdevRestoreMsi {
    std::uint8_t bus;
    std::uint8_t devfn;
};
static_assert(exact_layout<PhysdevRestoreMsi, 2>);

inline constexpr std::uint32_t PHYSDEVOP_manage_pci_add_ext = 20;

struct PhysdevManagePciExt {
    std::uint8_t bus;
    std::uint8_t devfn;
    std::uint16_t _pad;
    std::uint32_t is_extfn;
    std::uint32_t is_virtfn;
    struct {
        std::uint8_t bus;
        std::uint8_t devfn;
    } physfn;
    std::uint16_t _pad1;
};
static_assert(exact_layout<PhysdevManagePciExt, 16>);

struct PhysdevOp {
    std::uint32_t cmd;
    std::uint32_t _pad;
    union {
        PhysdevIrqStatusQuery irq_status_query;
        PhysdevSetIopl set_iopl;
        PhysdevSetIobitmap set_iobitmap;
        PhysdevApic apic_op;
        PhysdevIrq irq_op;
    } u;
};
static_assert(layout<PhysdevOp, 24>);

inline constexpr std::uint32_t PHYSDEVOP_setup_gsi = 21;

struct PhysdevSetupGsi {
    std::int32_t gsi;
    std::uint8_t triggering;
    std::uint8_t polarity;
    std::uint16_t _pad;
};
static_assert(exact_layout<PhysdevSetupGsi, 8>);

inline constexpr std::uint32_t PHYSDEVOP_get_free_pirq = 23;

struct PhysdevGetFreePirq {
    std::int32_t type;
    std::uint32_t pirq;
};
static_assert(exact_layout<PhysdevGetFreePirq, 8>);

inline constexpr std::uint32_t XEN_PCI_MMCFG_RESERVED = 0x1;

inline constexpr std::uint32_t PHYSDEVOP_pci_mmcfg_reserved = 24;

struct PhysdevPciMmcfgReserved {
    std::uint64_t address;
    std::uint16_t segment;
    std::uint8_t start_bus;
    std::uint8_t end_bus;
    std::uint32_t flags;
};
static_assert(exact_layout<PhysdevPciMmcfgReserved, 16>);

inline constexpr std::uint32_t XEN_PCI_DEV_EXTFN = 0x1;
inline constexpr std::uint32_t XEN_PCI_DEV_VIRTFN = 0x2;
inline constexpr std::uint32_t XEN_PCI_DEV_PXM = 0x4;

inline constexpr std::uint32_t PHYSDEVOP_pci_device_add = 25;

/// Tells the hypervisor of a PCI device; node numbers may follow.
struct PhysdevPciDeviceAdd {
    std::uint16_t seg;
    std::uint8_t bus;
    std::uint8_t devfn;
    std::uint32_t flags;
    struct {
        std::uint8_t bus;
        std::uint8_t devfn;
    } physfn;
    std::uint16_t _pad;
    // followed by std::uint32_t optarr[]
};
static_assert(exact_layout<PhysdevPciDeviceAdd, 12>);

inline constexpr std::uint32_t PHYSDEVOP_pci_device_remove = 26;

inline constexpr std::uint32_t PHYSDEVOP_restore_msi_ext = 27;

inline constexpr std::uint32_t PHYSDEVOP_prepare_msix = 30;

inline constexpr std::uint32_t PHYSDEVOP_release_msix = 31;

struct PhysdevPciDevice {
    std::uint16_t seg;
    std::uint8_t bus;
    std::uint8_t devfn;
};
static_assert(exact_layout<PhysdevPciDevice, 4>);

inline constexpr std::uint32_t PHYSDEVOP_DBGP_RESET_PREPARE = 1;
inline constexpr std::uint32_t PHYSDEVOP_DBGP_RESET_DONE = 2;
inline constexpr std::uint32_t PHYSDEVOP_DBGP_BUS_UNKNOWN = 0;
inline constexpr std::uint32_t PHYSDEVOP_DBGP_BUS_PCI = 1;

inline constexpr std::uint32_t PHYSDEVOP_dbgp_op = 29;

struct PhysdevDbgpOp {
    std::uint8_t op;
    std::uint8_t bus;
    union {
        PhysdevPciDevice pci;
    } u;
};
static_assert(exact_layout<PhysdevDbgpOp, 6>);

inline constexpr std::uint32_t PHYSDEVOP_IRQ_UNMASK_NOTIFY = 4;

inline constexpr auto PHYSDEVOP_pirq_eoi_gmfn = PHYSDEVOP_pirq_eoi_gmfn_v2;

}  // namespace xen
