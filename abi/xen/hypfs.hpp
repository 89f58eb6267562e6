// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_hypfs_op.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XEN_HYPFS_VERSION = 1;
inline constexpr std::uint32_t XEN_HYPFS_MAX_PATHLEN = 1024;
inline constexpr std::uint32_t XEN_HYPFS_TYPE_DIR = 0;
inline constexpr std::uint32_t XEN_HYPFS_TYPE_BLOB = 1;
inline constexpr std::uint32_t XEN_HYPFS_TYPE_STRING = 2;
inline constexpr std::uint32_t XEN_HYPFS_TYPE_UINT = 3;
inline constexpr std::uint32_t XEN_HYPFS_TYPE_INT = 4;
inline constexpr std::uint32_t XEN_HYPFS_TYPE_BOOL = 5;
inline constexpr std::uint32_t XEN_HYPFS_ENC_PLAIN = 0;
inline constexpr std::uint32_t XEN_HYPFS_ENC_GZIP = 1;

struct HypfsDirEntry {
    std::uint8_t type;
    std::uint8_t encoding;
    std::uint16_t pad;
    std::uint32_t content_len;
    std::uint32_t max_write_len;
};
static_assert(exact_layout<HypfsDirEntry, 12>);

struct HypfsDirListEntry {
    HypfsDirEntry e;
    std::uint16_t off_next;
    // followed by char name[]
    std::uint16_t _pad;
};
static_assert(exact_layout<HypfsDirListEntry, 16>);

inline constexpr std::uint32_t XEN_HYPFS_OP_get_version = 0;
inline constexpr std::uint32_t XEN_HYPFS_OP_read = 1;
inline constexpr std::uint32_t XEN_HYPFS_OP_write_contents = 2;

}  // namespace xen
