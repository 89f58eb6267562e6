// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// Domains of a kind of guest that is not PV: what serves every kind must ask the kind, and nothing else.
#include "hypervisor/domain/guest_kind.hpp"

#include "abi/xen/domctl.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/physdev.hpp"
#include "abi/xen/vcpu.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/hypercall/table.hpp"
#include "tests/host/hv_calls.hpp"

#include <map>
#include <string>

namespace {

using namespace hvtest;

/// How often each operation of the kind was called.
std::map<std::string, unsigned> calls;
void count(const char* operation) { ++calls[operation]; }
bool creation_fails = false;

Status create(Domain&) {
    count("create");
    return creation_fails ? Status(Err{Errc::nomem}) : ok;
}
Status create_vcpu(Vcpu& v) {
    count("create_vcpu");
    return v.id.raw == 2 ? Status(Err{Errc::nomem}) : ok;
}
Status relinquish(Domain&) {
    count("relinquish");
    return calls["relinquish"] < 3 ? Status(Err{Errc::restart}) : ok;
}
/// Its context is a word: bit 0 says "online", bit 1 asks for something it cannot do.
Result<bool> set_context(Vcpu& v, uint64_t from) {
    count("set_context");
    const uint64_t word = *reinterpret_cast<const uint64_t*>(from);
    if (word & 2) return Err{Errc::opnotsupp};
    v.initialised = true;
    return (word & 1) != 0;
}
Status initialise(Vcpu& v, uint64_t from) {
    count("initialise");
    if (v.initialised) return Err{Errc::exist};
    return set_context(v, from) ? Status(ok) : Status(Err{Errc::inval});
}
Status get_context(Vcpu&, uint64_t to) {
    count("get_context");
    *reinterpret_cast<uint64_t*>(to) = 0xfeed;
    return ok;
}
Status set_callbacks(Vcpu&, const xen::DomctlExtVcpuContext&) {
    count("set_callbacks");
    return Err{Errc::inval};
}
Status set_io_level(Vcpu&, uint32_t) {
    count("set_io_level");
    return Err{Errc::nosys};
}
Status set_io_bitmap(Vcpu&, uint64_t, uint32_t) {
    count("set_io_bitmap");
    return Err{Errc::nosys};
}
Status map_grant(Vcpu&, uint64_t, Mfn, Access, bool, uint64_t) {
    count("map_grant");
    return ok;
}
Status unmap_grant(Vcpu&, uint64_t, Mfn, Access, bool, uint64_t) {
    count("unmap_grant");
    return ok;
}
arch::Walked read(const Vcpu&, void* dst, uint64_t, size_t n) {
    count("read");
    std::memset(dst, 0x5a, n);
    return arch::Walked::done;
}
arch::Walked write(const Vcpu&, uint64_t, const void*, size_t) {
    count("write");
    return arch::Walked::fault;
}

uint64_t frame_type(const PageInfo&) {
    count("frame_type");
    return xen::XEN_DOMCTL_PFINFO_L3TAB;
}

constexpr GuestKind test_kind{
    .max_vcpus = 3,
    .hypercall_bytes = 3,
    .offered = &pv_policy,
    .create = create,
    .destroy = [](Domain&) { count("destroy"); },
    .create_vcpu = create_vcpu,
    .destroy_vcpu = [](Vcpu&) { count("destroy_vcpu"); },
    .relinquish = relinquish,
    .set_context = set_context,
    .initialise = initialise,
    .get_context = get_context,
    .set_callbacks = set_callbacks,
    .get_callbacks = [](const Vcpu&, xen::DomctlExtVcpuContext&) { count("get_callbacks"); },
    .switch_out = [](Vcpu&) { count("switch_out"); },
    .switch_in = [](Vcpu&) { count("switch_in"); },
    .run = [](Vcpu&) { count("run"); },
    .inject_nmi = [](Vcpu&) { count("inject_nmi"); },
    .set_io_level = set_io_level,
    .set_io_bitmap = set_io_bitmap,
    .write_runstate = [](Vcpu&) { count("write_runstate"); },
    .map_grant = map_grant,
    .unmap_grant = unmap_grant,
    .report_crash = [](Vcpu&) { count("report_crash"); },
    .read = read,
    .write = write,
    .frame_type = frame_type,
    .fill_hypercall_page = [](void*) { count("fill_hypercall_page"); },
};

DomainLimits room_for(uint32_t vcpus) {
    DomainLimits limits;
    limits.max_vcpus = vcpus;
    return limits;
}

/// The vCPU runs on this CPU as long as this lives.
class Running {
    Vcpu* before_ = this_cpu().current;

public:
    explicit Running(Vcpu& v) { this_cpu().current = &v; }
    ~Running() { this_cpu().current = before_; }
};

class Kind : public ::testing::Test {
protected:
    static constexpr uint16_t id = 12;
    Guest& dom0 = control_domain();
    DomainRef d;

    void SetUp() override {
        domains_reap();
        calls.clear();
        creation_fails = false;
    }
    void make(uint32_t vcpus) { d = must(domain_create(DomId(id), test_kind, room_for(vcpus), false)); }
    void TearDown() override {
        if (d)
            while (!domain_kill(*d)) {}
        d = DomainRef();
        domains_reap();
    }
    Errc control(uint32_t cmd, auto fill) {
        auto op = xen::zeroed<xen::Domctl>();
        op.cmd = cmd;
        op.interface_version = xen::XEN_DOMCTL_INTERFACE_VERSION;
        op.domain = id;
        fill(op.u);
        const auto r = hypercall(hypercall_handler(xen::HYPERVISOR_domctl), dom0.vcpu(), address(&op));
        last = op;
        return r ? Errc{} : r.error();
    }
    Errc control(uint32_t cmd) {
        return control(cmd, [](auto&) {});
    }
    /// A hypercall of the domain's vCPU 0.
    Errc own(Handler h, uint64_t a0, uint64_t a1 = 0, uint64_t a2 = 0) {
        Running r(*d->vcpus[0]);
        const auto result = hypercall(h, *d->vcpus[0], a0, a1, a2);
        return result ? Errc{} : result.error();
    }
    xen::Domctl last{};
};

TEST_F(Kind, LivesAndEndsWithoutALostByte) {
    const Resources before;
    make(2);
    ASSERT_EQ(control(xen::XEN_DOMCTL_max_vcpus, [](auto& u) { u.max_vcpus.max = 2; }), Errc{});
    EXPECT_EQ(d->pv, nullptr);
    EXPECT_EQ(d->vcpus[1]->pv, nullptr);
    EXPECT_EQ(calls["create_vcpu"], 2u);
    EXPECT_EQ(control(xen::XEN_DOMCTL_max_mem, [](auto& u) { u.max_mem.max_memkb = 64; }), Errc{});
    (void)must(domain_alloc_pages(*d, 0, 64));
    EXPECT_EQ(control(xen::XEN_DOMCTL_getdomaininfo), Errc{});
    EXPECT_EQ(control(xen::XEN_DOMCTL_destroydomain), Errc{});
    EXPECT_EQ(calls["relinquish"], 3u) << "twice it wanted to be called again";
    EXPECT_EQ(calls["destroy"], 0u) << "somebody still refers to the domain";
    d = DomainRef();
    domains_reap();
    EXPECT_EQ(calls["destroy"], 1u);
    EXPECT_EQ(calls["destroy_vcpu"], 2u);
    EXPECT_EQ(Resources(), before);
}

TEST_F(Kind, FailuresAreUndone) {
    const Resources before;
    EXPECT_EQ(domain_create(DomId(id), test_kind, room_for(4), false).error(), Errc::inval) << "more than the kind's vCPUs";
    EXPECT_TRUE(calls.empty());
    creation_fails = true;
    EXPECT_EQ(domain_create(DomId(id), test_kind, room_for(1), false).error(), Errc::nomem);
    EXPECT_EQ(calls["destroy"], 1u);
    EXPECT_EQ(Resources(), before);
    creation_fails = false;
    make(3);
    const Resources made;
    EXPECT_EQ(vcpu_create(*d, VcpuId(2)).error(), Errc::nomem);
    EXPECT_EQ(calls["destroy_vcpu"], 1u);
    EXPECT_EQ(Resources(), made);
}

TEST_F(Kind, DomainsThatOnlyOwnHaveNoGuest) {
    for (Domain* owner : {idle_domain, dom_xen, dom_io}) {
        EXPECT_EQ(vcpu_create(*owner, VcpuId(1)).error(), Errc::inval);
        EXPECT_EQ(domain_kill(*owner).error(), Errc::inval);
    }
}

TEST_F(Kind, ContextsAreTheKinds) {
    make(1);
    Vcpu& v = *must(vcpu_create(*d, VcpuId(0)));
    uint64_t context = 2;
    const auto with_context = [&](auto& u) { u.vcpucontext.ctxt.addr = address(&context); };
    EXPECT_EQ(control(xen::XEN_DOMCTL_getvcpucontext, with_context), Errc::nodata);
    EXPECT_EQ(control(xen::XEN_DOMCTL_setvcpucontext, with_context), Errc::opnotsupp);
    EXPECT_FALSE(v.initialised);
    context = 1;
    EXPECT_EQ(control(xen::XEN_DOMCTL_setvcpucontext, with_context), Errc{});
    EXPECT_FALSE(v.pause_flags.load() & vpf_down);
    context = 0;
    EXPECT_EQ(control(xen::XEN_DOMCTL_setvcpucontext, with_context), Errc{});
    EXPECT_TRUE(v.pause_flags.load() & vpf_down);
    EXPECT_EQ(control(xen::XEN_DOMCTL_getvcpucontext, with_context), Errc{});
    EXPECT_EQ(context, 0xfeedu);
    const Handler vcpu_op = hypercall_handler(xen::HYPERVISOR_vcpu_op);
    EXPECT_EQ(own(vcpu_op, xen::VCPUOP_initialise, 0, address(&context)), Errc::exist);
    v.initialised = false;
    context = 2;
    EXPECT_EQ(own(vcpu_op, xen::VCPUOP_initialise, 0, address(&context)), Errc::inval);
    EXPECT_EQ(calls["initialise"], 2u);

    EXPECT_EQ(control(xen::XEN_DOMCTL_get_ext_vcpucontext), Errc{});
    EXPECT_EQ(last.u.ext_vcpucontext.sysenter_callback_eip, 0u);
    EXPECT_EQ(control(xen::XEN_DOMCTL_set_ext_vcpucontext, [](auto& u) { u.ext_vcpucontext.size = 64; }), Errc::inval);
    EXPECT_EQ(calls["set_callbacks"], 1u);
}

TEST_F(Kind, RegistersOfAllKindsAreTheCores) {
    make(1);
    Vcpu& v = *must(vcpu_create(*d, VcpuId(0)));
    EXPECT_EQ(v.state.xcr0, 1u);
    EXPECT_EQ(v.state.debug[6], 0xffff0ff0u);
    uint32_t mxcsr = 0;
    std::memcpy(&mxcsr, v.state.fpu + 24, sizeof mxcsr);
    EXPECT_EQ(mxcsr, 0x1f80u);
    EXPECT_EQ(control(xen::XEN_DOMCTL_getvcpuextstate), Errc{});
    EXPECT_EQ(last.u.vcpuextstate.size, 16 + cpu_features.xsave_size);
}

TEST_F(Kind, OperationsGoThroughTheTable) {
    make(1);
    Vcpu& v = *must(vcpu_create(*d, VcpuId(0)));
    EXPECT_EQ(control(xen::XEN_DOMCTL_sendtrigger, [](auto& u) { u.sendtrigger.trigger = xen::XEN_DOMCTL_SENDTRIGGER_NMI; }),
              Errc{});
    EXPECT_EQ(own(hypercall_handler(xen::HYPERVISOR_vcpu_op), xen::VCPUOP_send_nmi, 0), Errc{});
    EXPECT_EQ(calls["inject_nmi"], 2u);

    d->max_pages = 4;
    const Mfn page = must(domain_alloc_pages(*d, 0, 64));
    EXPECT_EQ(control(xen::XEN_DOMCTL_hypercall_init, [&](auto& u) { u.hypercall_init.gmfn = page.raw; }), Errc{});
    EXPECT_EQ(calls["fill_hypercall_page"], 1u);
    uint64_t frames[] = {page.raw, ~uint64_t{0}};
    EXPECT_EQ(control(xen::XEN_DOMCTL_getpageframeinfo3,
                      [&](auto& u) {
                          u.getpageframeinfo3.num = 2;
                          u.getpageframeinfo3.array.addr = address(frames);
                      }),
              Errc{});
    EXPECT_EQ(calls["frame_type"], 1u);
    EXPECT_EQ(frames[0], xen::XEN_DOMCTL_PFINFO_L3TAB);
    EXPECT_EQ(frames[1], xen::XEN_DOMCTL_PFINFO_XTAB);

    xen::PhysdevSetIopl level{3};
    auto bitmap = xen::zeroed<xen::PhysdevSetIobitmap>();
    EXPECT_EQ(own(hypercall_handler(xen::HYPERVISOR_physdev_op), xen::PHYSDEVOP_set_iopl, address(&level)), Errc::nosys);
    EXPECT_EQ(own(hypercall_handler(xen::HYPERVISOR_physdev_op), xen::PHYSDEVOP_set_iobitmap, address(&bitmap)), Errc::nosys);

    Running r(v);
    uint64_t word = 0;
    EXPECT_EQ(arch::walked_read(&word, 0, sizeof word), arch::Walked::done);
    EXPECT_EQ(word, 0x5a5a'5a5a'5a5a'5a5au);
    EXPECT_EQ(arch::walked_write(0, &word, sizeof word), arch::Walked::fault);
    domain_crash(*d, "of the test");
    domain_report_crash();
    EXPECT_EQ(calls["report_crash"], 1u);
}

TEST_F(Kind, GrantsAreMappedByTheKind) {
    Guest owner(13);
    make(1);
    Vcpu& v = *must(vcpu_create(*d, VcpuId(0)));
    const Mfn page = owner.page();
    auto* entry = map_mfn<xen::GrantEntryV1>(must(get_grant_frame(*owner.d, 0)));
    *entry = {xen::GTF_permit_access, id, static_cast<uint32_t>(page.raw)};
    auto map = xen::zeroed<xen::GnttabMapGrantRef>();
    map.flags = xen::GNTMAP_host_map;
    map.dom = 13;
    grant_map(v, &map, 1);
    EXPECT_EQ(map.status, 0);
    EXPECT_EQ(calls["map_grant"], 1u);
    GrantUnmap u;
    EXPECT_EQ(grant_unmap_begin(v, 0x1000, 0, 0, map.handle, u), GrantStatus(0));
    EXPECT_EQ(calls["unmap_grant"], 1u);
    grant_unmap_finish(*d, &u, 1);
}

TEST_F(Kind, RunsAndStops) {
    make(1);
    Vcpu& v = *must(vcpu_create(*d, VcpuId(0)));
    v.initialised = true;
    v.period = {};
    v.pause_flags.fetch_and(~uint32_t{vpf_down});
    const unsigned cpu = v.cpu.load();
    host::become(cpu);
    domain_unpause(*d);
    host::soft_interrupts();
    EXPECT_EQ(&current(), &v);
    EXPECT_EQ(calls["switch_in"], 1u);
    EXPECT_EQ(calls["write_runstate"], 1u);
    sched::pause_nosync(v);
    host::soft_interrupts();
    EXPECT_TRUE(current().idle);
    EXPECT_EQ(calls["switch_out"], 1u);
    EXPECT_EQ(calls["write_runstate"], 2u);
    host::become(0);
}

TEST_F(Kind, ARestartBeginsAtTheKindsOwnInstruction) {
    make(1);
    Vcpu& v = *must(vcpu_create(*d, VcpuId(0)));
    Running running(v);
    host::preempt_every(1);
    xen::MulticallEntry list[3]{};
    for (auto& e : list) e.op = xen::HYPERVISOR_xen_version;
    Regs r{};
    r.rip = 0x1003;
    r.rax = xen::HYPERVISOR_multicall;
    r.rdi = address(list);
    r.rsi = 3;
    hypercall_dispatch(v, r);
    host::preempt_every(0);
    EXPECT_EQ(r.rip, 0x1000u);
    EXPECT_LT(r.rsi, 3u);
}

}  // namespace
