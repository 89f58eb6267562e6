// SPDX-License-Identifier: Apache-2.0
#include "lib/x86/store_instruction.hpp"

namespace x86 {
namespace {

using base::Err;
using base::Errc;
using base::Result;
using Outcome = StoreOutcome;

constexpr uint64_t pf = 4, af = 0x10, zf = 0x40, sf = 0x80, of = 0x800;

void set_flag(Regs& r, uint64_t flag, bool on) { r.rflags = on ? r.rflags | flag : r.rflags & ~flag; }

uint64_t truncate(uint64_t v, unsigned bytes) { return bytes == 8 ? v : v & ((uint64_t{1} << (8 * bytes)) - 1); }

void set_result_flags(Regs& r, uint64_t result, unsigned bytes) {
    set_flag(r, zf, result == 0);
    set_flag(r, sf, (result >> (8 * bytes - 1)) & 1);
    set_flag(r, pf, __builtin_parity(static_cast<unsigned>(result & 0xff)) == 0);
}

/// As CMP a, b.
void set_compare_flags(Regs& r, uint64_t a, uint64_t b, unsigned bytes) {
    const uint64_t difference = truncate(a - b, bytes);
    set_flag(r, eflags_cf, a < b);
    set_flag(r, af, (a ^ b ^ difference) & 0x10);
    set_flag(r, of, (((a ^ b) & (a ^ difference)) >> (8 * bytes - 1)) & 1);
    set_result_flags(r, difference, bytes);
}

void set_logic_flags(Regs& r, uint64_t result, unsigned bytes) {
    set_flag(r, eflags_cf | af | of, false);
    set_result_flags(r, result, bytes);
}

Result<Outcome> logic(Regs& r, unsigned operation, uint64_t old, uint64_t operand, unsigned bytes) {
    uint64_t v = 0;
    switch (operation) {
        case 1: v = old | operand; break;  // or
        case 4: v = old & operand; break;  // and
        case 6: v = old ^ operand; break;  // xor
        default: return Err{Errc::opnotsupp};
    }
    v = truncate(v, bytes);
    set_logic_flags(r, v, bytes);
    return Outcome{v};
}

Result<Outcome> bit_operation(Regs& r, unsigned operation, uint64_t old, uint64_t index, unsigned bytes) {
    const uint64_t mask = uint64_t{1} << (index & (8 * bytes - 1));
    set_flag(r, eflags_cf, old & mask);
    switch (operation) {
        case 5: return Outcome{old | mask};   // bts
        case 6: return Outcome{old & ~mask};  // btr
        case 7: return Outcome{old ^ mask};   // btc
        default: return Err{Errc::opnotsupp};
    }
}

Outcome compare_exchange(Regs& r, const Instruction& in, uint64_t old, unsigned bytes) {
    const uint64_t expected = truncate(r.rax, bytes);
    const bool equal = expected == old;
    set_compare_flags(r, expected, old, bytes);
    if (equal) return {read_gpr(r, in.reg, bytes, in.rex)};
    write_gpr(r, 0, bytes, true, old);
    return {0, false};
}

Result<Outcome> two_byte(Regs& r, const Instruction& in, uint64_t old, unsigned bytes) {
    switch (in.opcode) {
        case 0xb0:
        case 0xb1: return compare_exchange(r, in, old, bytes);
        case 0xab: return bit_operation(r, 5, old, read_gpr(r, in.reg, bytes, in.rex), bytes);
        case 0xb3: return bit_operation(r, 6, old, read_gpr(r, in.reg, bytes, in.rex), bytes);
        case 0xbb: return bit_operation(r, 7, old, read_gpr(r, in.reg, bytes, in.rex), bytes);
        case 0xba: return bit_operation(r, in.reg & 7, old, in.immediate, bytes);
        default: return Err{Errc::opnotsupp};
    }
}

Result<Outcome> one_byte(Regs& r, const Instruction& in, uint64_t old, unsigned bytes) {
    switch (in.opcode) {
        case 0x88:
        case 0x89: return Outcome{read_gpr(r, in.reg, bytes, in.rex)};
        case 0xc6:
        case 0xc7: return Outcome{truncate(in.immediate, bytes)};
        case 0x86:
        case 0x87: {
            const uint64_t value = read_gpr(r, in.reg, bytes, in.rex);
            write_gpr(r, in.reg, bytes, in.rex, old);
            return Outcome{value};
        }
        case 0x08:
        case 0x09:
        case 0x20:
        case 0x21:
        case 0x30:
        case 0x31: return logic(r, in.opcode >> 3, old, read_gpr(r, in.reg, bytes, in.rex), bytes);
        case 0x80:
        case 0x81:
        case 0x83: return logic(r, in.reg & 7, old, truncate(in.immediate, bytes), bytes);
        case 0xaa:
        case 0xab:
            if (in.repeat != 0 || in.address32) return Err{Errc::opnotsupp};
            r.rdi += (r.rflags & eflags_df) ? 0 - uint64_t{bytes} : bytes;
            return Outcome{truncate(r.rax, bytes)};
        default: return Err{Errc::opnotsupp};
    }
}

}  // namespace

Result<StoreOutcome> emulate_store(Regs& r, const Instruction& in, uint64_t old) {
    const unsigned bytes = stored_bytes(in);
    return in.two_byte ? two_byte(r, in, old, bytes) : one_byte(r, in, old, bytes);
}

}  // namespace x86
