// SPDX-License-Identifier: Apache-2.0
/// The text screen: output only, scrolling, until dom0 takes the adapter.
#include <cstdint>
#include <cstring>

#include "hypervisor/dev/serial.hpp"
#include "hypervisor/mm/frame.hpp"
#include "hypervisor/rt/log_ring.hpp"

namespace hv {
namespace {

constexpr uint64_t text_memory = 0xb8000;
constexpr unsigned columns = 80, rows = 25;
constexpr uint16_t blank = 0x0700 | ' ';
unsigned row = 0, column = 0;
bool ours = true;  ///< dom0 has not taken the adapter. Console lock.

uint16_t* cells() { return reinterpret_cast<uint16_t*>(directmap_base + text_memory); }

void new_line() {
    column = 0;
    if (++row < rows) return;
    row = rows - 1;
    memmove(cells(), cells() + columns, (rows - 1) * columns * sizeof(uint16_t));
    for (unsigned c = 0; c < columns; ++c) cells()[row * columns + c] = blank;
}

void write(TextFrom, const char* text, size_t n) {
    if (!ours) return;
    for (size_t i = 0; i < n; ++i) {
        if (text[i] == '\n') {
            new_line();
            continue;
        }
        if (text[i] == '\r') continue;
        if (column == columns) new_line();
        cells()[row * columns + column++] = static_cast<uint16_t>(0x0700 | static_cast<uint8_t>(text[i]));
    }
}

ConsoleSink sink{write};

}  // namespace

void vga_start() {
    for (unsigned i = 0; i < rows * columns; ++i) cells()[i] = blank;
    add_console(sink);
}

void vga_leave() {
    log(LogLevel::info, "The screen is dom0's from now on");
    ours = false;
}

}  // namespace hv
