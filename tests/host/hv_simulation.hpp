// SPDX-License-Identifier: Apache-2.0
/// CPUs by turns in virtual time, and domains' parameters: what the tests of scheduling share.
#pragma once

#include <algorithm>

#include "abi/xen/domctl.hpp"
#include "hypervisor/domain/run.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "tests/host/hv_fixture.hpp"

namespace hvtest {

using base::Nanos;

/// Plays CPUs by turns in virtual time: interrupts come when they are due.
class Simulation {
public:
    explicit Simulation(unsigned cpu_count) : cpus_(cpu_count) {
        machine();
        for (unsigned c = 0; c < test_cpus; ++c) kicks_[c] = host::record(c).kicks.load();
    }

    /// Runs until `end`, calling each(step) after every step of at most `step`.
    template <class F>
    void run(Nanos duration, Nanos step, F each) {
        const Nanos end = host::now() + duration;
        while (host::now() < end) {
            Nanos next = std::min(end, host::now() + step);
            for (unsigned c = 0; c < cpus_; ++c) next = std::min(next, Nanos{host::record(c).deadline.load()});
            if (next > host::now()) host::advance(next - host::now());
            settle();
            each();
        }
        host::become(0);
    }
    void run(Nanos duration) {
        run(duration, Nanos::ms(5), [] {});
    }
    /// Lets every CPU do what it was told to.
    void settle() {
        for (int turn = 0; turn < 8; ++turn) {
            bool quiet = true;
            for (unsigned c = 0; c < cpus_; ++c) {
                host::become(c);
                if (host::record(c).deadline.load() <= host::now().n) cpus[c].raise(SoftIrq::timer);
                if (cpus[c].pending.load()) quiet = false;
                host::soft_interrupts();
            }
            check();
            if (quiet) break;
        }
    }
    void check() {
        for (unsigned c = 0; c < cpus_; ++c) {
            Vcpu& v = *cpus[c].current;
            if (v.idle) continue;
            ASSERT_EQ(v.running_on.load(), static_cast<int32_t>(c));
            for (unsigned other = 0; other < c; ++other) ASSERT_NE(cpus[other].current, &v) << "on two CPUs";
        }
    }

private:
    unsigned cpus_;
    uint64_t kicks_[test_cpus];
};

/// Pool 1 with this policy and the last `cpus` CPUs of the machine, which come back to pool 0 at the end. Nobody may be on them before, and
/// every guest has gone from there when it ends.
class TestPool {
public:
    TestPool(Simulation& sim, uint32_t policy, unsigned cpus) : sim_(sim), first_(test_cpus - cpus) {
        const auto made = sched::pool_create(1, policy);
        EXPECT_TRUE(made);
        pool_ = made.value();
        for (unsigned c = first_; c < test_cpus; ++c) give(sched::pool0(), c, *pool_);
    }
    ~TestPool() {
        for (unsigned c = first_; c < test_cpus; ++c) give(*pool_, c, sched::pool0());
        sched::pool_destroy(*pool_);
    }
    TestPool(const TestPool&) = delete;
    TestPool& operator=(const TestPool&) = delete;
    CpuPool& operator*() const { return *pool_; }
    CpuPool* operator->() const { return pool_; }
    unsigned first() const { return first_; }

private:
    void give(CpuPool& from, unsigned cpu, CpuPool& to) {
        sched::pool_remove_cpu(from, cpu);
        sim_.settle();
        sched::pool_free_cpu(cpu);
        sched::pool_add_cpu(to, cpu);
        sim_.settle();
    }
    Simulation& sim_;
    unsigned first_;
    CpuPool* pool_ = nullptr;
};

inline constexpr uint16_t unchanged = 0xffff;

/// False where the policy has no such parameters.
inline bool set_params(SchedGroup& g, uint16_t weight, uint16_t cap) {
    const uint32_t policy = g.pool.load()->policy->abi_id();
    if (policy != xen::XEN_SCHEDULER_CREDIT && policy != xen::XEN_SCHEDULER_CREDIT2) return false;
    xenolith::SchedGroupOp op{};
    op.cmd = xen::XEN_DOMCTL_SCHEDOP_putinfo;
    op.u.credit2 = {weight, cap};
    return bool(g.pool.load()->policy->group_params(g, op));
}
inline bool set_weight(SchedGroup& g, uint16_t weight) { return set_params(g, weight, unchanged); }
inline bool set_cap(Guest& g, uint16_t cap) { return set_params(g->sched, 0, cap); }

/// Keeps the vCPUs of a test on the first n CPUs.
inline void confine(Guest& g, unsigned n) {
    for (unsigned i = 0; i < g->limits.max_vcpus; ++i) g.vcpu(i).affinity.store(CpuSet::below(n));
}

}  // namespace hvtest
