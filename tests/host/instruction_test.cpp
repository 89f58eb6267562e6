// SPDX-License-Identifier: Apache-2.0
// link: x86
/// Decoding and executing stores: what the manual says, and cases that the comparison with the CPU (tests/fuzz/emulate_fuzz.cpp)
/// has found.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <tuple>
#include <vector>

#include "lib/x86/decode.hpp"
#include "lib/x86/store_instruction.hpp"

namespace {

using namespace x86;

Instruction decoded(std::vector<uint8_t> bytes, const Regs& r = {}) {
    bytes.resize(max_instruction_bytes, 0x90);
    auto in = decode(bytes.data(), max_instruction_bytes, r);
    EXPECT_TRUE(in);
    return in ? in.value() : Instruction{};
}

TEST(Decode, rex_w_outranks_the_operand_size_prefix) {
    // MOV qword [rbx], imm32, with a prefix that changes nothing.
    const Instruction in = decoded({0x66, 0x48, 0xc7, 0x03, 0x78, 0x56, 0x34, 0x92});
    EXPECT_EQ(in.length, 8);
    EXPECT_EQ(in.operand_bytes(), 8u);
    EXPECT_EQ(in.immediate, 0xffffffff92345678);
    EXPECT_EQ(decoded({0x66, 0xc7, 0x03, 0x78, 0x56}).length, 5);
}

TEST(Decode, the_operand_is_where_the_manual_says) {
    Regs r{};
    for (unsigned i = 0; i < 16; ++i) gpr(r, i) = 0x1'0000'0000 * (i + 1);
    r.rip = 0x40'0000;
    const auto sum = [&](int base, int index, unsigned scale, uint64_t displacement) {
        return (base < 0 ? 0 : gpr(r, static_cast<unsigned>(base))) +
               (index < 0 ? 0 : gpr(r, static_cast<unsigned>(index)) * scale) + displacement;
    };
    struct {
        std::vector<uint8_t> bytes;
        uint64_t address;
        unsigned length;
    } const cases[] = {
        {{0x89, 0x03}, sum(3, -1, 0, 0), 2},            // [rbx]
        {{0x41, 0x89, 0x03}, sum(11, -1, 0, 0), 3},     // [r11]
        {{0x89, 0x43, 0xf8}, sum(3, -1, 0, 0) - 8, 3},  // [rbx - 8]
        {{0x89, 0x83, 0x00, 0x00, 0x00, 0x80}, sum(3, -1, 0, 0) - 0x80000000, 6},
        {{0x89, 0x04, 0xcb}, sum(3, 1, 8, 0), 3},                                       // [rbx + rcx * 8]
        {{0x43, 0x89, 0x04, 0x9c}, sum(12, 11, 4, 0), 4},                               // [r12 + r11 * 4]
        {{0x89, 0x04, 0x24}, sum(4, -1, 0, 0), 3},                                      // [rsp]: no index
        {{0x42, 0x89, 0x04, 0x24}, sum(4, 12, 1, 0), 4},                                // [rsp + r12]: an index with REX.X
        {{0x89, 0x04, 0x4d, 0x10, 0x00, 0x00, 0x00}, sum(-1, 1, 2, 0x10), 7},           // [rcx * 2 + 16]: no base
        {{0x89, 0x44, 0x4d, 0x10}, sum(5, 1, 2, 0x10), 4},                              // [rbp + rcx * 2 + 16]
        {{0x89, 0x05, 0x10, 0x00, 0x00, 0x00}, 0x40'0000 + 6 + 0x10, 6},                // [rip + 16]
        {{0xc7, 0x05, 0x10, 0x00, 0x00, 0x00, 1, 2, 3, 4}, 0x40'0000 + 10 + 0x10, 10},  // an immediate follows
        {{0x67, 0x89, 0x43, 0xf8}, 0xffff'fff8, 4},                                     // [ebx - 8] wraps
    };
    for (const auto& c : cases) {
        const Instruction in = decoded(c.bytes, r);
        EXPECT_EQ(in.length, c.length);
        EXPECT_EQ(in.address, c.address) << "of length " << c.length;
        EXPECT_TRUE(in.memory);
        for (unsigned n = 0; n < c.length; ++n)
            EXPECT_EQ(decode(c.bytes.data(), n, r).error(), base::Errc::fault) << "cut after " << n;
    }
    EXPECT_EQ(decoded({0x64, 0x89, 0x03}, r).segment, 4);
    EXPECT_EQ(decoded({0x65, 0x89, 0x03}, r).segment, 5);
    EXPECT_EQ(decoded({0x3e, 0x26, 0x2e, 0x36, 0x89, 0x03}, r).segment, 0) << "the others have no base";
    EXPECT_EQ(decoded({0xf2, 0xab}).repeat, 0xf2);
    EXPECT_EQ(decoded({0xe4, 0x80}).immediate, 0xffff'ffff'ffff'ff80);
}

auto fields(const Instruction& i) {
    return std::tuple(i.length, i.two_byte, i.opcode, i.operand16, i.address32, i.lock, i.repeat, i.segment, i.rex_w, i.rex,
                      i.has_modrm, i.mod, i.reg, i.rm, i.memory, i.address, i.immediate);
}

/// Instructions without a prefix may be decoded by a shorter way. A segment that means nothing in front of them keeps them from it.
TEST(Decode, both_ways_say_the_same_of_every_beginning) {
    Regs r{};
    for (unsigned i = 0; i < 16; ++i) gpr(r, i) = 0x1234'5678'9abc'def0u * (i + 1);
    r.rip = 0x40'0000;
    Regs one_before = r;
    --one_before.rip;
    unsigned known = 0;
    for (unsigned first = 0; first < 0x1'00'00'00; ++first) {
        if ((first & 0xff) % 7 != 0) continue;  // to be quick: each field of a ModRM byte has all its values all the same
        const uint8_t bytes[max_instruction_bytes] = {static_cast<uint8_t>(first >> 16),
                                                      static_cast<uint8_t>(first >> 8),
                                                      static_cast<uint8_t>(first),
                                                      1,
                                                      2,
                                                      3,
                                                      4,
                                                      5,
                                                      6,
                                                      7,
                                                      8};
        uint8_t longer[max_instruction_bytes] = {0x3e};
        std::copy(bytes, bytes + max_instruction_bytes - 1, longer + 1);
        const auto a = decode(bytes, max_instruction_bytes - 1, r);
        const auto b = decode(longer, max_instruction_bytes, one_before);
        ASSERT_EQ(bool(a), bool(b)) << std::hex << first;
        if (!a) {
            ASSERT_EQ(a.error(), b.error()) << std::hex << first;
            continue;
        }
        ++known;
        Instruction same = b.value();
        --same.length;
        ASSERT_EQ(fields(a.value()), fields(same)) << std::hex << first;
        for (unsigned n = 0; n < a.value().length; ++n)
            ASSERT_FALSE(decode(bytes, n, r)) << std::hex << first << ", " << n << " bytes";
        const auto just = decode(bytes, a.value().length, r);
        ASSERT_TRUE(just && fields(a.value()) == fields(just.value())) << std::hex << first;
    }
    EXPECT_GT(known, 10'000u);
}

TEST(Decode, byte_registers_without_rex_are_the_high_halves) {
    Regs r{};
    r.rbx = 0x1122334455667788;
    EXPECT_EQ(read_gpr(r, 7, 1, false), 0x77u);  // bh
    write_gpr(r, 7, 1, false, 0x1ff);
    EXPECT_EQ(r.rbx, 0x112233445566ff88u);
    write_gpr(r, 7, 1, true, 0x1ee);  // dil
    EXPECT_EQ(r.rdi, 0xeeu);
    write_gpr(r, 3, 4, false, 0xffff'ffff'0000'0001);
    EXPECT_EQ(r.rbx, 1u) << "four bytes clear the upper half";
}

/// Who performs a MOV of a register may do it without emulate_store().
TEST(Store, a_register_move_changes_nothing_but_memory) {
    Regs r{};
    for (unsigned i = 0; i < 16; ++i) gpr(r, i) = 0x0123'4567'89ab'cdefu * (2 * i + 1);
    r.rflags = 0x246;
    unsigned moves = 0;
    for (const uint8_t rex : std::initializer_list<uint8_t>{0x3e, 0x40, 0x44, 0x48, 0x4c, 0x66})
        for (unsigned opcode = 0; opcode < 256; ++opcode)
            for (unsigned reg = 0; reg < 8; ++reg) {
                const uint8_t bytes[max_instruction_bytes] = {rex, static_cast<uint8_t>(opcode),
                                                              static_cast<uint8_t>(0x03 | reg << 3)};
                const auto in = decode(bytes, max_instruction_bytes, r);
                if (!in || !is_register_move(in.value())) continue;
                EXPECT_EQ(opcode & 0xfe, 0x88u);
                ++moves;
                Regs after = r;
                const auto out = emulate_store(after, in.value(), 0x5555'5555'5555'5555);
                ASSERT_TRUE(out && out.value().write);
                EXPECT_EQ(out.value().value, read_gpr(r, in.value().reg, stored_bytes(in.value()), in.value().rex));
                EXPECT_EQ(memcmp(&after, &r, sizeof r), 0);
            }
    EXPECT_EQ(moves, 6 * 2 * 8u);
}

TEST(Store, logic_and_bits) {
    constexpr uint64_t old = 0xff00'00ff'0f0f'f0f0, rcx = 0x8000'0000'0000'0023;
    constexpr uint64_t bit = uint64_t{1} << 0x23;
    struct {
        std::vector<uint8_t> bytes;
        uint64_t result;
        bool carry;
    } const cases[] = {
        {{0x48, 0x09, 0x0b}, old | rcx, false},
        {{0x48, 0x21, 0x0b}, old & rcx, false},
        {{0x48, 0x31, 0x0b}, old ^ rcx, false},
        {{0x48, 0x83, 0x33, 0xff}, ~old, false},
        {{0x48, 0x89, 0x0b}, rcx, false},
        {{0x48, 0x87, 0x0b}, rcx, false},
        {{0x48, 0x0f, 0xab, 0x0b}, old | bit, (old & bit) != 0},
        {{0x48, 0x0f, 0xb3, 0x0b}, old & ~bit, (old & bit) != 0},
        {{0x48, 0x0f, 0xbb, 0x0b}, old ^ bit, (old & bit) != 0},
        {{0x48, 0x0f, 0xba, 0x33, 0x04}, old & ~uint64_t{0x10}, true},
    };
    for (const auto& c : cases) {
        Regs r{};
        r.rcx = rcx;
        const Instruction in = decoded(c.bytes, r);
        EXPECT_EQ(stored_bytes(in), 8u);
        const auto outcome = emulate_store(r, in, old);
        ASSERT_TRUE(outcome) << unsigned{in.opcode};
        EXPECT_TRUE(outcome.value().write);
        EXPECT_EQ(outcome.value().value, c.result) << unsigned{in.opcode};
        EXPECT_EQ((r.rflags & 1) != 0, c.carry) << unsigned{in.opcode};
        if (in.opcode == 0x87) { EXPECT_EQ(r.rcx, old); }
    }
    // Nobody adds to a page table, tests a bit of it only, or writes it by IN: what they are is not stores that we know.
    for (const auto& bytes : std::vector<std::vector<uint8_t>>{
             {0x48, 0x83, 0x03, 1}, {0x48, 0x0f, 0xba, 0x23, 4}, {0x0f, 0xc1, 0x0b}, {0x01, 0x0b}, {0xf3, 0xab}}) {
        Regs r{};
        EXPECT_FALSE(emulate_store(r, decoded(bytes, r), old)) << unsigned{bytes[1]};
    }
}

TEST(Store, compare_and_exchange_sets_the_flags_of_a_comparison) {
    constexpr uint64_t cf = 1, pf = 4, af = 0x10, zf = 0x40, sf = 0x80, of = 0x800;
    const Instruction in = decoded({0x48, 0x0f, 0xb1, 0x0b});  // CMPXCHG [rbx], rcx
    Regs r{};
    r.rax = 1;
    r.rcx = 7;
    r.rflags = zf | of;
    auto failed = emulate_store(r, in, 2);
    ASSERT_TRUE(failed);
    EXPECT_FALSE(failed.value().write);
    EXPECT_EQ(r.rax, 2u);
    EXPECT_EQ(r.rflags, cf | pf | af | sf);  // 1 - 2
    auto done = emulate_store(r, in, 2);
    ASSERT_TRUE(done);
    EXPECT_TRUE(done.value().write);
    EXPECT_EQ(done.value().value, 7u);
    EXPECT_EQ(r.rflags, zf | pf);
}

TEST(Store, a_string_store_with_short_addresses_is_left_to_others) {
    Regs r{};
    EXPECT_FALSE(emulate_store(r, decoded({0x67, 0xab}), 0));
    EXPECT_TRUE(emulate_store(r, decoded({0xab}), 0));
    EXPECT_EQ(r.rdi, 4u);
}

}  // namespace
