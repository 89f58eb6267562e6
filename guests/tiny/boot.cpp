// SPDX-License-Identifier: Apache-2.0
#include "guests/tiny/boot.hpp"

#include "abi/xen/sched.hpp"
#include "guests/tiny/console.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/traps.hpp"
#include "guests/tiny/vcpus.hpp"

extern "C" {
[[noreturn]] void guest_start(const xen::StartInfo* start);

// The compiler calls these by name.
void* memset(void* p, int c, size_t n) {
    auto* b = static_cast<volatile char*>(p);
    while (n--) *b++ = static_cast<char>(c);
    return p;
}
void* memcpy(void* to, const void* from, size_t n) {
    auto* t = static_cast<volatile char*>(to);
    const auto* f = static_cast<const volatile char*>(from);
    while (n--) *t++ = *f++;
    return to;
}
void* memmove(void* to, const void* from, size_t n) {
    auto* t = static_cast<volatile char*>(to);
    const auto* f = static_cast<const volatile char*>(from);
    if (t <= f) return memcpy(to, from, n);
    while (n--) t[n] = f[n];
    return to;
}
int memcmp(const void* a, const void* b, size_t n) {
    const auto* x = static_cast<const volatile unsigned char*>(a);
    const auto* y = static_cast<const volatile unsigned char*>(b);
    for (; n; --n, ++x, ++y)
        if (*x != *y) return *x - *y;
    return 0;
}
}

namespace guest {

const xen::StartInfo* info;

namespace {

/// What follows `key` where it stands at the start of a word of the command line; null where it does not.
const char* after(const char* key) {
    const auto* line = reinterpret_cast<const char*>(info->cmd_line);
    for (const char* p = line; *p; ++p) {
        if (p != line && p[-1] != ' ') continue;
        size_t n = 0;
        while (key[n] && p[n] == key[n]) ++n;
        if (!key[n]) return p + n;
    }
    return nullptr;
}

unsigned digit(char c) {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
    return 16;
}

}  // namespace

uint64_t option(const char* key, uint64_t otherwise) {
    const char* p = after(key);
    if (!p || *p++ != '=') return otherwise;
    unsigned base = 10;
    if (p[0] == '0' && p[1] == 'x') base = 16, p += 2;
    uint64_t value = 0;
    for (; digit(*p) < base; ++p) value = value * base + digit(*p);
    return value;
}

bool has_word(const char* word) {
    const char* p = after(word);
    return p && (*p == 0 || *p == ' ');
}

void shut_down(uint32_t reason) {
    xen::SchedShutdown off{reason};
    for (;;) hypercall(xen::HYPERVISOR_sched_op, xen::SCHEDOP_shutdown, addr(&off));
}

void power_off(int status) {
    print("guest: status ", status, "\n");
    drain_console();
    shut_down(is_dom0() ? xen::SHUTDOWN_reboot : xen::SHUTDOWN_poweroff);
}

}  // namespace guest

void guest_start(const xen::StartInfo* start) {
    guest::info = start;
    guest::map_shared_info();
    guest::this_vcpu() = {0, &guest::shared_info().vcpu_info[0], nullptr};
    guest::install_traps();
    guest::power_off(guest_main());
}
