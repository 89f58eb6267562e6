// SPDX-License-Identifier: Apache-2.0
/// A 16550 (or older) serial port: sent to at once, by polling, until start_ring(); from a ring after that.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include "lib/dev/transmit_ring.hpp"
#include "lib/parse/serial.hpp"

namespace dev {

/// Registers by number, from the port's first.
template <class T>
concept UartRegisters = requires(T& t, uint16_t reg, uint8_t value) {
    { t.read(reg) } -> std::same_as<uint8_t>;
    t.write(reg, value);
};

namespace uart {
// Source: 16550D data sheet, table of registers.
inline constexpr uint16_t data = 0, interrupt_enable = 1, interrupt_cause = 2, fifo_control = 2, line_control = 3,
                          modem_control = 4, line_status = 5;
inline constexpr uint8_t status_data = 1, status_empty = 0x20;
inline constexpr uint8_t cause_none = 1, cause_fifo = 0xc0;
inline constexpr uint8_t divisor_access = 0x80;
inline constexpr uint8_t on_receive = 1, on_empty = 2;
inline constexpr uint32_t base_clock = 115200;
}  // namespace uart

/// Locks: the console's around everything that sends; receive() and wants_service() are the interrupt handler's.
template <UartRegisters Registers>
class Uart {
public:
    explicit constexpr Uart(Registers r = {}) : registers_(r) {}
    Registers& registers() { return registers_; }

    /// False: no such port answers.
    bool start(const parse::SerialSettings& s) {
        registers_.write(uart::line_control, s.line);  // not the divisor's registers
        registers_.write(uart::interrupt_enable, 0);
        const bool silent = (registers_.read(uart::interrupt_enable) & 0x0f) == 0;
        registers_.write(uart::interrupt_enable, 0x0f);
        const bool answers = (registers_.read(uart::interrupt_enable) & 0x0f) == 0x0f;
        registers_.write(uart::interrupt_enable, 0);
        if (!silent || !answers) return false;
        if (s.baud != 0) {
            const uint32_t divisor = uart::base_clock / s.baud;
            registers_.write(uart::line_control, uart::divisor_access | s.line);
            registers_.write(uart::data, static_cast<uint8_t>(divisor));
            registers_.write(uart::interrupt_enable, static_cast<uint8_t>(divisor >> 8));
        }
        registers_.write(uart::line_control, s.line);
        registers_.write(uart::fifo_control, 0x07);
        registers_.write(uart::modem_control, 0x0b);  // DTR, RTS, interrupt line
        depth_ = (registers_.read(uart::interrupt_cause) & uart::cause_fifo) == uart::cause_fifo ? 16 : 1;
        return true;
    }

    /// From now on text waits in the ring unless `synchronous`; the port interrupts for what it receives, and while text waits
    /// when its FIFO is empty.
    void start_ring(bool synchronous) {
        synchronous_ = synchronous;
        short_ = synchronous ? 0 : depth_ / 2;
        registers_.write(uart::interrupt_enable, uart::on_receive);
        asks_ = false;
    }

    bool waiting() const { return !ring_.empty(); }
    bool has_room(size_t n) const { return synchronous_ || ring_.has_room(n); }

    void write(TextFrom from, const char* text, size_t n) {
        if (synchronous_) {
            for (size_t i = 0; i < n; ++i) {
                if (text[i] == '\n') send_now('\r');
                send_now(static_cast<uint8_t>(text[i]));
            }
            return;
        }
        if (send_at_once(text, n)) return;
        ring_.put(from, text, n);
        pump();
    }
    /// Short text for an idle line, as the echo of a key is, needs neither ring nor interrupt. False: this is not such a case.
    bool send_at_once(const char* text, size_t n) {
        if (n > short_ || !ring_.empty() || !empty()) return false;
        sent_ += send_all(text, n);
        return true;
    }

    /// Moves text from the ring to the FIFO while that is empty. Emulated ports swallow at once whatever they get: at most
    /// 64 bytes, so that they do not hold us longer than a real one.
    void pump() {
        for (unsigned turn = 0; turn < 4 && !ring_.empty() && empty(); ++turn) {
            uint8_t bytes[16];
            const size_t n = ring_.take(bytes, depth_);
            for (size_t i = 0; i < n; ++i) registers_.write(uart::data, bytes[i]);
            sent_ += n;
        }
        ask(!ring_.empty());
    }

    /// Bytes that left the ring so far: when this stands still while text waits, the port is stuck.
    uint64_t sent() const { return sent_; }
    void discard() { ring_.discard(); }

    /// Sends what waits now, and everything that comes from now on at once: the end of the machine is near.
    void flush() {
        synchronous_ = true;
        short_ = 0;
        room_ = 0;  // the ring does not count what it sends
        uint8_t byte = 0;
        while (ring_.take(&byte, 1)) send_now(byte);
    }

    /// Returns the characters that came in, up to `size`.
    size_t receive(char* text, size_t size) {
        size_t n = 0;
        while (n < size && (registers_.read(uart::line_status) & uart::status_data))
            text[n++] = static_cast<char>(registers_.read(uart::data));
        return n;
    }
    /// True while the port has a reason to interrupt. Its line is edge-triggered: the handler goes on until there is none.
    bool wants_service() { return !(registers_.read(uart::interrupt_cause) & uart::cause_none); }

private:
    /// Into the FIFO, which has room. Returns how many bytes it took.
    size_t send_all(const char* text, size_t n) {
        size_t bytes = n;
        for (size_t i = 0; i < n; ++i) {
            if (text[i] == '\n') {
                registers_.write(uart::data, '\r');
                ++bytes;
            }
            registers_.write(uart::data, static_cast<uint8_t>(text[i]));
        }
        return bytes;
    }
    /// Whether to interrupt when the FIFO is empty. A port where it is so already does that at once.
    void ask(bool on) {
        if (asks_ == on) return;
        asks_ = on;
        registers_.write(uart::interrupt_enable, on ? uart::on_receive | uart::on_empty : uart::on_receive);
    }
    bool empty() { return registers_.read(uart::line_status) & uart::status_empty; }

    /// Waits for room, with a bound; a port that does not answer in time is asked once a byte from then on.
    void send_now(uint8_t byte) {
        if (room_ == 0) {
            bool ready = empty();
            for (unsigned spin = 0; !ready && !stuck_ && spin < 1'000'000; ++spin) ready = empty();
            stuck_ = !ready;
            if (stuck_) return;
            room_ = depth_;
        }
        registers_.write(uart::data, byte);
        --room_;
    }

    [[no_unique_address]] Registers registers_;
    TransmitRing ring_{};
    uint64_t sent_ = 0;
    unsigned depth_ = 16;  ///< bytes that the port takes once it is empty
    size_t short_ = 0;     ///< characters that fit then, line breaks or not; none while synchronous
    unsigned room_ = 0;    ///< of those, what the last look left
    bool synchronous_ = true;
    bool asks_ = false;  ///< the port interrupts when its FIFO is empty
    bool stuck_ = false;
};

}  // namespace dev
