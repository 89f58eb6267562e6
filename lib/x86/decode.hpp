// SPDX-License-Identifier: Apache-2.0
/// A decoder for the few 64-bit instructions a PV guest's ring 3 code traps on. Pure: bytes and registers in,
/// description out. Source: SDM volume 2, chapter 2.
#pragma once

#include <cstdint>

#include "lib/base/result.hpp"
#include "lib/x86/regs.hpp"

namespace x86 {

inline constexpr unsigned max_instruction_bytes = 15;

struct Instruction {
    uint8_t length = 0;
    bool two_byte = false;  ///< opcode follows 0x0f
    uint8_t opcode = 0;
    bool operand16 = false;  ///< 0x66
    bool address32 = false;  ///< 0x67
    bool lock = false;
    uint8_t repeat = 0;   ///< 0xf2, 0xf3 or 0
    uint8_t segment = 0;  ///< 4 fs, 5 gs, 0 none
    bool rex_w = false;
    bool rex = false;
    bool has_modrm = false;
    uint8_t mod = 0, reg = 0, rm = 0;  ///< with the REX bits
    bool memory = false;               ///< the modrm operand is memory
    uint64_t address = 0;              ///< its effective address, without a segment base
    uint64_t immediate = 0;            ///< sign-extended
    unsigned operand_bytes() const { return rex_w ? 8 : operand16 ? 2 : 4; }
};

/// Decodes the instruction in `bytes` (n of them) that would run with `r`.
/// Errors: fault when it needs more bytes than there are, opnotsupp for opcodes this decoder does not know.
base::Result<Instruction> decode(const uint8_t* bytes, unsigned n, const Regs& r);
/// The same into `in`, of which nothing holds after an error: guests' kernels execute such instructions all day.
base::Status decode_into(Instruction& in, const uint8_t* bytes, unsigned n, const Regs& r);

/// General register by its number (0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp, 5 rbp, 6 rsi, 7 rdi, 8..15).
uint64_t& gpr(Regs& r, unsigned n);
uint64_t gpr(const Regs& r, unsigned n);
/// Reads/writes `bytes` low bytes of a register as instructions do: 4-byte writes clear the upper half.
/// Byte registers: without `rex` 4..7 are ah, ch, dh, bh.
uint64_t read_gpr(const Regs& r, unsigned n, unsigned bytes, bool rex);
void write_gpr(Regs& r, unsigned n, unsigned bytes, bool rex, uint64_t value);

}  // namespace x86
