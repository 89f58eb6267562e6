// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// Decoding and executing stores: cases that the comparison with the CPU (tests/fuzz/emulate_fuzz.cpp) has found.
#include <gtest/gtest.h>

#include <vector>

#include "hypervisor/guest/pv/decode.hpp"
#include "hypervisor/guest/pv/store_instruction.hpp"

namespace {

using namespace hv;

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
