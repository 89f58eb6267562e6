// SPDX-License-Identifier: Apache-2.0
#include "lib/parse/serial.hpp"

#include "lib/parse/cmdline.hpp"

namespace parse {

using base::Err;
using base::Errc;
using base::Result;

namespace {

/// "8n1": data bits, parity, stop bits.
Result<uint8_t> line_bits(std::string_view s) {
    if (s.size() != 3 || s[0] < '5' || s[0] > '8' || (s[2] != '1' && s[2] != '2')) return Err{Errc::inval};
    const uint8_t v = static_cast<uint8_t>((s[0] - '5') | (s[2] == '2' ? 4 : 0));
    switch (s[1]) {
        case 'n': return v;
        case 'o': return static_cast<uint8_t>(v | 0x08);
        case 'e': return static_cast<uint8_t>(v | 0x18);
        case 'm': return static_cast<uint8_t>(v | 0x28);
        case 's': return static_cast<uint8_t>(v | 0x38);
        default: return Err{Errc::inval};
    }
}

/// A number from `least` to `most`.
Result<uint64_t> number(std::string_view text, uint64_t least, uint64_t most) {
    const uint64_t n = TRY(parse_integer(text));
    if (n < least || n > most) return Err{Errc::range};
    return n;
}

}  // namespace

Result<SerialSettings> parse_serial(std::string_view text, SerialSettings s) {
    constexpr uint64_t fastest = 115200, last_port = 0xffff - 7, last_irq = 255;
    ValueList items(text);
    if (auto baud = items.next(); baud && !baud->empty()) {
        s.baud = *baud == "auto" ? 0 : static_cast<uint32_t>(TRY(number(*baud, 1, fastest)));
    }
    if (auto bits = items.next(); bits && !bits->empty()) s.line = TRY(line_bits(*bits));
    if (auto io = items.next(); io && !io->empty()) s.port = static_cast<uint16_t>(TRY(number(*io, 1, last_port)));
    if (auto irq = items.next(); irq && !irq->empty()) s.irq = static_cast<uint8_t>(TRY(number(*irq, 0, last_irq)));
    return s;
}

}  // namespace parse
