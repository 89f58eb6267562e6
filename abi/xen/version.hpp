// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_xen_version.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XENVER_version = 0;
inline constexpr std::uint32_t XENVER_extraversion = 1;

inline constexpr std::uint64_t XEN_EXTRAVERSION_LEN = 16;

inline constexpr std::uint32_t XENVER_compile_info = 2;

/// Who built the hypervisor, when and with what.
struct CompileInfo {
    char compiler[64];
    char compile_by[16];
    char compile_domain[32];
    char compile_date[32];
};
static_assert(exact_layout<CompileInfo, 144>);

inline constexpr std::uint32_t XENVER_capabilities = 3;

inline constexpr std::uint64_t XEN_CAPABILITIES_INFO_LEN = 1024;

inline constexpr std::uint32_t XENVER_changeset = 4;

inline constexpr std::uint64_t XEN_CHANGESET_INFO_LEN = 64;

inline constexpr std::uint32_t XENVER_platform_parameters = 5;

struct PlatformParameters {
    xen_ulong_t virt_start;
};
static_assert(exact_layout<PlatformParameters, 8>);

inline constexpr std::uint32_t XENVER_get_features = 6;

/// A 32-bit word of XENFEAT_* bits.
struct FeatureInfo {
    std::uint32_t submap_idx;
    std::uint32_t submap;
};
static_assert(exact_layout<FeatureInfo, 8>);

inline constexpr std::uint32_t XENVER_pagesize = 7;
inline constexpr std::uint32_t XENVER_guest_handle = 8;
inline constexpr std::uint32_t XENVER_commandline = 9;

inline constexpr std::uint64_t XEN_COMMANDLINE_LEN = 1024;
inline constexpr std::uint32_t XENVER_build_id = 10;

struct BuildId {
    std::uint32_t len;
    // followed by std::uint8_t buf[]
};
static_assert(exact_layout<BuildId, 4>);

}  // namespace xen
