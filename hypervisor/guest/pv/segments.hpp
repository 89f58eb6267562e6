// SPDX-License-Identifier: Apache-2.0
/// What a code selector of the guest means for the instruction that stands there.
#pragma once

#include <cstdint>

#include "hypervisor/guest/pv/decode.hpp"
#include "hypervisor/guest/pv/pv.hpp"

namespace hv {

struct CodeSegment {
    CodeMode mode = CodeMode::bits64;
    uint32_t base = 0;
    /// The linear address of `rip`; 32-bit addresses wrap at 4 GiB.
    uint64_t linear(uint64_t rip) const {
        if (mode == CodeMode::bits64) [[likely]] return rip;
        return static_cast<uint32_t>(rip + base);
    }
    /// The instruction pointer `length` bytes on.
    uint64_t advance(uint64_t rip, unsigned length) const {
        if (mode == CodeMode::bits64) [[likely]] return rip + length;
        return static_cast<uint32_t>(rip + length);
    }
};

/// The code segment behind one of the guest's own descriptors, as it is now: the guest may have changed it since the CPU
/// looked. Errors: inval: no code segment, or one of 16 bits.
base::Result<CodeSegment> pv_described_segment(const Vcpu& v, uint64_t selector);

/// The code segment that v runs in. Errors: as above.
inline base::Result<CodeSegment> pv_code_segment(const Vcpu& v, uint64_t selector) {
    if (selector == xen::FLAT_RING3_CS64) [[likely]] return CodeSegment{};
    return pv_described_segment(v, selector);
}

}  // namespace hv
