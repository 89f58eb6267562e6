// SPDX-License-Identifier: Apache-2.0
/// The layout of a saved domain's file, as xl writes and reads it: xl's header with the configuration, libxl's stream (version
/// 2), and in it libxc's image (version 3). Facts: Xen 4.17's libxl-migration-stream and libxc-migration-stream documents.
/// Numbers are little-endian where nothing else is said; records are padded to 8 bytes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "abi/xen/domctl.hpp"
#include "lib/base/types.hpp"

namespace proto::saved {

static_assert(std::endian::native == std::endian::little);

// -- xl's header ------------------------------------------------------------------------------------------------------

inline constexpr std::string_view file_magic{"Xen saved domain, xl format\n \0 \r", 32};
inline constexpr uint32_t byte_order = 0x01020304;
inline constexpr uint32_t config_is_json = 1;  ///< mandatory flag: the configuration is libxl's JSON, else a configuration file
inline constexpr uint32_t stream_v2 = 2;       ///< mandatory flag: a libxl stream of version 2 follows
inline constexpr uint32_t optional_data_limit = 4U << 20U;

struct FileHeader {
    char magic[32];
    uint32_t byte_order;
    uint32_t mandatory_flags;
    uint32_t optional_flags;
    uint32_t optional_length;  ///< of what follows: u32 length of the configuration, the configuration, a tail that xl skips
};
static_assert(sizeof(FileHeader) == 48);

// -- libxl's stream ---------------------------------------------------------------------------------------------------

inline constexpr std::string_view libxl_ident = "LibxlFmt";
inline constexpr uint32_t libxl_version = 2;

struct LibxlHeader {
    char ident[8];
    uint32_t version_be;
    uint32_t options_be;  ///< bit 0: big-endian; bit 1: converted from an older stream
};
static_assert(sizeof(LibxlHeader) == 16);

enum class LibxlRecord : uint32_t { end = 0, libxc_context = 1, emulator_xenstore = 2, emulator_context = 3, checkpoint_end = 4 };

struct RecordHeader {
    uint32_t type;
    uint32_t length;  ///< of the body, without its padding
};
static_assert(sizeof(RecordHeader) == 8);

// -- libxc's image ----------------------------------------------------------------------------------------------------

inline constexpr uint32_t image_ident = 0x58454e46;  ///< "XENF", big-endian
inline constexpr uint32_t image_version = 3;
inline constexpr uint32_t domain_is_pv = 1, domain_is_hvm = 2;
inline constexpr uint32_t record_limit = 128U << 20U;
inline constexpr size_t record_align = 8;
inline constexpr uint32_t optional_record = 0x80000000;  ///< bit of a type: who does not know it may skip it

struct ImageHeader {
    uint64_t marker;  ///< ~0
    uint32_t ident_be;
    uint32_t version_be;
    uint16_t options_be;  ///< bit 0: big-endian
    uint16_t reserved1;
    uint32_t reserved2;
};
static_assert(sizeof(ImageHeader) == 24);

struct DomainHeader {
    uint32_t type;
    uint16_t page_shift;
    uint16_t reserved;
    uint32_t xen_major;
    uint32_t xen_minor;
};
static_assert(sizeof(DomainHeader) == 16);

enum class Record : uint32_t {
    end = 0,
    page_data = 1,
    pv_info = 2,
    p2m_frames = 3,
    vcpu_basic = 4,
    vcpu_extended = 5,
    vcpu_xsave = 6,
    shared_info = 7,
    tsc_info = 8,
    hvm_context = 9,
    hvm_params = 10,
    vcpu_msrs = 12,
    verify = 13,
    checkpoint = 14,
    static_data_end = 16,
    cpuid_policy = 17,
    msr_policy = 18,
};

/// "PAGE_DATA"; null for a type that has no name.
const char* name_of(Record type);

/// What a page is: XEN_DOMCTL_PFINFO_* shifted down; the top bit of tables says that they were pinned.
struct PageKind {
    uint8_t raw = 0;  // 4 bits

    static constexpr PageKind of_frame_info(uint32_t info) { return {static_cast<uint8_t>(info >> 28U)}; }
    /// 1..4 for a page table, 0 for everything else.
    constexpr unsigned table_level() const { return raw >= special ? 0 : raw & 7U; }
    constexpr bool pinned() const { return raw < special && (raw & 8U) != 0; }
    constexpr bool has_data() const { return raw < special; }
    /// Whether a page is there at all: a broken one and one that is only to be allocated are.
    constexpr bool exists() const { return raw != absent; }
    /// 5 to 8 name nothing, and only tables are pinned.
    constexpr bool valid() const { return raw <= 4 || (raw >= 9 && raw <= 12) || raw >= special; }
    constexpr bool operator==(const PageKind&) const = default;

    static constexpr uint8_t special = xen::XEN_DOMCTL_PFINFO_BROKEN >> 28U;
    static constexpr uint8_t allocate_only = xen::XEN_DOMCTL_PFINFO_XALLOC >> 28U;
    static constexpr uint8_t absent = xen::XEN_DOMCTL_PFINFO_XTAB >> 28U;
};
inline constexpr PageKind plain_page{0};
inline constexpr PageKind absent_page{PageKind::absent};
inline constexpr PageKind unfilled_page{PageKind::allocate_only};

/// A page as PAGE_DATA lists it.
struct PageEntry {
    uint64_t pfn = 0;
    PageKind kind;

    static constexpr uint64_t pfn_mask = 0x000f'ffff'ffff'ffff;
    static constexpr unsigned kind_shift = 60;
    constexpr uint64_t raw() const { return pfn | (uint64_t{kind.raw} << kind_shift); }
    constexpr bool operator==(const PageEntry&) const = default;
};

/// Pages of a batch that is written. Stock tools send up to 1024, and take any number; the memory for more is missed when it has to be
/// found, and given back while a guest stands still.
inline constexpr size_t batch_pages = 256;
inline constexpr uint64_t frames_per_p2m_page = base::page_size / sizeof(uint64_t);

struct PageDataHeader {
    uint32_t count;
    uint32_t reserved;
};
struct P2mFramesHeader {
    uint32_t first_pfn;
    uint32_t last_pfn;
};
struct VcpuHeader {
    uint32_t vcpu;
    uint32_t reserved;
};
static_assert(sizeof(PageDataHeader) == 8 && sizeof(P2mFramesHeader) == 8 && sizeof(VcpuHeader) == 8);

struct PvInfo {
    uint8_t width;   ///< bytes of a word
    uint8_t levels;  ///< of page tables
    uint16_t reserved1;
    uint32_t reserved2;
};
static_assert(sizeof(PvInfo) == 8);
inline constexpr PvInfo pv64_info{8, 4, 0, 0};

struct TscInfo {
    uint32_t mode;
    uint32_t khz;
    uint64_t elapsed_ns;
    uint32_t incarnation;
    uint32_t reserved;
};
static_assert(sizeof(TscInfo) == 24);

/// The highest pfn that a PV image may name: the P2M_FRAMES record counts in 32 bits.
inline constexpr uint64_t pfn_limit = uint64_t{1} << 32U;
inline constexpr uint32_t vcpu_limit = 4096;

constexpr uint64_t padded(uint64_t length) { return (length + record_align - 1) & ~uint64_t{record_align - 1}; }

}  // namespace proto::saved
