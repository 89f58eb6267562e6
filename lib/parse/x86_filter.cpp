// SPDX-License-Identifier: Apache-2.0
// The x86 branch filter of the .xz format. The encoder turned relative targets of CALL (E8) and JMP (E9) into absolute
// ones, which repeat more often; this turns them back. Which opcodes it touched depends on the up to three bytes before
// them: opcodes that follow another opcode candidate closely are likely operands and were left alone.
#include "lib/parse/lzma.hpp"

namespace parse {

namespace {

constexpr std::size_t instruction = 5;

bool extends_sign(std::uint8_t byte) { return byte == 0x00 || byte == 0xff; }

/// Bit k of `history` tells that the byte k + 1 back looked like an opcode but was not converted. Byte number
/// (0 = lowest) of the operand that such a history makes suspicious.
unsigned suspicious_byte(unsigned history) { return history == 0 ? 4 : history == 1 ? 3 : history <= 3 ? 2 : 1; }

/// With these histories the encoder never converts.
bool never_converted(unsigned history) { return history == 3 || history >= 5; }

/// Index of the first E8 or E9 at or after `i`, or `end`. Eight bytes per step.
std::size_t next_opcode(const std::uint8_t* p, std::size_t i, std::size_t end) {
    constexpr std::uint64_t ones = 0x0101010101010101;
    for (; i + 8 <= end; i += 8) {
        std::uint64_t block;
        __builtin_memcpy(&block, p + i, sizeof block);
        const std::uint64_t zero_where_opcode = (block ^ (ones * 0xE8)) & (ones * 0xFE);
        const std::uint64_t hits = (zero_where_opcode - ones) & ~zero_where_opcode & (ones * 0x80);
        if (hits != 0) return i + (static_cast<unsigned>(__builtin_ctzll(hits)) >> 3);
    }
    while (i < end && (p[i] & 0xFE) != 0xE8) ++i;
    return i;
}

/// The operand that the encoder saw, for the opcode at address `at`.
std::uint32_t original_operand(std::uint32_t operand, std::uint32_t at, unsigned history) {
    const std::uint32_t next = at + static_cast<std::uint32_t>(instruction);
    std::uint32_t target = operand - next;
    if (history != 0) {
        // A converted operand may itself look like one with a suspicious byte; the encoder then inverted and repeated.
        const unsigned shift = suspicious_byte(history) * 8 - 8;
        while (extends_sign(static_cast<std::uint8_t>(target >> shift)))
            target = (target ^ ((std::uint32_t{1} << (shift + 8)) - 1)) - next;
    }
    target &= 0x01ffffff;
    return target | (0u - (target & 0x01000000));
}

}  // namespace

void undo_x86_filter(std::span<std::byte> block, std::uint32_t start_offset) {
    if (block.size() < instruction) return;
    auto* const p = reinterpret_cast<std::uint8_t*>(block.data());
    const std::size_t end = block.size() - (instruction - 1);
    std::size_t last = 0;  // index after which `history` counts: one past the last opcode seen
    unsigned history = 0;
    for (std::size_t i = next_opcode(p, 0, end); i < end; i = next_opcode(p, i, end)) {
        const std::size_t gap = i - last;
        history = gap > 2 ? 0 : (history << gap) & 7;
        const bool suspicious = history != 0 && (never_converted(history) || extends_sign(p[i + suspicious_byte(history)]));
        if (!suspicious && extends_sign(p[i + 4])) {
            std::uint32_t operand;
            __builtin_memcpy(&operand, p + i + 1, sizeof operand);
            operand = original_operand(operand, start_offset + static_cast<std::uint32_t>(i), history);
            __builtin_memcpy(p + i + 1, &operand, sizeof operand);
            i += instruction;
            history = 0;
        } else {
            history = (history << 1) | 1;
            ++i;
        }
        last = i;
    }
}

}  // namespace parse
