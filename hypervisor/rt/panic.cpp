// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/rt/panic.hpp"

#include <atomic>
#include <cstdarg>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/machine.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/rt/log_ring.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {
namespace {

std::atomic<bool> panicking{false};
std::atomic<bool> reboot_after_panic{true};

bool in_image(uint64_t a) { return a >= reinterpret_cast<uint64_t>(image_start) && a < reinterpret_cast<uint64_t>(image_end); }

/// By the TSC, or before its rate is known by the time that a write to the POST port takes: about a microsecond.
void wait_seconds(unsigned seconds) {
    if (clock::tsc_khz == 0) {
        for (unsigned i = 0; i < seconds * 1'000'000; ++i) hw::out8(0x80, 0);
        return;
    }
    const uint64_t end = hw::rdtsc() + clock::tsc_khz * 1000 * seconds;
    while (hw::rdtsc() < end) detail::spin_wait();
}

}  // namespace

void set_panic_reboot(bool reboot) { reboot_after_panic.store(reboot, std::memory_order_relaxed); }

void show_stack(uint64_t rsp) {
    const uint64_t end = (rsp | (cpu_stack_size - 1)) + 1 - sizeof(CpuStackTop);
    char line[160];
    size_t n = 0;
    unsigned words = 0;
    log(LogLevel::error, "Stack from rsp=%016lx:", rsp);
    for (uint64_t a = rsp & ~uint64_t{7}; a < end && words < 64; a += 8, ++words) {
        n += format(line + n, sizeof line - n, " %016lx", *reinterpret_cast<const uint64_t*>(a));
        if (words % 4 == 3) {
            log(LogLevel::error, "  %s", line);
            n = 0;
        }
    }
    if (n) log(LogLevel::error, "  %s", line);
    log(LogLevel::error, "Return addresses on the stack:");
    unsigned shown = 0;
    for (uint64_t a = rsp & ~uint64_t{7}; a < end && shown < 24; a += 8) {
        const uint64_t v = *reinterpret_cast<const uint64_t*>(a);
        if (!in_image(v)) continue;
        log(LogLevel::error, "   [<%016lx>]", v);
        ++shown;
    }
}

void show_regs(const Regs& r) {
    log(LogLevel::error, "RIP:    %04lx:[<%016lx>]  vector %u error %04x", r.cs, r.rip, r.vector, r.error_code);
    log(LogLevel::error, "RFLAGS: %016lx  CPU: %u", r.rflags, this_cpu().id);
    log(LogLevel::error, "rax: %016lx   rbx: %016lx   rcx: %016lx", r.rax, r.rbx, r.rcx);
    log(LogLevel::error, "rdx: %016lx   rsi: %016lx   rdi: %016lx", r.rdx, r.rsi, r.rdi);
    log(LogLevel::error, "rbp: %016lx   rsp: %016lx   r8:  %016lx", r.rbp, r.rsp, r.r8);
    log(LogLevel::error, "r9:  %016lx   r10: %016lx   r11: %016lx", r.r9, r.r10, r.r11);
    log(LogLevel::error, "r12: %016lx   r13: %016lx   r14: %016lx", r.r12, r.r13, r.r14);
    log(LogLevel::error, "r15: %016lx   cr2: %016lx   cr3: %016lx", r.r15, hw::read_cr2(), hw::read_cr3());
}

void panic_with(const Regs* regs, const char* fmt, va_list ap) {
    if (panicking.exchange(true)) {
        for (;;) hw::halt_forever();
    }
    console_break_lock();
    console_flush();
    char text[256];
    vformat(text, sizeof text, fmt, ap);
    log(LogLevel::error, "****************************************");
    log(LogLevel::error, "Panic on CPU %u:", this_cpu().id);
    log(LogLevel::error, "%s", text);
    log(LogLevel::error, "****************************************");
    if (this_cpu().current) show_vcpu(current());
    if (regs) show_regs(*regs);
    const uint64_t here = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
    show_stack(regs ? regs->rsp : here);
    machine_failed("Panic");
}

void give_up(const char* fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char text[256];
    vformat(text, sizeof text, fmt, ap);
    va_end(ap);
    log(LogLevel::error, "%s", text);
    machine_failed("Cannot start");
}

void machine_failed(const char* what) {
    constexpr unsigned seconds = 5;
    console_flush();
    if (!reboot_after_panic.load(std::memory_order_relaxed)) {
        log(LogLevel::error, "%s: 'noreboot' set - not rebooting.", what);
        machine_halt();
    }
    log(LogLevel::error, "%s: rebooting machine in %u seconds.", what, seconds);
    wait_seconds(seconds);
    machine_restart();
}

void panic(const char* fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    panic_with(nullptr, fmt, ap);
    va_end(ap);
    for (;;) hw::halt_forever();
}

void panic_regs(const Regs& regs, const char* fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    panic_with(&regs, fmt, ap);
    va_end(ap);
    for (;;) hw::halt_forever();
}

}  // namespace hv
