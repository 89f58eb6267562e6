// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/irq/irq.hpp"

#include <utility>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/ioapic.hpp"
#include "hypervisor/arch/x86/speculation.hpp"
#include "hypervisor/irq/internal.hpp"
#include "hypervisor/irq/message.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/trace/trace.hpp"

namespace hv {

constinit Spinlock irq::lock{Rank::irq};

namespace {

constexpr uint8_t first_vector = 0x30, last_vector = 0xef, guest_syscall_vector = 0x80;

// Lines are never freed: irq_dispatch() reads them without the lock, and one that was given back meanwhile is still a line.
IrqLine gsi_lines[max_gsis];
IrqLine msi_lines[256];  ///< by vector
std::atomic<IrqLine*> by_vector[256];

/// The machine's number of a line, by what never changes: irq_dispatch() has no lock.
uint32_t number_at(const IrqLine& line, uint8_t vector) {
    const bool of_gsi = &line >= gsi_lines && &line < gsi_lines + max_gsis;
    return of_gsi ? static_cast<uint32_t>(&line - gsi_lines) : max_gsis + vector;
}

/// Interrupts go to the first CPU until they are moved, and a word of CPUs is what there is room for.
void record(uint32_t event, const IrqLine& line) REQUIRES(irq::lock) {
    trace::event(event, number_at(line, line.vector), uint32_t{line.vector}, uint32_t{1});
}

/// 0: all are taken.
uint8_t free_vector() REQUIRES(irq::lock) {
    for (unsigned v = first_vector; v <= last_vector; ++v)
        if (v != guest_syscall_vector && !by_vector[v].load(std::memory_order_relaxed)) return static_cast<uint8_t>(v);
    return 0;
}

void set_vector(IrqLine& line, uint8_t vector) REQUIRES(irq::lock) {
    line.vector = vector;
    by_vector[vector].store(&line, std::memory_order_release);
}

Status take_vector(IrqLine& line) REQUIRES(irq::lock) {
    if (line.vector != 0) return ok;
    const uint8_t vector = free_vector();
    if (vector == 0) return Err{Errc::nospc};
    set_vector(line, vector);
    record(xen::TRC_HW_IRQ_ASSIGN_VECTOR, line);
    return ok;
}

void give_vector_back(IrqLine& line) REQUIRES(irq::lock) {
    if (line.vector != 0) {
        record(xen::TRC_HW_IRQ_CLEAR_VECTOR, line);
        by_vector[line.vector].store(nullptr, std::memory_order_release);
    }
    line.vector = 0;
}

void route(const IrqLine& line) REQUIRES(irq::lock) {
    ioapic::route(line.gsi, x86::ioapic_entry_for(compose_message(line), line.level, line.active_low));
}

bool is_gsi(uint32_t number) { return number < ioapic::gsi_count() && number < max_gsis; }

/// ISA interrupts are edge, active high; PCI ones level, active low; ACPI overrides come through gsi_setup().
Status prepare_gsi(uint32_t gsi) REQUIRES(irq::lock) {
    IrqLine& line = gsi_lines[gsi];
    if (line.kind != IrqKind::free) return ok;
    constexpr uint32_t isa_interrupts = 16;
    line.gsi = gsi;
    if (!line.described) line.level = line.active_low = gsi >= isa_interrupts;
    TRY(take_vector(line));
    line.kind = IrqKind::ioapic;
    route(line);
    return ok;
}

void set_line_mask(IrqLine& line, bool masked) REQUIRES(irq::lock) {
    if (line.kind == IrqKind::ioapic) ioapic::set_mask(line.gsi, masked);
    else irq::msi_set_mask(line, masked);
}

// -- numberings -------------------------------------------------------------------------------------------------------

IrqLine* line_of(const PirqTable& t, uint32_t pirq) REQUIRES(irq::lock) {
    uint64_t n = pirq;
    if (!index_below(n, PirqTable::capacity)) return nullptr;
    IrqLine* const* chunk = t.chunks[n / PirqTable::chunk];
    return chunk ? chunk[n % PirqTable::chunk] : nullptr;
}

/// Nothing was mapped to this number. Errors: nomem.
Status give(IrqLine& line, PirqTable& t, uint32_t pirq) REQUIRES(irq::lock) {
    IrqLine**& chunk = t.chunks[pirq / PirqTable::chunk];
    if (!chunk) chunk = TRY(make_array<IrqLine*>(PirqTable::chunk));
    chunk[pirq % PirqTable::chunk] = &line;
    ++line.mappings;
    return ok;
}

/// The number under which the table has the line; `capacity` when it has not.
uint32_t number_of(const PirqTable& t, const IrqLine& line) REQUIRES(irq::lock) {
    uint32_t n = 0;
    while (n < PirqTable::capacity && line_of(t, n) != &line) ++n;
    return n;
}

bool interrupts(const IrqLine& line, const PirqTable& t) REQUIRES(irq::lock) {
    return line.target.load(std::memory_order_relaxed) == &t.domain;
}

void unbind(IrqLine& line) REQUIRES(irq::lock) {
    line.target.store(nullptr, std::memory_order_seq_cst);  // then deliveries are looked at: pairs with irq_dispatch()
    set_line_mask(line, true);
}

Status unmap(PirqTable& t, uint32_t pirq) REQUIRES(irq::lock) {
    IrqLine* line = line_of(t, pirq);
    if (!line) return Err{Errc::inval};
    if (interrupts(*line, t)) unbind(*line);
    t.chunks[pirq / PirqTable::chunk][pirq % PirqTable::chunk] = nullptr;
    if (--line->mappings != 0) return ok;
    set_line_mask(*line, true);
    if (std::exchange(line->device, nullptr)) line->of_device.unlink();
    give_vector_back(*line);
    line->kind = IrqKind::free;
    return ok;
}

Status map_gsi(PirqTable& t, uint32_t gsi, uint32_t pirq) REQUIRES(irq::lock) {
    TRY(prepare_gsi(gsi));
    return give(gsi_lines[gsi], t, pirq);
}

}  // namespace

void irq_dispatch(uint8_t vector) {
    IrqLine* line = by_vector[vector].load(std::memory_order_acquire);
    if (!line) {
        ioapic::local_eoi();
        trace::event(xen::TRC_HW_IRQ_UNMAPPED_VECTOR, uint32_t{vector});
        log(LogLevel::debug, "Interrupt %02x on CPU%u belongs to nobody", vector, this_cpu().id);
        return;
    }
    if (line->handler) {
        ioapic::local_eoi();
        line->handler();
        return;
    }
    if (line->level) {
        // The line stays active until the guest has seen to its device. Under the lock: who binds the line or ends the interrupt
        // finds both of these done or none, and masks are written through an index that all inputs share.
        Guard g(irq::lock);
        line->in_service.store(true, std::memory_order_relaxed);
        ioapic::set_mask(line->gsi, true);
    }
    ioapic::local_eoi();
    const uint64_t began = trace::on() ? arch::read_tsc() : 0;
    // Counted before the target is looked at: a domain is not freed (pirqs_destroy) while it is on its way to it.
    line->deliveries.fetch_add(1, std::memory_order_seq_cst);
    if (Domain* d = line->target.load(std::memory_order_seq_cst)) send_pirq(*d, line->pirq.load(std::memory_order_relaxed));
    line->deliveries.fetch_sub(1, std::memory_order_release);
    if (trace::on()) [[unlikely]]
        trace::event(xen::TRC_HW_IRQ_HANDLED, number_at(*line, vector), static_cast<uint32_t>(began),
                     static_cast<uint32_t>(arch::read_tsc()));
}

Status irq_claim(uint32_t gsi, bool level, bool active_low, void (*handler)()) {
    if (gsi >= max_gsis) return Err{Errc::inval};
    Guard g(irq::lock);
    IrqLine& line = gsi_lines[gsi];
    if (line.kind != IrqKind::free) return Err{Errc::busy};
    TRY(prepare_gsi(gsi));
    line.level = level;
    line.active_low = active_low;
    line.handler = handler;
    route(line);
    ioapic::set_mask(gsi, false);
    return ok;
}

void pirqs_release(PirqTable& t) {
    // What is mapped for it while it ends is found by pirqs_destroy().
    for (uint32_t first = 0; first < PirqTable::capacity; first += PirqTable::chunk)
        for (uint32_t i = 0; t.chunks[first / PirqTable::chunk] && i < PirqTable::chunk; ++i) (void)pirq_unmap(t, first + i);
}

void pirqs_destroy(PirqTable& t) {
    pirqs_release(t);
    bool had_any = false;
    for (IrqLine**& chunk : t.chunks) {
        if (!chunk) continue;
        destroy_array(std::exchange(chunk, nullptr), PirqTable::chunk);
        had_any = true;
    }
    const auto wait = [](IrqLine& line) {
        while (line.deliveries.load(std::memory_order_seq_cst)) detail::spin_wait();
    };
    if (!had_any) return;
    for (IrqLine& line : gsi_lines) wait(line);
    for (IrqLine& line : msi_lines) wait(line);
}

Result<uint32_t> pirq_map_gsi(PirqTable& t, uint32_t gsi, int32_t wanted) {
    if (!is_gsi(gsi)) return Err{Errc::inval};
    const uint32_t pirq = wanted < 0 ? gsi : static_cast<uint32_t>(wanted);
    if (pirq >= PirqTable::capacity) return Err{Errc::inval};
    Guard g(irq::lock);
    // The hypervisor's own line: it may be named, but an event channel will not bind to it.
    if (gsi_lines[gsi].handler) return pirq;
    const uint32_t current = number_of(t, gsi_lines[gsi]);
    if (current == pirq || (current < PirqTable::capacity && wanted < 0)) return current;
    if (current < PirqTable::capacity || line_of(t, pirq)) return Err{Errc::exist};
    TRY(map_gsi(t, gsi, pirq));
    return pirq;
}

namespace {

/// From the top, so that the numbers of GSIs stay free.
Result<uint32_t> free_number(const PirqTable& t) REQUIRES(irq::lock) {
    for (uint32_t i = PirqTable::capacity; i-- > ioapic::gsi_count();)
        if (!line_of(t, i)) return i;
    return Err{Errc::nospc};
}

}  // namespace

Result<uint32_t> pirq_free_number(PirqTable& t) {
    Guard g(irq::lock);
    return free_number(t);
}

Result<uint32_t> pirq_map_msi(PirqTable& t, const MsiRequest& m, int32_t wanted) {
    if (wanted >= static_cast<int32_t>(PirqTable::capacity)) return Err{Errc::inval};
    Guard g(irq::lock);
    PciDevice* dev = irq::find_device(m.device);
    if (!dev) return Err{Errc::nodev};
    const uint32_t number = wanted >= 0 ? static_cast<uint32_t>(wanted) : TRY(free_number(t));
    if (line_of(t, number)) return Err{Errc::exist};
    const uint8_t vector = free_vector();
    if (vector == 0) return Err{Errc::nospc};
    IrqLine& line = msi_lines[vector];
    TRY(irq::msi_find(line, *dev, m));
    TRY(give(line, t, number));
    line.device = dev;
    line.numbering = &t;
    line.pirq.store(number, std::memory_order_relaxed);
    dev->lines.push_back(line);
    set_vector(line, vector);
    record(xen::TRC_HW_IRQ_ASSIGN_VECTOR, line);
    irq::msi_program(line);
    return number;
}

void irq::unmap_msi(IrqLine& line) { (void)unmap(*line.numbering, line.pirq.load(std::memory_order_relaxed)); }

uint32_t irq::machine_number(const IrqLine& line) { return line.kind == IrqKind::ioapic ? line.gsi : max_gsis + line.vector; }

Status pirq_unmap(PirqTable& t, uint32_t pirq) {
    Guard g(irq::lock);
    return unmap(t, pirq);
}

Result<uint32_t> pirq_machine_number(PirqTable& t, uint32_t pirq) {
    Guard g(irq::lock);
    const IrqLine* line = line_of(t, pirq);
    if (!line) return Err{Errc::noent};
    return irq::machine_number(*line);
}

Status gsi_setup(uint32_t gsi, bool level, bool active_low) {
    if (!is_gsi(gsi)) return Err{Errc::inval};
    Guard g(irq::lock);
    IrqLine& line = gsi_lines[gsi];
    if (line.handler) return Err{Errc::busy};
    TRY(prepare_gsi(gsi));
    line.described = true;
    if (line.level == level && line.active_low == active_low) return ok;
    line.level = level;
    line.active_low = active_low;
    route(line);
    if (line.target.load(std::memory_order_relaxed)) ioapic::set_mask(gsi, false);
    return ok;
}

Result<uint8_t> gsi_vector(uint32_t gsi) {
    if (!is_gsi(gsi)) return Err{Errc::inval};
    Guard g(irq::lock);
    TRY(prepare_gsi(gsi));
    return gsi_lines[gsi].vector;
}

Result<uint32_t> ioapic_register(uint64_t physical, uint32_t reg) {
    Guard g(irq::lock);
    uint32_t value = 0;
    if (!ioapic::read(physical, reg, value)) return Err{Errc::inval};
    return value;
}

Status pirq_bind(PirqTable& t, uint32_t pirq, Unmapped unmapped) {
    Guard g(irq::lock);
    IrqLine* line = line_of(t, pirq);
    if (!line) {
        if (unmapped != Unmapped::is_gsi || !is_gsi(pirq)) return Err{Errc::inval};
        line = &gsi_lines[pirq];
        if (line->handler || line->target.load(std::memory_order_relaxed)) return Err{Errc::busy};
        if (number_of(t, *line) != PirqTable::capacity) return Err{Errc::exist};
        TRY(map_gsi(t, pirq, pirq));
    }
    if (line->target.load(std::memory_order_relaxed)) return Err{Errc::busy};
    line->in_service.store(false, std::memory_order_relaxed);
    line->pirq.store(pirq, std::memory_order_relaxed);
    line->target.store(&t.domain, std::memory_order_seq_cst);
    set_line_mask(*line, false);
    return ok;
}

void pirq_unbind(PirqTable& t, uint32_t pirq) {
    Guard g(irq::lock);
    IrqLine* line = line_of(t, pirq);
    if (line && interrupts(*line, t)) unbind(*line);
}

void pirq_eoi(PirqTable& t, uint32_t pirq) {
    Guard g(irq::lock);
    IrqLine* line = line_of(t, pirq);
    if (!line || !line->level || !interrupts(*line, t)) return;
    if (line->in_service.exchange(false, std::memory_order_relaxed)) ioapic::set_mask(line->gsi, false);
}

bool pirq_needs_eoi(PirqTable& t, uint32_t pirq) {
    Guard g(irq::lock);
    const IrqLine* line = line_of(t, pirq);
    return line && line->level;
}

}  // namespace hv
