// SPDX-License-Identifier: Apache-2.0
/// A decoder for the few 64-bit instructions a PV guest's ring 3 code traps on. Pure: bytes and registers in,
/// description out. Source: SDM volume 2, chapter 2.
#pragma once

#include <cstddef>
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
/// The same into `in`, a new one, of which nothing holds after an error: guests' kernels execute such instructions all day.
base::Status decode_into(Instruction& in, const uint8_t* bytes, unsigned n, const Regs& r);

/// Where each register number lies in Regs.
inline constexpr uint16_t gpr_offsets[16] = {
    offsetof(Regs, rax), offsetof(Regs, rcx), offsetof(Regs, rdx), offsetof(Regs, rbx), offsetof(Regs, rsp), offsetof(Regs, rbp),
    offsetof(Regs, rsi), offsetof(Regs, rdi), offsetof(Regs, r8),  offsetof(Regs, r9),  offsetof(Regs, r10), offsetof(Regs, r11),
    offsetof(Regs, r12), offsetof(Regs, r13), offsetof(Regs, r14), offsetof(Regs, r15),
};

/// General register by its number (0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp, 5 rbp, 6 rsi, 7 rdi, 8..15).
inline uint64_t& gpr(Regs& r, unsigned n) {
    return *reinterpret_cast<uint64_t*>(reinterpret_cast<uint8_t*>(&r) + gpr_offsets[n & 15]);
}
inline uint64_t gpr(const Regs& r, unsigned n) {
    return *reinterpret_cast<const uint64_t*>(reinterpret_cast<const uint8_t*>(&r) + gpr_offsets[n & 15]);
}

/// Reads/writes `bytes` low bytes of a register as instructions do: 4-byte writes clear the upper half.
/// Byte registers: without `rex` 4..7 are ah, ch, dh, bh.
inline uint64_t read_gpr(const Regs& r, unsigned n, unsigned bytes, bool rex) {
    if (bytes == 1 && !rex && n >= 4 && n < 8) return (gpr(r, n - 4) >> 8) & 0xff;
    const uint64_t v = gpr(r, n);
    return bytes == 8 ? v : v & ((uint64_t{1} << (8 * bytes)) - 1);
}
inline void write_gpr(Regs& r, unsigned n, unsigned bytes, bool rex, uint64_t value) {
    if (bytes == 1 && !rex && n >= 4 && n < 8) {
        uint64_t& reg = gpr(r, n - 4);
        reg = (reg & ~uint64_t{0xff00}) | ((value & 0xff) << 8);
        return;
    }
    uint64_t& reg = gpr(r, n);
    if (bytes == 8) reg = value;
    else if (bytes == 4) reg = static_cast<uint32_t>(value);
    else {
        const uint64_t mask = (uint64_t{1} << (8 * bytes)) - 1;
        reg = (reg & ~mask) | (value & mask);
    }
}

}  // namespace x86
