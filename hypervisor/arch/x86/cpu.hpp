// SPDX-License-Identifier: Apache-2.0
/// Per-CPU data and how to reach it. The hardware side is arch/x86; host/ has the stand-in for host tests.
#pragma once

#include <atomic>
#include <cstdint>

#include "hypervisor/arch/x86/online_cpus.hpp"
#include "lib/base/types.hpp"
#include "lib/x86/regs.hpp"

namespace hv {

using namespace x86;

struct Vcpu;
struct Domain;

/// Work a CPU owes before it may enter a guest: bits of Cpu::pending.
enum class SoftIrq : uint32_t {
    schedule = 1u << 0,  ///< pick the next vCPU
    timer = 1u << 1,     ///< run expired timers
    crash = 1u << 2,     ///< the current vCPU's domain ends: found out under a lock that does not allow it
    console = 1u << 3,   ///< text waits for the serial line: see that it leaves
    trace = 1u << 5,     ///< a trace buffer is half full: its readers are told
    report = 1u << 4,    ///< the current vCPU's domain crashed: its state goes to the log
};

/// Everything one CPU owns. Only that CPU writes it, except the atomics.
struct Cpu {
    uint32_t id = 0;
    uint32_t apic_id = 0;
    Vcpu* current = nullptr;  ///< whose registers are on the stack; the idle vCPU when none
    Vcpu* idle = nullptr;
    std::atomic<uint32_t> pending{0};          ///< SoftIrq bits
    std::atomic<uint32_t> flush_requested{0};  ///< TLB flushes asked of this CPU so far, by others
    std::atomic<uint32_t> flush_done{0};       ///< of those, the ones a flush has answered
    std::atomic<bool> halted{false};           ///< in the idle loop, interrupts on
    std::atomic<uint32_t> tlb_time{0};         ///< TLB clock at the last full flush here
    uint8_t lock_rank = 0xff;                  ///< rank of the innermost lock held
    bool online = false;
    uint64_t loaded_cr3 = 0;
    uint64_t loaded_cr4 = 0;
    uint64_t preempt_deadline = 0;  ///< TSC after which long operations stop; 0: not set since the last exit
    uint64_t interrupts = 0;        ///< counted for statistics
    void* timers = nullptr;         ///< time/: this CPU's TimerQueue
    void* sched = nullptr;          ///< sched/: this CPU's private data

    bool flush_wanted() const {
        return flush_requested.load(std::memory_order_acquire) != flush_done.load(std::memory_order_relaxed);
    }
    void raise(SoftIrq s) { pending.fetch_or(static_cast<uint32_t>(s), std::memory_order_release); }
    bool wants(SoftIrq s) const { return pending.load(std::memory_order_acquire) & static_cast<uint32_t>(s); }
};

extern Cpu cpus[max_cpus];

#ifdef HV_HOST
extern thread_local Cpu* host_this_cpu;
inline Cpu& this_cpu() { return *host_this_cpu; }
#else
inline constexpr uint64_t cpu_stack_size = 32768;
/// What the guarded entry stubs do beyond saving registers: bits of CpuStackTop::guards, also in entry_guarded.S.
namespace guard {
inline constexpr uint32_t spec_ctrl = 1;  ///< both ways: load MSR SPEC_CTRL
inline constexpr uint32_t rsb = 2;        ///< in: fill the return stack buffer
inline constexpr uint32_t ibpb = 4;       ///< in: forget the branches that the guest has trained
inline constexpr uint32_t verw = 8;       ///< out: overwrite the CPU's buffers
}  // namespace guard
/// The end of each CPU's stack. entry.inc relies on the layout: the guest's registers lie right below `cpu`. Where guests
/// have a view of their own, the stack's last page is part of it: nothing but this and the frames of entries lie there.
struct CpuStackTop {
    Regs regs;
    Cpu* cpu;
    uint64_t hypervisor_cr3;   ///< to load on the way in when the guest has a view of its own; else 0
    uint64_t guest_cr3;        ///< the view to load on the way out; 0: none
    uint32_t guards;           ///< guard::* bits
    uint32_t spec_ctrl;        ///< MSR SPEC_CTRL while the hypervisor runs
    uint32_t guest_spec_ctrl;  ///< and while the guest runs
    uint16_t verw_selector;    ///< of a writable data segment: what VERW reads
    uint16_t pad;
    void* doors;  ///< what guest/entry/doors.S reads of `current`, a PV vCPU
};
static_assert(sizeof(CpuStackTop) - sizeof(Regs) == 48);
/// One behind the other: the first CPU's is the image's end, others are mapped behind it when they start.
extern "C" uint8_t cpu_stacks[];
inline CpuStackTop& stack_of(unsigned cpu) {
    return *reinterpret_cast<CpuStackTop*>(cpu_stacks + (cpu + 1) * cpu_stack_size - sizeof(CpuStackTop));
}
inline CpuStackTop& stack_top() {
    uint64_t sp = 0;
    asm("mov %%rsp, %0" : "=r"(sp));
    return *reinterpret_cast<CpuStackTop*>((sp | (cpu_stack_size - 1)) + 1 - sizeof(CpuStackTop));
}
inline Cpu& this_cpu() { return *stack_top().cpu; }
#endif

extern std::atomic<uint32_t> tlb_clock;
/// The TLB clock (mm/tlb.hpp): a flush of the calling CPU's whole TLB lies between a beginning and its end. A beginning's answer is
/// for the end.
uint32_t tlb_flush_begins();
/// Of a flush that nobody asked for: the clock stays as it is, and so no CPU waits for another one to touch it.
inline uint32_t tlb_flush_begins_in_passing() { return tlb_clock.load(std::memory_order_acquire); }
inline void tlb_flush_ended(Cpu& cpu, uint32_t time) { cpu.tlb_time.store(time, std::memory_order_release); }

inline Vcpu& current() { return *this_cpu().current; }

namespace arch {

/// The registers of the guest that entered this CPU. Valid while `current` is not the idle vCPU.
Regs& guest_regs();
/// Copies guest memory of the current address space. False on a fault or a range that overlaps the hypervisor.
/// Context: no locks held that a page fault of a guest could need; never under a Spinlock (the copy may fault).
bool copy_from_guest(void* dst, uint64_t gva, size_t n);
bool copy_to_guest(uint64_t gva, const void* src, size_t n);
bool clear_guest(uint64_t gva, size_t n);
/// The same for one word, in one access.
bool load_from_guest(uint32_t& to, uint64_t gva);
bool load_from_guest(uint64_t& to, uint64_t gva);
bool store_to_guest(uint64_t gva, uint16_t value);
bool store_to_guest(uint64_t gva, uint32_t value);
bool store_to_guest(uint64_t gva, uint64_t value);

/// From now on each of these asks walked_read() and walked_write() first.
#ifdef HV_HOST
inline void walk_for_copies() {}
inline void watch_doors(bool) {}
#else
void walk_for_copies();
/// Closes the short ways of guest/entry/doors.S, so that who looks at hypercalls sees all. Calls to both: one after the other.
void watch_doors(bool on);
#endif
/// guest/: the same copies by the current guest's page tables as we read them, for guests whose tables the CPU does not have
/// loaded, or must not walk in ring 0. Without a source: zeros.
enum class Walked : uint8_t { not_needed, done, fault };
Walked walked_read(void* dst, uint64_t gva, size_t n);
Walked walked_write(uint64_t gva, const void* src, size_t n);

/// Makes another CPU look at its `pending` bits soon: an IPI, unless it is this one.
void kick(unsigned cpu);
/// Flushes this CPU's TLB of everything but global entries.
void flush_tlb_local();
void flush_tlb_page_local(uint64_t va);
/// Flushes the TLBs of `which`, CPUs that are online, and waits until all have.
void flush_tlb(const CpuSet& which);
uint64_t read_tsc();
/// Programs this CPU's timer interrupt for system time `t`; never() stops it. A time in the past fires at once.
void set_timer_deadline(base::Nanos t);
/// Puts prev's registers away and loads next's (registers, address space, segment bases); `current` becomes next.
/// Returns in the same call chain, which then leaves into next. Called by sched::schedule() only.
void switch_to(Vcpu& prev, Vcpu& next);
/// True when an interrupt or other work is waiting for this CPU; long operations then stop and continue later.
bool preempt_wanted();

}  // namespace arch
}  // namespace hv
