// SPDX-License-Identifier: Apache-2.0
#include "lib/x86/decode.hpp"

#include <initializer_list>

namespace x86 {
namespace {

using base::Err;
using base::Errc;
using base::Result;
using base::Status;

struct Cursor {
    const uint8_t* bytes;
    unsigned size;
    unsigned at = 0;
    Result<uint8_t> next() {
        if (at >= size) return Err{Errc::fault};
        return bytes[at++];
    }
    /// Little-endian, sign-extended.
    Result<uint64_t> number(unsigned n) {
        uint64_t v = 0;
        for (unsigned i = 0; i < n; ++i) v |= uint64_t{TRY(next())} << (8 * i);
        const unsigned shift = 64 - 8 * n;
        return static_cast<uint64_t>(static_cast<int64_t>(v << shift) >> shift);
    }
};

void take_prefix(Instruction& in, uint8_t byte) {
    switch (byte) {
        case 0x66: in.operand16 = true; break;
        case 0x67: in.address32 = true; break;
        case 0xf0: in.lock = true; break;
        case 0xf2:
        case 0xf3: in.repeat = byte; break;
        case 0x64: in.segment = 4; break;
        case 0x65: in.segment = 5; break;
        default: break;  // the segments that mean nothing
    }
}

/// What a byte at the beginning is: an opcode's form, or what stands in front of an opcode.
enum class Form : uint8_t { unknown, plain, modrm, modrm_imm8, modrm_imm32, imm8, escape, rex, prefix };

/// The form of each opcode: a table, because a switch would be compiled to a chain of comparisons.
struct Forms {
    Form of[256] = {};
    consteval void set(Form f, std::initializer_list<uint8_t> opcodes) {
        for (const uint8_t op : opcodes) of[op] = f;
    }
};

consteval Forms one_byte_forms() {
    Forms f;
    f.set(Form::modrm, {0x00, 0x01, 0x08, 0x09, 0x20, 0x21, 0x28, 0x29, 0x30, 0x31, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b});
    f.set(Form::modrm_imm8, {0x80, 0x83, 0xc6});
    f.set(Form::modrm_imm32, {0x81, 0xc7});
    f.set(Form::imm8, {0xe4, 0xe5, 0xe6, 0xe7});
    f.set(Form::prefix, {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x64, 0x65, 0x2e, 0x36, 0x3e, 0x26});
    for (uint8_t rex = 0x40; rex < 0x50; ++rex) f.set(Form::rex, {rex});
    f.set(Form::escape, {0x0f});
    f.set(Form::plain, {0xec, 0xed, 0xee, 0xef, 0x6c, 0x6d, 0x6e, 0x6f, 0xaa, 0xab, 0xa4, 0xa5, 0xf4, 0xfa, 0xfb});
    return f;
}

consteval Forms two_byte_forms() {
    Forms f;
    f.set(Form::modrm, {0x01, 0x20, 0x21, 0x22, 0x23, 0xab, 0xb0, 0xb1, 0xb3, 0xbb, 0xc0, 0xc1, 0xc7, 0xae});
    f.set(Form::modrm_imm8, {0xba});
    f.set(Form::plain, {0x06, 0x08, 0x09, 0x30, 0x31, 0x32, 0x33, 0x34, 0xa2});
    return f;
}

constexpr Forms one_byte = one_byte_forms(), two_byte = two_byte_forms();

bool has_modrm(Form f) { return f >= Form::modrm && f <= Form::modrm_imm32; }

struct Rex {
    bool r = false, x = false, b = false;
};

Status decode_memory(Instruction& in, Cursor& c, const Regs& r, Rex rex, unsigned trailing) {
    uint64_t address = 0;
    const unsigned rm_low = in.rm & 7;
    if (rm_low == 4) {
        const uint8_t sib = TRY(c.next());
        const unsigned index = ((sib >> 3) & 7) | (rex.x ? 8u : 0u);
        const unsigned base_low = sib & 7;
        if (index != 4) address += gpr(r, index) << (sib >> 6);
        if (base_low == 5 && in.mod == 0) address += TRY(c.number(4));
        else address += gpr(r, base_low | (rex.b ? 8u : 0u));
    } else if (rm_low == 5 && in.mod == 0) {
        // Relative to the end of the instruction: an immediate still follows.
        address = TRY(c.number(4));
        address += r.rip + c.at + trailing;
    } else {
        address = gpr(r, rm_low | (rex.b ? 8u : 0u));
    }
    if (in.mod == 1) address += TRY(c.number(1));
    if (in.mod == 2) address += TRY(c.number(4));
    in.address = in.address32 ? static_cast<uint32_t>(address) : address;
    return base::ok;
}

unsigned immediate_bytes(Form f, const Instruction& in) {
    switch (f) {
        case Form::modrm_imm8:
        case Form::imm8: return 1;
        case Form::modrm_imm32: return in.operand16 ? 2 : 4;
        default: return 0;
    }
}

/// Moves to and from control and debug registers (0F 20 to 0F 23) know no memory operand.
constexpr bool moves_registers(uint8_t second_byte) { return second_byte >= 0x20 && second_byte <= 0x23; }

/// Any instruction.
[[gnu::noinline]] Status decode_any(Instruction& in, const uint8_t* bytes, unsigned n, const Regs& r) {
    Cursor c{bytes, n < max_instruction_bytes ? n : max_instruction_bytes};
    uint8_t byte = TRY(c.next());
    Form form = one_byte.of[byte];
    while (form == Form::prefix) {
        take_prefix(in, byte);
        byte = TRY(c.next());
        form = one_byte.of[byte];
    }
    Rex rex;
    if (form == Form::rex) {
        in.rex = true;
        in.rex_w = byte & 8;
        if (in.rex_w) in.operand16 = false;  // it outranks the prefix, for the size of an immediate too
        rex = {(byte & 4) != 0, (byte & 2) != 0, (byte & 1) != 0};
        byte = TRY(c.next());
        form = one_byte.of[byte];
    }
    if (form == Form::escape) {
        in.two_byte = true;
        byte = TRY(c.next());
        form = two_byte.of[byte];
    }
    in.opcode = byte;
    if (form == Form::unknown || form >= Form::escape) return Err{Errc::opnotsupp};
    const unsigned trailing = immediate_bytes(form, in);
    if (has_modrm(form)) {
        const uint8_t modrm = TRY(c.next());
        in.has_modrm = true;
        in.mod = modrm >> 6;
        in.reg = static_cast<uint8_t>(((modrm >> 3) & 7) | (rex.r ? 8 : 0));
        in.rm = static_cast<uint8_t>((modrm & 7) | (rex.b ? 8 : 0));
        in.memory = in.mod != 3 && !(in.two_byte && moves_registers(in.opcode));
        if (in.memory) TRY(decode_memory(in, c, r, rex, trailing));
    }
    if (trailing != 0) in.immediate = TRY(c.number(trailing));
    in.length = static_cast<uint8_t>(c.at);
    return base::ok;
}

}  // namespace

namespace {

/// A REX prefix first. Nearly always it is a store of a kernel to a page table: an opcode and an operand at an address that is in a
/// register. At least three bytes.
[[gnu::noinline]] Status decode_rex(Instruction& in, const uint8_t* bytes, unsigned n, const Regs& r) {
    constexpr uint8_t sib_follows = 4, displacement_follows = 5;
    const uint8_t rex = bytes[0], modrm = bytes[2];
    const uint8_t low = modrm & 7;
    if (one_byte.of[bytes[1]] != Form::modrm || modrm >> 6 != 0 || low == sib_follows || low == displacement_follows)
        return decode_any(in, bytes, n, r);
    in.rex = true;
    in.rex_w = rex & 8;
    in.opcode = bytes[1];
    in.has_modrm = true;
    in.reg = static_cast<uint8_t>((modrm >> 3) | (rex & 4) << 1);
    in.rm = static_cast<uint8_t>(low | (rex & 1) << 3);
    in.memory = true;
    in.address = gpr(r, in.rm);
    in.length = 3;
    return base::ok;
}

}  // namespace

Result<Instruction> decode(const uint8_t* bytes, unsigned n, const Regs& r) {
    Instruction in;
    TRY(decode_into(in, bytes, n, r));
    return in;
}

Status decode_into(Instruction& in, const uint8_t* bytes, unsigned n, const Regs& r) {
    // Most of what kernels trap on has no prefix, and no operand but registers, or one in memory that a register names: the same as
    // decode_any(), with less to ask.
    constexpr unsigned longest = 3;
    if (n < longest) return decode_any(in, bytes, n, r);
    if (bytes[0] != 0x0f) {
        const Form form = one_byte.of[bytes[0]];
        if (form == Form::rex) return decode_rex(in, bytes, n, r);
        if (form != Form::plain && form != Form::imm8) return decode_any(in, bytes, n, r);
        in.opcode = bytes[0];
        in.length = 1;
        if (form == Form::plain) return base::ok;
        in.length = 2;
        in.immediate = static_cast<uint64_t>(int64_t{static_cast<int8_t>(bytes[1])});
        return base::ok;
    }
    const bool plain = two_byte.of[bytes[1]] == Form::plain;
    if (!plain && !moves_registers(bytes[1])) return decode_any(in, bytes, n, r);
    in.two_byte = true;
    in.opcode = bytes[1];
    in.length = 2;
    if (plain) return base::ok;
    in.has_modrm = true;
    in.mod = bytes[2] >> 6;
    in.reg = (bytes[2] >> 3) & 7;
    in.rm = bytes[2] & 7;
    in.length = 3;
    return base::ok;
}

}  // namespace x86
