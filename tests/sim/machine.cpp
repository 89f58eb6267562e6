// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/machine.hpp"

#include <cstdio>
#include <cstdlib>

#include "abi/xen/sched.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "tests/machine/host.hpp"

namespace sim {
namespace {

void must(bool done, const char* what) {
    if (done) return;
    std::fprintf(stderr, "simulated machine: %s failed\n", what);
    std::abort();
}

constexpr uint64_t call_site = 0x1000;  // where the guest's SYSCALL "is": restarting moves rip back
constexpr unsigned most_turns = 10'000;

}  // namespace

int64_t GuestCpu::hypercall(uint64_t number, std::array<uint64_t, 6> arguments) {
    return machine_.call_as(vcpu_, number, arguments);
}

void GuestCpu::shutdown(uint32_t reason) {
    const xen::SchedShutdown op{reason};
    hypercall(xen::HYPERVISOR_sched_op, {xen::SCHEDOP_shutdown, reinterpret_cast<uint64_t>(&op)});
}

uint8_t* GuestCpu::frame(uint64_t mfn) { return hv::map_mfn(hv::Mfn{mfn}); }

Machine::Machine(unsigned cpus, uint64_t frames) {
    hv::cpu_features.xcr0 = 7;  // with AVX, as every CPU for a long time
    hv::cpu_features.xsave_size = 512 + 64 + 256;
    hv::host::power_on(cpus, frames);
    make_dom0();
}

Machine& Machine::instance() {
    static Machine* const machine = new Machine(2, 64 << 10);  // 256 MiB; never powered off
    return *machine;
}

void Machine::make_dom0() {
    hv::host::become(0);
    hv::DomainLimits limits;
    auto made = hv::domain_create(base::DomId{0}, hv::pv_guest, limits, true);
    must(static_cast<bool>(made), "domain_create");
    auto vcpu = hv::vcpu_create(hv::dom0[0], base::VcpuId{0});
    must(static_cast<bool>(vcpu), "vcpu_create");
    dom0_vcpu_ = vcpu.value();
    dom0_vcpu_->affinity.store(hv::CpuSet::of(0));
    dom0_vcpu_->initialised = true;
    dom0_vcpu_->period = {};
    dom0_vcpu_->pause_flags.fetch_and(~uint32_t{hv::vpf_down});
    must(static_cast<bool>(hv::domain_unpause_by_controller(*hv::dom0)), "unpause");
    hv::sched::policy_of(*dom0_vcpu_).wake(*dom0_vcpu_);
    hv::host::soft_interrupts();
    must(hv::this_cpu().current == dom0_vcpu_, "starting dom0");
}

int64_t Machine::call_as(hv::Vcpu& vcpu, uint64_t number, const std::array<uint64_t, 6>& a) {
    hv::Regs& r = hv::arch::guest_regs();
    r.rdi = a[0];
    r.rsi = a[1];
    r.rdx = a[2];
    r.r10 = a[3];
    r.r8 = a[4];
    r.r9 = a[5];
    do {
        r.rax = number;
        r.rip = call_site;
        hv::hypercall_dispatch(vcpu, r);
    } while (r.rip != call_site);  // interrupted: the guest executes the call again
    return static_cast<int64_t>(r.rax);
}

int64_t Machine::hypercall(uint64_t number, std::array<uint64_t, 6> arguments) {
    const std::lock_guard guard(lock_);
    hv::host::become(0);
    const int64_t value = call_as(*dom0_vcpu_, number, arguments);
    run_everybody();
    return value;
}

void Machine::pass(base::Nanos time) {
    const std::lock_guard guard(lock_);
    hv::host::become(0);
    hv::host::advance(time);
    for (unsigned c = 0; c < hv::cpu_count; ++c) hv::cpus[c].raise(hv::SoftIrq::timer);
    run_everybody();
}

uint64_t Machine::free_pages() {
    const std::lock_guard guard(lock_);
    hv::host::become(0);
    hv::domains_reap();
    return hv::heap::free_pages().n;
}

void Machine::run_guest(hv::Vcpu& vcpu) {
    GuestCpu cpu(*this, vcpu);
    if (program) program(cpu);
    if (vcpu.info.load() != nullptr) vcpu.info.load()->evtchn_upcall_pending = 0;
    if (vcpu.runnable()) cpu.hypercall(xen::HYPERVISOR_sched_op, {xen::SCHEDOP_block, 0});
}

/// Lets one CPU go on until it has nothing to do. True: it did something.
bool Machine::run_cpu(unsigned cpu) {
    hv::host::become(cpu);
    bool any = false;
    for (unsigned turn = 0;; ++turn) {
        must(turn < most_turns, "a guest that never rests: scheduling");
        if (hv::this_cpu().pending.load() != 0) any = true;
        hv::host::soft_interrupts();
        hv::Vcpu* current = hv::this_cpu().current;
        if (current->idle || current == dom0_vcpu_) return any;
        run_guest(*current);
        any = true;
    }
}

void Machine::run_everybody() {
    if (running_guests_) return;
    running_guests_ = true;
    for (bool any = true; any;) {
        any = false;
        for (unsigned c = 0; c < hv::cpu_count; ++c) any = run_cpu(c) || any;
    }
    hv::host::become(0);
    must(hv::this_cpu().current == dom0_vcpu_, "keeping dom0 on its CPU");
    running_guests_ = false;
    if (on_events) on_events();
}

}  // namespace sim
