// SPDX-License-Identifier: Apache-2.0
/// Text on its way to a slow line: whole pieces go in or are counted as lost, bytes come out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "lib/base/format.hpp"

namespace dev {

/// Whose text it is: who loses or waits first when a console is slow.
enum class TextFrom : uint8_t { hypervisor, guest, dom0_console };

/// Locks: the caller's. After a panic two CPUs may use it at once: the text suffers then, memory does not.
class TransmitRing {
public:
    static constexpr uint32_t capacity = 64 * 1024;  ///< 5.7 s of a line with 115200 baud

    /// Nothing is left to send, be it text or the line that tells of its loss.
    bool empty() const { return in_ == out_ && !lost_; }
    /// True when `n` more characters of dom0's console fit. Its share is a half, of which guests can take a half only: dom0
    /// waits for room where others lose text, and must not wait for them.
    bool has_room(size_t n) const { return used() + 2 * n + note_size <= capacity / 2; }

    /// Puts a piece of text in, with "\r\n" for "\n". When there is no room it is lost; the next piece that has room comes
    /// after a line that says how many were. Guests' lines fill a quarter at most, and once one is lost all are until half
    /// of that is free. The hypervisor's own lines find room longest.
    void put(TextFrom from, const char* text, size_t n) {
        const uint32_t most = from != TextFrom::guest ? capacity : lost_ ? capacity / 8 : capacity / 4;
        const size_t need = n + line_breaks(text, n) + (lost_ ? note_size : 0);
        if (n > capacity || used() + need > most) {
            ++lost_;
            return;
        }
        put_note();
        put_all(text, n);
    }

    /// Up to `n` bytes to send; returns how many.
    size_t take(uint8_t* to, size_t n) {
        if (in_ == out_) put_note();
        size_t taken = 0;
        while (taken < n && in_ != out_) to[taken++] = bytes_[out_++ % capacity];
        return taken;
    }

    /// Gives up what waits: nobody takes it.
    void discard() {
        lost_ = 0;
        out_ = in_;
    }

private:
    static constexpr size_t note_size = 64;

    uint32_t used() const { return in_ - out_; }
    static size_t line_breaks(const char* text, size_t n) {
        size_t breaks = 0;
        for (size_t i = 0; i < n; ++i) breaks += text[i] == '\n';
        return breaks;
    }
    void put_byte(char c) { bytes_[in_++ % capacity] = static_cast<uint8_t>(c); }
    void put_all(const char* text, size_t n) {
        for (size_t i = 0; i < n; ++i) {
            if (text[i] == '\n') put_byte('\r');
            put_byte(text[i]);
        }
    }
    void put_note() {
        if (!lost_) return;
        char note[note_size];
        const bool inside = in_ != 0 && bytes_[(in_ - 1) % capacity] != '\n';
        const size_t n = base::format(note, sizeof note, "%s(XEN) %u lines lost: too many at once\n", inside ? "\n" : "", lost_);
        lost_ = 0;
        put_all(note, n);
    }

    std::array<uint8_t, capacity> bytes_{};
    uint32_t in_ = 0;   ///< bytes ever put in
    uint32_t out_ = 0;  ///< bytes ever taken out
    uint32_t lost_ = 0;
};

}  // namespace dev
