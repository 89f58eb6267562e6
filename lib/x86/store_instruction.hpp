// SPDX-License-Identifier: Apache-2.0
/// What an instruction that stores to memory does, when a page table is the memory: pure, so that it can be compared with the
/// CPU's own execution (tests/fuzz/emulate_fuzz.cpp). Source: SDM volume 2; flags it calls undefined stay as they are, but
/// those of OR, AND and XOR.
#pragma once

#include <cstdint>

#include "lib/x86/decode.hpp"

namespace x86 {

/// What becomes of the old value; `write` false: the instruction only reads (a failed compare).
struct StoreOutcome {
    uint64_t value = 0;
    bool write = true;
};

/// Bytes of the memory operand.
inline unsigned stored_bytes(const Instruction& in) {
    const uint8_t op = in.opcode;
    const bool byte_form = in.two_byte ? op == 0xb0 : (op & 1) == 0 && op != 0x83;
    return byte_form ? 1 : in.operand_bytes();
}

/// Whether it is MOV of a register, as nearly every one is: it changes no register and no flag.
inline bool is_register_move(const Instruction& in) { return !in.two_byte && (in.opcode & 0xfe) == 0x88; }

/// Executes `in`, whose memory operand holds `old`, on the registers and flags of `r`; not its rip.
/// Errors: opnotsupp for what is no store that anybody makes to a page table.
base::Result<StoreOutcome> emulate_store(Regs& r, const Instruction& in, uint64_t old);

}  // namespace x86
