// SPDX-License-Identifier: Apache-2.0
/// The scheduler's queues, blocking and waking, in every interleaving: nobody runs twice, no wake-up is lost, and no CPU
/// idles while somebody waits who could run there.
#include "hypervisor/domain/run.hpp"
#include "hypervisor/sched/fair_queue.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "tests/explore/world.hpp"

namespace {

using namespace explore;

Vcpu& a0() { return world().a.vcpu(0); }
Vcpu& a1() { return world().a.vcpu(1); }
Vcpu& b0() { return world().b.vcpu(0); }
Vcpu& b1() { return world().b.vcpu(1); }
std::vector<Vcpu*> all() { return {&a0(), &a1(), &b0(), &b1()}; }

void name_all() {
    static const char* const names[] = {"a0", "a1", "b0", "b1"};
    unsigned i = 0;
    for (Vcpu* v : all()) {
        const std::string n = names[i++];
        name(&v->pause_flags, 4, ("pause flags of " + n).c_str());
        name(&v->pause_count, 4, ("pause count of " + n).c_str());
        name(&v->running_on, 4, (n + " runs on").c_str());
        name(&v->SchedUnit::cpu, 4, ("CPU of " + n).c_str());
        name(&v->affinity, 8, ("affinity of " + n).c_str());
        name(&v->info.load()->evtchn_upcall_pending, 1, ("upcall flag of " + n).c_str());
    }
    for (unsigned c = 0; c < world_cpus; ++c) {
        const std::string n = std::to_string(c);
        name(&cpus[c].pending, 4, ("work of CPU " + n).c_str());
        name(&fair_queue(c).lock, sizeof(Spinlock), ("queue lock " + n).c_str());
        name(&fair_queue(c).length, 4, ("queue length " + n).c_str());
    }
}

/// Lets `v` run on CPU `c` from now on; other CPUs may have it later.
void start_on(Vcpu& v, unsigned c) {
    v.initialised = true;
    v.period = {};
    v.info.load()->evtchn_upcall_mask = 0;
    v.info.load()->evtchn_upcall_pending = 0;
    v.affinity.store(CpuSet::of(c));
    v.SchedUnit::cpu.store(c);
    v.pause_count.store(0);
    v.pause_flags.store(0);
    sched::policy_of(v).wake(v);
    settle();
    check(cpus[c].current == &v, "setup: it runs where it shall");
    v.affinity.store(CpuSet::any());
}

/// It has run on CPU `c`, and waits for an event.
void block_on(Vcpu& v, unsigned c) {
    start_on(v, c);
    host::become(c);
    vcpu_block_current();
    settle();
    check(v.pause_flags.load() == vpf_blocked, "setup: it blocks");
}

void nobody_runs_twice() {
    for (unsigned c = 0; c < world_cpus; ++c)
        for (unsigned other = 0; other < c; ++other)
            check(cpus[c].current == cpus[c].idle || cpus[c].current != cpus[other].current, "a vCPU runs on two CPUs");
}

/// After all is done that CPUs were told to do.
void everybody_is_where_he_should_be() {
    settle();
    nobody_runs_twice();
    uint64_t idle = 0;
    for (unsigned c = 0; c < world_cpus; ++c)
        if (cpus[c].current == cpus[c].idle) idle |= uint64_t{1} << c;
    for (Vcpu* v : all()) {
        const int32_t on = v->running_on.load();
        check(!(v->pause_flags.load() & vpf_blocked) || !vcpu_upcall_due(*v),
              "a wake-up is lost: the vCPU is blocked, its event waits");
        check(on < 0 || (v->runnable() && cpus[on].current == v), "a vCPU that may not run does");
        check(on < 0 || (v->affinity.test(static_cast<unsigned>(on))), "a vCPU runs where it may not");
        if (!v->runnable() || on >= 0) continue;
        check(fair_data(*v).queued, "a vCPU that may run is in no queue");
        check(!(idle & v->affinity.word(0)), "a CPU idles while a vCPU waits that may run there");
    }
}

Scenario with_vcpus(Program setup, std::vector<Program> cpus) {
    Scenario s = on_world(
        [setup = std::move(setup)] {
            name_all();
            setup();
            host::become(0);
        },
        std::move(cpus));
    s.always = nobody_runs_twice;
    s.end = everybody_is_where_he_should_be;
    return s;
}

void block_here() {
    note("the vCPU on this CPU blocks");
    vcpu_block_current();
    host::soft_interrupts();
}

void event_for(Vcpu& v) {
    note("an event for it");
    vcpu_mark_events_pending(v);
}

TEST(Sched, an_event_while_the_vcpu_blocks) {
    const Scenario s = with_vcpus([] { start_on(a0(), 1); }, {[] { event_for(a0()); }, block_here});
    expect_holds("event | block", s, bounded(3));
    expect_holds("event | block", s, bounded(2, 1));
}

TEST(Sched, an_event_while_the_vcpu_blocks_and_is_paused) {
    const Scenario s = with_vcpus([] { start_on(a0(), 1); }, {[] {
                                                                  sched::pause_nosync(a0());
                                                                  sched::unpause(a0());
                                                              },
                                                              block_here, [] { event_for(a0()); }});
    expect_holds("pause, unpause | block | event", s, bounded(2));
}

TEST(Sched, two_events_for_one_vcpu) {
    const Scenario s = with_vcpus([] { block_on(a0(), 2); },
                                  {[] { event_for(a0()); }, [] { vcpu_unblock(a0()); }, [] { host::soft_interrupts(); }});
    expect_holds("event | unblock | soft interrupts", s, bounded(2));
}

TEST(Sched, two_vcpus_wake_up_at_once) {
    const Scenario s = with_vcpus(
        [] {
            block_on(a0(), 2);
            block_on(b0(), 2);
        },
        {[] { event_for(a0()); }, [] { event_for(b0()); }, [] { host::soft_interrupts(); }});
    expect_holds("event a0 | event b0 | soft interrupts", s, bounded(2));
}

TEST(Sched, a_cpu_goes_idle_while_another_vcpu_wakes_up) {
    const Scenario s = with_vcpus(
        [] {
            block_on(b0(), 1);
            start_on(b1(), 0);
            start_on(a1(), 1);
            start_on(a0(), 2);
        },
        {[] { event_for(b0()); }, [] { host::soft_interrupts(); }, block_here});
    expect_holds("event | soft interrupts | block", s, bounded(2));
}

TEST(Sched, a_vcpu_is_sent_to_another_cpu) {
    const Scenario s = with_vcpus([] { start_on(a0(), 1); }, {[] {
                                                                  a0().affinity.store(CpuSet::of(2));
                                                                  sched::policy_of(a0()).affinity_changed(a0());
                                                              },
                                                              [] { host::soft_interrupts(); },
                                                              [] {
                                                                  event_for(a0());
                                                                  host::soft_interrupts();
                                                              }});
    expect_holds("affinity | soft interrupts | event", s, bounded(2));
}

TEST(Sched, a_vcpu_is_sent_away_while_it_blocks) {
    const Scenario s = with_vcpus([] { start_on(a0(), 1); }, {[] {
                                                                  a0().affinity.store(CpuSet::of(2));
                                                                  sched::policy_of(a0()).affinity_changed(a0());
                                                              },
                                                              block_here, [] { event_for(a0()); }});
    expect_holds("affinity | block | event", s, bounded(2));
}

TEST(Sched, a_domain_is_paused) {
    const Scenario s =
        with_vcpus([] { start_on(a0(), 1); }, {[] {
                                                   domain_pause(world().a);
                                                   check(a0().running_on.load() < 0, "a paused domain's vCPU runs");
                                                   domain_unpause(world().a);
                                               },
                                               [] { in_guest_until_ended(0); }, [] { event_for(a0()); }});
    expect_holds("pause, wait, unpause | guest | event", s, bounded(2));
}

/// It waits for CPU `c`, where another one runs, and may have no other.
void wait_on(Vcpu& v, unsigned c) {
    v.initialised = true;
    v.affinity.store(CpuSet::of(c));
    v.SchedUnit::cpu.store(c);
    v.pause_count.store(0);
    v.pause_flags.store(0);
    sched::policy_of(v).wake(v);
}

/// CPU `gone` has left: whatever ran or waited there is elsewhere.
void nobody_is_left_on(unsigned gone) {
    settle();
    nobody_runs_twice();
    check(cpus[gone].current == cpus[gone].idle, "a vCPU runs on a CPU that has left");
    for (Vcpu* v : all()) check(!v->runnable() || v->SchedUnit::cpu.load() != gone, "a vCPU waits for a CPU that has left");
}

Scenario while_a_cpu_leaves(unsigned gone, Program setup, std::vector<Program> cpus) {
    Scenario s = with_vcpus(std::move(setup), std::move(cpus));
    s.end = [gone] { nobody_is_left_on(gone); };
    return s;
}

void let_leave(unsigned cpu) {
    note("a CPU leaves");
    sched::pool0().policy->remove_cpu(cpu);
}

void yield_here() {
    note("the vCPU on this CPU yields");
    vcpu_yield_current();
    host::soft_interrupts();
}

TEST(Sched, a_cpu_leaves_while_a_vcpu_makes_room_there) {
    const Scenario s = while_a_cpu_leaves(1,
                                          [] {
                                              start_on(a1(), 0);
                                              start_on(b1(), 2);
                                              start_on(a0(), 1);
                                              wait_on(b0(), 1);
                                          },
                                          {[] { let_leave(1); }, yield_here});
    expect_holds("leave | yield", s, bounded(2));
}

TEST(Sched, a_cpu_leaves_while_a_vcpu_is_sent_there) {
    const Scenario s = while_a_cpu_leaves(2,
                                          [] {
                                              start_on(a1(), 0);
                                              start_on(b1(), 2);
                                              start_on(a0(), 1);
                                              wait_on(b0(), 1);
                                          },
                                          {[] { let_leave(2); },
                                           [] {
                                               b0().affinity.store(CpuSet::of(2));
                                               sched::policy_of(b0()).affinity_changed(b0());
                                           }});
    expect_holds("leave | affinity", s, bounded(3));
}

/// Pool 1, with CPU 2 alone.
void make_pool(uint32_t policy = xen::XEN_SCHEDULER_CREDIT2) {
    const auto made = sched::pool_create(1, policy);
    check(static_cast<bool>(made), "setup: a pool");
    sched::pool_remove_cpu(sched::pool0(), 2);
    settle();
    sched::pool_free_cpu(2);
    sched::pool_add_cpu(*made.value(), 2);
    settle();
}

/// Domain a has been moved to pool 1.
void a_is_there() {
    settle();
    nobody_runs_twice();
    check(!(a0().pause_flags.load() & vpf_blocked) || !vcpu_upcall_due(a0()),
          "a wake-up is lost: the vCPU is blocked, its event waits");
    check(!a0().runnable() || a0().running_on.load() == 2, "it does not run in the pool that it was moved to");
    check(!a0().runnable() || cpus[2].current == &a0(), "its CPU has another one");
}

TEST(Sched, a_domain_is_moved_to_another_pool_while_its_vcpu_wakes_up) {
    Scenario s = with_vcpus(
        [] {
            make_pool();
            block_on(a0(), 1);
        },
        {[] {
             note("it is moved");
             domain_move(world().a, *sched::pool_from(1));
         },
         [] { event_for(a0()); }, [] { host::soft_interrupts(); }});
    s.end = a_is_there;
    expect_holds("move | event | soft interrupts", s, bounded(2));
}

TEST(Sched, a_domain_is_moved_to_another_pool_while_it_runs) {
    Scenario s = with_vcpus(
        [] {
            make_pool();
            start_on(a0(), 1);
        },
        {[] {
             note("it is moved");
             domain_move(world().a, *sched::pool_from(1));
         },
         [] { in_guest_until_ended(0); }, [] { event_for(a0()); }});
    s.end = a_is_there;
    expect_holds("move | guest | event", s, bounded(1));
}

// The same with a policy that has one queue for its pool.

TEST(Sched, a_domain_is_moved_to_another_policy_while_its_vcpu_wakes_up) {
    Scenario s = with_vcpus(
        [] {
            make_pool(xenolith::SCHEDULER_RROBIN);
            block_on(a0(), 1);
        },
        {[] {
             note("it is moved");
             domain_move(world().a, *sched::pool_from(1));
         },
         [] { event_for(a0()); }, [] { host::soft_interrupts(); }});
    s.end = a_is_there;
    expect_holds("move | event | soft interrupts", s, bounded(2));
}

TEST(Sched, a_domain_is_moved_back_from_another_policy_while_its_vcpu_wakes_up) {
    Scenario s = with_vcpus(
        [] {
            make_pool(xenolith::SCHEDULER_RROBIN);
            block_on(a0(), 1);
            domain_move(world().a, *sched::pool_from(1));
            settle();
        },
        {[] {
             note("it is moved");
             domain_move(world().a, sched::pool0());
         },
         [] { event_for(a0()); }, [] { in_guest_until_ended(0); }});
    s.end = [] {
        settle();
        nobody_runs_twice();
        check(!(a0().pause_flags.load() & vpf_blocked) || !vcpu_upcall_due(a0()), "a wake-up is lost");
        check(!a0().runnable() || a0().running_on.load() >= 0, "it does not run");
        check(a0().running_on.load() != 2, "it runs in the pool that it has left");
    };
    expect_holds("move | event | guest", s, bounded(1));
}

/// A pool of CPUs 1 and 2, where domain a is, and a0 runs on CPU `c`.
void with_pool_of_two(unsigned c) {
    make_pool(xenolith::SCHEDULER_RROBIN);
    sched::pool_remove_cpu(sched::pool0(), 1);
    settle();
    sched::pool_free_cpu(1);
    sched::pool_add_cpu(*sched::pool_from(1), 1);
    settle();
    domain_move(world().a, *sched::pool_from(1));
    start_on(a0(), c);
}

void a_runs_when_it_may() {
    settle();
    nobody_runs_twice();
    check(!(a0().pause_flags.load() & vpf_blocked) || !vcpu_upcall_due(a0()),
          "a wake-up is lost: the vCPU is blocked, its event waits");
    check(!a0().runnable() || a0().running_on.load() >= 0, "it may run, CPUs idle, and it does not");
    check(a0().runnable() || a0().running_on.load() < 0, "a vCPU that may not run does");
}

TEST(Sched, an_event_while_the_vcpu_blocks_in_one_queue_for_all) {
    Scenario s = with_vcpus([] { with_pool_of_two(1); }, {[] { event_for(a0()); }, block_here, [] { host::soft_interrupts(); }});
    s.end = a_runs_when_it_may;
    expect_holds("event | block | soft interrupts", s, bounded(2));
}

TEST(Sched, a_vcpu_is_sent_away_while_it_blocks_in_one_queue_for_all) {
    Scenario s = with_vcpus([] { with_pool_of_two(1); }, {[] {
                                                              a0().affinity.store(CpuSet::of(2));
                                                              sched::policy_of(a0()).affinity_changed(a0());
                                                              event_for(a0());
                                                          },
                                                          block_here, [] { host::soft_interrupts(); }});
    s.end = [] {
        a_runs_when_it_may();
        check(a0().running_on.load() != 1, "a vCPU runs where it may not");
    };
    expect_holds("affinity, event | block | soft interrupts", s, bounded(2));
}

TEST(Sched, a_cpu_leaves_one_queue_for_all_while_its_vcpu_wakes_up) {
    Scenario s = with_vcpus([] { with_pool_of_two(1); }, {[] {
                                                              note("a CPU leaves");
                                                              sched::pool_from(1)->policy->remove_cpu(1);
                                                              event_for(a0());
                                                          },
                                                          block_here, [] { host::soft_interrupts(); }});
    s.end = [] {
        a_runs_when_it_may();
        check(a0().SchedUnit::cpu.load() == 2, "it is still with a CPU that has left");
    };
    expect_holds("leave, event | block | soft interrupts", s, bounded(2));
}

TEST(Sched, a_cpu_leaves_while_its_vcpu_blocks_and_wakes_up) {
    const Scenario s =
        while_a_cpu_leaves(1, [] { start_on(a0(), 1); }, {[] { let_leave(1); }, block_here, [] { event_for(a0()); }});
    expect_holds("leave | block | event", s, bounded(2));
}

}  // namespace
