// SPDX-License-Identifier: Apache-2.0
/// The guest's console: the shared ring of a domU, the hypervisor's console for a kernel in dom0's place.
#pragma once

#include <concepts>

#include "guests/tiny/cpu.hpp"

namespace guest {

/// Writes n bytes; waits for room in the ring.
void write_console(const char* text, size_t n);
/// Waits until the back end has taken everything that was written, so that the end of the domain loses nothing.
void drain_console();
/// The domU's ring; null in dom0's place.
xen::XenconsInterface* console_ring();

/// A number to be printed in hexadecimal.
struct Hex {
    uint64_t value;
};

/// A text in the making. What does not fit is cut off.
class Line {
public:
    void add(const char* text) {
        while (*text) add(*text++);
    }
    void add(char c) {
        if (used_ < sizeof text_) text_[used_++] = c;
    }
    void add(Hex h);
    void add(std::signed_integral auto v) {
        if (v < 0) add('-');
        add_decimal(v < 0 ? 0 - static_cast<uint64_t>(v) : static_cast<uint64_t>(v));
    }
    void add(std::unsigned_integral auto v) { add_decimal(v); }
    void write() const { write_console(text_, used_); }

private:
    void add_decimal(uint64_t v);

    char text_[240];
    size_t used_ = 0;
};

/// Prints its arguments (texts, numbers, Hex) one after the other, as one write.
template <class... Parts>
void print(const Parts&... parts) {
    Line line;
    (line.add(parts), ...);
    line.write();
}

}  // namespace guest
