// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/irq/irq.hpp"

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/ioapic.hpp"
#include "hypervisor/irq/msi.hpp"
#include "hypervisor/irq/pirq.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {
namespace {

constexpr uint8_t first_vector = 0x30, last_vector = 0xef, guest_syscall_vector = 0x80;

constinit Spinlock irq_lock{Rank::irq};
// Lines are never freed: irq_dispatch() reads them without the lock, and one that was given back meanwhile is still a line.
IrqLine gsi_lines[max_gsis];
IrqLine msi_lines[256];  ///< by vector
std::atomic<IrqLine*> by_vector[256];

/// 0: all are taken.
uint8_t free_vector() REQUIRES(irq_lock) {
    for (unsigned v = first_vector; v <= last_vector; ++v)
        if (v != guest_syscall_vector && !by_vector[v].load(std::memory_order_relaxed)) return static_cast<uint8_t>(v);
    return 0;
}

void set_vector(IrqLine& line, uint8_t vector) REQUIRES(irq_lock) {
    line.vector = vector;
    by_vector[vector].store(&line, std::memory_order_release);
}

Status take_vector(IrqLine& line) REQUIRES(irq_lock) {
    if (line.vector != 0) return ok;
    const uint8_t vector = free_vector();
    if (vector == 0) return Err{Errc::nospc};
    set_vector(line, vector);
    return ok;
}

void give_vector_back(IrqLine& line) REQUIRES(irq_lock) {
    if (line.vector != 0) by_vector[line.vector].store(nullptr, std::memory_order_release);
    line.vector = 0;
}

/// ISA interrupts are edge, active high; PCI ones level, active low; ACPI overrides come through gsi_setup().
Status prepare_gsi(uint32_t gsi) REQUIRES(irq_lock) {
    IrqLine& line = gsi_lines[gsi];
    if (line.kind != IrqKind::free) return ok;
    constexpr uint32_t isa_interrupts = 16;
    line.gsi = gsi;
    line.level = line.active_low = gsi >= isa_interrupts;
    TRY(take_vector(line));
    line.kind = IrqKind::ioapic;
    ioapic::route(gsi, line.vector, line.level, line.active_low);
    return ok;
}

void set_line_mask(IrqLine& line, bool masked) REQUIRES(irq_lock) {
    if (line.kind == IrqKind::ioapic) ioapic::set_mask(line.gsi, masked);
    else msi_set_mask(line, masked);
}

IrqLine* line_of(Domain& d, uint32_t pirq) REQUIRES(irq_lock) {
    const PirqTable* table = pirqs_of(d);
    return table && pirq < PirqTable::capacity ? table->lines[pirq] : nullptr;
}

/// The domain has a table and nothing under this number.
void give(IrqLine& line, Domain& d, uint32_t pirq) REQUIRES(irq_lock) {
    line.pirq = pirq;
    line.owner.store(&d, std::memory_order_release);
    pirqs_of(d)->lines[pirq] = &line;
}

}  // namespace

void irq_dispatch(uint8_t vector) {
    IrqLine* line = by_vector[vector].load(std::memory_order_acquire);
    if (!line) {
        ioapic::local_eoi();
        log(LogLevel::debug, "Interrupt %02x on CPU%u belongs to nobody", vector, this_cpu().id);
        return;
    }
    if (line->handler) {
        ioapic::local_eoi();
        line->handler();
        return;
    }
    if (line->level) {
        // The line stays active until the guest has seen to its device.
        line->in_service.store(true, std::memory_order_relaxed);
        ioapic::set_mask(line->gsi, true);
    }
    ioapic::local_eoi();
    if (Domain* d = line->owner.load(std::memory_order_acquire)) send_pirq(*d, line->pirq);
}

Status irq_claim(uint32_t gsi, bool level, bool active_low, void (*handler)()) {
    if (gsi >= max_gsis) return Err{Errc::inval};
    Guard g(irq_lock);
    IrqLine& line = gsi_lines[gsi];
    if (line.kind != IrqKind::free) return Err{Errc::busy};
    TRY(prepare_gsi(gsi));
    line.level = level;
    line.active_low = active_low;
    line.handler = handler;
    ioapic::route(gsi, line.vector, level, active_low);
    ioapic::set_mask(gsi, false);
    return ok;
}

Result<PirqTable*> pirqs_create() { return make<PirqTable>(); }

void pirqs_destroy(Domain& d) {
    PirqTable* table = pirqs_of(d);
    for (uint32_t i = 0; i < PirqTable::capacity; ++i)
        if (table->lines[i]) (void)pirq_unmap(d, i);
    destroy(table);
}

Result<uint32_t> pirq_map_gsi(Domain& d, uint32_t gsi, int32_t wanted) {
    if (gsi >= ioapic::gsi_count() || gsi >= max_gsis) return Err{Errc::inval};
    const uint32_t pirq = wanted < 0 ? gsi : static_cast<uint32_t>(wanted);
    PirqTable* const table = pirqs_of(d);
    if (!table || pirq >= PirqTable::capacity) return Err{Errc::inval};
    Guard g(irq_lock);
    IrqLine& line = gsi_lines[gsi];
    if (table->lines[pirq] == &line) return pirq;
    // The hypervisor's own line: it may be named, but an event channel will not bind to it.
    if (line.handler) return pirq;
    if (table->lines[pirq] || line.owner.load(std::memory_order_relaxed)) return Err{Errc::exist};
    TRY(prepare_gsi(gsi));
    give(line, d, pirq);
    return pirq;
}

Result<uint32_t> pirq_free_number(Domain& d) {
    const PirqTable* table = pirqs_of(d);
    if (!table) return Err{Errc::inval};
    // From the top, so that the numbers of GSIs stay free.
    for (uint32_t i = PirqTable::capacity; i-- > ioapic::gsi_count();)
        if (!table->lines[i]) return i;
    return Err{Errc::nospc};
}

Result<uint32_t> pirq_map_msi(Domain& d, uint8_t bus, uint8_t devfn, uint16_t entry, uint64_t bar, int32_t wanted) {
    const PirqTable* table = pirqs_of(d);
    if (!table || wanted >= static_cast<int32_t>(PirqTable::capacity)) return Err{Errc::inval};
    Guard g(irq_lock);
    const uint32_t number = wanted >= 0 ? static_cast<uint32_t>(wanted) : TRY(pirq_free_number(d));
    const uint8_t vector = free_vector();
    if (table->lines[number] || vector == 0) return Err{Errc::nospc};
    IrqLine* line = &msi_lines[vector];
    TRY(msi_find(*line, bus, devfn, entry, bar));
    set_vector(*line, vector);
    give(*line, d, number);
    msi_program(*line);
    return line->pirq;
}

Status pirq_unmap(Domain& d, uint32_t pirq) {
    Guard g(irq_lock);
    IrqLine* line = line_of(d, pirq);
    if (!line) return Err{Errc::inval};
    set_line_mask(*line, true);
    pirqs_of(d)->lines[pirq] = nullptr;
    line->owner.store(nullptr, std::memory_order_release);
    line->bound = false;
    give_vector_back(*line);
    line->kind = IrqKind::free;
    return ok;
}

Status gsi_setup(uint32_t gsi, bool level, bool active_low) {
    if (gsi >= ioapic::gsi_count() || gsi >= max_gsis) return Err{Errc::inval};
    Guard g(irq_lock);
    IrqLine& line = gsi_lines[gsi];
    if (line.handler) return Err{Errc::busy};
    TRY(prepare_gsi(gsi));
    if (line.level == level && line.active_low == active_low) return ok;
    line.level = level;
    line.active_low = active_low;
    ioapic::route(gsi, line.vector, level, active_low);
    if (line.bound) ioapic::set_mask(gsi, false);
    return ok;
}

Result<uint8_t> gsi_vector(uint32_t gsi) {
    if (gsi >= ioapic::gsi_count() || gsi >= max_gsis) return Err{Errc::inval};
    Guard g(irq_lock);
    TRY(prepare_gsi(gsi));
    return gsi_lines[gsi].vector;
}

Status pirq_bind(Domain& d, uint32_t pirq, bool) {
    Guard g(irq_lock);
    IrqLine* line = line_of(d, pirq);
    if (!line) {
        // Old callers bind a GSI without mapping it first.
        if (!pirqs_of(d) || pirq >= ioapic::gsi_count() || pirq >= max_gsis) return Err{Errc::inval};
        line = &gsi_lines[pirq];
        if (line->handler || line->owner.load(std::memory_order_relaxed)) return Err{Errc::busy};
        TRY(prepare_gsi(pirq));
        give(*line, d, pirq);
    }
    if (line->bound) return Err{Errc::busy};
    line->bound = true;
    line->in_service.store(false, std::memory_order_relaxed);
    set_line_mask(*line, false);
    return ok;
}

void pirq_unbind(Domain& d, uint32_t pirq) {
    Guard g(irq_lock);
    IrqLine* line = line_of(d, pirq);
    if (!line || !line->bound) return;
    line->bound = false;
    set_line_mask(*line, true);
}

void pirq_eoi(Domain& d, uint32_t pirq) {
    Guard g(irq_lock);
    IrqLine* line = line_of(d, pirq);
    if (!line || !line->level) return;
    if (line->in_service.exchange(false, std::memory_order_relaxed) && line->bound) ioapic::set_mask(line->gsi, false);
}

bool pirq_needs_eoi(Domain& d, uint32_t pirq) {
    Guard g(irq_lock);
    const IrqLine* line = line_of(d, pirq);
    return line && line->level;
}

}  // namespace hv
