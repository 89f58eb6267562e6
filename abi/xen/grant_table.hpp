// SPDX-License-Identifier: Apache-2.0
/// Grant tables: entries of both versions and HYPERVISOR_grant_table_op.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

/// A grant: flags last, written with release semantics; the granting guest owns domid and frame.
struct GrantEntryV1 {
    std::uint16_t flags;
    domid_t domid;
    std::uint32_t frame;
};
static_assert(exact_layout<GrantEntryV1, 8>);

inline constexpr std::uint32_t GNTTAB_NR_RESERVED_ENTRIES = 8;
inline constexpr std::uint32_t GNTTAB_RESERVED_CONSOLE = 0;
inline constexpr std::uint32_t GNTTAB_RESERVED_XENSTORE = 1;

inline constexpr std::uint32_t GTF_invalid = 0;
inline constexpr std::uint32_t GTF_permit_access = 1u << 0;
inline constexpr std::uint32_t GTF_accept_transfer = 2;
inline constexpr std::uint32_t GTF_transitive = 3;
inline constexpr std::uint32_t GTF_type_mask = 3;
inline constexpr std::uint32_t GTF_readonly = 1u << 2;
inline constexpr std::uint32_t GTF_reading = 1u << 3;
inline constexpr std::uint32_t GTF_writing = 1u << 4;
inline constexpr std::uint32_t GTF_PWT = 1u << 5;
inline constexpr std::uint32_t GTF_PCD = 1u << 6;
inline constexpr std::uint32_t GTF_PAT = 1u << 7;
inline constexpr std::uint32_t GTF_sub_page = 1u << 8;
inline constexpr std::uint32_t GTF_transfer_committed = 1u << 2;
inline constexpr std::uint32_t GTF_transfer_completed = 1u << 3;

struct GrantEntryHeader {
    std::uint16_t flags;
    domid_t domid;
};
static_assert(exact_layout<GrantEntryHeader, 4>);

/// A version 2 grant: full page, part of a page, or passed on from a third domain.
union GrantEntryV2 {
    GrantEntryHeader hdr;
    struct {
        GrantEntryHeader hdr;
        std::uint32_t pad0;
        std::uint64_t frame;
    } full_page;
    struct {
        GrantEntryHeader hdr;
        std::uint16_t page_off;
        std::uint16_t length;
        std::uint64_t frame;
    } sub_page;
    struct {
        GrantEntryHeader hdr;
        domid_t trans_domid;
        std::uint16_t pad0;
        grant_ref_t gref;
    } transitive;
    std::uint32_t __spacer[4];
};
static_assert(layout<GrantEntryV2, 16>);

inline constexpr std::uint32_t GNTTABOP_map_grant_ref = 0;
inline constexpr std::uint32_t GNTTABOP_unmap_grant_ref = 1;
inline constexpr std::uint32_t GNTTABOP_setup_table = 2;
inline constexpr std::uint32_t GNTTABOP_dump_table = 3;
inline constexpr std::uint32_t GNTTABOP_transfer = 4;
inline constexpr std::uint32_t GNTTABOP_copy = 5;
inline constexpr std::uint32_t GNTTABOP_query_size = 6;
inline constexpr std::uint32_t GNTTABOP_unmap_and_replace = 7;
inline constexpr std::uint32_t GNTTABOP_set_version = 8;
inline constexpr std::uint32_t GNTTABOP_get_status_frames = 9;
inline constexpr std::uint32_t GNTTABOP_get_version = 10;
inline constexpr std::uint32_t GNTTABOP_swap_grant_ref = 11;
inline constexpr std::uint32_t GNTTABOP_cache_flush = 12;

/// Maps another domain's grant; handle names the mapping for the unmap. status: GNTST_*.
struct GnttabMapGrantRef {
    std::uint64_t host_addr;
    std::uint32_t flags;
    grant_ref_t ref;
    domid_t dom;
    std::int16_t status;
    std::uint32_t handle;
    std::uint64_t dev_bus_addr;
};
static_assert(exact_layout<GnttabMapGrantRef, 32>);

/// Undoes a mapping.
struct GnttabUnmapGrantRef {
    std::uint64_t host_addr;
    std::uint64_t dev_bus_addr;
    std::uint32_t handle;
    std::int16_t status;
    std::uint16_t _pad;
};
static_assert(exact_layout<GnttabUnmapGrantRef, 24>);

/// Sizes the table and returns its frames.
struct GnttabSetupTable {
    domid_t dom;
    std::uint16_t _pad;
    std::uint32_t nr_frames;
    std::int16_t status;
    std::uint16_t _pad1[3];
    Handle<xen_pfn_t> frame_list;
};
static_assert(exact_layout<GnttabSetupTable, 24>);

struct GnttabDumpTable {
    domid_t dom;
    std::int16_t status;
};
static_assert(exact_layout<GnttabDumpTable, 4>);

/// Gives a page away to a waiting domain.
struct GnttabTransfer {
    xen_pfn_t mfn;
    domid_t domid;
    std::uint16_t _pad;
    grant_ref_t ref;
    std::int16_t status;
    std::uint16_t _pad1[3];
};
static_assert(exact_layout<GnttabTransfer, 24>);

inline constexpr std::uint32_t GNTCOPY_source_gref = 1u << 0;
inline constexpr std::uint32_t GNTCOPY_dest_gref = 1u << 1;

/// Copies within and between pages named by grant or by frame.
struct GnttabCopy {
    struct GnttabCopyPtr {
        union {
            grant_ref_t ref;
            xen_pfn_t gmfn;
        } u;
        domid_t domid;
        std::uint16_t offset;
        std::uint32_t _pad;
    } source;
    GnttabCopyPtr dest;
    std::uint16_t len;
    std::uint16_t flags;
    std::int16_t status;
    std::uint16_t _pad;
};
static_assert(layout<GnttabCopy, 40>);

/// How many frames a table has and may have.
struct GnttabQuerySize {
    domid_t dom;
    std::uint16_t _pad;
    std::uint32_t nr_frames;
    std::uint32_t max_nr_frames;
    std::int16_t status;
    std::uint16_t _pad1;
};
static_assert(exact_layout<GnttabQuerySize, 16>);

struct GnttabUnmapAndReplace {
    std::uint64_t host_addr;
    std::uint64_t new_addr;
    std::uint32_t handle;
    std::int16_t status;
    std::uint16_t _pad;
};
static_assert(exact_layout<GnttabUnmapAndReplace, 24>);

/// Chooses the table's version; comes back with the one in use.
struct GnttabSetVersion {
    std::uint32_t version;
};
static_assert(exact_layout<GnttabSetVersion, 4>);

struct GnttabGetStatusFrames {
    std::uint32_t nr_frames;
    domid_t dom;
    std::int16_t status;
    Handle<std::uint64_t> frame_list;
};
static_assert(exact_layout<GnttabGetStatusFrames, 16>);

struct GnttabGetVersion {
    domid_t dom;
    std::uint16_t pad;
    std::uint32_t version;
};
static_assert(exact_layout<GnttabGetVersion, 8>);

struct GnttabSwapGrantRef {
    grant_ref_t ref_a;
    grant_ref_t ref_b;
    std::int16_t status;
    std::uint16_t _pad;
};
static_assert(exact_layout<GnttabSwapGrantRef, 12>);

inline constexpr std::uint32_t GNTTAB_CACHE_CLEAN = 1u << 0;
inline constexpr std::uint32_t GNTTAB_CACHE_INVAL = 1u << 1;
inline constexpr std::uint32_t GNTTAB_CACHE_SOURCE_GREF = 1u << 31;

struct GnttabCacheFlush {
    union {
        std::uint64_t dev_bus_addr;
        grant_ref_t ref;
    } a;
    std::uint16_t offset;
    std::uint16_t length;
    std::uint32_t op;
};
static_assert(layout<GnttabCacheFlush, 16>);

inline constexpr std::uint32_t GNTMAP_device_map = 1u << 0;
inline constexpr std::uint32_t GNTMAP_host_map = 1u << 1;
inline constexpr std::uint32_t GNTMAP_readonly = 1u << 2;
inline constexpr std::uint32_t GNTMAP_application_map = 1u << 3;
inline constexpr std::uint32_t GNTMAP_contains_pte = 1u << 4;
inline constexpr std::uint32_t GNTMAP_guest_avail_mask = 0xffff0000;

inline constexpr std::uint32_t GNTST_okay = 0;
inline constexpr std::int32_t GNTST_general_error = -1;
inline constexpr std::int32_t GNTST_bad_domain = -2;
inline constexpr std::int32_t GNTST_bad_gntref = -3;
inline constexpr std::int32_t GNTST_bad_handle = -4;
inline constexpr std::int32_t GNTST_bad_virt_addr = -5;
inline constexpr std::int32_t GNTST_bad_dev_addr = -6;
inline constexpr std::int32_t GNTST_no_device_space = -7;
inline constexpr std::int32_t GNTST_permission_denied = -8;
inline constexpr std::int32_t GNTST_bad_page = -9;
inline constexpr std::int32_t GNTST_bad_copy_arg = -10;
inline constexpr std::int32_t GNTST_address_too_big = -11;
inline constexpr std::int32_t GNTST_eagain = -12;
inline constexpr std::int32_t GNTST_no_space = -13;

}  // namespace xen
