// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_memory_op.
#pragma once

#include "abi/xen/basic.hpp"
#include "abi/xen/physdev.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XENMEM_increase_reservation = 0;
inline constexpr std::uint32_t XENMEM_decrease_reservation = 1;
inline constexpr std::uint32_t XENMEM_populate_physmap = 6;

inline constexpr std::uint32_t XENMEMF_populate_on_demand = 1u << 16;
inline constexpr std::uint32_t XENMEMF_exact_node_request = 1u << 17;
inline constexpr std::uint32_t XENMEMF_vnode = 1u << 18;

/// A list of extents of 2^extent_order pages each.
struct MemoryReservation {
    Handle<xen_pfn_t> extent_start;
    xen_ulong_t nr_extents;
    std::uint32_t extent_order;
    std::uint32_t mem_flags;
    domid_t domid;
    std::uint16_t _pad[3];
};
static_assert(exact_layout<MemoryReservation, 32>);

inline constexpr std::uint32_t XENMEM_exchange = 11;

/// Gives extents back and takes others in one step; nr_exchanged tells how far it came.
struct MemoryExchange {
    MemoryReservation in;
    MemoryReservation out;
    xen_ulong_t nr_exchanged;
};
static_assert(exact_layout<MemoryExchange, 72>);

inline constexpr std::uint32_t XENMEM_maximum_ram_page = 2;

struct MemoryDomain {
    domid_t domid;
};
static_assert(exact_layout<MemoryDomain, 2>);

inline constexpr std::uint32_t XENMEM_current_reservation = 3;
inline constexpr std::uint32_t XENMEM_maximum_reservation = 4;
inline constexpr std::uint32_t XENMEM_maximum_gpfn = 14;
inline constexpr std::uint32_t XENMEM_machphys_mfn_list = 5;

/// Frames of the machine-to-phys table, one per 2 MiB of it.
struct MachphysMfnList {
    std::uint32_t max_extents;
    std::uint32_t _pad;
    Handle<xen_pfn_t> extent_start;
    std::uint32_t nr_extents;
    std::uint32_t _pad1;
};
static_assert(exact_layout<MachphysMfnList, 24>);

inline constexpr std::uint32_t XENMEM_machphys_compat_mfn_list = 25;
inline constexpr std::uint32_t XENMEM_machphys_mapping = 12;

/// Where guests find the machine-to-phys table, and its highest entry.
struct MachphysMapping {
    xen_ulong_t v_start;
    xen_ulong_t v_end;
    xen_ulong_t max_mfn;
};
static_assert(exact_layout<MachphysMapping, 24>);

inline constexpr std::uint32_t XENMAPSPACE_shared_info = 0;
inline constexpr std::uint32_t XENMAPSPACE_grant_table = 1;
inline constexpr std::uint32_t XENMAPSPACE_gmfn = 2;
inline constexpr std::uint32_t XENMAPSPACE_gmfn_range = 3;
inline constexpr std::uint32_t XENMAPSPACE_gmfn_foreign = 4;
inline constexpr std::uint32_t XENMAPSPACE_dev_mmio = 5;

inline constexpr std::uint32_t XENMEM_add_to_physmap = 7;

inline constexpr std::uint32_t XENMAPIDX_grant_table_status = 0x80000000;

/// Puts a page of `space` (XENMAPSPACE_*) at gpfn.
struct AddToPhysmap {
    domid_t domid;
    std::uint16_t size;
    std::uint32_t space;
    xen_ulong_t idx;
    xen_pfn_t gpfn;
};
static_assert(exact_layout<AddToPhysmap, 24>);

inline constexpr std::uint32_t XENMEM_add_to_physmap_batch = 23;

struct AddToPhysmapBatch {
    domid_t domid;
    std::uint16_t space;
    std::uint16_t size;
    union AddToPhysmapBatchExtra {
        domid_t foreign_domid;
        std::uint16_t res0;
    } u;
    Handle<xen_ulong_t> idxs;
    Handle<xen_pfn_t> gpfns;
    Handle<std::int32_t> errs;
};
static_assert(exact_layout<AddToPhysmapBatch, 32>);

inline constexpr std::uint32_t XENMEM_remove_from_physmap = 15;

struct RemoveFromPhysmap {
    domid_t domid;
    std::uint16_t _pad[3];
    xen_pfn_t gpfn;
};
static_assert(exact_layout<RemoveFromPhysmap, 16>);

inline constexpr std::uint32_t XENMEM_memory_map = 9;

/// Room for nr_entries e820 entries of 20 bytes; comes back with how many there are.
struct MemoryMap {
    std::uint32_t nr_entries;
    std::uint32_t _pad;
    Handle<void> buffer;
};
static_assert(exact_layout<MemoryMap, 16>);

inline constexpr std::uint32_t XENMEM_machine_memory_map = 10;
inline constexpr std::uint32_t XENMEM_set_memory_map = 13;

struct ForeignMemoryMap {
    domid_t domid;
    std::uint16_t _pad[3];
    MemoryMap map;
};
static_assert(exact_layout<ForeignMemoryMap, 24>);

inline constexpr std::uint32_t XENMEM_set_pod_target = 16;
inline constexpr std::uint32_t XENMEM_get_pod_target = 17;

struct PodTarget {
    std::uint64_t target_pages;
    std::uint64_t tot_pages;
    std::uint64_t pod_cache_pages;
    std::uint64_t pod_entries;
    domid_t domid;
    std::uint16_t _pad[3];
};
static_assert(exact_layout<PodTarget, 40>);

inline constexpr std::uint32_t XENMEM_get_sharing_freed_pages = 18;
inline constexpr std::uint32_t XENMEM_get_sharing_shared_pages = 19;
inline constexpr std::uint32_t XENMEM_paging_op = 20;
inline constexpr std::uint32_t XENMEM_paging_op_nominate = 0;
inline constexpr std::uint32_t XENMEM_paging_op_evict = 1;
inline constexpr std::uint32_t XENMEM_paging_op_prep = 2;

struct MemPagingOp {
    std::uint8_t op;
    std::uint8_t _pad;
    domid_t domain;
    std::uint32_t _pad1;
    Handle<const std::uint8_t> buffer;
    std::uint64_t gfn;
};
static_assert(exact_layout<MemPagingOp, 24>);

inline constexpr std::uint32_t XENMEM_access_op = 21;
inline constexpr std::uint32_t XENMEM_access_op_set_access = 0;
inline constexpr std::uint32_t XENMEM_access_op_get_access = 1;
inline constexpr std::uint32_t XENMEM_access_op_set_access_multi = 4;

inline constexpr std::uint32_t XENMEM_access_n = 0;
inline constexpr std::uint32_t XENMEM_access_r = 1;
inline constexpr std::uint32_t XENMEM_access_w = 2;
inline constexpr std::uint32_t XENMEM_access_rw = 3;
inline constexpr std::uint32_t XENMEM_access_x = 4;
inline constexpr std::uint32_t XENMEM_access_rx = 5;
inline constexpr std::uint32_t XENMEM_access_wx = 6;
inline constexpr std::uint32_t XENMEM_access_rwx = 7;
inline constexpr std::uint32_t XENMEM_access_rx2rw = 8;
inline constexpr std::uint32_t XENMEM_access_n2rwx = 9;
inline constexpr std::uint32_t XENMEM_access_default = 10;

struct MemAccessOp {
    std::uint8_t op;
    std::uint8_t access;
    domid_t domid;
    std::uint32_t nr;
    std::uint64_t pfn;
    Handle<const std::uint64_t> pfn_list;
    Handle<const std::uint8_t> access_list;
};
static_assert(exact_layout<MemAccessOp, 32>);

inline constexpr std::uint32_t XENMEM_sharing_op = 22;
inline constexpr std::uint32_t XENMEM_sharing_op_nominate_gfn = 0;
inline constexpr std::uint32_t XENMEM_sharing_op_nominate_gref = 1;
inline constexpr std::uint32_t XENMEM_sharing_op_share = 2;
inline constexpr std::uint32_t XENMEM_sharing_op_debug_gfn = 3;
inline constexpr std::uint32_t XENMEM_sharing_op_debug_mfn = 4;
inline constexpr std::uint32_t XENMEM_sharing_op_debug_gref = 5;
inline constexpr std::uint32_t XENMEM_sharing_op_add_physmap = 6;
inline constexpr std::uint32_t XENMEM_sharing_op_audit = 7;
inline constexpr std::uint32_t XENMEM_sharing_op_range_share = 8;
inline constexpr std::uint32_t XENMEM_sharing_op_fork = 9;
inline constexpr std::uint32_t XENMEM_sharing_op_fork_reset = 10;
inline constexpr std::int32_t XENMEM_SHARING_OP_S_HANDLE_INVALID = -10;
inline constexpr std::int32_t XENMEM_SHARING_OP_C_HANDLE_INVALID = -9;
inline constexpr std::uint64_t XENMEM_SHARING_OP_FIELD_IS_GREF_FLAG = 0x4000000000000000;
inline constexpr std::uint32_t XENMEM_FORK_WITH_IOMMU_ALLOWED = 1u << 0;
inline constexpr std::uint32_t XENMEM_FORK_BLOCK_INTERRUPTS = 1u << 1;
inline constexpr std::uint32_t XENMEM_FORK_RESET_STATE = 1u << 2;
inline constexpr std::uint32_t XENMEM_FORK_RESET_MEMORY = 1u << 3;

struct MemSharingOp {
    std::uint8_t op;
    std::uint8_t _pad;
    domid_t domain;
    std::uint32_t _pad1;
    union {
        struct MemSharingOpNominate {
            union {
                std::uint64_t gfn;
                std::uint32_t grant_ref;
            } u;
            std::uint64_t handle;
        } nominate;
        struct MemSharingOpShare {
            std::uint64_t source_gfn;
            std::uint64_t source_handle;
            std::uint64_t client_gfn;
            std::uint64_t client_handle;
            domid_t client_domain;
            std::uint16_t _pad[3];
        } share;
        struct MemSharingOpRange {
            std::uint64_t first_gfn;
            std::uint64_t last_gfn;
            std::uint64_t opaque;
            domid_t client_domain;
            std::uint16_t _pad[3];
        } range;
        struct MemSharingOpDebug {
            union {
                std::uint64_t gfn;
                std::uint64_t mfn;
                std::uint32_t gref;
            } u;
        } debug;
        struct MemSharingOpFork {
            domid_t parent_domain;
            std::uint16_t flags;
            std::uint32_t pad;
        } fork;
    } u;
};
static_assert(layout<MemSharingOp, 48>);

inline constexpr std::uint32_t XENMEM_claim_pages = 24;
inline constexpr std::uint32_t XENMEM_reserved_device_memory_map = 27;

struct ReservedDeviceMemory {
    xen_pfn_t start_pfn;
    xen_ulong_t nr_pages;
};
static_assert(exact_layout<ReservedDeviceMemory, 16>);

inline constexpr std::uint32_t XENMEM_RDM_ALL = 1;

struct ReservedDeviceMemoryMap {
    std::uint32_t flags;
    std::uint32_t nr_entries;
    Handle<ReservedDeviceMemory> buffer;
    union {
        PhysdevPciDevice pci;
    } dev;
    std::uint32_t _pad;
};
static_assert(exact_layout<ReservedDeviceMemoryMap, 24>);

inline constexpr std::uint32_t XENMEM_acquire_resource = 28;
inline constexpr std::uint32_t XENMEM_resource_ioreq_server = 0;
inline constexpr std::uint32_t XENMEM_resource_grant_table = 1;
inline constexpr std::uint32_t XENMEM_resource_vmtrace_buf = 2;
inline constexpr std::uint32_t XENMEM_resource_grant_table_id_shared = 0;
inline constexpr std::uint32_t XENMEM_resource_grant_table_id_status = 1;
inline constexpr std::uint32_t XENMEM_resource_ioreq_server_frame_bufioreq = 0;

/// Maps a resource of a domain (grant frames, ioreq pages) without its help.
struct MemAcquireResource {
    domid_t domid;
    std::uint16_t type;
    std::uint32_t id;
    std::uint32_t nr_frames;
    std::uint32_t pad;
    std::uint64_t frame;
    Handle<xen_pfn_t> frame_list;
};
static_assert(exact_layout<MemAcquireResource, 32>);

inline constexpr std::uint32_t XENMEM_get_vnumainfo = 26;

struct Vmemrange {
    std::uint64_t start;
    std::uint64_t end;
    std::uint32_t flags;
    std::uint32_t nid;
};
static_assert(exact_layout<Vmemrange, 24>);

struct VnumaTopologyInfo {
    domid_t domid;
    std::uint16_t pad;
    std::uint32_t nr_vnodes;
    std::uint32_t nr_vcpus;
    std::uint32_t nr_vmemranges;
    union {
        Handle<std::uint32_t> h;
        std::uint64_t pad;
    } vdistance;
    union {
        Handle<std::uint32_t> h;
        std::uint64_t pad;
    } vcpu_to_vnode;
    union {
        Handle<Vmemrange> h;
        std::uint64_t pad;
    } vmemrange;
};
static_assert(exact_layout<VnumaTopologyInfo, 40>);

/// MemoryReservation::mem_flags: the widest machine address allowed (bits 0-7), the NUMA node (bits 8-15).
constexpr std::uint32_t XENMEMF_address_bits(std::uint32_t bits) noexcept { return bits; }
constexpr std::uint32_t XENMEMF_get_address_bits(std::uint32_t flags) noexcept { return flags & 0xff; }
constexpr std::uint32_t XENMEMF_node(std::uint32_t node) noexcept { return ((node + 1) & 0xff) << 8; }
constexpr std::uint32_t XENMEMF_get_node(std::uint32_t flags) noexcept { return (((flags >> 8) & 0xff) - 1) & 0xff; }
constexpr std::uint32_t XENMEMF_exact_node(std::uint32_t node) noexcept {
    return XENMEMF_node(node) | XENMEMF_exact_node_request;
}

constexpr std::uint64_t XENMEM_resource_ioreq_server_frame_ioreq(std::uint64_t n) noexcept { return 1 + n; }

}  // namespace xen
