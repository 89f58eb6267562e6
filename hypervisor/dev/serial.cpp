// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/dev/serial.hpp"

#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/dev/console_input.hpp"
#include "hypervisor/irq/irq.hpp"
#include "hypervisor/rt/log_ring.hpp"
#include "lib/parse/cmdline.hpp"

namespace hv {
namespace {

// 16550 registers.
constexpr uint16_t data = 0, interrupt_enable = 1, fifo_control = 2, line_control = 3, modem_control = 4, line_status = 5;
constexpr uint8_t status_data = 1, status_empty = 0x20;
constexpr uint8_t divisor_access = 0x80;
constexpr uint32_t base_clock = 115200;
constexpr unsigned fifo_depth = 16;

SerialSettings settings;
bool started = false;

void put_raw(uint8_t c, unsigned& room) {
    // The FIFO takes 16 bytes once it is empty: one status read for all of them.
    if (room == 0) {
        for (unsigned spin = 0; spin < 1'000'000; ++spin)
            if (hw::in8(settings.port + line_status) & status_empty) break;
        room = fifo_depth;
    }
    hw::out8(settings.port + data, c);
    --room;
}

void write(const char* text, size_t n) {
    unsigned room = 0;
    for (size_t i = 0; i < n; ++i) {
        if (text[i] == '\n') put_raw('\r', room);
        put_raw(static_cast<uint8_t>(text[i]), room);
    }
}

void receive() {
    char text[64];
    size_t n = 0;
    while (n < sizeof text && (hw::in8(settings.port + line_status) & status_data))
        text[n++] = static_cast<char>(hw::in8(settings.port + data));
    if (n) console_received(text, n);
}

ConsoleSink sink{write};

/// "8n1": data bits, parity, stop bits.
base::Result<uint8_t> line_bits(std::string_view s) {
    if (s.size() != 3 || s[0] < '5' || s[0] > '8' || (s[2] != '1' && s[2] != '2')) return base::Err{base::Errc::inval};
    uint8_t v = static_cast<uint8_t>((s[0] - '5') | (s[2] == '2' ? 4 : 0));
    switch (s[1]) {
        case 'n': return v;
        case 'o': return static_cast<uint8_t>(v | 0x08);
        case 'e': return static_cast<uint8_t>(v | 0x18);
        case 'm': return static_cast<uint8_t>(v | 0x28);
        case 's': return static_cast<uint8_t>(v | 0x38);
        default: return base::Err{base::Errc::inval};
    }
}

}  // namespace

base::Result<SerialSettings> parse_serial(std::string_view text, SerialSettings s) {
    parse::ValueList items(text);
    if (auto baud = items.next(); baud && !baud->empty()) {
        s.baud = *baud == "auto" ? 0 : static_cast<uint32_t>(TRY(parse::parse_integer(*baud)));
        if (s.baud > base_clock) return base::Err{base::Errc::inval};
    }
    if (auto dps = items.next(); dps && !dps->empty()) s.line = TRY(line_bits(*dps));
    if (auto io = items.next(); io && !io->empty()) s.port = static_cast<uint16_t>(TRY(parse::parse_integer(*io)));
    if (auto irq = items.next(); irq && !irq->empty()) s.irq = static_cast<uint8_t>(TRY(parse::parse_integer(*irq)));
    return s;
}

void serial_start(const SerialSettings& s) {
    settings = s;
    hw::out8(s.port + interrupt_enable, 0);
    if (s.baud != 0) {
        const uint32_t divisor = base_clock / s.baud;
        hw::out8(s.port + line_control, divisor_access | s.line);
        hw::out8(s.port + data, static_cast<uint8_t>(divisor));
        hw::out8(s.port + interrupt_enable, static_cast<uint8_t>(divisor >> 8));
    }
    hw::out8(s.port + line_control, s.line);
    hw::out8(s.port + fifo_control, 0x07);
    hw::out8(s.port + modem_control, 0x0b);  // DTR, RTS, interrupt line
    started = true;
    add_console(sink);
}

void serial_enable_input(uint32_t gsi) {
    if (!started || !irq_claim(gsi, false, false, receive)) return;
    hw::out8(settings.port + interrupt_enable, 1);
    receive();
}

bool serial_ports(uint16_t& first, uint16_t& last) {
    first = settings.port;
    last = static_cast<uint16_t>(settings.port + 7);
    return started;
}

uint8_t serial_irq() { return settings.irq; }

}  // namespace hv
