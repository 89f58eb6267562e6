// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/domain/idle.hpp"
#include "hypervisor/domain/run.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/mm/frame.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "hypervisor/time/timer.hpp"
#include "lib/x86/boot_options.hpp"
#include "tests/machine/host.hpp"
#include "tests/machine/mmu.hpp"

namespace hv {

Cpu cpus[max_cpus];
thread_local Cpu* host_this_cpu = &cpus[0];

uint8_t* directmap_base = nullptr;
PageInfo* frame_table = nullptr;
uint64_t* machine_to_phys = nullptr;
uint64_t max_frame = 0;

namespace host {

namespace {
std::atomic<uint64_t> tsc{0};
CpuRecord records[max_cpus];
std::atomic<unsigned> preempt_period{0};
std::atomic<unsigned> preempt_asked{0};
size_t arena_bytes = 0;
std::vector<uint64_t> m2p_storage;
}  // namespace

void (*on_switch)(Vcpu& prev, Vcpu& next) = nullptr;
void (*on_dirtied)(Mfn m, const char* file, int line) = nullptr;

base::Nanos now() { return clock::now(); }
void advance(base::Nanos by) { tsc.fetch_add(static_cast<uint64_t>(by.n), std::memory_order_acq_rel); }
CpuRecord& record(unsigned cpu) { return records[cpu]; }
void become(unsigned cpu) { host_this_cpu = &cpus[cpu]; }

void preempt_every(unsigned n) {
    preempt_period = n;
    preempt_asked = 0;
}

void power_off() {
    if (directmap_base) munmap(directmap_base, arena_bytes);
    delete[] frame_table;
    directmap_base = nullptr;
    frame_table = nullptr;
    max_frame = 0;
}

namespace {
void make_memory(uint64_t frames) {
    arena_bytes = frames * base::page_size;
    void* arena = mmap(nullptr, arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED) std::abort();
    directmap_base = static_cast<uint8_t*>(arena);
    frame_table = new PageInfo[frames];
    m2p_storage.assign(frames, invalid_m2p_entry);
    machine_to_phys = m2p_storage.data();
    max_frame = frames;
    heap::add_region(Mfn(1), Pages{frames - 1});
}

void must(bool done, const char* what) {
    if (done) return;
    std::fprintf(stderr, "host machine: %s failed\n", what);
    std::abort();
}
}  // namespace

void power_on(unsigned count, uint64_t frames) {
    must(!directmap_base, "power_on (one machine a process)");
    clock::set_frequency(1'000'000, 0);  // 1 GHz: a tick is a nanosecond
    tsc = 1'000'000;
    make_memory(frames);
    cpu_words = cpu_words_for(count);
    set_cpu_count(count);
    for (unsigned c = 0; c < count; ++c) {
        cpus[c].id = c;
        cpus[c].apic_id = c;
        cpus[c].online = true;
        become(c);
        timer::init_cpu(c);
    }
    become(0);
    const x86::BootOptions usual;
    sched::init("credit2", {usual.ratelimit_us, usual.tslice_ms});
    must(static_cast<bool>(system_domains_create()), "system_domains_create");
    for (unsigned c = 0; c < count; ++c) {
        become(c);
        auto idle = idle_vcpu_create(c);
        must(static_cast<bool>(idle), "idle_vcpu_create");
        sched::init_cpu(c, *idle.value());
    }
    become(0);
}

void soft_interrupts() {
    Cpu& c = this_cpu();
    while (c.pending.load(std::memory_order_acquire)) {
        if (c.wants(SoftIrq::crash)) {
            c.pending.fetch_and(~static_cast<uint32_t>(SoftIrq::crash));
            domain_crash(c.current->domain, "it did what is not allowed");
        }
        if (c.wants(SoftIrq::timer)) timer::run_expired();
        if (c.pending.fetch_and(~static_cast<uint32_t>(SoftIrq::report)) & static_cast<uint32_t>(SoftIrq::report))
            domain_report_crash();
        if (c.wants(SoftIrq::schedule)) schedule();
    }
}

}  // namespace host

namespace {
uint64_t window_first = base::page_size;
uint64_t window_end = ~uint64_t{0};
}  // namespace

void host::guest_window(uint64_t first, uint64_t bytes) {
    window_first = first;
    window_end = first + bytes;
}

namespace arch {

namespace {
/// The first page is nobody's, so that null pointers fault as a guest's would.
bool faults(uint64_t gva, size_t n) { return n != 0 && (gva < window_first || gva + n < gva || gva + n > window_end); }
bool translated() { return host::guest_memory() == host::GuestMemory::page_tables; }
Regs fake_regs[max_cpus];
}  // namespace

Regs& guest_regs() { return fake_regs[this_cpu().id]; }

bool copy_from_guest(void* dst, uint64_t gva, size_t n) {
    if (translated()) return host::mmu::read(dst, gva, n);
    if (faults(gva, n)) return false;
    if (n) __builtin_memcpy(dst, reinterpret_cast<const void*>(gva), n);
    return true;
}
bool copy_to_guest(uint64_t gva, const void* src, size_t n) {
    if (translated()) return host::mmu::write(gva, src, n);
    if (faults(gva, n)) return false;
    if (n) __builtin_memcpy(reinterpret_cast<void*>(gva), src, n);
    return true;
}
bool load_from_guest(uint32_t& to, uint64_t gva) { return copy_from_guest(&to, gva, sizeof to); }
bool load_from_guest(uint64_t& to, uint64_t gva) { return copy_from_guest(&to, gva, sizeof to); }
bool store_to_guest(uint64_t gva, uint16_t value) { return copy_to_guest(gva, &value, sizeof value); }
bool store_to_guest(uint64_t gva, uint32_t value) { return copy_to_guest(gva, &value, sizeof value); }
bool store_to_guest(uint64_t gva, uint64_t value) { return copy_to_guest(gva, &value, sizeof value); }
bool clear_guest(uint64_t gva, size_t n) {
    if (translated()) return host::mmu::clear(gva, n);
    if (faults(gva, n)) return false;
    if (n) __builtin_memset(reinterpret_cast<void*>(gva), 0, n);
    return true;
}

void kick(unsigned cpu) { host::records[cpu].kicks.fetch_add(1, std::memory_order_relaxed); }

namespace {
void flush_one(unsigned cpu) {
    host::records[cpu].tlb_flushes.fetch_add(1, std::memory_order_relaxed);
    if (translated()) host::mmu::flush(cpu);
}
}  // namespace

void flush_tlb_local() { flush_one(this_cpu().id); }
void flush_tlb_page_local(uint64_t va) {
    const unsigned cpu = this_cpu().id;
    host::records[cpu].tlb_flushes.fetch_add(1, std::memory_order_relaxed);
    if (translated()) host::mmu::flush_page(cpu, va);
}
void flush_tlb(const CpuSet& which) {
    for (const unsigned c : which) {
        // As on the real machine: a CPU in the idle address space has flushed when it went there.
        const bool idle = c != this_cpu().id && __atomic_load_n(&cpus[c].loaded_cr3, __ATOMIC_SEQ_CST) == idle_cr3();
        if (!translated() || !idle) flush_one(c);
    }
}
void load_root(uint64_t cr3) {
    if (translated()) host::mmu::load_root(this_cpu().id, cr3);
}
void load_other_root(uint64_t cr3) {
    if (translated()) host::mmu::load_other_root(this_cpu().id, cr3);
}
uint64_t read_tsc() { return host::tsc.load(std::memory_order_acquire); }
void set_timer_deadline(base::Nanos t) { host::records[this_cpu().id].deadline.store(t.n, std::memory_order_relaxed); }

void switch_to(Vcpu& prev, Vcpu& next) {
    Cpu& cpu = this_cpu();
    if (!prev.idle) guest_switch_out(prev);
    cpu.current = &next;
    if (next.idle) {
        load_root(idle_cr3());
    } else {
        if (translated()) next.domain.dirty_cpus.set(cpu.id);
        guest_switch_in(next);
    }
    if (translated() && !prev.idle && &prev.domain != &next.domain) prev.domain.dirty_cpus.clear(cpu.id);
    if (host::on_switch) host::on_switch(prev, next);
}

bool preempt_wanted() {
    if (translated()) host::mmu::long_operation(this_cpu().id);
    const unsigned period = host::preempt_period.load(std::memory_order_relaxed);
    return period && (host::preempt_asked.fetch_add(1, std::memory_order_relaxed) + 1) % period == 0;
}

}  // namespace arch

void pv_switch_out(Vcpu& v) {
    if (arch::translated()) v.regs = arch::guest_regs();
}
void pv_switch_in(Vcpu& v) {
    if (!arch::translated()) return;
    arch::load_root(v.pv->cr3());
    arch::guest_regs() = v.regs;
}

}  // namespace hv
