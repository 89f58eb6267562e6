// SPDX-License-Identifier: Apache-2.0
#include "tests/machine/pci.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"

namespace hv::host {
namespace {

std::vector<std::unique_ptr<PciFunction>> functions;
uint32_t selected = 0;  ///< what was written to port 0xcf8

constexpr uint16_t address_port = 0xcf8, data_port = 0xcfc;

PciFunction* answering() {
    for (const auto& f : functions)
        if (f->bus == (selected >> 16 & 0xff) && f->devfn == (selected >> 8 & 0xff)) return f.get();
    return nullptr;
}

uint32_t in(uint16_t port, unsigned bytes) {
    if (port < data_port || port > data_port + 3) return ~0u;
    const PciFunction* f = answering();
    return f ? f->get((selected & 0xfc) + (port - data_port), bytes) : ~0u;
}

void out(uint16_t port, unsigned bytes, uint32_t value) {
    if (port == address_port) selected = value;
    if (port < data_port || port > data_port + 3) return;
    if (PciFunction* f = answering()) f->set((selected & 0xfc) + (port - data_port), bytes, value);
}

volatile void* registers(uint64_t physical) {
    for (const auto& f : functions)
        if (f->memory_at && physical - f->memory_at < sizeof f->memory) return f->memory + (physical - f->memory_at);
    return nullptr;
}

}  // namespace

void PciFunction::set(unsigned reg, unsigned bytes, uint32_t value) { std::memcpy(config + reg, &value, bytes); }

uint32_t PciFunction::get(unsigned reg, unsigned bytes) const {
    uint32_t value = 0;
    std::memcpy(&value, config + reg, bytes);
    return value;
}

void PciFunction::capability(uint8_t at, uint8_t id) {
    config[6] |= 1u << 4;
    config[at] = id;
    config[at + 1] = config[0x34];
    config[0x34] = at;
}

void PciFunction::bar(unsigned number, uint32_t address) {
    set(0x10 + 4 * number, 4, address);
    memory_at = address;
}

PciFunction& plug(uint8_t bus, uint8_t devfn) {
    hw::host_in = in;
    hw::host_out = out;
    host_map_device = registers;
    functions.push_back(std::make_unique<PciFunction>());
    PciFunction& f = *functions.back();
    f.bus = bus;
    f.devfn = devfn;
    f.set(0, 4, 0x10001af4);
    return f;
}

void unplug(PciFunction& f) {
    std::erase_if(functions, [&f](const auto& other) { return other.get() == &f; });
}

}  // namespace hv::host
