// SPDX-License-Identifier: Apache-2.0
/// What a code selector of the guest means for the instruction that stands there: where it is not FLAT_RING3_CS64.
#pragma once

#include <cstdint>

#include "hypervisor/guest/pv/pv.hpp"

namespace hv {

enum class CodeMode : uint8_t { bits64, bits32 };

struct CodeSegment {
    CodeMode mode = CodeMode::bits64;
    uint32_t base = 0;
    /// The linear address of `rip`; 32-bit addresses wrap at 4 GiB.
    uint64_t linear(uint64_t rip) const {
        if (mode == CodeMode::bits64) return rip;
        return static_cast<uint32_t>(rip + base);
    }
    /// The instruction pointer `length` bytes on.
    uint64_t advance(uint64_t rip, unsigned length) const {
        if (mode == CodeMode::bits64) return rip + length;
        return static_cast<uint32_t>(rip + length);
    }
};

/// The code segment behind one of the guest's own descriptors, as it is now: the guest may have changed it since the CPU
/// looked. Errors: inval: no code segment, or one of 16 bits.
base::Result<CodeSegment> pv_described_segment(const Vcpu& v, uint64_t selector);

}  // namespace hv
