// SPDX-License-Identifier: Apache-2.0
// The LZMA model as the .xz format uses it. The hot loop keeps the range coder and both cursors in registers: every
// helper is inlined into run(), and input bounds are checked once per symbol, not once per byte.
#include "lib/parse/lzma.hpp"

#define HOT [[gnu::always_inline]] inline

namespace parse {

namespace {

using base::Errc;
using Probability = std::uint16_t;

constexpr Probability even_odds = 1024;
constexpr std::uint32_t normalise_below = 1u << 24;
constexpr unsigned first_literal_state_after_match = 7;
constexpr std::size_t min_match = 2;
constexpr std::size_t special_slots = 4;  ///< distances below this slot need no extra bits
constexpr std::size_t direct_slots = 14;  ///< from this slot on, high bits are coded without a model

/// No symbol takes more input than this (51 decisions of at most one byte each cost far less in bits).
constexpr std::ptrdiff_t symbol_slack = 32;

struct RangeDecoder {
    const std::uint8_t* in;
    std::uint32_t range;
    std::uint32_t code;

    HOT void normalise() {
        if (range < normalise_below) {
            range <<= 8;
            code = (code << 8) | *in++;
        }
    }
    HOT bool bit(Probability& p) {
        normalise();
        const std::uint32_t bound = (range >> 11) * p;
        if (code < bound) {
            range = bound;
            p = static_cast<Probability>(p + ((2048u - p) >> 5));
            return false;
        }
        range -= bound;
        code -= bound;
        p = static_cast<Probability>(p - (p >> 5));
        return true;
    }
    /// A bit tree of `bits` levels, most significant bit first.
    template <unsigned bits>
    HOT std::uint32_t tree(Probability* p) {
        std::uint32_t symbol = 1;
        for (unsigned i = 0; i < bits; ++i) symbol = (symbol << 1) | static_cast<std::uint32_t>(bit(p[symbol]));
        return symbol - (1u << bits);
    }
    /// Least significant bit first; `p` starts at index 1.
    HOT std::uint32_t reverse_tree(Probability* p, unsigned bits) {
        std::uint32_t symbol = 1;
        std::uint32_t value = 0;
        for (unsigned i = 0; i < bits; ++i) {
            const auto one = static_cast<std::uint32_t>(bit(p[symbol]));
            symbol = (symbol << 1) | one;
            value |= one << i;
        }
        return value;
    }
    HOT std::uint32_t direct(unsigned bits) {
        std::uint32_t value = 0;
        for (unsigned i = 0; i < bits; ++i) {
            normalise();
            range >>= 1;
            const std::uint32_t borrow = 0u - ((code - range) >> 31);  // all ones when code < range
            code -= range & ~borrow;
            value = (value << 1) + 1 + borrow;
        }
        return value;
    }
};

/// What survives from chunk to chunk.
struct Model {
    unsigned state = 0;
    std::uint32_t rep[4] = {};
    unsigned literal_context_bits = 0;
    std::uint32_t literal_position_mask = 0;
    std::uint32_t position_mask = 0;
};

class Decoder {
public:
    Decoder(Bytes in, std::span<std::byte> out, XzWorkspace& w)
        : w_(w),
          in_(reinterpret_cast<const std::uint8_t*>(in.data())),
          in_start_(in_),
          in_end_(in_ + in.size()),
          out_(reinterpret_cast<std::uint8_t*>(out.data())),
          out_start_(out_),
          out_end_(out_ + out.size()),
          dictionary_(out_) {}

    base::Result<Lzma2End> stream();

private:
    base::Status chunk(unsigned control);
    base::Status stored_chunk(std::size_t size);
    base::Status packed_chunk(std::size_t unpacked, std::size_t packed);
    base::Status run(const std::uint8_t* chunk_end, std::uint8_t* limit);
    const std::uint8_t* move_to_tail(const std::uint8_t* from, const std::uint8_t*& chunk_end);
    base::Status set_properties(unsigned byte);
    void reset_model();

    HOT std::uint32_t length(RangeDecoder& rc, XzWorkspace::Length& l, std::uint32_t position);
    HOT std::uint32_t distance(RangeDecoder& rc, std::uint32_t length);
    HOT void literal(RangeDecoder& rc, std::uint8_t* out, unsigned state, std::uint32_t rep0);
    HOT std::uint32_t match(RangeDecoder& rc, std::uint32_t position, unsigned& state, std::uint32_t (&rep)[4]);
    HOT std::uint32_t rep_match(RangeDecoder& rc, std::uint32_t position, unsigned& state, std::uint32_t (&rep)[4]);

    std::size_t input_left() const { return static_cast<std::size_t>(in_end_ - in_); }

    XzWorkspace& w_;
    const std::uint8_t* in_;
    const std::uint8_t* in_start_;
    const std::uint8_t* in_end_;
    std::uint8_t* out_;
    std::uint8_t* out_start_;
    std::uint8_t* out_end_;
    std::uint8_t* dictionary_;  ///< distances may not reach below this
    Model model_;
    bool need_dictionary_reset_ = true;
    bool need_properties_ = true;
};

std::uint32_t Decoder::length(RangeDecoder& rc, XzWorkspace::Length& l, std::uint32_t position) {
    if (!rc.bit(l.choice)) return rc.tree<3>(l.low[position]);
    if (!rc.bit(l.choice2)) return 8 + rc.tree<3>(l.mid[position]);
    return 16 + rc.tree<8>(l.high);
}

/// Zero-based distance of a match whose length (less min_match) is `length`.
std::uint32_t Decoder::distance(RangeDecoder& rc, std::uint32_t length) {
    const std::uint32_t slot = rc.tree<6>(w_.distance_slot[length < 3 ? length : 3]);
    if (slot < special_slots) return slot;
    const unsigned bits = (slot >> 1) - 1;
    const std::uint32_t high = (2 | (slot & 1)) << bits;
    // The models of slots 4..13 lie one after the other, each with its index 0 unused: that is the "- slot".
    if (slot < direct_slots) return high + rc.reverse_tree(w_.distance_special + high - slot, bits);
    const std::uint32_t middle = rc.direct(bits - 4) << 4;
    return high + middle + rc.reverse_tree(w_.distance_align, 4);
}

void Decoder::literal(RangeDecoder& rc, std::uint8_t* out, unsigned state, std::uint32_t rep0) {
    const auto position = static_cast<std::uint32_t>(out - dictionary_);
    const std::uint32_t before = position == 0 ? 0 : out[-1];
    const std::uint32_t context = ((position & model_.literal_position_mask) << model_.literal_context_bits) +
                                  (before >> (8 - model_.literal_context_bits));
    Probability* const p = w_.literal[context];
    std::uint32_t symbol = 1;
    if (state >= first_literal_state_after_match) {
        // As long as the bits agree with the byte the last match would have given, that byte selects the model.
        std::uint32_t expected = out[-static_cast<std::ptrdiff_t>(rep0) - 1];
        do {
            const std::uint32_t wanted = (expected >> 7) & 1;
            expected <<= 1;
            const auto one = static_cast<std::uint32_t>(rc.bit(p[0x100 + (wanted << 8) + symbol]));
            symbol = (symbol << 1) | one;
            if (one != wanted) break;
        } while (symbol < 0x100);
    }
    while (symbol < 0x100) symbol = (symbol << 1) | static_cast<std::uint32_t>(rc.bit(p[symbol]));
    *out = static_cast<std::uint8_t>(symbol);
}

/// Returns the length of a match at a new distance.
std::uint32_t Decoder::match(RangeDecoder& rc, std::uint32_t position, unsigned& state, std::uint32_t (&rep)[4]) {
    state = state < first_literal_state_after_match ? 7 : 10;
    const std::uint32_t coded = length(rc, w_.match_length, position);
    rep[3] = rep[2];
    rep[2] = rep[1];
    rep[1] = rep[0];
    rep[0] = distance(rc, coded);
    return coded + min_match;
}

/// Returns the length of a match at one of the last four distances; 1 for the short one.
std::uint32_t Decoder::rep_match(RangeDecoder& rc, std::uint32_t position, unsigned& state, std::uint32_t (&rep)[4]) {
    const bool after_literal = state < first_literal_state_after_match;
    if (!rc.bit(w_.is_rep0[state])) {
        if (!rc.bit(w_.is_rep0_long[state][position])) {
            state = after_literal ? 9 : 11;
            return 1;
        }
    } else {
        std::uint32_t chosen = rep[1];
        if (rc.bit(w_.is_rep1[state])) {
            chosen = rep[2];
            if (rc.bit(w_.is_rep2[state])) {
                chosen = rep[3];
                rep[3] = rep[2];
            }
            rep[2] = rep[1];
        }
        rep[1] = rep[0];
        rep[0] = chosen;
    }
    state = after_literal ? 8 : 11;
    return length(rc, w_.rep_length, position) + min_match;
}

/// Repeats `length` bytes from `distance` back. Eight at a time where source and target are far enough apart and
/// there is room to write a little too much.
HOT void copy_match(std::uint8_t* out, std::size_t distance, std::size_t length, const std::uint8_t* buffer_end) {
    const std::uint8_t* from = out - distance;
    std::uint8_t* const end = out + length;
    if (distance >= 8 && static_cast<std::size_t>(buffer_end - end) >= 8) {
        do {
            std::uint64_t block;
            __builtin_memcpy(&block, from, 8);
            __builtin_memcpy(out, &block, 8);
            from += 8;
            out += 8;
        } while (out < end);
        return;
    }
    do *out++ = *from++;
    while (out < end);
}

/// Copies the last bytes of a chunk to where reading past them is harmless; returns where they are now.
const std::uint8_t* Decoder::move_to_tail(const std::uint8_t* from, const std::uint8_t*& chunk_end) {
    const auto left = static_cast<std::size_t>(chunk_end - from);  // less than symbol_slack: `from` is beyond `safe`
    __builtin_memset(w_.tail, 0, sizeof w_.tail);
    __builtin_memcpy(w_.tail, from, left);
    chunk_end = w_.tail + left;
    return w_.tail;
}

/// Decodes symbols until `limit` is reached exactly. Errors: badmsg.
base::Status Decoder::run(const std::uint8_t* chunk_end, std::uint8_t* limit) {
    RangeDecoder rc{in_ + 5, UINT32_MAX, 0};
    for (int i = 1; i < 5; ++i) rc.code = (rc.code << 8) | in_[i];
    if (in_[0] != 0) return base::Err{Errc::badmsg};

    // Up to `stop` a symbol can be decoded without reading past the caller's buffer; from there on, from a copy.
    const std::uint8_t* const safe = in_end_ - in_start_ > symbol_slack ? in_end_ - symbol_slack : in_start_;
    const std::uint8_t* stop = safe < chunk_end ? safe : chunk_end;
    std::uint8_t* out = out_;
    unsigned state = model_.state;
    std::uint32_t rep[4] = {model_.rep[0], model_.rep[1], model_.rep[2], model_.rep[3]};
    const std::uint32_t position_mask = model_.position_mask;
    const std::uint8_t* const dictionary = dictionary_;
    const std::uint8_t* const buffer_end = out_end_;

    while (out < limit) {
        if (rc.in > stop) [[unlikely]] {
            if (rc.in > chunk_end) return base::Err{Errc::badmsg};
            rc.in = move_to_tail(rc.in, chunk_end);
            stop = chunk_end;
        }
        const auto position = static_cast<std::uint32_t>(out - dictionary) & position_mask;
        if (!rc.bit(w_.is_match[state][position])) {
            literal(rc, out, state, rep[0]);
            ++out;
            state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
            continue;
        }
        const std::uint32_t count =
            rc.bit(w_.is_rep[state]) ? rep_match(rc, position, state, rep) : match(rc, position, state, rep);
        const auto distance = std::size_t{rep[0]} + 1;
        if (distance > static_cast<std::size_t>(out - dictionary) || count > static_cast<std::size_t>(limit - out)) [[unlikely]]
            return base::Err{Errc::badmsg};
        copy_match(out, distance, count, buffer_end);
        out += count;
    }
    rc.normalise();
    if (rc.in != chunk_end || rc.code != 0) return base::Err{Errc::badmsg};
    out_ = out;
    model_.state = state;
    for (int i = 0; i < 4; ++i) model_.rep[i] = rep[i];
    return base::ok;
}

void Decoder::reset_model() {
    // Everything in front of the tail buffer is probabilities.
    auto* p = reinterpret_cast<Probability*>(&w_);
    const std::size_t count = offsetof(XzWorkspace, tail) / sizeof(Probability);
    for (std::size_t i = 0; i < count; ++i) p[i] = even_odds;
    model_.state = 0;
    for (std::uint32_t& rep : model_.rep) rep = 0;
}

/// (pb * 5 + lp) * 9 + lc, with lc + lp at most 4 in LZMA2.
base::Status Decoder::set_properties(unsigned byte) {
    if (byte >= 9 * 5 * 5) return base::Err{Errc::badmsg};
    const unsigned context_bits = byte % 9;
    const unsigned position_bits = byte / 9 % 5;
    if (context_bits + position_bits > 4) return base::Err{Errc::badmsg};
    model_.literal_context_bits = context_bits;
    model_.literal_position_mask = (1u << position_bits) - 1;
    model_.position_mask = (1u << (byte / 45)) - 1;
    return base::ok;
}

base::Status Decoder::stored_chunk(std::size_t size) {
    if (input_left() < size) return base::Err{Errc::range};
    if (static_cast<std::size_t>(out_end_ - out_) < size) return base::Err{Errc::nobufs};
    __builtin_memcpy(out_, in_, size);
    in_ += size;
    out_ += size;
    return base::ok;
}

base::Status Decoder::packed_chunk(std::size_t unpacked, std::size_t packed) {
    if (packed < 5) return base::Err{Errc::badmsg};
    if (input_left() < packed) return base::Err{Errc::range};
    if (static_cast<std::size_t>(out_end_ - out_) < unpacked) return base::Err{Errc::nobufs};
    const std::uint8_t* const chunk_end = in_ + packed;
    TRY(run(chunk_end, out_ + unpacked));
    in_ = chunk_end;
    return base::ok;
}

/// Control byte (xz format, LZMA2): 1/2 stored with/without dictionary reset; from 0x80 packed, bits 5-6 say what to
/// reset, bits 0-4 are the top of the unpacked size.
base::Status Decoder::chunk(unsigned control) {
    const bool resets_dictionary = control == 1 || control >= 0xE0;
    if (need_dictionary_reset_ && !resets_dictionary) return base::Err{Errc::badmsg};
    if (resets_dictionary) {
        need_dictionary_reset_ = false;
        need_properties_ = true;  // and with them a fresh model: old distances reach below the new dictionary
        dictionary_ = out_;
    }
    if (control < 0x80) {
        if (control > 2) return base::Err{Errc::badmsg};
        if (input_left() < 2) return base::Err{Errc::range};
        const std::size_t size = (std::size_t{in_[0]} << 8 | in_[1]) + 1;
        in_ += 2;
        return stored_chunk(size);
    }
    const bool new_properties = control >= 0xC0;
    if (input_left() < (new_properties ? 5u : 4u)) return base::Err{Errc::range};
    const std::size_t unpacked = (std::size_t{control & 0x1f} << 16 | std::size_t{in_[0]} << 8 | in_[1]) + 1;
    const std::size_t packed = (std::size_t{in_[2]} << 8 | in_[3]) + 1;
    in_ += 4;
    if (new_properties) {
        TRY(set_properties(*in_++));
        need_properties_ = false;
    }
    if (need_properties_) return base::Err{Errc::badmsg};
    if (control >= 0xA0) reset_model();
    return packed_chunk(unpacked, packed);
}

base::Result<Lzma2End> Decoder::stream() {
    for (;;) {
        if (in_ == in_end_) return base::Err{Errc::range};
        const unsigned control = *in_++;
        if (control == 0) break;
        TRY(chunk(control));
    }
    return Lzma2End{static_cast<std::size_t>(in_ - in_start_), static_cast<std::size_t>(out_ - out_start_)};
}

}  // namespace

base::Result<Lzma2End> lzma2_decode(Bytes in, std::span<std::byte> out, XzWorkspace& workspace) {
    return Decoder(in, out, workspace).stream();
}

}  // namespace parse
