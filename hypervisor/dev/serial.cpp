// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/dev/serial.hpp"

#include <atomic>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/dev/console_input.hpp"
#include "hypervisor/irq/irq.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log_ring.hpp"
#include "hypervisor/time/timer.hpp"
#include "lib/dev/uart.hpp"

namespace hv {
namespace {

struct PortRegisters {
    uint16_t port = 0;
    uint8_t read(uint16_t reg) const { return hw::in8(static_cast<uint16_t>(port + reg)); }
    void write(uint16_t reg, uint8_t value) const { hw::out8(static_cast<uint16_t>(port + reg), value); }
};
static_assert(dev::UartRegisters<PortRegisters>);

parse::SerialSettings settings;
bool started = false;
constinit dev::Uart<PortRegisters> line;  ///< console lock

/// The ring is looked after by a timer while text waits: for a port whose interrupt does not come.
constexpr base::Nanos watch_interval = base::Nanos::ms(2);
constexpr unsigned patience = 1000;  ///< looks without a byte sent before the text is given up: 2 s
std::atomic<bool> watched{true};     ///< the timer runs, or the ring is not in use yet
std::atomic<unsigned> looks{0};      ///< by the timer, since a byte was sent
uint64_t sent_before = 0;            ///< console lock

[[gnu::noinline]] void write_and_watch(TextFrom from, const char* text, size_t n) {
    line.write(from, text, n);
    if (line.waiting() && !watched.load(std::memory_order_relaxed)) this_cpu().raise(SoftIrq::console);
}
void write(TextFrom from, const char* text, size_t n) {
    if (!line.send_at_once(text, n)) write_and_watch(from, text, n);
}
bool has_room(size_t n) { return line.has_room(n); }
bool pump() {
    line.pump();
    if (line.sent() != sent_before) looks.store(0, std::memory_order_relaxed);
    sent_before = line.sent();
    if (looks.load(std::memory_order_relaxed) > patience) line.discard();
    return line.waiting();
}
void flush() { line.flush(); }

ConsoleSink sink{write, has_room, pump, flush};

void watch(void*);
Timer watch_timer{watch, nullptr};

void watch(void*) {
    looks.fetch_add(1, std::memory_order_relaxed);
    if (!console_pump()) {
        watched.store(false, std::memory_order_seq_cst);
        // Whoever wrote before that store has not raised the soft interrupt.
        if (!console_pump()) return;
        if (watched.exchange(true, std::memory_order_seq_cst)) return;
    }
    timer::set(watch_timer, clock::now() + watch_interval, this_cpu().id);
}

void interrupt() {
    // Edge-triggered: while a reason is left there will be no other interrupt. A port that never runs out of reasons is
    // left to the timer.
    for (unsigned turn = 0; turn < 4 && line.wants_service(); ++turn) {
        char text[64];
        if (const size_t n = line.receive(text, sizeof text)) console_received(text, n);
        console_pump();
    }
}

}  // namespace

void serial_start(const parse::SerialSettings& s) {
    settings = s;
    line.registers().port = s.port;
    started = line.start(s);
    if (started) add_console(sink);
}

void serial_enable_interrupts(uint32_t gsi, bool synchronous) {
    if (!started) return;
    if (!irq_claim(gsi, false, false, interrupt))
        log(LogLevel::warning, "Serial line: interrupt %u is not free; output goes by timer, there is no input", gsi);
    line.start_ring(synchronous);
    watched.store(false, std::memory_order_seq_cst);
    interrupt();
}

void serial_watch() {
    if (watched.exchange(true, std::memory_order_seq_cst)) return;
    looks.store(0, std::memory_order_relaxed);
    timer::set(watch_timer, clock::now() + watch_interval, this_cpu().id);
}

bool serial_ports(uint16_t& first, uint16_t& last) {
    first = settings.port;
    last = static_cast<uint16_t>(settings.port + 7);
    return started;
}

uint8_t serial_irq() { return settings.irq; }

}  // namespace hv
