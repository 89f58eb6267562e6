// SPDX-License-Identifier: Apache-2.0
#include "tests/explore/world.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "hypervisor/mm/tlb.hpp"
#include "hypervisor/sync/spinlock.hpp"

extern "C" char __data_start;
extern "C" char _end;

namespace explore {

namespace {
constexpr uint64_t world_frames = 1024;
constexpr unsigned pages_remembered = 4;
Cached cached[world_cpus][pages_remembered];

Cached& entry(unsigned c, const PageInfo& p) {
    for (Cached& e : cached[c]) {
        if (e.page && e.page != &p) continue;
        e.page = &p;
        return e;
    }
    fail("the scenario uses more pages than its TLBs remember");
}

bool find(unsigned c, const PageInfo& p, bool Cached::*what) {
    for (const Cached& e : cached[c])
        if (e.page == &p) return e.*what;
    return false;
}

bool anyone(const PageInfo& p, bool Cached::*what) {
    for (unsigned c = 0; c < world_cpus; ++c)
        if (find(c, p, what)) return true;
    return false;
}

void flush_cpu(unsigned c) {
    const uint32_t time = tlb_flush_begins();
    for (Cached& e : cached[c]) e = {};
    tlb_flush_ended(cpus[c], time);
}

void answer(unsigned c) {
    Cpu& cpu = cpus[c];
    const uint32_t asked = cpu.flush_requested.load(std::memory_order_acquire);
    if (asked == cpu.flush_done.load(std::memory_order_relaxed)) return;
    flush_cpu(c);
    cpu.flush_done.store(asked, std::memory_order_release);
}
}  // namespace

World& world() {
    static World* w = [] {
        host::power_on(world_cpus, world_frames);
        auto* made = new World;
        watch(directmap_base, world_frames * base::page_size);
        watch(frame_table, world_frames * sizeof(PageInfo));
        watch(&__data_start, static_cast<size_t>(&_end - &__data_start));
        return made;
    }();
    return *w;
}

namespace tlb {
void write_through(const PageInfo& p) { entry(cpu(), p).writable = true; }
void walk_through(const PageInfo& p) { entry(cpu(), p).table = true; }
bool may_write(unsigned c, const PageInfo& p) { return find(c, p, &Cached::writable); }
bool may_walk(unsigned c, const PageInfo& p) { return find(c, p, &Cached::table); }
bool anyone_may_write(const PageInfo& p) { return anyone(p, &Cached::writable); }
bool anyone_may_walk(const PageInfo& p) { return anyone(p, &Cached::table); }
void flush_in_passing() {
    const uint32_t time = tlb_flush_begins_in_passing();
    for (Cached& e : cached[cpu()]) e = {};
    tlb_flush_ended(cpus[cpu()], time);
}
void forget_all() {
    for (auto& of_cpu : cached)
        for (Cached& e : of_cpu) e = {};
}
}  // namespace tlb

void in_guest() {
    step();
    answer(cpu());
}

void in_guest_until_ended(unsigned other) {
    for (;;) {
        answer(cpu());
        host::soft_interrupts();
        if (ended(other)) return;
        wait_for_change();
    }
}

void settle() {
    for (bool quiet = false; !quiet;) {
        quiet = true;
        for (unsigned c = 0; c < world_cpus; ++c) {
            if (!cpus[c].pending.load()) continue;
            quiet = false;
            host::become(c);
            host::soft_interrupts();
        }
    }
    host::become(0);
}

Scenario on_world(Program setup, std::vector<Program> programs) {
    world();
    Scenario s;
    s.setup = [setup = std::move(setup)] {
        tlb::forget_all();
        setup();
    };
    s.cpus = std::move(programs);
    s.arrives = [](unsigned c) { host::become(c); };
    return s;
}

Bounds bounded(unsigned preemptions, unsigned delayed_stores) {
    const char* how = std::getenv("XENOLITH_EXPLORE");
    Bounds b;
    b.preemptions = preemptions + (how && std::string(how) == "deep" ? 1 : 0);
    b.delayed_stores = delayed_stores;
    if (how) b.schedules = 200'000'000;
    return b;
}

void expect_holds(const char* what, const Scenario& s, Bounds b) {
    const Outcome out = run(s, b);
    std::printf("%-52s %9llu schedules, %3llu decisions, %u preemptions%s\n", what,
                static_cast<unsigned long long>(out.schedules), static_cast<unsigned long long>(out.decisions), b.preemptions,
                b.delayed_stores ? ", delayed stores" : "");
    std::fflush(stdout);
    EXPECT_EQ(out.failure, "") << what;
    EXPECT_TRUE(out.complete || !out.failure.empty()) << what << ": more schedules than are allowed";
}

}  // namespace explore

// What the fake machine does at once takes its time here (the linker's --wrap sends the calls of hypervisor/ to these).
extern "C" {
void __wrap__ZN2hv4arch9flush_tlbERKN3x866CpuSetE(const hv::CpuSet& which);
void __wrap__ZN2hv4arch15flush_tlb_localEv();
void __wrap__ZN2hv6detail9spin_waitEv();
[[noreturn]] void __wrap__ZN2hv5panicEPKcz(const char* format, ...);
void __real__ZN2hv4arch9flush_tlbERKN3x866CpuSetE(const hv::CpuSet& which);
void __real__ZN2hv4arch15flush_tlb_localEv();

void __wrap__ZN2hv6detail9spin_waitEv() {
    explore::answer(explore::cpu());
    explore::wait_for_change();
}

void __wrap__ZN2hv4arch15flush_tlb_localEv() { explore::flush_cpu(explore::cpu()); }

/// As the real one: asks, flushes here, and waits for the answers.
void __wrap__ZN2hv4arch9flush_tlbERKN3x866CpuSetE(const hv::CpuSet& which) {
    using namespace hv;
    const unsigned self = explore::cpu();
    uint32_t ticket[explore::world_cpus] = {};
    for (const unsigned c : which)
        if (c != self) ticket[c] = cpus[c].flush_requested.fetch_add(1, std::memory_order_seq_cst) + 1;
    if (which.has(self)) explore::flush_cpu(self);
    for (const unsigned c : which) {
        if (c == self) continue;
        while (static_cast<int32_t>(cpus[c].flush_done.load(std::memory_order_acquire) - ticket[c]) < 0) {
            // One that is done with its program is in its guest, and takes the interrupt.
            if (explore::ended(c)) explore::answer(c);
            else hv::detail::spin_wait();
        }
    }
}

void __wrap__ZN2hv5panicEPKcz(const char* format, ...) {
    char text[200];
    va_list ap;
    va_start(ap, format);
    std::vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    explore::fail(text);
}
}
