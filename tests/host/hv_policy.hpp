// SPDX-License-Identifier: Apache-2.0
/// A pool of a policy and domains in it, in virtual time: what the tests of policies share.
#pragma once

#include <memory>
#include <random>
#include <vector>

#include "abi/xen/sysctl.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/sched/unit_data.hpp"
#include "tests/host/hv_simulation.hpp"

namespace hvtest {

struct PolicyTest : ::testing::Test {
    Simulation sim{test_cpus};
    std::unique_ptr<TestPool> pool;
    std::vector<std::unique_ptr<Guest>> guests;

    void make_pool(uint32_t policy, unsigned cpu_count) { pool = std::make_unique<TestPool>(sim, policy, cpu_count); }
    /// A domain in the pool that does not run yet.
    Guest& place(unsigned vcpus = 1) {
        guests.push_back(std::make_unique<Guest>(static_cast<uint16_t>(guests.size() + 1), vcpus));
        domain_move(*guests.back()->d, **pool);
        return *guests.back();
    }
    Guest& add(unsigned vcpus = 1) {
        Guest& g = place(vcpus);
        g.start();
        return g;
    }
    static int64_t time_of(Guest& g) {
        int64_t n = 0;
        for (unsigned i = 0; i < g->limits.max_vcpus; ++i) n += sched::runtime(g.vcpu(i)).n;
        return n;
    }
    /// What each domain gets, in CPUs.
    std::vector<double> shares(Nanos duration = Nanos::s(1)) {
        sim.settle();
        std::vector<int64_t> before;
        for (auto& g : guests) before.push_back(time_of(*g));
        sim.run(duration);
        std::vector<double> got;
        for (size_t i = 0; i < guests.size(); ++i)
            got.push_back(static_cast<double>(time_of(*guests[i]) - before[i]) / static_cast<double>(duration.n));
        return got;
    }
    Scheduler& policy() { return *(*pool)->policy; }
    Errc group_op(Guest& g, uint32_t cmd, xenolith::SchedGroupOp& op) {
        op.cmd = cmd;
        const auto s = policy().group_params(g->sched, op);
        return s ? Errc{} : s.error();
    }
    Errc policy_op(uint32_t cmd, xenolith::SchedPolicyOp& op) {
        op.cmd = cmd;
        const auto s = policy().policy_params(op);
        return s ? Errc{} : s.error();
    }
    /// Which vCPU the pool's n-th CPU has; null: none.
    Vcpu* on(unsigned n) {
        Vcpu* v = cpus[pool->first() + n].current;
        return v->idle ? nullptr : v;
    }
    void block(Vcpu& v) {
        ASSERT_GE(v.running_on.load(), 0);
        host::become(static_cast<unsigned>(v.running_on.load()));
        vcpu_block_current();
        sim.settle();
    }

    enum class Idle : uint8_t { never_beside_a_waiter, as_the_policy_says };
    /// Whatever happens, nobody runs where or when it may not, and (with never_beside_a_waiter) no CPU idles that a waiting vCPU may have.
    template <class Check>
    void random_life(uint32_t policy_id, unsigned seed, Idle idle, Check check) {
        std::mt19937 random(seed);
        make_pool(policy_id, 3);
        for (int i = 0; i < 5; ++i) add(2);
        const unsigned last = test_cpus - 1;
        const unsigned first = pool->first();
        bool there = true;
        const auto may = [&](const Vcpu& v, unsigned c) {
            const CpuSet places = v.affinity.load() & (*pool)->cpus.load();
            return places.empty() ? (*pool)->cpus.test(c) : places.has(c);
        };
        for (int step = 0; step < 5000; ++step) {
            Vcpu& v = guests[random() % guests.size()]->vcpu(static_cast<unsigned>(random() % 2));
            const auto here = first + static_cast<unsigned>(random() % 3);
            host::become(here);
            const auto what = random() % 10;
            if (what == 0 && !cpus[here].current->idle) {
                vcpu_block_current();
            } else if (what == 1 && !cpus[here].current->idle) {
                vcpu_yield_current();
            } else if (what <= 3) {
                vcpu_unblock(v);
            } else if (what == 4) {
                CpuSet some;
                some.set_word(0, (random() % 7 + 1) << first);
                v.affinity.store(some);
                sched::policy_of(v).affinity_changed(v);
            } else if (what == 5 && random() % 16 == 0) {
                if (there) {
                    sched::pool_remove_cpu(**pool, last);
                } else {
                    sim.settle();
                    sched::pool_free_cpu(last);
                    sched::pool_add_cpu(**pool, last);
                }
                there = !there;
            } else if (what == 6) {
                sched::pause_nosync(v);
                if (random() % 2) sim.settle();
                sched::unpause(v);
            } else {
                host::advance(Nanos::us(static_cast<int64_t>(random() % 3000)));
            }
            sim.settle();
            for (unsigned c = first; c < test_cpus; ++c) {
                Vcpu& w = *cpus[c].current;
                if (w.idle) continue;
                ASSERT_TRUE(w.runnable()) << "step " << step << " op " << what;
                ASSERT_TRUE(may(w, c)) << "step " << step << " op " << what << " cpu " << c;
                ASSERT_TRUE(shared_data(w).runs) << step;
            }
            for (auto& g : guests) {
                for (unsigned i = 0; i < 2; ++i) {
                    Vcpu& w = g->vcpu(i);
                    const SharedUnit& e = shared_data(w);
                    ASSERT_EQ(e.waits || e.runs, w.runnable()) << "step " << step << " op " << what;
                    ASSERT_FALSE(e.waits && e.runs) << step;
                    ASSERT_EQ(e.runs, w.running_on.load() >= 0) << step;
                    ASSERT_TRUE((*pool)->cpus.test(w.SchedUnit::cpu.load())) << "step " << step << " op " << what;
                    if (idle != Idle::never_beside_a_waiter || !e.waits) continue;
                    for (unsigned c = first; c < test_cpus; ++c)
                        ASSERT_FALSE(cpus[c].current->idle && may(w, c)) << "step " << step << " op " << what << " cpu " << c;
                }
            }
            check(step);
            if (HasFatalFailure()) return;
        }
        if (!there) {
            sched::pool_free_cpu(last);
            sched::pool_add_cpu(**pool, last);
        }
    }

    ~PolicyTest() override {
        for (auto& g : guests) g->stop();
        sim.settle();
        guests.clear();
    }
};

}  // namespace hvtest
