// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/platform.hpp"

#include "hypervisor/arch/x86/apic.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/ioapic.hpp"
#include "hypervisor/arch/x86/machine.hpp"
#include "hypervisor/arch/x86/smp.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log_ring.hpp"

namespace hv {

Platform platform;

namespace {

constexpr uint64_t default_local_apic = 0xfee00000;

void mask_8259() {
    // Both controllers silent: interrupts come through the I/O APICs.
    hw::out8(0x21, 0xff);
    hw::out8(0xa1, 0xff);
}

void read_tables(const parse::AcpiTables& tables) {
    if (auto madt = tables.table("APIC"); madt && parse::read_madt(madt.value(), platform.madt)) platform.has_madt = true;
    if (auto hpet = tables.table("HPET"); hpet) {
        if (auto h = parse::read_hpet(hpet.value()); h) {
            platform.hpet = h.value();
            platform.has_hpet = true;
        }
    }
    auto fadt = tables.table("FACP");
    if (!fadt) return;
    auto f = parse::read_fadt(fadt.value());
    if (!f) return;
    platform.fadt = f.value();
    platform.has_fadt = true;
    auto dsdt = tables.table_at(platform.fadt.dsdt);
    if (!dsdt) return;
    if (auto s5 = parse::find_sleep_type(dsdt.value(), 5); s5) {
        platform.s5 = s5.value();
        platform.has_s5 = true;
    }
}

uint16_t io_port(const parse::AcpiAddress& a) {
    return a.present() && a.space == parse::AcpiAddress::io ? static_cast<uint16_t>(a.address) : 0;
}

void short_wait() {
    for (unsigned i = 0; i < 100'000; ++i) hw::in8(0x80);
}

}  // namespace

void platform_discover(const parse::BootRecord& record, const parse::PhysicalWindow& memory) {
    auto tables = record.rsdp.empty() ? parse::AcpiTables::search(memory) : parse::AcpiTables::from_rsdp(record.rsdp, memory);
    if (!tables) {
        log(LogLevel::warning, "No ACPI tables (error %u): one CPU, no power-off", static_cast<unsigned>(tables.error()));
        return;
    }
    read_tables(tables.value());
    log(LogLevel::info, "ACPI: %u tables, %lu CPUs, %lu I/O APICs%s", tables.value().count(), platform.madt.processors.size(),
        platform.madt.io_apics.size(), platform.has_s5 ? ", S5" : "");
}

void platform_init_interrupts() {
    mask_8259();
    apic::init_boot_cpu(platform.madt.local_apic ? platform.madt.local_apic : default_local_apic);
    cpus[0].apic_id = apic::id();
    for (const parse::AcpiIoApic& io : platform.madt.io_apics) ioapic::add(io.address, io.gsi_base);
}

uint32_t isa_gsi(uint8_t irq) { return platform.madt.isa(irq).gsi; }

void machine_power_off() {
    constexpr uint16_t sleep_enable = 1u << 13;
    console_flush();
    log(LogLevel::info, "Powering off.");
    smp_stop_others();
    const uint16_t a = io_port(platform.fadt.pm1a_control), b = io_port(platform.fadt.pm1b_control);
    if (platform.has_s5 && a) {
        hw::out16(a, static_cast<uint16_t>((hw::in16(a) & 0xc3ff) | (platform.s5.a & 7) << 10 | sleep_enable));
        if (b) hw::out16(b, static_cast<uint16_t>((hw::in16(b) & 0xc3ff) | (platform.s5.b & 7) << 10 | sleep_enable));
        short_wait();
    }
    log(LogLevel::error, "The machine cannot be powered off: it is safe to do so by hand");
    hw::halt_forever();
}

void machine_restart() {
    console_flush();
    smp_stop_others();
    if (const uint16_t reset = io_port(platform.fadt.reset)) {
        hw::out8(reset, platform.fadt.reset_value);
        short_wait();
    }
    hw::out8(0x64, 0xfe);  // keyboard controller: pulse the reset line
    short_wait();
    hw::out8(0xcf9, 0x02);
    hw::out8(0xcf9, 0x06);
    short_wait();
    hw::triple_fault();
    hw::halt_forever();
}

void machine_halt() {
    console_flush();
    smp_stop_others();
    hw::halt_forever();
}

}  // namespace hv
