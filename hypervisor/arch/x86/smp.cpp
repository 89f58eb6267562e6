// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/arch/x86/smp.hpp"

#include <atomic>
#include <cstring>

#include "hypervisor/arch/x86/apic.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/descriptors.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/arch/x86/speculation_setup.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {

Cpu cpus[max_cpus];

extern "C" {
extern uint8_t trampoline_start[], trampoline_end[];
extern uint8_t trampoline_gdt_base[], trampoline_far[];
extern uint64_t ap_stack;
extern uint8_t cpu_stacks[];
}

namespace {

/// Where the trampoline is copied: a page below 1 MiB that no loader uses for what we need.
constexpr uint64_t trampoline_page = 0x8000;
std::atomic<uint32_t> started{0};
unsigned starting = 0;
bool parking = false;

void delay_us(uint64_t us) {
    const uint64_t end = hw::rdtsc() + clock::tsc_khz * us / 1000;
    while (hw::rdtsc() < end) hw::pause();
}

void install_trampoline() {
    uint8_t* page = directmap_base + trampoline_page;
    memcpy(page, trampoline_start, static_cast<size_t>(trampoline_end - trampoline_start));
    const auto patch = [&](const uint8_t* where) {
        uint32_t v = 0;
        uint8_t* at = page + (where - trampoline_start);
        memcpy(&v, at, 4);
        v += static_cast<uint32_t>(trampoline_page);
        memcpy(at, &v, 4);
    };
    patch(trampoline_gdt_base);
    patch(trampoline_far);
}

}  // namespace

void cpu_attach(unsigned cpu) {
    stack_top().cpu = &cpus[cpu];
    cpus[cpu].id = cpu;
}

extern "C" [[noreturn]] void ap_main() {
    const unsigned cpu = starting;
    cpu_attach(cpu);
    Cpu& self = cpus[cpu];
    self.loaded_cr3 = idle_cr3();
    hw::write_cr3(idle_cr3());
    enable_features();
    self.loaded_cr4 = cpu_features.cr4;
    load_descriptors(self);
    speculation_init_cpu();
    if (parking) {
        started.fetch_add(1, std::memory_order_release);
        hw::halt_forever();
    }
    apic::init_this_cpu();
    self.online = true;
    started.fetch_add(1, std::memory_order_release);
    arch::enter_guest_loop();
}

bool smp_park_cpu(unsigned cpu, uint32_t apic_id) {
    parking = true;
    const bool answered = smp_start_cpu(cpu, apic_id);
    parking = false;
    return answered;
}

bool smp_start_cpu(unsigned cpu, uint32_t apic_id) {
    install_trampoline();
    cpus[cpu].apic_id = apic_id;
    starting = cpu;
    ap_stack = reinterpret_cast<uint64_t>(cpu_stacks + (cpu + 1) * cpu_stack_size - page_size);
    const uint32_t before = started.load();
    apic::send_init(apic_id);
    delay_us(10'000);
    for (int attempt = 0; attempt < 2; ++attempt) {
        apic::send_startup(apic_id, trampoline_page >> 12);
        for (int i = 0; i < 2000; ++i) {
            if (started.load(std::memory_order_acquire) != before) return true;
            delay_us(100);
        }
    }
    apic::send_init(apic_id);  // it must not come later, with a stack and a number that are another's by then
    return false;
}

void smp_serve_requests() {
    Cpu& self = this_cpu();
    const uint32_t asked = self.flush_requested.load(std::memory_order_acquire);
    if (asked == self.flush_done.load(std::memory_order_relaxed)) return;
    // Only what was asked before this flush is answered by it.
    arch::flush_tlb_local();
    self.flush_done.store(asked, std::memory_order_release);
}

void smp_stop_others() { apic::send_ipi_others(vector_halt); }

namespace detail {
void spin_wait() {
    smp_serve_requests();
    hw::pause();
}
}  // namespace detail

namespace arch {

void kick(unsigned cpu) {
    if (cpu == this_cpu().id) return;
    apic::send_ipi(cpus[cpu].apic_id, vector_kick);
}

void flush_tlb_local() {
    Cpu& self = this_cpu();
    const uint32_t time = tlb_flush_begins();
    hw::write_cr3(hw::read_cr3());
    tlb_flush_ended(self, time);
}

void flush_tlb_page_local(uint64_t va) { hw::invlpg(va); }

namespace {

/// Asks `others` for a flush. Answers who has to do it: a CPU in the idle address space has flushed when it went there and
/// will again when it leaves.
CpuSet ask_for_flush(const CpuSet& others) {
    return others.where([](unsigned c) {
        if (__atomic_load_n(&cpus[c].loaded_cr3, __ATOMIC_SEQ_CST) == idle_cr3()) return false;
        cpus[c].flush_requested.fetch_add(1, std::memory_order_seq_cst);
        apic::send_ipi(cpus[c].apic_id, vector_flush);
        return true;
    });
}

void wait_for_flush(const CpuSet& asked) {
    for (const unsigned c : asked) {
        // What has been asked of it since is waited for as well: one flush answers all.
        const uint32_t ticket = cpus[c].flush_requested.load(std::memory_order_acquire);
        const auto answered = [&] {
            return static_cast<int32_t>(cpus[c].flush_done.load(std::memory_order_acquire) - ticket) >= 0;
        };
        while (!answered()) detail::spin_wait();
    }
}

[[gnu::noinline]] void flush_others(const CpuSet& others, bool here) {
    const CpuSet asked = ask_for_flush(others);
    if (here) flush_tlb_local();
    wait_for_flush(asked);
}

}  // namespace

void flush_tlb(const CpuSet& which) {
    const unsigned self = this_cpu().id;
    const bool here = which.has(self);
    CpuSet others = which;
    others.remove(self);
    if (!others.empty()) flush_others(others, here);
    else if (here) flush_tlb_local();
}

uint64_t read_tsc() { return hw::rdtsc(); }

namespace {

/// The time is over, or it begins now.
[[gnu::noinline]] bool slice_is_over(Cpu& cpu, uint64_t now) {
    if (cpu.preempt_deadline != 0) return true;
    constexpr uint64_t slice_us = 200;
    cpu.preempt_deadline = now + clock::tsc_khz * slice_us / 1000;
    return false;
}

}  // namespace

bool preempt_wanted() {
    Cpu& cpu = this_cpu();
    if (cpu.pending.load(std::memory_order_relaxed)) return true;
    const uint64_t now = hw::rdtsc();
    if (now <= cpu.preempt_deadline) [[likely]]
        return false;
    return slice_is_over(cpu, now);
}

void set_timer_deadline(base::Nanos deadline) { apic::set_timer(deadline); }

}  // namespace arch
}  // namespace hv
