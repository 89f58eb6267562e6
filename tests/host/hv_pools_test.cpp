// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// tsan
/// Pools of CPUs while they are busy: by turns, and with threads as CPUs.
#include <atomic>
#include <memory>
#include <random>
#include <thread>

#include "abi/xen/sysctl.hpp"
#include "hypervisor/sched/fair_queue.hpp"
#include "hypervisor/sched/unit_data.hpp"
#include "tests/host/hv_calls.hpp"
#include "tests/host/hv_simulation.hpp"

namespace {

using namespace hvtest;

constexpr uint32_t policies[] = {xen::XEN_SCHEDULER_CREDIT2, xen::XEN_SCHEDULER_RTDS,    xen::XEN_SCHEDULER_CREDIT,
                                 xenolith::SCHEDULER_SEDF,   xenolith::SCHEDULER_RROBIN, xen::XEN_SCHEDULER_NULL,
                                 xenolith::SCHEDULER_BVT,    xenolith::SCHEDULER_ATROPOS};

std::atomic<unsigned> made{0};  ///< which pool has which policy changes with each that is made

/// A pool's operation by hypercall, as the control domain; `turn` lets the CPUs do what they were told to between two parts of it.
template <class F>
Errc pool_op(uint32_t what, uint32_t pool, uint32_t cpu, uint32_t domain, F turn) {
    auto op = xen::zeroed<xen::Sysctl>();
    op.cmd = xen::XEN_SYSCTL_cpupool_op;
    op.interface_version = xen::XEN_SYSCTL_INTERFACE_VERSION;
    const unsigned policy = what == xen::XEN_SYSCTL_CPUPOOL_OP_CREATE ? made++ : 0;
    op.u.cpupool_op = {what, pool, policies[policy % std::size(policies)], domain, cpu, 0, {}};
    Vcpu& v = control_domain().vcpu();
    uint64_t args[6] = {address(&op)};
    for (;;) {
        const auto r = hypercall_handler(xen::HYPERVISOR_sysctl)(v, args);
        if (r) return Errc{};
        if (r.error() != Errc::restart) return r.error();
        turn();
    }
}

/// All CPUs are pool 0's again, and there is no other pool.
template <class F>
void only_pool_0(F turn) {
    for (uint32_t id = 1; id <= 3; ++id) {
        for (unsigned c = 0; c < test_cpus; ++c) (void)pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_RMCPU, id, c, 0, turn);
        (void)pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_DESTROY, id, 0, 0, turn);
    }
    for (unsigned c = 0; c < test_cpus; ++c) (void)pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_ADDCPU, 0, c, 0, turn);
    EXPECT_EQ(sched::pool0().cpus.load().count(), test_cpus);
    EXPECT_EQ(sched::pool_from(1), nullptr);
}

/// After all is done that CPUs were told to do: each vCPU that may run does, or waits in a queue of its pool where no CPU is free.
void all_are_in_their_pools(const std::vector<std::unique_ptr<Guest>>& guests, int step) {
    for (unsigned c = 0; c < test_cpus; ++c) {
        const Vcpu& v = *cpus[c].current;
        if (v.idle) continue;
        ASSERT_TRUE(v.domain.sched.pool.load()->cpus.test(c)) << "step " << step << ": d" << v.domain.id.raw << " on CPU " << c;
        ASSERT_TRUE(v.runnable()) << step;
    }
    for (const auto& g : guests) {
        const CpuPool& pool = *(*g)->sched.pool.load();
        const CpuSet cpus_there = pool.cpus.load();
        ASSERT_FALSE(cpus_there.empty()) << "step " << step << ": a pool with a domain and without a CPU";
        for (unsigned i = 0; i < (*g)->limits.max_vcpus; ++i) {
            Vcpu& v = g->vcpu(i);
            ASSERT_TRUE(cpus_there.has(v.SchedUnit::cpu.load())) << step;
            if (!v.runnable() || v.running_on.load() >= 0) continue;
            if (fair_data(v).parked) continue;                               // it has had what its cap allows
            if (pool.policy->abi_id() == xen::XEN_SCHEDULER_NULL) continue;  // a CPU that idles is another one's
            const CpuSet both = v.affinity.load() & cpus_there;
            for (const unsigned c : both.empty() ? cpus_there : both)
                ASSERT_FALSE(cpus[c].current->idle)
                    << "step " << step << ": d" << (*g)->id.raw << "v" << i << " waits for CPU " << v.SchedUnit::cpu.load()
                    << ", CPU " << c << " idles, pool " << pool.id << " cpus " << cpus_there.word(0) << " affinity "
                    << v.affinity.word(0) << " queued " << fair_data(v).queued << " pending " << cpus[c].pending.load() << " cap "
                    << (*g)->sched.cap.load();
        }
    }
}

/// What vCPUs are accounted for, whatever policies they have been through, beside what was seen of them.
struct Watched {
    struct Seen {
        Vcpu* v;
        uint64_t running;  ///< as it was on a CPU each time that time went on
        uint64_t all;      ///< of the four states' times, at first
    };
    std::vector<Seen> seen;
    Nanos began = host::now();

    explicit Watched(const std::vector<std::unique_ptr<Guest>>& guests) {
        for (const auto& g : guests)
            for (unsigned i = 0; i < 2; ++i)
                seen.push_back({&g->vcpu(i), sched::runstate(g->vcpu(i)).time[xen::RUNSTATE_running], all_of(g->vcpu(i))});
    }
    static uint64_t all_of(Vcpu& v) {
        const xen::VcpuRunstateInfo info = sched::runstate(v);
        return info.time[0] + info.time[1] + info.time[2] + info.time[3];
    }
    void advance(Nanos t) {
        for (Seen& s : seen)
            for (unsigned c = 0; c < test_cpus; ++c)
                if (cpus[c].current == s.v) s.running += static_cast<uint64_t>(t.n);
        host::advance(t);
    }
    void check(int step) const {
        for (const Seen& s : seen) {
            const unsigned d = s.v->domain.id.raw;
            ASSERT_EQ(sched::runstate(*s.v).time[xen::RUNSTATE_running], s.running) << "step " << step << ": d" << d;
            ASSERT_EQ(all_of(*s.v) - s.all, static_cast<uint64_t>((host::now() - began).n)) << "step " << step << ": d" << d;
        }
    }
};

class PoolLife : public ::testing::TestWithParam<unsigned> {};

TEST_P(PoolLife, NobodyIsLostOrLeavesHisPool) {
    (void)control_domain();
    Simulation sim(test_cpus);
    const auto turn = [&] { sim.settle(); };
    std::mt19937 random(GetParam());
    std::vector<std::unique_ptr<Guest>> guests;
    for (uint16_t i = 1; i <= 5; ++i) {
        guests.push_back(std::make_unique<Guest>(i, 2));
        guests.back()->start();
    }
    sim.settle();
    Watched watched(guests);
    unsigned done[8] = {};
    for (int step = 0; step < 6000; ++step) {
        Guest& g = *guests[random() % guests.size()];
        Vcpu& v = g.vcpu(static_cast<unsigned>(random() % 2));
        const auto on = static_cast<unsigned>(random() % test_cpus);
        const auto pool = static_cast<uint32_t>(random() % 4);
        const auto what = static_cast<uint32_t>(random() % 12);
        host::become(on);
        switch (what) {
            case xen::XEN_SYSCTL_CPUPOOL_OP_CREATE:
            case xen::XEN_SYSCTL_CPUPOOL_OP_ADDCPU:
            case xen::XEN_SYSCTL_CPUPOOL_OP_RMCPU:
                if (pool_op(what, pool, on, 0, turn) == Errc{}) ++done[what];
                break;
            case xen::XEN_SYSCTL_CPUPOOL_OP_DESTROY:
                if (random() % 4 == 0 && pool_op(what, pool, 0, 0, turn) == Errc{}) ++done[what];
                break;
            case xen::XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN:
                g.stop();  // whoever moves it waits for its vCPUs to stop, and here CPUs take turns
                sim.settle();
                host::become(on);
                if (pool_op(what, pool, 0, g->id.raw, turn) == Errc{}) ++done[what];
                for (unsigned i = 0; i < 2; ++i) sched::unpause(g.vcpu(i));
                break;
            case 7:
                if (!cpus[on].current->idle) vcpu_block_current();
                break;
            case 8:
                v.affinity.store(CpuSet::below(static_cast<unsigned>(random() % test_cpus) + 1));
                sched::policy_of(v).affinity_changed(v);
                break;
            case 9:
                if (random() % 8 == 0) (void)set_cap(g, static_cast<uint16_t>(random() % 2 * 500));
                break;
            case 10: watched.advance(Nanos::us(static_cast<int64_t>(random() % 3000))); break;
            default: vcpu_unblock(v);
        }
        sim.settle();
        all_are_in_their_pools(guests, step);
        if (!HasFatalFailure()) watched.check(step);
        if (HasFatalFailure()) {
            ADD_FAILURE() << "after " << what << " pool " << pool << " cpu " << on << " domain " << g->id.raw;
            break;
        }
    }
    for (const uint32_t what : {1u, 2u, 4u, 5u, 6u}) EXPECT_GT(done[what], 8u) << what;
    for (auto& g : guests) g->stop();
    sim.settle();
    guests.clear();
    only_pool_0(turn);
    host::become(0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, PoolLife, ::testing::Range(1u, 7u));

TEST(Pools, SharesAreKeptWithinEach) {
    (void)control_domain();
    Simulation sim(test_cpus);
    const auto turn = [&] { sim.settle(); };
    std::vector<std::unique_ptr<Guest>> guests;
    for (uint16_t i = 1; i <= 5; ++i) guests.push_back(std::make_unique<Guest>(i));
    made = 0;
    ASSERT_EQ(pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_CREATE, 1, 0, 0, turn), Errc{});
    for (const unsigned c : {1u, 2u, 3u}) ASSERT_EQ(pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_RMCPU, 0, c, 0, turn), Errc{});
    ASSERT_EQ(pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_ADDCPU, 1, 1, 0, turn), Errc{});
    // One has been alone on a CPU for long when two others come to it.
    for (const uint32_t d : {1u, 2u, 3u}) ASSERT_EQ(pool_op(xen::XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 1, 0, d, turn), Errc{});
    guests[0]->start();
    EXPECT_TRUE(set_params((*guests[1])->sched, 512, 0));
    EXPECT_TRUE(set_cap(*guests[2], 10));
    sim.run(Nanos::s(20));
    for (size_t i = 1; i < 5; ++i) guests[i]->start();
    sim.settle();
    std::vector<Nanos> before;
    for (auto& g : guests) before.push_back(sched::runtime(g->vcpu()));
    sim.run(Nanos::s(10));
    constexpr double wanted[] = {0.3, 0.6, 0.1, 0.5, 0.5};
    for (size_t i = 0; i < 5; ++i)
        EXPECT_NEAR(static_cast<double>((sched::runtime(guests[i]->vcpu()) - before[i]).n) / 10e9, wanted[i], 0.02) << i;
    EXPECT_TRUE(cpus[2].current->idle && cpus[3].current->idle) << "nobody's";
    for (auto& g : guests) g->stop();
    sim.settle();
    guests.clear();
    only_pool_0(turn);
}

// -- threads as CPUs --------------------------------------------------------------------------------------------------

std::atomic<int> inside[64];

void entered(Vcpu& prev, Vcpu& next) {
    if (!prev.idle) inside[prev.domain.id.raw].fetch_sub(1, std::memory_order_acq_rel);
    if (!next.idle && inside[next.domain.id.raw].fetch_add(1, std::memory_order_acq_rel) != 0) {
        std::fprintf(stderr, "vCPU of domain %u on two CPUs\n", unsigned{next.domain.id.raw});
        std::abort();
    }
}

/// What an operator does to pools, while CPUs are busy; on a CPU that idles.
void operate(std::mt19937& random, const std::vector<std::unique_ptr<Guest>>& guests) {
    const auto serve = [] { host::soft_interrupts(); };
    const auto pool = static_cast<uint32_t>(random() % 3);
    const auto domain = static_cast<uint32_t>(random() % (guests.size() + 1) + 1);
    (void)pool_op(random() % 2 ? xen::XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN : static_cast<uint32_t>(random() % 7 + 1), pool,
                  static_cast<uint32_t>(random() % test_cpus), domain, serve);
    if (random() % 8 == 0) (void)set_cap(*guests[random() % guests.size()], static_cast<uint16_t>(random() % 2 * 50));
    if (random() % 4 == 0) {
        Vcpu& v = guests[random() % guests.size()]->vcpu();
        v.affinity.store(CpuSet::below(static_cast<unsigned>(random() % test_cpus) + 1));
        sched::policy_of(v).affinity_changed(v);
    }
}

TEST(Threads, NeverOnTwoCpus) {
    (void)control_domain();
    std::vector<std::unique_ptr<Guest>> guests;
    for (uint16_t i = 1; i <= 7; ++i) {
        guests.push_back(std::make_unique<Guest>(i));
        guests.back()->start();
    }
    host::on_switch = entered;
    std::atomic<int> left{test_cpus};
    std::vector<std::thread> threads;
    for (unsigned c = 0; c < test_cpus; ++c) {
        threads.emplace_back([&, c] {
            host::become(c);
            std::mt19937 random(c);
            for (int i = 0; i < 10000; ++i) {
                host::advance(Nanos::us(static_cast<int64_t>(random() % 200)));
                if (host::record(c).deadline.load() <= host::now().n) cpus[c].raise(SoftIrq::timer);
                host::soft_interrupts();
                if (c == 0 && current().idle) operate(random, guests);
                Vcpu& v = guests[random() % guests.size()]->vcpu();
                switch (random() % 5) {
                    case 0:
                        if (!current().idle) vcpu_block_current();
                        break;
                    case 1:
                    case 2: vcpu_unblock(v); break;
                    case 3:
                        if (!current().idle) vcpu_yield_current();
                        break;
                    default: sched::pause_nosync(v); sched::unpause(v);
                }
            }
            --left;
            // Keep serving: others may wait for a vCPU that is here.
            while (left) host::soft_interrupts();
        });
    }
    for (auto& t : threads) t.join();
    host::become(0);
    const auto settle = [] {
        for (int turn = 0; turn < 4; ++turn)
            for (unsigned c = 0; c < test_cpus; ++c) {
                host::become(c);
                if (host::record(c).deadline.load() <= host::now().n) cpus[c].raise(SoftIrq::timer);
                host::soft_interrupts();
            }
        host::become(0);
    };
    for (auto& g : guests) (void)set_cap(*g, 0);
    settle();
    all_are_in_their_pools(guests, -1);
    for (auto& g : guests) g->stop();
    settle();
    for (unsigned c = 0; c < test_cpus; ++c) EXPECT_TRUE(cpus[c].current->idle);
    host::on_switch = nullptr;
    host::become(0);
    for (unsigned i = 1; i <= 7; ++i) EXPECT_EQ(inside[i].load(), 0);
    guests.clear();
    only_pool_0(settle);
}

}  // namespace
