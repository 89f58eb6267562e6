// SPDX-License-Identifier: Apache-2.0
/// The bytes of the instruction a guest trapped on.
#pragma once

#include <cstdint>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/guest/pv/decode.hpp"

namespace hv {

/// Reads up to 15 bytes at `rip`, fewer when the next page is not there. Returns how many.
inline unsigned fetch_instruction(uint64_t rip, uint8_t (&bytes)[max_instruction_bytes]) {
    if (arch::copy_from_guest(bytes, rip, max_instruction_bytes)) return max_instruction_bytes;
    const auto in_page = static_cast<unsigned>(4096 - (rip & 4095));
    if (in_page >= max_instruction_bytes || !arch::copy_from_guest(bytes, rip, in_page)) return 0;
    return in_page;
}

}  // namespace hv
