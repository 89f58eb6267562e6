// SPDX-License-Identifier: Apache-2.0
/// The bytes of the instruction a guest trapped on.
#pragma once

#include <cstdint>

#include "hypervisor/arch/x86/guest_access.hpp"
#include "lib/x86/decode.hpp"

namespace hv {

/// Whole words are copied faster than the 15 bytes that an instruction may have.
inline constexpr unsigned fetched_bytes = 16;
static_assert(fetched_bytes >= max_instruction_bytes);

/// Reads up to 16 bytes at `rip`, fewer when the next page is not there. Returns how many.
inline unsigned fetch_instruction(uint64_t rip, uint8_t (&bytes)[fetched_bytes]) {
    if (arch::copy_words_from_guest<fetched_bytes / 8>(bytes, rip)) [[likely]]
        return fetched_bytes;
    const auto in_page = static_cast<unsigned>(4096 - (rip & 4095));
    if (in_page >= fetched_bytes || !arch::copy_from_guest(bytes, rip, in_page)) return 0;
    return in_page;
}

}  // namespace hv
