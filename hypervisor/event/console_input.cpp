// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/dev/console_input.hpp"

#include "abi/xen/basic.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {
namespace {

constexpr uint32_t buffer_size = 1024;
constexpr char switch_key = 0x01;  // Ctrl-A
constexpr unsigned switch_presses = 3;

constinit Spinlock input_lock{Rank::console};
char buffer[buffer_size] GUARDED_BY(input_lock);
uint32_t produced GUARDED_BY(input_lock) = 0;
uint32_t consumed GUARDED_BY(input_lock) = 0;
unsigned presses = 0;
bool to_hypervisor = false;

/// Full: the newest characters are lost, as on any serial line.
void keep(char c) {
    Guard g(input_lock);
    if (produced - consumed < buffer_size) buffer[produced++ % buffer_size] = c;
}

bool is_switch(char c) {
    presses = c == switch_key ? presses + 1 : 0;
    if (presses < switch_presses) return false;
    presses = 0;
    to_hypervisor = !to_hypervisor;
    log(LogLevel::warning, "*** Serial input to %s (type 'CTRL-a' three times to switch input)",
        to_hypervisor ? "the hypervisor" : "DOM0");
    return true;
}

}  // namespace

void console_received(const char* text, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        if (is_switch(text[i])) continue;
        if (!to_hypervisor) keep(text[i]);
    }
    if (dom0) send_global_virq(*dom0, xen::VIRQ_CONSOLE);
}

size_t console_read(char* dst, size_t size) {
    Guard g(input_lock);
    size_t n = 0;
    while (n < size && consumed != produced) dst[n++] = buffer[consumed++ % buffer_size];
    return n;
}

}  // namespace hv
