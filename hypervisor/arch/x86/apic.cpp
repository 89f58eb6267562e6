// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/arch/x86/apic.hpp"

#include "hypervisor/arch/x86/direct_map.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv::apic {
namespace {

// SDM 3A table 11-1: register offsets.
enum Reg : uint32_t {
    reg_id = 0x20,
    reg_tpr = 0x80,
    reg_eoi = 0xb0,
    reg_spurious = 0xf0,
    reg_esr = 0x280,
    reg_icr_low = 0x300,
    reg_icr_high = 0x310,
    reg_lvt_timer = 0x320,
    reg_lvt_perf = 0x340,
    reg_lvt_lint0 = 0x350,
    reg_lvt_lint1 = 0x360,
    reg_lvt_error = 0x370,
    reg_timer_initial = 0x380,
    reg_timer_current = 0x390,
    reg_timer_divide = 0x3e0,
};
constexpr uint32_t lvt_masked = 1u << 16;
constexpr uint32_t icr_busy = 1u << 12;
constexpr uint32_t icr_assert = 1u << 14;
constexpr uint32_t icr_others = 3u << 18;
constexpr uint32_t divide_by_1 = 0xb;

volatile uint8_t* base = nullptr;
uint64_t khz = 0;
bool deadline_mode = false;

uint32_t read(Reg r) { return *reinterpret_cast<volatile uint32_t*>(base + r); }
void write(Reg r, uint32_t v) { *reinterpret_cast<volatile uint32_t*>(base + r) = v; }

void send(uint32_t apic_id, uint32_t command) {
    while (read(reg_icr_low) & icr_busy) hw::pause();
    write(reg_icr_high, apic_id << 24);
    write(reg_icr_low, command);
}

/// Counts the timer over 10 ms of TSC time.
uint64_t measure_khz() {
    write(reg_timer_divide, divide_by_1);
    write(reg_lvt_timer, lvt_masked | vector_timer);
    const uint64_t start = hw::rdtsc();
    write(reg_timer_initial, ~0u);
    const uint64_t span = clock::tsc_khz * 10;
    while (hw::rdtsc() - start < span) hw::pause();
    const uint64_t elapsed = hw::rdtsc() - start;
    const uint64_t ticks = ~0u - read(reg_timer_current);
    write(reg_timer_initial, 0);
    return ticks * clock::tsc_khz / elapsed;
}

}  // namespace

void init_boot_cpu(uint64_t physical_base) {
    base = directmap_base + physical_base;
    init_this_cpu();
    deadline_mode = (hw::cpuid(1).c >> 24) & 1;
    if (!deadline_mode) khz = measure_khz();
    init_this_cpu();
    log(LogLevel::info, "Local APIC timer: %s, %lu kHz", deadline_mode ? "TSC deadline" : "one-shot",
        deadline_mode ? clock::tsc_khz : khz);
}

void init_this_cpu() {
    constexpr uint64_t apic_enable = 1u << 11;
    hw::wrmsr(hw::msr_apic_base, hw::rdmsr(hw::msr_apic_base) | apic_enable);
    write(reg_spurious, 0x100 | vector_spurious);
    write(reg_tpr, 0);
    write(reg_lvt_error, vector_error);
    write(reg_lvt_lint0, lvt_masked);
    write(reg_lvt_lint1, 0x400);  // NMI
    write(reg_lvt_perf, lvt_masked);
    write(reg_timer_divide, divide_by_1);
    constexpr uint32_t mode_deadline = 2u << 17;
    write(reg_lvt_timer, deadline_mode ? mode_deadline | vector_timer : vector_timer);
    write(reg_eoi, 0);
}

uint32_t id() { return read(reg_id) >> 24; }
void eoi() { write(reg_eoi, 0); }
void send_ipi(uint32_t apic_id, uint8_t vector) { send(apic_id, icr_assert | vector); }
void send_ipi_others(uint8_t vector) { send(0, icr_others | icr_assert | vector); }
void send_init(uint32_t apic_id) { send(apic_id, icr_assert | 0x500); }
void send_startup(uint32_t apic_id, uint8_t page) { send(apic_id, icr_assert | 0x600 | page); }

void set_timer(base::Nanos deadline) {
    constexpr uint32_t msr_tsc_deadline = 0x6e0;
    if (deadline == base::Nanos::never()) {
        if (deadline_mode) hw::wrmsr(msr_tsc_deadline, 0);
        else write(reg_timer_initial, 0);
        return;
    }
    if (deadline_mode) {
        // A time that has passed fires at once; 0 would stop the timer.
        const uint64_t tsc = clock::to_tsc(deadline);
        hw::wrmsr(msr_tsc_deadline, tsc ? tsc : 1);
        return;
    }
    const base::Nanos now = clock::now();
    const int64_t left = deadline > now ? (deadline - now).n : 0;
    // Never 0, which would stop the timer; at most a second, after which the queue is looked at again.
    const uint64_t ns = left < 1000 ? 1000 : left > 1'000'000'000 ? 1'000'000'000 : static_cast<uint64_t>(left);
    uint64_t ticks = ns * khz / 1'000'000 + 1;
    if (ticks > ~0u) ticks = ~0u;
    write(reg_timer_initial, static_cast<uint32_t>(ticks));
}

}  // namespace hv::apic
