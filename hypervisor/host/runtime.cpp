// SPDX-License-Identifier: Apache-2.0
/// rt/ for host tests: log to stderr, panic aborts.
#include <sched.h>

#include <cstdio>
#include <cstdlib>

#include "hypervisor/host/host.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {

namespace {
void line(const char* fmt, va_list ap) {
    char text[512];
    vformat(text, sizeof text, fmt, ap);
    std::fprintf(stderr, "(XEN) %s\n", text);
}
/// Tests want silence; HV_LOG=1 lets everything out.
bool wanted(LogLevel level) {
    static const bool all = std::getenv("HV_LOG") != nullptr;
    return all || level <= LogLevel::error;
}
}  // namespace

void log(LogLevel level, const char* fmt, ...) {
    if (!wanted(level)) return;
    va_list ap;
    va_start(ap, fmt);
    line(fmt, ap);
    va_end(ap);
}

void guest_log(LogLevel level, const char* fmt, ...) {
    if (!wanted(level)) return;
    va_list ap;
    va_start(ap, fmt);
    line(fmt, ap);
    va_end(ap);
}

void panic(const char* fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    line(fmt, ap);
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
