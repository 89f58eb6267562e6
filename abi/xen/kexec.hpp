// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_kexec_op.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t KEXEC_XEN_NO_PAGES = 17;
inline constexpr std::uint32_t KEXEC_TYPE_DEFAULT = 0;
inline constexpr std::uint32_t KEXEC_TYPE_CRASH = 1;

struct KexecImage {
    std::uint64_t page_list[17];
    std::uint64_t indirection_page;
    std::uint64_t start_address;
};
static_assert(exact_layout<KexecImage, 152>);

inline constexpr std::uint32_t KEXEC_CMD_kexec = 0;

struct KexecExec {
    std::int32_t type;
};
static_assert(exact_layout<KexecExec, 4>);

inline constexpr std::uint32_t KEXEC_CMD_kexec_load_v1 = 1;
inline constexpr std::uint32_t KEXEC_CMD_kexec_unload_v1 = 2;

struct KexecLoadV1 {
    std::int32_t type;
    std::uint32_t _pad;
    KexecImage image;
};
static_assert(exact_layout<KexecLoadV1, 160>);

inline constexpr std::uint32_t KEXEC_RANGE_MA_CRASH = 0;
inline constexpr std::uint32_t KEXEC_RANGE_MA_XEN = 1;
inline constexpr std::uint32_t KEXEC_RANGE_MA_CPU = 2;
inline constexpr std::uint32_t KEXEC_RANGE_MA_XENHEAP = 3;
inline constexpr std::uint32_t KEXEC_RANGE_MA_BOOT_PARAM = 4;
inline constexpr std::uint32_t KEXEC_RANGE_MA_EFI_MEMMAP = 5;
inline constexpr std::uint32_t KEXEC_RANGE_MA_VMCOREINFO = 6;
inline constexpr std::uint32_t KEXEC_CMD_kexec_get_range = 3;

struct KexecRange {
    std::int32_t range;
    std::int32_t nr;
    std::uint64_t size;
    std::uint64_t start;
};
static_assert(exact_layout<KexecRange, 24>);

struct KexecSegment {
    union {
        Handle<const void> h;
        std::uint64_t _pad;
    } buf;
    std::uint64_t buf_size;
    std::uint64_t dest_maddr;
    std::uint64_t dest_size;
};
static_assert(exact_layout<KexecSegment, 32>);

inline constexpr std::uint32_t KEXEC_CMD_kexec_load = 4;

struct KexecLoad {
    std::uint8_t type;
    std::uint8_t _pad;
    std::uint16_t arch;
    std::uint32_t nr_segments;
    union {
        Handle<KexecSegment> h;
        std::uint64_t _pad;
    } segments;
    std::uint64_t entry_maddr;
};
static_assert(exact_layout<KexecLoad, 24>);

inline constexpr std::uint32_t KEXEC_CMD_kexec_unload = 5;

struct KexecUnload {
    std::uint8_t type;
};
static_assert(exact_layout<KexecUnload, 1>);

inline constexpr std::uint32_t KEXEC_CMD_kexec_status = 6;

struct KexecStatus {
    std::uint8_t type;
};
static_assert(exact_layout<KexecStatus, 1>);

}  // namespace xen
