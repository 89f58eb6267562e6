// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// What ends a wait: SCHEDOP_poll by events and by time, watchdogs that nobody feeds, characters typed on the serial line.
#include <string>

#include "abi/xen/console.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/sched.hpp"
#include "hypervisor/dev/console_input.hpp"
#include "hypervisor/domain/run.hpp"
#include "hypervisor/event/event.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;

Errc error_of(auto&& r) { return r ? Errc{} : r.error(); }

/// A guest that has masked events and all of its ports, as kernels poll.
class Poll : public ::testing::Test {
protected:
    Poll() : g((control_domain(), 1), 2) {
        g.start();
        for (unsigned i = 0; i < 2; ++i) g.vcpu(i).info.load()->evtchn_upcall_mask = 1;
        for (uint64_t& word : g->shared->evtchn_mask) word = ~uint64_t{0};
    }
    Result<uint64_t> poll(std::vector<uint32_t> ports, uint64_t timeout = 0, uint32_t count = ~0u) {
        const xen::SchedPoll op{{address(ports.data())}, count == ~0u ? static_cast<uint32_t>(ports.size()) : count, 0, timeout};
        return hypercall(hypercall_handler(xen::HYPERVISOR_sched_op), g.vcpu(), xen::SCHEDOP_poll, address(&op));
    }
    bool waits() const {
        Vcpu& v = *g.d->vcpus[0];
        EXPECT_EQ(v.polling.load(), (v.pause_flags.load() & vpf_blocked) != 0);
        EXPECT_EQ(g.d->pollers.load(), v.polling.load() ? 1u : 0u);
        return v.polling.load();
    }
    Port ipi(unsigned vcpu) { return must(event_bind_ipi(g, VcpuId(vcpu))); }
    void take(Port p) { g->shared->evtchn_pending[p.raw / 64] &= ~(uint64_t{1} << p.raw % 64); }

    Guest g;
};

TEST_F(Poll, ItsPortEndsItThoughMaskedAndAnotherVcpus) {
    const Port mine = ipi(1), other = ipi(1);
    ASSERT_TRUE(poll({mine.raw}));
    EXPECT_TRUE(waits());
    ASSERT_TRUE(event_send(g, other));
    EXPECT_TRUE(waits()) << "not the port it asked for";
    ASSERT_TRUE(event_send(g, mine));
    EXPECT_FALSE(waits());
    EXPECT_FALSE(g.vcpu().info.load()->evtchn_upcall_pending) << "the port is another vCPU's, and masked";
}

TEST_F(Poll, AnyOfSeveralEndsIt) {
    const Port a = ipi(0), b = ipi(0);
    for (const Port p : {a, b}) {
        ASSERT_TRUE(poll({a.raw, b.raw}));
        EXPECT_TRUE(waits());
        ASSERT_TRUE(event_send(g, p));
        EXPECT_FALSE(waits());
        take(p);
    }
}

TEST_F(Poll, WhatIsPendingAlreadyEndsItAtOnce) {
    const Port a = ipi(0), b = ipi(0);
    ASSERT_TRUE(event_send(g, b));
    ASSERT_TRUE(poll({a.raw, b.raw}));
    EXPECT_FALSE(waits());
    take(b);
    ASSERT_TRUE(poll({a.raw, b.raw}));
    EXPECT_TRUE(waits());
    vcpu_unblock(g.vcpu());
    EXPECT_FALSE(waits());
    // An event that the vCPU takes before it would wait.
    g.vcpu().info.load()->evtchn_upcall_pending = 1;
    g.vcpu().info.load()->evtchn_upcall_mask = 0;
    ASSERT_TRUE(poll({a.raw}));
    EXPECT_FALSE(waits());
}

TEST_F(Poll, BadArgumentsLeaveItRunning) {
    const Port a = ipi(0);
    EXPECT_EQ(error_of(poll({a.raw, 77})), Errc::inval) << "no such port";
    EXPECT_FALSE(waits());
    EXPECT_EQ(error_of(poll({a.raw}, 0, 129)), Errc::inval) << "too many";
    EXPECT_FALSE(waits());
    const xen::SchedPoll unreadable{{8}, 1, 0, 0};
    EXPECT_EQ(error_of(hypercall(hypercall_handler(xen::HYPERVISOR_sched_op), g.vcpu(), xen::SCHEDOP_poll, address(&unreadable))),
              Errc::fault);
    EXPECT_FALSE(waits());
}

TEST_F(Poll, TimeEndsIt) {
    const Port a = ipi(0);
    ASSERT_TRUE(poll({a.raw}, static_cast<uint64_t>((host::now() + base::Nanos::ms(5)).n)));
    host::advance(base::Nanos::ms(4));
    timer::run_expired();
    EXPECT_TRUE(waits());
    host::advance(base::Nanos::ms(2));
    timer::run_expired();
    EXPECT_FALSE(waits());
}

TEST_F(Poll, AReasonIsSaidOnce) {
    xen::SchedShutdown s{xen::SHUTDOWN_reboot};
    ASSERT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_sched_op), g.vcpu(), xen::SCHEDOP_shutdown_code, address(&s)));
    s.reason = xen::SHUTDOWN_poweroff;
    ASSERT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_sched_op), g.vcpu(), xen::SCHEDOP_shutdown_code, address(&s)));
    EXPECT_FALSE(g->shutting_down.load());
    ASSERT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_sched_op), g.vcpu(), xen::SCHEDOP_shutdown, address(&s)));
    EXPECT_TRUE(g->shutting_down.load());
    EXPECT_EQ(g->shutdown_code, xen::SHUTDOWN_reboot);
}

TEST_F(Poll, OnlyTheControlDomainEndsOthers) {
    const xen::SchedRemoteShutdown other{1, {}, xen::SHUTDOWN_poweroff};
    Guest second(2);
    EXPECT_EQ(error_of(hypercall(hypercall_handler(xen::HYPERVISOR_sched_op), second.vcpu(), xen::SCHEDOP_remote_shutdown,
                                 address(&other))),
              Errc::perm);
    EXPECT_FALSE(g->shutting_down.load());
    ASSERT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_sched_op), control_domain().vcpu(), xen::SCHEDOP_remote_shutdown,
                          address(&other)));
    EXPECT_EQ(g->shutdown_code, xen::SHUTDOWN_poweroff);
    const xen::SchedRemoteShutdown nobody{9, {}, xen::SHUTDOWN_poweroff};
    EXPECT_EQ(error_of(hypercall(hypercall_handler(xen::HYPERVISOR_sched_op), control_domain().vcpu(),
                                 xen::SCHEDOP_remote_shutdown, address(&nobody))),
              Errc::srch);
}

// -- watchdogs ---------------------------------------------------------------------------------------------------------

class Watchdog : public Poll {
protected:
    Result<uint64_t> watch(uint32_t id, uint32_t seconds) {
        const xen::SchedWatchdog op{id, seconds};
        return hypercall(hypercall_handler(xen::HYPERVISOR_sched_op), g.vcpu(), xen::SCHEDOP_watchdog, address(&op));
    }
    void pass(int64_t seconds) {
        host::advance(base::Nanos::s(seconds));
        timer::run_expired();
    }
};

TEST_F(Watchdog, EndsTheDomainThatDoesNotFeedIt) {
    ASSERT_EQ(must(watch(0, 10)), 1u);
    ASSERT_EQ(must(watch(0, 30)), 2u);
    pass(8);
    ASSERT_TRUE(watch(1, 10));
    pass(8);
    EXPECT_FALSE(g->shutting_down.load()) << "it was fed";
    pass(3);
    EXPECT_TRUE(g->shutting_down.load());
    EXPECT_EQ(g->shutdown_code, xen::SHUTDOWN_watchdog);
}

TEST_F(Watchdog, StopsWhenToldTo) {
    ASSERT_EQ(must(watch(0, 10)), 1u);
    ASSERT_TRUE(watch(1, 0));
    pass(20);
    EXPECT_FALSE(g->shutting_down.load());
    EXPECT_EQ(error_of(watch(1, 10)), Errc::inval) << "it is no longer there";
    EXPECT_EQ(must(watch(0, 10)), 1u) << "its place is";
}

TEST_F(Watchdog, ThereAreTwo) {
    EXPECT_EQ(error_of(watch(0, 0)), Errc::inval);
    EXPECT_EQ(error_of(watch(1, 5)), Errc::inval);
    EXPECT_EQ(error_of(watch(3, 5)), Errc::inval);
    EXPECT_EQ(must(watch(0, 5)), 1u);
    EXPECT_EQ(must(watch(0, 5)), 2u);
    EXPECT_EQ(error_of(watch(0, 5)), Errc::exist);
}

// -- the serial line ---------------------------------------------------------------------------------------------------

/// What dom0 reads, by its hypercall.
std::string typed() {
    std::string all;
    char text[100];
    while (const uint64_t n = must(hypercall(hypercall_handler(xen::HYPERVISOR_console_io), control_domain().vcpu(),
                                             xen::CONSOLEIO_read, sizeof text, address(text))))
        all.append(text, n);
    return all;
}

void type(const std::string& text) { console_received(text.data(), text.size()); }

TEST(ConsoleInput, ReachesDom0WithAnEvent) {
    Guest& dom0_guest = control_domain();
    const Port p = must(event_bind_virq(dom0_guest, xen::VIRQ_CONSOLE, VcpuId(0)));
    EXPECT_FALSE(must(event_port_pending(dom0_guest, p)));
    type("ls\n");
    EXPECT_TRUE(must(event_port_pending(dom0_guest, p)));
    EXPECT_EQ(typed(), "ls\n");
    EXPECT_EQ(typed(), "");
    Guest other(1);
    EXPECT_EQ(error_of(hypercall(hypercall_handler(xen::HYPERVISOR_console_io), other.vcpu(), xen::CONSOLEIO_read, 1, 8)),
              Errc::perm);
    ASSERT_TRUE(event_close(dom0_guest, p));
}

TEST(ConsoleInput, ThreeTimesControlASwitches) {
    (void)control_domain();
    type("a\1\1b");
    EXPECT_EQ(typed(), "a\1\1b") << "twice is not enough";
    type("\1\1\1not for dom0");
    EXPECT_EQ(typed(), "\1\1") << "the third is ours";
    type("\1\1\1again");
    EXPECT_EQ(typed(), "again");
}

TEST(ConsoleInput, WhatHasNoRoomIsLost) {
    (void)control_domain();
    type(std::string(1024, 'x') + "too much");
    EXPECT_EQ(typed(), std::string(1024, 'x'));
    type("y");
    EXPECT_EQ(typed(), "y");
}

}  // namespace
