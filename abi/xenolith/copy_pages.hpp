// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_copy_pages: whole pages of a domain to and from memory of the control domain's, for tools that save and restore. Xen has no
/// such call and answers ENOSYS, as to every number that it does not know: tools map the pages then.
///
/// A hypervisor that has it gives domains cleared memory alone: a page that was populated and not written is one of zeros.
#pragma once

#include <cstdint>

#include "abi/xen/basic.hpp"
#include "abi/xen/types.hpp"

namespace xenolith {

// The number is the last but one of those that Xen sets aside for architectures; x86 uses the first two.
inline constexpr std::uint32_t HYPERVISOR_copy_pages = xen::HYPERVISOR_arch_6;

// Operations: (operation, address of a CopyPages, where to begin: 0).
inline constexpr std::uint32_t COPY_PAGES_version = 0;  ///< answers 1; without arguments
inline constexpr std::uint32_t COPY_PAGES_read = 1;
inline constexpr std::uint32_t COPY_PAGES_write = 2;

inline constexpr std::uint64_t COPY_PAGES_VERSION = 1;
/// Of one call; more are E2BIG.
inline constexpr std::uint32_t COPY_PAGES_MOST = 1024;

// What becomes of a page: one byte each. A read tells it, a write is told the first two and answers the third.
inline constexpr std::uint8_t COPY_PAGES_DATA = 0;
inline constexpr std::uint8_t COPY_PAGES_ZEROS = 1;    ///< its place in `pages` is not used
inline constexpr std::uint8_t COPY_PAGES_REFUSED = 2;  ///< not a page of the domain's; on a write one that is a page table too

struct CopyPages {
    std::uint16_t domid;
    std::uint16_t pad;
    std::uint32_t count;
    xen::Handle<std::uint64_t> frames;  ///< guest frame numbers: of a PV domain machine frames
    xen::Handle<std::uint8_t> states;
    xen::Handle<std::uint8_t> pages;  ///< page i of the list at 4096 * i
};
static_assert(xen::exact_layout<CopyPages, 32>);

}  // namespace xenolith
