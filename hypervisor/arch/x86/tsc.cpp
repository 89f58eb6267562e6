// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/arch/x86/tsc.hpp"

#include "hypervisor/arch/x86/direct_map.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "lib/base/calendar.hpp"

namespace hv {
namespace {

constexpr uint64_t measure_ms = 40;

/// A counter that ticks at a known rate and wraps at `mask`.
struct Reference {
    const char* name;
    uint64_t hz;
    uint64_t mask;
    uint64_t (*read)();
};

uint16_t pm_timer_port = 0;
volatile uint8_t* hpet_registers = nullptr;

uint64_t read_pm_timer() { return hw::in32(pm_timer_port); }
uint64_t read_hpet() { return *reinterpret_cast<volatile uint32_t*>(hpet_registers + 0xf0); }

/// PIT channel 2 counts down at 1193182 Hz; returned as counting up.
uint64_t read_pit() {
    hw::out8(0x43, 0x80);
    const uint32_t low = hw::in8(0x42);
    const uint32_t high = hw::in8(0x42);
    return 0xffff - (high << 8 | low);
}

void start_pit() {
    hw::out8(0x61, static_cast<uint8_t>((hw::in8(0x61) & ~2) | 1));
    hw::out8(0x43, 0xb4);
    hw::out8(0x42, 0xff);
    hw::out8(0x42, 0xff);
}

/// A pair read close together: the reading with the shortest bracket of several.
struct Sample {
    uint64_t tsc, reference;
};
Sample sample(const Reference& r) {
    Sample best{};
    uint64_t shortest = ~uint64_t{0};
    for (int i = 0; i < 5; ++i) {
        const uint64_t before = hw::rdtsc();
        const uint64_t value = r.read();
        const uint64_t after = hw::rdtsc();
        if (after - before >= shortest) continue;
        shortest = after - before;
        best = {before + (after - before) / 2, value};
    }
    return best;
}

uint64_t measure_khz(const Reference& r) {
    const Sample start = sample(r);
    const uint64_t wanted = r.hz * measure_ms / 1000;
    while (((r.read() - start.reference) & r.mask) < wanted) hw::pause();
    const Sample end = sample(r);
    const uint64_t ticks = (end.reference - start.reference) & r.mask;
    return (end.tsc - start.tsc) * r.hz / ticks / 1000;
}

Reference choose(const parse::AcpiFadt* fadt, const parse::AcpiHpet* hpet) {
    constexpr uint64_t pm_hz = 3'579'545;
    if (fadt && fadt->pm_timer.present() && fadt->pm_timer.space == parse::AcpiAddress::io) {
        pm_timer_port = static_cast<uint16_t>(fadt->pm_timer.address);
        return {"ACPI PM timer", pm_hz, fadt->pm_timer_32bit ? 0xffffffffu : 0xffffffu, read_pm_timer};
    }
    if (hpet && hpet->address.present()) {
        hpet_registers = directmap_base + hpet->address.address;
        const uint64_t femtoseconds = *reinterpret_cast<volatile uint32_t*>(hpet_registers + 4);
        auto* enable = reinterpret_cast<volatile uint32_t*>(hpet_registers + 0x10);
        *enable = *enable | 1;
        if (femtoseconds != 0) return {"HPET", 1'000'000'000'000'000 / femtoseconds, 0xffffffff, read_hpet};
    }
    start_pit();
    return {"PIT", 1'193'182, 0xffff, read_pit};
}

uint8_t cmos(uint8_t reg) {
    hw::out8(0x70, reg);
    return hw::in8(0x71);
}

unsigned from_bcd(uint8_t v) { return (v >> 4) * 10u + (v & 15u); }

}  // namespace

void calibrate_tsc(const parse::AcpiFadt* fadt, const parse::AcpiHpet* hpet) {
    const Reference r = choose(fadt, hpet);
    const uint64_t khz = measure_khz(r);
    clock::set_frequency(khz, hw::rdtsc());
    log(LogLevel::info, "Platform timer is %s; TSC runs at %lu.%03lu MHz", r.name, khz / 1000, khz % 1000);
}

uint64_t read_cmos_seconds() {
    constexpr uint8_t status_a = 0x0a, status_b = 0x0b, updating = 0x80, binary = 0x04;
    for (unsigned i = 0; i < 100'000 && (cmos(status_a) & updating); ++i) hw::pause();
    const bool bcd = !(cmos(status_b) & binary);
    const auto value = [&](uint8_t reg) { return bcd ? from_bcd(cmos(reg)) : cmos(reg); };
    const unsigned second = value(0), minute = value(2), hour = value(4), day = value(7), month = value(8);
    const unsigned year = 2000 + value(9);
    return base::days_of({year, month, day}) * 86400 + hour * 3600 + minute * 60 + second;
}

}  // namespace hv
