// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/arch/x86/ioapic.hpp"

#include "hypervisor/arch/x86/apic.hpp"
#include "hypervisor/arch/x86/direct_map.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv::ioapic {
namespace {

struct Unit {
    uint64_t physical;
    volatile uint32_t* registers;
    uint32_t gsi_base;
    uint32_t inputs;
};
constexpr unsigned max_units = 16;
Unit units[max_units];
unsigned unit_count = 0;

constexpr uint32_t reg_version = 1;
constexpr uint32_t reg_first_entry = 0x10;
constexpr uint32_t entry_masked = x86::ioapic_entry::masked;

// 82093AA: the index goes to offset 0, the value through offset 0x10.
uint32_t read_register(const Unit& u, uint32_t reg) {
    u.registers[0] = reg;
    return u.registers[4];
}
void write_register(const Unit& u, uint32_t reg, uint32_t value) {
    u.registers[0] = reg;
    u.registers[4] = value;
}

const Unit* unit_of(uint32_t gsi) {
    for (unsigned i = 0; i < unit_count; ++i)
        if (gsi >= units[i].gsi_base && gsi < units[i].gsi_base + units[i].inputs) return &units[i];
    return nullptr;
}

}  // namespace

void add(uint64_t physical, uint32_t gsi_base) {
    if (unit_count == max_units) return;
    Unit& u = units[unit_count++];
    u = {physical, reinterpret_cast<volatile uint32_t*>(directmap_base + physical), gsi_base, 0};
    u.inputs = ((read_register(u, reg_version) >> 16) & 0xff) + 1;
    for (uint32_t i = 0; i < u.inputs; ++i) write_register(u, reg_first_entry + 2 * i, entry_masked);
    log(LogLevel::info, "I/O APIC at %lx: GSI %u-%u", physical, gsi_base, gsi_base + u.inputs - 1);
}

unsigned gsi_count() {
    unsigned n = 16;
    for (unsigned i = 0; i < unit_count; ++i)
        if (units[i].gsi_base + units[i].inputs > n) n = units[i].gsi_base + units[i].inputs;
    return n;
}

void route(uint32_t gsi, uint64_t entry) {
    const Unit* u = unit_of(gsi);
    if (!u) return;
    const uint32_t reg = reg_first_entry + 2 * (gsi - u->gsi_base);
    write_register(*u, reg, static_cast<uint32_t>(entry));
    write_register(*u, reg + 1, static_cast<uint32_t>(entry >> 32));
}

void set_mask(uint32_t gsi, bool masked) {
    const Unit* u = unit_of(gsi);
    if (!u) return;
    const uint32_t entry = reg_first_entry + 2 * (gsi - u->gsi_base);
    const uint32_t low = read_register(*u, entry);
    write_register(*u, entry, masked ? low | entry_masked : low & ~entry_masked);
}

bool read(uint64_t physical, uint32_t reg, uint32_t& value) {
    for (unsigned i = 0; i < unit_count; ++i) {
        if (units[i].physical != physical) continue;
        value = read_register(units[i], reg & 0xff);
        return true;
    }
    return false;
}

void local_eoi() { apic::eoi(); }

uint32_t destination() { return cpus[0].apic_id; }

}  // namespace hv::ioapic
