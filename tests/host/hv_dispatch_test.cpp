// SPDX-License-Identifier: Apache-2.0
// link: hvcore
#include "abi/xen/event_channel.hpp"
#include "abi/xen/sched.hpp"
#include "abi/xen/vcpu.hpp"
#include "abi/xen/version.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;

constexpr int64_t enosys = -38;

/// A hypercall by its number, as the system call entry makes it.
int64_t by_number(Vcpu& v, uint64_t number, uint64_t a0 = 0, uint64_t a1 = 0) {
    Regs r{};
    r.rax = number;
    r.rdi = a0;
    r.rsi = a1;
    hypercall_dispatch(v, r);
    return static_cast<int64_t>(r.rax);
}

class Dispatch : public ::testing::Test {
protected:
    void SetUp() override { machine(); }
};

TEST_F(Dispatch, NumbersWithoutACallSaySo) {
    Guest g(1);
    EXPECT_EQ(by_number(g.vcpu(), xen::HYPERVISOR_xen_version, xen::XENVER_version), 4 << 16 | 17);
    EXPECT_EQ(by_number(g.vcpu(), 63), enosys);
    EXPECT_EQ(by_number(g.vcpu(), 64), enosys);
    EXPECT_EQ(by_number(g.vcpu(), ~uint64_t{0}), enosys);
}

TEST_F(Dispatch, FirstVersionOfTheEventChannelCall) {
    Guest a(1), b(2);
    auto op = xen::zeroed<xen::EvtchnOp>();
    op.cmd = xen::EVTCHNOP_alloc_unbound;
    op.u.alloc_unbound.dom = xen::DOMID_SELF;
    op.u.alloc_unbound.remote_dom = 2;
    ASSERT_EQ(by_number(a.vcpu(), xen::HYPERVISOR_event_channel_op_compat, address(&op)), 0);
    EXPECT_EQ(op.u.alloc_unbound.port, 1u);
    const Port pb = must(event_bind_interdomain(b, a, Port(op.u.alloc_unbound.port)));

    op.cmd = xen::EVTCHNOP_status;
    op.u.status.dom = xen::DOMID_SELF;
    op.u.status.port = 1;
    ASSERT_EQ(by_number(a.vcpu(), xen::HYPERVISOR_event_channel_op_compat, address(&op)), 0);
    EXPECT_EQ(op.u.status.status, xen::EVTCHNSTAT_interdomain);
    EXPECT_EQ(op.u.status.u.interdomain.port, pb.raw);

    op.cmd = xen::EVTCHNOP_reset;
    EXPECT_EQ(by_number(a.vcpu(), xen::HYPERVISOR_event_channel_op_compat, address(&op)), enosys) << "it came later";
}

TEST_F(Dispatch, FirstVersionOfTheSchedulerCall) {
    Guest g(1);
    EXPECT_EQ(by_number(g.vcpu(), xen::HYPERVISOR_sched_op_compat, xen::SCHEDOP_poll), enosys) << "it came later";
    EXPECT_EQ(by_number(g.vcpu(), xen::HYPERVISOR_sched_op_compat, xen::SCHEDOP_shutdown, xen::SHUTDOWN_crash), 0);
    EXPECT_TRUE(g->shutting_down.load());
    EXPECT_EQ(g->shutdown_code, xen::SHUTDOWN_crash) << "a value, not a pointer";
}

/// What IRET takes from the kernel's stack: back to kernel code with all of its registers.
xen::IretContext kernel_frame(uint64_t iopl) {
    auto f = xen::zeroed<xen::IretContext>();
    f.rax = 0x1122334455667788;
    f.rip = 0x1000;
    f.cs = xen::FLAT_RING3_CS64 & ~3u;
    f.rflags = eflags_if | iopl << eflags_iopl_shift;
    f.rsp = 0x2000;
    f.ss = xen::FLAT_RING3_SS64;
    return f;
}

TEST_F(Dispatch, IretEndsTheMulticallItStandsIn) {
    Guest g(1);
    xen::IretContext frame = kernel_frame(0);
    xen::MulticallEntry list[3];
    std::memset(list, 0, sizeof list);
    for (auto& e : list) e.op = xen::HYPERVISOR_xen_version;
    list[1].op = xen::HYPERVISOR_iret;
    list[2].result = 0x5555;
    Regs& r = arch::guest_regs();
    r = {};
    r.rax = xen::HYPERVISOR_multicall;
    r.rdi = address(list);
    r.rsi = 3;
    r.rsp = address(&frame);
    hypercall_dispatch(g.vcpu(), r);
    EXPECT_EQ(list[0].result, 4u << 16 | 17);
    EXPECT_EQ(r.rax, frame.rax);
    EXPECT_EQ(r.rip, frame.rip);
    EXPECT_EQ(r.rsp, frame.rsp);
    EXPECT_EQ(list[2].result, 0x5555u) << "not reached";
    EXPECT_EQ(by_number(g.vcpu(), xen::HYPERVISOR_multicall, address(list), 1), 0) << "the next list is one again";
}

TEST_F(Dispatch, IretTakesThePrivilegeLevelFromItsFrameWhenAskedTo) {
    Guest g(1);
    xen::IretContext frame = kernel_frame(3);
    Regs& r = arch::guest_regs();
    const auto iret = [&] {
        r = {};
        r.rax = xen::HYPERVISOR_iret;
        r.rsp = address(&frame);
        hypercall_dispatch(g.vcpu(), r);
        EXPECT_EQ(r.rflags & eflags_iopl, 0u) << "the CPU's own is never the guest's";
        EXPECT_EQ(r.rax, frame.rax);
    };
    iret();
    EXPECT_EQ(g.vcpu().pv->iopl, 0);
    g->vm_assist |= 1u << xen::VMASST_TYPE_architectural_iopl;
    iret();
    EXPECT_EQ(g.vcpu().pv->iopl, 3);
}

// A vCPU that is switched in user mode cannot have its run state written: the kernel's memory is not mapped then. It gets
// it on the way into its kernel, before that can look.
TEST_F(Dispatch, TheKernelFindsItsRunStateAfterUserMode) {
    Guest g(1);
    g.give_roots();
    Vcpu& v = g.vcpu();
    xen::VcpuRunstateInfo info;
    std::memset(&info, 0xee, sizeof info);
    v.runstate_guest = address(&info);
    v.pv->in_kernel = false;
    pv_write_runstate(v);
    EXPECT_EQ(info.state_entry_time, 0xeeeeeeeeeeeeeeee);
    pv_toggle_mode(v);
    EXPECT_TRUE(v.pv->in_kernel);
    EXPECT_EQ(info.state, xen::RUNSTATE_offline) << "it has not run yet";
    EXPECT_EQ(info.state_entry_time, sched::policy_of(v).runstate_at_change(v).state_entry_time);
}

}  // namespace
