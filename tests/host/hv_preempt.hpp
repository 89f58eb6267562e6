// SPDX-License-Identifier: Apache-2.0
/// The largest arguments for every operation with memory for them, and a run of it that is always told to yield.
#pragma once

#include <sys/mman.h>
#include <time.h>

#include <cstring>
#include <string>

#include "abi/xen/callback.hpp"
#include "abi/xen/domctl.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/hypfs.hpp"
#include "abi/xen/memory.hpp"
#include "abi/xen/nmi.hpp"
#include "abi/xen/physdev.hpp"
#include "abi/xen/platform.hpp"
#include "abi/xen/sched.hpp"
#include "abi/xen/sysctl.hpp"
#include "abi/xen/vcpu.hpp"
#include "abi/xen/version.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/hypercall/table.hpp"
#include "tests/host/hv_calls.hpp"
#include "tests/host/hv_operations.hpp"

namespace hvtest {

// -- guest memory -----------------------------------------------------------------------------------------------------

/// Zeroes as far as any list goes, at an address whose halves are large numbers too.
inline constexpr uint64_t region = 0x2000'0000'0000;
inline constexpr uint64_t region_bytes = uint64_t{16} << 30;
inline constexpr uint64_t in_region = region + 0x7fff'0000;
/// The argument structure, and behind it room for lists.
inline constexpr uint64_t argument = region + 0x1000;
inline constexpr uint64_t lists = region + 0x10000;

template <class T>
T* at(uint64_t va) {
    return reinterpret_cast<T*>(va);
}

inline void map_region() {
    static const bool once = [] {
        return mmap(at<void>(region), region_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == at<void>(region);
    }();
    ASSERT_TRUE(once);
    host::guest_window(region, region_bytes);
}
inline void clear_region() { madvise(at<void>(region), region_bytes, MADV_DONTNEED); }

// -- one guest for each row -------------------------------------------------------------------------------------------

inline constexpr uint16_t guest_id = 5;
inline constexpr unsigned own_pages = 8;

struct World {
    Guest& dom0 = control_domain();
    Guest guest;
    Mfn pages[own_pages]{Mfn(0), Mfn(0), Mfn(0), Mfn(0), Mfn(0), Mfn(0), Mfn(0), Mfn(0)};
    Vcpu* caller = nullptr;
    Vcpu* const before = this_cpu().current;

    explicit World(unsigned vcpus = 2) : guest(guest_id, vcpus) {
        for (Mfn& m : pages) m = guest.page();
        caller = &guest.vcpu();
        this_cpu().current = caller;
    }
    ~World() {
        host::preempt_every(0);
        this_cpu().current = before;
        guest.stop();
        guest.destroy();
        domains_reap();
        tidy_dom0();
        while (CpuPool* pool = sched::pool_from(1)) sched::pool_destroy(*pool);  // those that are made here get no CPU
        for (const unsigned cpu : sched::free_cpus()) sched::pool_add_cpu(sched::pool0(), cpu);
        clear_region();
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;
    void as_dom0() {
        caller = &dom0.vcpu();
        this_cpu().current = caller;
    }
    void tidy_dom0() {
        while (!event_reset(dom0)) {}
        while (dom0->page_list_head) domain_release_page(frame_table[dom0->page_list_head]);
        (void)domain_claim(dom0, 0);
        for (Vcpu* v : {&dom0.vcpu()}) {
            v->pause_flags.fetch_and(~uint32_t{vpf_blocked});
            v->runstate_guest = 0;
            v->time_info_guest.store(0);
        }
    }
    /// What shows that an operation comes further.
    uint64_t state() const;
};

inline uint64_t mix(uint64_t hash, uint64_t value) { return (hash ^ value) * 0x100000001b3 + (hash >> 29); }

inline uint64_t World::state() const {
    uint64_t h = 0xcbf29ce484222325;
    for (uint64_t a : caller->hypercall.args) h = mix(h, a);
    for (unsigned i = 0; i < 512; ++i) h = mix(h, at<uint64_t>(argument)[i]);
    for (Mfn m : pages) {
        const PageInfo& p = page_of(m);
        h = mix(mix(mix(h, p.type.load()), p.stamp.load()), p.progress_flags);
    }
    for (const Domain* d : {&*guest.d, &*dom0.d}) {
        Domain& x = const_cast<Domain&>(*d);
        {
            Guard g(x.page_list_lock);
            h = mix(h, x.tot_pages);
        }
        h = mix(mix(mix(h, x.page_list_head), x.relinquish_stage), x.pv ? x.pv->relinquished_vcpus : 0);
        h = mix(h, x.pv ? reinterpret_cast<uint64_t>(x.pv->relinquish_cursor) : 0);
        for (uint32_t v = 0; v < x.limits.max_vcpus; ++v) h = mix(h, x.vcpus[v] != nullptr);
        if (x.grants) {
            Guard g(x.grants->lock);
            h = mix(mix(mix(h, x.grants->frames), x.grants->version), x.grants->cleared);
            h = mix(mix(h, x.grants->status_frames), x.grants->part_frames);
        }
        if (x.grants) {
            Guard g(x.grants->map_lock);
            h = mix(mix(h, x.grants->relinquish_cursor), x.grants->maptrack_pages);
        }
        if (x.events) {
            Guard g(x.events->lock);
            h = mix(mix(h, x.events->in_use), x.events->close_cursor);
        }
    }
    return h;
}

// -- running one call -------------------------------------------------------------------------------------------------

/// CPU time of this thread, for whom nobody else's work counts.
inline double milliseconds() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

/// A hundred times what any entry should take, and a hundredth of what an unbounded loop does; sanitizers included.
inline constexpr double longest_entry = 100;

struct Ran {
    unsigned restarts = 0;
    bool ended = false;
    Result<uint64_t> answer = 0;
};

inline Ran run(World& w, Handler handler, const uint64_t (&args)[6], unsigned most_turns, const std::string& name) {
    Ran r;
    std::memcpy(w.caller->hypercall.args, args, sizeof args);
    uint64_t before = w.state();
    host::preempt_every(1);
    for (; r.restarts < most_turns; ++r.restarts) {
        w.caller->hypercall.rearmed = false;
        const double began = milliseconds();
        auto answer = handler(*w.caller, w.caller->hypercall.args);
        const double took = milliseconds() - began;
        EXPECT_LT(took, longest_entry) << name << ": one entry keeps the CPU";
        if (answer || answer.error() != Errc::restart) {
            r.ended = true;
            r.answer = std::move(answer);
            break;
        }
        const uint64_t now = w.state();
        EXPECT_NE(now, before) << name << ": it was entered again and did nothing";
        if (now == before) break;
        before = now;
    }
    host::preempt_every(0);
    return r;
}

// -- any arguments ----------------------------------------------------------------------------------------------------

inline void fill(uint64_t word) {
    for (uint64_t a = argument; a < argument + 4096; a += 8) *at<uint64_t>(a) = word;
}

template <class Op>
inline void stamp(uint32_t number, uint32_t version) {
    auto* op = at<Op>(argument);
    op->cmd = number;
    op->interface_version = version;
}

inline void arguments(World& w, const Operation& o, uint64_t word, uint64_t (&args)[6]) {
    fill(word);
    const uint64_t count = 0x7fffffff;
    for (uint64_t& a : args) a = word;
    args[0] = o.number;
    args[1] = argument;
    switch (o.form) {
        case Form::plain:
            args[0] = argument;
            args[1] = word;
            break;
        case Form::structure: break;
        case Form::vcpu:
            args[1] = 1;
            args[2] = argument;
            break;
        case Form::grant:
            args[1] = word == 0 ? in_region : argument;
            args[2] = count;
            break;
        case Form::console:
            args[1] = count;
            args[2] = in_region;
            break;
        case Form::file:
            strcpy(at<char>(argument), word ? "/params" : "/params/loglvl");
            args[2] = strlen(at<char>(argument)) + 1;
            args[3] = in_region;
            args[4] = count;
            break;
        case Form::pages: {
            auto list = xen::zeroed<xenolith::CopyPages>();
            list.domid = guest_id;
            list.count = word ? xenolith::COPY_PAGES_MOST : 0;
            list.frames.addr = lists;
            list.states.addr = lists + 0x10000;
            list.pages.addr = lists + 0x20000;
            for (unsigned i = 0; i < xenolith::COPY_PAGES_MOST; ++i) at<uint64_t>(lists)[i] = w.pages[i % own_pages].raw;
            *at<xenolith::CopyPages>(argument) = list;
            args[2] = 0;
            break;
        }
        case Form::domctl:
            stamp<xen::Domctl>(static_cast<uint32_t>(o.number), xen::XEN_DOMCTL_INTERFACE_VERSION);
            at<xen::Domctl>(argument)->domain = guest_id;
            args[0] = argument;
            break;
        case Form::sysctl:
            stamp<xen::Sysctl>(static_cast<uint32_t>(o.number), xen::XEN_SYSCTL_INTERFACE_VERSION);
            args[0] = argument;
            break;
        case Form::pool: {
            stamp<xen::Sysctl>(xen::XEN_SYSCTL_cpupool_op, xen::XEN_SYSCTL_INTERFACE_VERSION);
            xen::SysctlCpuPoolOp& p = at<xen::Sysctl>(argument)->u.cpupool_op;
            p.op = static_cast<uint32_t>(o.number);
            p.sched_id = xen::XEN_SCHEDULER_CREDIT2;
            p.domid = guest_id;
            if (word == in_region) p.cpupool_id = 0;
            if (word == 0 || word == in_region) p.cpu = word ? xen::XEN_SYSCTL_CPUPOOL_PAR_ANY : 1;  // not this thread's
            args[0] = argument;
            break;
        }
        case Form::platform:
            stamp<xen::PlatformOp>(static_cast<uint32_t>(o.number), xen::XENPF_INTERFACE_VERSION);
            args[0] = argument;
            break;
        case Form::mmuext:
            for (unsigned i = 0; i < 1000; ++i) {
                auto op = xen::zeroed<xen::MmuextOp>();
                op.cmd = static_cast<uint32_t>(o.number);
                op.arg1.mfn = w.pages[i % own_pages].raw;
                op.arg2.src_mfn = word ? lists : w.pages[(i + 1) % own_pages].raw;
                at<xen::MmuextOp>(lists + 0x100000)[i] = op;
            }
            args[0] = lists + 0x100000;
            args[1] = count;
            args[2] = 0;
            args[3] = xen::DOMID_SELF;
            break;
        case Form::mmu:
            for (unsigned i = 0; i < 1000; ++i)
                at<xen::MmuUpdate>(lists)[i] = {w.pages[i % own_pages].address() | o.number, word};
            args[0] = lists;
            args[1] = count;
            args[2] = 0;
            args[3] = xen::DOMID_SELF;
            break;
    }
}

}  // namespace hvtest
