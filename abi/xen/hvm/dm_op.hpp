// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_dm_op: what a device model asks of the hypervisor.
#pragma once

#include "abi/xen/basic.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/hvm/hvm_op.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XEN_DMOP_create_ioreq_server = 1;

struct DmOpCreateIoreqServer {
    std::uint8_t handle_bufioreq;
    std::uint8_t pad[3];
    ioservid_t id;
};
static_assert(exact_layout<DmOpCreateIoreqServer, 6>);

inline constexpr std::uint32_t XEN_DMOP_get_ioreq_server_info = 2;
inline constexpr std::uint32_t XEN_DMOP_no_gfns = 1u << 0;

struct DmOpGetIoreqServerInfo {
    ioservid_t id;
    std::uint16_t flags;
    evtchn_port_t bufioreq_port;
    std::uint64_t ioreq_gfn;
    std::uint64_t bufioreq_gfn;
};
static_assert(exact_layout<DmOpGetIoreqServerInfo, 24>);

inline constexpr std::uint32_t XEN_DMOP_map_io_range_to_ioreq_server = 3;
inline constexpr std::uint32_t XEN_DMOP_unmap_io_range_from_ioreq_server = 4;
inline constexpr std::uint32_t XEN_DMOP_IO_RANGE_PORT = 0;
inline constexpr std::uint32_t XEN_DMOP_IO_RANGE_MEMORY = 1;
inline constexpr std::uint32_t XEN_DMOP_IO_RANGE_PCI = 2;

struct DmOpIoreqServerRange {
    ioservid_t id;
    std::uint16_t pad;
    std::uint32_t type;
    std::uint64_t start;
    std::uint64_t end;
};
static_assert(exact_layout<DmOpIoreqServerRange, 24>);

inline constexpr std::uint32_t XEN_DMOP_set_ioreq_server_state = 5;

struct DmOpSetIoreqServerState {
    ioservid_t id;
    std::uint8_t enabled;
    std::uint8_t pad;
};
static_assert(exact_layout<DmOpSetIoreqServerState, 4>);

inline constexpr std::uint32_t XEN_DMOP_destroy_ioreq_server = 6;

struct DmOpDestroyIoreqServer {
    ioservid_t id;
    std::uint16_t pad;
};
static_assert(exact_layout<DmOpDestroyIoreqServer, 4>);

inline constexpr std::uint32_t XEN_DMOP_track_dirty_vram = 7;

struct DmOpTrackDirtyVram {
    std::uint32_t nr;
    std::uint32_t pad;
    std::uint64_t first_pfn;
};
static_assert(exact_layout<DmOpTrackDirtyVram, 16>);

inline constexpr std::uint32_t XEN_DMOP_set_pci_intx_level = 8;

struct DmOpSetPciIntxLevel {
    std::uint16_t domain;
    std::uint8_t bus;
    std::uint8_t device;
    std::uint8_t intx;
    std::uint8_t level;
};
static_assert(exact_layout<DmOpSetPciIntxLevel, 6>);

inline constexpr std::uint32_t XEN_DMOP_set_isa_irq_level = 9;

struct DmOpSetIsaIrqLevel {
    std::uint8_t isa_irq;
    std::uint8_t level;
};
static_assert(exact_layout<DmOpSetIsaIrqLevel, 2>);

inline constexpr std::uint32_t XEN_DMOP_set_pci_link_route = 10;

struct DmOpSetPciLinkRoute {
    std::uint8_t link;
    std::uint8_t isa_irq;
};
static_assert(exact_layout<DmOpSetPciLinkRoute, 2>);

inline constexpr std::uint32_t XEN_DMOP_modified_memory = 11;

struct DmOpModifiedMemory {
    std::uint32_t nr_extents;
    std::uint32_t opaque;
};
static_assert(exact_layout<DmOpModifiedMemory, 8>);

struct DmOpModifiedMemoryExtent {
    std::uint32_t nr;
    std::uint32_t pad;
    std::uint64_t first_pfn;
};
static_assert(exact_layout<DmOpModifiedMemoryExtent, 16>);

inline constexpr std::uint32_t XEN_DMOP_set_mem_type = 12;

struct DmOpSetMemType {
    std::uint32_t nr;
    std::uint16_t mem_type;
    std::uint16_t pad;
    std::uint64_t first_pfn;
};
static_assert(exact_layout<DmOpSetMemType, 16>);

inline constexpr std::uint32_t XEN_DMOP_inject_event = 13;
inline constexpr std::uint32_t XEN_DMOP_EVENT_ext_int = 0;
inline constexpr std::uint32_t XEN_DMOP_EVENT_nmi = 2;
inline constexpr std::uint32_t XEN_DMOP_EVENT_hw_exc = 3;
inline constexpr std::uint32_t XEN_DMOP_EVENT_sw_int = 4;
inline constexpr std::uint32_t XEN_DMOP_EVENT_pri_sw_exc = 5;
inline constexpr std::uint32_t XEN_DMOP_EVENT_sw_exc = 6;

struct DmOpInjectEvent {
    std::uint32_t vcpuid;
    std::uint8_t vector;
    std::uint8_t type;
    std::uint8_t insn_len;
    std::uint8_t pad0;
    std::uint32_t error_code;
    std::uint32_t pad1;
    std::uint64_t cr2;
};
static_assert(exact_layout<DmOpInjectEvent, 24>);

inline constexpr std::uint32_t XEN_DMOP_inject_msi = 14;

struct DmOpInjectMsi {
    std::uint32_t data;
    std::uint32_t pad;
    std::uint64_t addr;
};
static_assert(exact_layout<DmOpInjectMsi, 16>);

inline constexpr std::uint32_t XEN_DMOP_map_mem_type_to_ioreq_server = 15;
inline constexpr std::uint32_t XEN_DMOP_IOREQ_MEM_ACCESS_READ = 1u << 0;
inline constexpr std::uint32_t XEN_DMOP_IOREQ_MEM_ACCESS_WRITE = 1u << 1;

struct DmOpMapMemTypeToIoreqServer {
    ioservid_t id;
    std::uint16_t type;
    std::uint32_t flags;
    std::uint64_t opaque;
};
static_assert(exact_layout<DmOpMapMemTypeToIoreqServer, 16>);

inline constexpr std::uint32_t XEN_DMOP_remote_shutdown = 16;

struct DmOpRemoteShutdown {
    std::uint32_t reason;
};
static_assert(exact_layout<DmOpRemoteShutdown, 4>);

inline constexpr std::uint32_t XEN_DMOP_relocate_memory = 17;

struct DmOpRelocateMemory {
    std::uint32_t size;
    std::uint32_t pad;
    std::uint64_t src_gfn;
    std::uint64_t dst_gfn;
};
static_assert(exact_layout<DmOpRelocateMemory, 24>);

inline constexpr std::uint32_t XEN_DMOP_pin_memory_cacheattr = 18;
inline constexpr std::uint32_t XEN_DMOP_MEM_CACHEATTR_UC = 0;
inline constexpr std::uint32_t XEN_DMOP_MEM_CACHEATTR_WC = 1;
inline constexpr std::uint32_t XEN_DMOP_MEM_CACHEATTR_WT = 4;
inline constexpr std::uint32_t XEN_DMOP_MEM_CACHEATTR_WP = 5;
inline constexpr std::uint32_t XEN_DMOP_MEM_CACHEATTR_WB = 6;
inline constexpr std::uint32_t XEN_DMOP_MEM_CACHEATTR_UCM = 7;
inline constexpr std::uint32_t XEN_DMOP_DELETE_MEM_CACHEATTR = 0xffffffff;

struct DmOpPinMemoryCacheattr {
    std::uint64_t start;
    std::uint64_t end;
    std::uint32_t type;
    std::uint32_t pad;
};
static_assert(exact_layout<DmOpPinMemoryCacheattr, 24>);

inline constexpr std::uint32_t XEN_DMOP_set_irq_level = 19;

struct DmOpSetIrqLevel {
    std::uint32_t irq;
    std::uint8_t level;
    std::uint8_t pad[3];
};
static_assert(exact_layout<DmOpSetIrqLevel, 8>);

inline constexpr std::uint32_t XEN_DMOP_nr_vcpus = 20;

struct DmOpNrVcpus {
    std::uint32_t vcpus;
};
static_assert(exact_layout<DmOpNrVcpus, 4>);

/// One device-model operation; u holds its own structure.
struct DmOp {
    std::uint32_t op;
    std::uint32_t pad;
    union {
        DmOpCreateIoreqServer create_ioreq_server;
        DmOpGetIoreqServerInfo get_ioreq_server_info;
        DmOpIoreqServerRange map_io_range_to_ioreq_server;
        DmOpIoreqServerRange unmap_io_range_from_ioreq_server;
        DmOpSetIoreqServerState set_ioreq_server_state;
        DmOpDestroyIoreqServer destroy_ioreq_server;
        DmOpTrackDirtyVram track_dirty_vram;
        DmOpSetPciIntxLevel set_pci_intx_level;
        DmOpSetIsaIrqLevel set_isa_irq_level;
        DmOpSetIrqLevel set_irq_level;
        DmOpSetPciLinkRoute set_pci_link_route;
        DmOpModifiedMemory modified_memory;
        DmOpSetMemType set_mem_type;
        DmOpInjectEvent inject_event;
        DmOpInjectMsi inject_msi;
        DmOpMapMemTypeToIoreqServer map_mem_type_to_ioreq_server;
        DmOpRemoteShutdown remote_shutdown;
        DmOpRelocateMemory relocate_memory;
        DmOpPinMemoryCacheattr pin_memory_cacheattr;
        DmOpNrVcpus nr_vcpus;
    } u;
};
static_assert(layout<DmOp, 32>);

struct DmOpBuf {
    Handle<void> h;
    xen_ulong_t size;
};
static_assert(exact_layout<DmOpBuf, 16>);

constexpr std::uint32_t XEN_DMOP_PCI_SBDF(std::uint32_t segment, std::uint32_t bus, std::uint32_t device,
                                          std::uint32_t function) noexcept {
    return ((segment & 0xffff) << 16) | ((bus & 0xff) << 8) | ((device & 0x1f) << 3) | (function & 7);
}

}  // namespace xen
