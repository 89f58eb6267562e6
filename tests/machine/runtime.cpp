// SPDX-License-Identifier: Apache-2.0
/// rt/ for host tests: the log goes to stderr, panic aborts.
#include <sched.h>

#include <cstdio>
#include <cstdlib>

#include "hypervisor/rt/log_ring.hpp"
#include "hypervisor/rt/panic.hpp"
#include "hypervisor/sync/spinlock.hpp"
#include "tests/machine/host.hpp"

namespace hv {

bool host::log_to_stderr = true;
bool host::reboot_after_panic = true;
void set_panic_reboot(bool reboot) { host::reboot_after_panic = reboot; }

namespace {

void show(TextFrom, const char* text, size_t n) {
    if (host::log_to_stderr) std::fwrite(text, 1, n, stderr);
}
ConsoleSink sink{show};

/// Tests want silence; HV_LOG=1 lets everything out.
[[maybe_unused]] const bool started = [] {
    const bool all = std::getenv("HV_LOG") != nullptr;
    const uint8_t levels = LogLevels::up_to(all ? LogLevel::debug : LogLevel::error);
    set_log_levels({levels, levels}, {levels, levels});
    add_console(sink);
    return true;
}();

}  // namespace

void panic(const char* fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char text[512];
    vformat(text, sizeof text, fmt, ap);
    std::fprintf(stderr, "(XEN) %s\n", text);
    va_end(ap);
    std::abort();
}

void (*host::on_spin)() = nullptr;

namespace detail {
void spin_wait() {
    if (host::on_spin) host::on_spin();
    sched_yield();
}
}  // namespace detail

}  // namespace hv
