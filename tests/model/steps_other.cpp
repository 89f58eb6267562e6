// SPDX-License-Identifier: Apache-2.0
/// Steps of every other kind: events, vCPUs, control calls, traps, and every hypercall with arguments by chance.
#include <cstdio>
#include <cstring>
#include <iterator>

#include "abi/xen/basic.hpp"
#include "abi/xen/domctl.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/memory.hpp"
#include "abi/xen/platform.hpp"
#include "abi/xen/sched.hpp"
#include "abi/xen/sysctl.hpp"
#include "abi/xen/vcpu.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "hypervisor/hypercall/table.hpp"
#include "hypervisor/time/timer.hpp"
#include "tests/machine/host.hpp"
#include "tests/machine/mmu.hpp"
#include "tests/model/world.hpp"

namespace hvmodel {
namespace {

// -- events -----------------------------------------------------------------------------------------------------------

/// Where an operation leaves the new port, in words; 0: it makes none.
unsigned port_word(uint64_t cmd) {
    switch (cmd) {
        case xen::EVTCHNOP_alloc_unbound:
        case xen::EVTCHNOP_bind_ipi: return 1;
        case xen::EVTCHNOP_bind_interdomain:
        case xen::EVTCHNOP_bind_virq:
        case xen::EVTCHNOP_bind_pirq: return 2;
        default: return 0;
    }
}

void event_op(World& w, Choice& c) {
    const uint64_t cmd = c.below(16);
    uint32_t a[8] = {};
    const auto by_domain = [&] { a[0] = w.domid(c) | uint32_t{w.domid(c)} << 16; };
    switch (cmd) {
        case xen::EVTCHNOP_alloc_unbound:
        case xen::EVTCHNOP_reset: by_domain(); break;
        case xen::EVTCHNOP_bind_interdomain:
        case xen::EVTCHNOP_status:
            by_domain();
            a[1] = w.ports.pick(c);
            break;
        case xen::EVTCHNOP_bind_virq:
            a[0] = static_cast<uint32_t>(c.below(26));
            a[1] = static_cast<uint32_t>(c.below(3));
            break;
        case xen::EVTCHNOP_bind_pirq: a[0] = static_cast<uint32_t>(c.below(40)); break;
        case xen::EVTCHNOP_bind_ipi: a[0] = static_cast<uint32_t>(c.below(3)); break;
        case xen::EVTCHNOP_init_control: {
            const uint64_t f = w.own_frame(c);
            std::memcpy(a, &f, 8);
            a[2] = static_cast<uint32_t>(c.below(4096) & ~uint64_t{7});
            a[3] = static_cast<uint32_t>(c.below(3));
            break;
        }
        case xen::EVTCHNOP_expand_array: {
            const uint64_t f = w.own_frame(c);
            std::memcpy(a, &f, 8);
            break;
        }
        default: a[0] = w.ports.pick(c); a[1] = static_cast<uint32_t>(c.below(17));
    }
    const uint64_t at = w.put(c, a);
    if (c.chance(6)) {
        uint32_t old[9] = {static_cast<uint32_t>(cmd)};
        std::memcpy(old + 1, a, sizeof a);
        w.call(c, xen::HYPERVISOR_event_channel_op_compat, w.put(c, old));
        return;
    }
    if (w.call(c, xen::HYPERVISOR_event_channel_op, cmd, at) != 0 || !port_word(cmd)) return;
    if (arch::copy_from_guest(a, at, sizeof a)) w.ports.add(a[port_word(cmd)]);
}

// -- vCPUs ------------------------------------------------------------------------------------------------------------

/// A context: mostly one that works, with something wrong in it now and then.
uint64_t put_context(World& w, Choice& c, Domain& d) {
    static xen::VcpuGuestContext x;
    x = xen::zeroed<xen::VcpuGuestContext>();
    const Vcpu& like = *d.vcpus[0];
    x.flags = c.of<uint64_t>({xen::VGCF_in_kernel, xen::VGCF_in_kernel, xen::VGCF_in_kernel | xen::VGCF_online, 0, c.word()});
    const uint64_t root = c.chance(70) ? like.pv->kernel_root.raw : w.own_table(c, 4);
    x.ctrlreg[3] = xen::xen_pfn_to_cr3(c.chance(10) ? 0 : root);
    x.ctrlreg[1] = c.chance(30) ? xen::xen_pfn_to_cr3(w.own_table(c, 4)) : 0;
    x.kernel_sp = w.writable_page(c) + page_size;
    x.user_regs.rip = linear_base;
    x.user_regs.rflags = c.word();
    x.event_callback_eip = x.failsafe_callback_eip = x.syscall_callback_eip = linear_base;
    if (c.chance(40)) {
        x.gdt_ents = c.of<uint64_t>({1, 512, 600, 0x1c00, 0x1c01});
        for (uint64_t& f : x.gdt_frames) f = w.own_frame(c);
    }
    if (c.chance(30)) {
        x.ldt_ents = c.of<uint64_t>({1, 512, 8192, 8193});
        x.ldt_base = w.address(c) & ~(page_size - 1);
    }
    if (c.chance(20)) x.debugreg[c.below(8)] = c.word();
    for (xen::TrapInfo& t : x.trap_ctxt) t.address = linear_base;
    if (c.chance(15)) {
        const uint64_t odd = w.word(c);
        std::memcpy(reinterpret_cast<uint8_t*>(&x) + c.below(sizeof x / 8) * 8, &odd, 8);
    }
    return w.put(c, &x, sizeof x);
}

void vcpu_op(World& w, Choice& c) {
    const uint64_t cmd = c.chance(25) ? 0 : c.chance(20) ? 10 : c.below(15);
    if (cmd == xen::VCPUOP_down && w.control()) return;
    uint64_t at = 0;
    if (cmd == xen::VCPUOP_initialise) {
        at = put_context(w, c, current().domain);
    } else {
        uint64_t words[3] = {w.word(c), c.below(4096), 0};
        if (cmd == xen::VCPUOP_register_vcpu_info) words[0] = w.own_frame(c), words[1] &= ~uint64_t{7};
        if (cmd == xen::VCPUOP_register_runstate_memory_area || cmd == xen::VCPUOP_register_vcpu_time_memory_area)
            words[0] = c.chance(80) ? w.address(c) : w.word(c);
        at = c.chance(90) ? w.put(c, words) : 0;
    }
    w.call(c, xen::HYPERVISOR_vcpu_op, cmd, c.below(3), at);
}

constexpr uint64_t domctl_commands = 88, sysctl_commands = 32, platform_commands = 66;

// -- the control domain's calls ---------------------------------------------------------------------------------------

unsigned domains() {
    unsigned n = 0;
    for (DomainRef d = next_domain(DomId(0)); d; d = next_domain(DomId::from_reg(d->id.raw + 1u))) ++n;
    return n;
}

void fill_domctl(World& w, Choice& c, xen::Domctl& op) {
    uint64_t words[sizeof op.u / 8];
    for (uint64_t& x : words) x = w.word(c);
    if (c.chance(50)) words[0] = c.below(3);
    std::memcpy(&op.u, words, sizeof words);
    const DomainRef d = lookup_domain(DomId(op.domain));
    switch (op.cmd) {
        case xen::XEN_DOMCTL_createdomain:
            op.u.createdomain = xen::zeroed<xen::DomctlCreateDomain>();
            op.domain = static_cast<uint16_t>(c.below(9));
            op.u.createdomain.max_vcpus = static_cast<uint32_t>(c.below(4));
            op.u.createdomain.max_evtchn_port = 100;
            op.u.createdomain.max_grant_frames = static_cast<int32_t>(c.below(4)) - 1;
            op.u.createdomain.max_maptrack_frames = static_cast<int32_t>(c.below(4)) - 1;
            op.u.createdomain.grant_opts = static_cast<uint32_t>(c.below(3));
            if (c.chance(20)) op.u.createdomain.flags = static_cast<uint32_t>(c.below(128));
            return;
        case xen::XEN_DOMCTL_setvcpucontext:
        case xen::XEN_DOMCTL_getvcpucontext:
            op.u.vcpucontext.vcpu = static_cast<uint32_t>(c.below(2));
            op.u.vcpucontext.ctxt.addr = d && d->vcpus && d->vcpus[0] ? put_context(w, c, *d) : 0;
            return;
        case xen::XEN_DOMCTL_max_mem: op.u.max_mem.max_memkb = c.below(1024); return;
        case xen::XEN_DOMCTL_shadow_op:
            op.u.shadow_op = xen::zeroed<xen::DomctlShadowOp>();
            op.u.shadow_op.op = static_cast<uint32_t>(c.of<uint64_t>({0, 2, 2, 2, 11, 11, 12, 32, 30, 31, c.below(40)}));
            op.u.shadow_op.mode = static_cast<uint32_t>(op.u.shadow_op.op == 32 ? c.of({4, 4, 0}) : c.of({0, 0, 1, 2}));
            op.u.shadow_op.dirty_bitmap.addr = c.chance(80) ? w.writable_page(c) : w.word(c);
            op.u.shadow_op.pages = c.chance(90) ? c.below(5000) : c.word();
            return;
        case xen::XEN_DOMCTL_hypercall_init: op.u.hypercall_init.gmfn = w.frame(c); return;
        case xen::XEN_DOMCTL_getpageframeinfo3:
            op.u.getpageframeinfo3.num = c.below(40);
            op.u.getpageframeinfo3.array.addr = w.writable_page(c);
            return;
        default: return;
    }
}

void domctl(World& w, Choice& c) {
    if (!w.control() && !c.chance(5)) return;
    auto op = xen::zeroed<xen::Domctl>();
    op.cmd = static_cast<uint32_t>(c.chance(97) ? c.below(domctl_commands) : 1000 + c.below(5));
    if (w.logs() && c.chance(20)) op.cmd = xen::XEN_DOMCTL_shadow_op;
    if (!w.logs() && op.cmd == xen::XEN_DOMCTL_shadow_op) return;
    if (op.cmd == xen::XEN_DOMCTL_createdomain && domains() > 5) op.cmd = xen::XEN_DOMCTL_destroydomain;
    if (op.cmd == xen::XEN_DOMCTL_destroydomain && c.chance(60)) op.cmd = xen::XEN_DOMCTL_setvcpucontext;
    op.interface_version = c.chance(98) ? xen::XEN_DOMCTL_INTERFACE_VERSION : 0;
    op.domain = c.chance(90) ? static_cast<uint16_t>(1 + c.below(6)) : w.domid(c);
    fill_domctl(w, c, op);
    w.call(c, xen::HYPERVISOR_domctl, w.put(c, op));
}

template <class Op>
void control_call(World& w, Choice& c, uint64_t number, uint32_t version, uint64_t commands) {
    Op op;
    uint64_t words[sizeof op / 8];
    for (uint64_t& x : words) x = w.word(c);
    std::memcpy(&op, words, sizeof words);
    const auto cmd = static_cast<uint32_t>(c.below(commands));
    std::memcpy(&op, &cmd, 4);
    std::memcpy(reinterpret_cast<uint8_t*>(&op) + 4, &version, 4);
    // These would end the machine, as they should.
    if (number == xen::HYPERVISOR_sysctl && cmd == xen::XEN_SYSCTL_debug_keys) return;
    if (number == xen::HYPERVISOR_platform_op && cmd == xen::XENPF_enter_acpi_sleep) return;
    w.call(c, number, w.put(c, op));
}
void sysctl(World& w, Choice& c) {
    control_call<xen::Sysctl>(w, c, xen::HYPERVISOR_sysctl, xen::XEN_SYSCTL_INTERFACE_VERSION, sysctl_commands);
}
void platform(World& w, Choice& c) {
    control_call<xen::PlatformOp>(w, c, xen::HYPERVISOR_platform_op, xen::XENPF_INTERFACE_VERSION, platform_commands);
}

// -- everything by chance ---------------------------------------------------------------------------------------------

/// How many operations a call has, for those with a number in their first argument.
struct Operations {
    uint64_t number;
    uint64_t count;
};
constexpr Operations operations[] = {
    {xen::HYPERVISOR_sched_op, 9},         {xen::HYPERVISOR_sched_op_compat, 4},   {xen::HYPERVISOR_xen_version, 12},
    {xen::HYPERVISOR_console_io, 3},       {xen::HYPERVISOR_physdev_op, 34},       {xen::HYPERVISOR_callback_op, 3},
    {xen::HYPERVISOR_nmi_op, 3},           {xen::HYPERVISOR_vm_assist, 3},         {xen::HYPERVISOR_memory_op, 30},
    {xen::HYPERVISOR_vcpu_op, 15},         {xen::HYPERVISOR_event_channel_op, 16}, {xen::HYPERVISOR_grant_table_op, 14},
    {xen::HYPERVISOR_set_segment_base, 5},
};

/// Calls with an effect on the process, the machine or the control domain's life.
bool too_far(const World& w, uint64_t number, uint64_t cmd) {
    if (!w.control()) return false;
    switch (number) {
        case xen::HYPERVISOR_sched_op:
            return cmd == xen::SCHEDOP_shutdown || cmd == xen::SCHEDOP_remote_shutdown || cmd == xen::SCHEDOP_watchdog;
        case xen::HYPERVISOR_sched_op_compat: return cmd == xen::SCHEDOP_shutdown;
        case xen::HYPERVISOR_vcpu_op: return cmd == xen::VCPUOP_down;
        case xen::HYPERVISOR_iret:
        case xen::HYPERVISOR_platform_op:
        case xen::HYPERVISOR_sysctl: return true;
        default: return false;
    }
}

void any_call(World& w, Choice& c) {
    uint64_t number = c.below(64);
    uint64_t cmd = w.word(c);
    if (c.chance(70)) {
        const Operations& o = operations[c.below(std::size(operations))];
        number = o.number;
        cmd = c.below(o.count);
    }
    if (number == xen::HYPERVISOR_multicall || too_far(w, number, cmd)) return;
    uint64_t words[8];
    for (uint64_t& x : words) x = w.word(c);
    const uint64_t at = w.put(c, words);
    const auto argument = [&] { return c.chance(60) ? at : w.word(c); };
    const uint64_t second = argument();
    w.call(c, number, cmd, second, argument(), w.word(c));
}

void multicall(World& w, Choice& c) {
    xen::MulticallEntry list[6];
    for (xen::MulticallEntry& e : list) {
        e = xen::zeroed<xen::MulticallEntry>();
        switch (c.below(5)) {
            case 0:
                e.op = xen::HYPERVISOR_update_va_mapping;
                e.args[0] = w.address(c);
                e.args[1] = w.entry(c, 1);
                break;
            case 1: {
                e.op = xen::HYPERVISOR_mmu_update;
                const auto level = static_cast<unsigned>(1 + c.below(4));
                const xen::MmuUpdate u{w.own_table(c, level) << page_shift | c.below(16) * 8, w.entry(c, level)};
                e.args[0] = w.put(c, u);
                e.args[1] = 1;
                e.args[3] = xen::DOMID_SELF;
                break;
            }
            case 2: {
                e.op = xen::HYPERVISOR_mmuext_op;
                auto op = xen::zeroed<xen::MmuextOp>();
                op.cmd = static_cast<uint32_t>(c.below(9));
                op.arg1.mfn = w.own_table(c, static_cast<unsigned>(1 + c.below(4)));
                e.args[0] = w.put(c, op);
                e.args[1] = 1;
                e.args[3] = xen::DOMID_SELF;
                break;
            }
            default: {
                const Operations& o = operations[c.below(std::size(operations))];
                e.op = c.chance(80) ? o.number : c.below(64);
                e.args[0] = c.below(o.count);
                for (unsigned i = 1; i < 4; ++i) e.args[i] = w.word(c);
            }
        }
        if (too_far(w, e.op, e.args[0])) e.op = xen::HYPERVISOR_xen_version;
    }
    w.call(c, xen::HYPERVISOR_multicall, w.put(c, list), 1 + c.below(c.chance(95) ? 6 : 200));
}

// -- traps ------------------------------------------------------------------------------------------------------------

void trap(World& w, Choice& c) {
    static const uint8_t codes[][8] = {
        {0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2},  // forced CPUID
        {0x0f, 0x30},                             // wrmsr
        {0x0f, 0x32},                             // rdmsr
        {0x0f, 0x20, 0xc0},                       // mov %cr0,%rax
        {0x0f, 0x20, 0xd8},                       // mov %cr3,%rax
        {0x0f, 0x22, 0xd8},                       // mov %rax,%cr3
        {0x0f, 0x22, 0xe0},                       // mov %rax,%cr4
        {0x0f, 0x21, 0xf8},                       // mov %dr7,%rax
        {0x0f, 0x23, 0xf8},                       // mov %rax,%dr7
        {0x0f, 0x06},                             // clts
        {0x0f, 0x09},                             // wbinvd
        {0xe4, 0x60},                             // in $0x60,%al
        {0xef},                                   // out %eax,%dx
        {0x6e},                                   // outsb
        {0x6d},                                   // insl
        {0xf3, 0x6f},                             // rep outsl
        {0x0f, 0x01, 0xd1},                       // xsetbv
        {0x0f, 0x31},                             // rdtsc
        {0xfa},                                   // cli
        {0xfb},                                   // sti
        {0xf4},                                   // hlt
        {0xcd, 0x80},                             // int $0x80
        {0x0f, 0x01, 0x38},                       // invlpg (%rax)
    };
    Vcpu& v = current();
    Regs& r = arch::guest_regs();
    const uint64_t stack = w.writable_page(c);
    r = Regs{};
    r.vector =
        c.chance(60) ? c.of<uint32_t>({trap_gp, trap_invalid_opcode, trap_page_fault}) : static_cast<uint32_t>(c.below(32));
    if (!w.may_trap(r.vector) || !stack) return;
    if (r.vector == trap_gp) r.error_code = static_cast<uint32_t>(c.chance(80) ? 0 : c.below(0x800));
    if (r.vector == trap_page_fault) r.error_code = static_cast<uint32_t>(c.below(8) | (w.control() ? 0 : c.below(2) << 3));
    hw::host_cr2 = w.address(c);
    r.cs = xen::FLAT_RING3_CS64;
    r.ss = xen::FLAT_RING3_SS64;
    r.rsp = w.control() || c.chance(90) ? stack + page_size : w.address(c);
    if (c.chance(75)) r.rip = w.put(c, codes[c.below(std::size(codes))], 8) + (c.chance(5) ? page_size - 2 : 0);
    else r.rip = w.address(c);
    r.rax = w.word(c);
    r.rcx = c.chance(60) ? c.of<uint64_t>({0xc0000080, 0xc0000100, 0xc0000101, 0xc0000102, 0x10, 0x1b, 0x277, 0x174, 0x8b})
                         : w.word(c);
    r.rdx = c.chance(50) ? c.of<uint64_t>({0xcf8, 0xcfc, 0x60, 0x70, 0x3f8, 0x80}) : w.word(c);
    r.rdi = r.rsi = w.address(c);
    r.rflags = 0x202;
    pv_trap(v, r);
}

/// Into the kernel by a system call, or out of it by IRET.
void change_mode(World& w, Choice& c) {
    Vcpu& v = current();
    if (w.control()) return;
    Regs& r = arch::guest_regs();
    if (!v.pv->in_kernel) {
        pv_system_call(v, r);
        return;
    }
    auto f = xen::zeroed<xen::IretContext>();
    f.cs = c.chance(80) ? xen::FLAT_RING3_CS64 : c.word();
    f.rip = w.address(c);
    f.rsp = w.writable_page(c);
    f.rflags = c.word();
    f.flags = c.below(2) ? xen::VGCF_in_syscall : 0;
    if (v.pv->user_root.raw == 0 && c.chance(90)) f.cs &= ~uint64_t{3};
    r.rsp = w.put(c, f);
    if (c.chance(95) && !r.rsp) return;
    w.call(c, xen::HYPERVISOR_iret);
}

/// What happens on the way back into a guest, and of a failed way.
void enter(World& w, Choice& c) {
    if (w.control()) return;
    Vcpu& v = current();
    Regs& r = arch::guest_regs();
    r.rsp = w.writable_page(c) + page_size;
    if (c.chance(20)) pv_iret_failed(v, r);
    else pv_before_entry(v, r);
}

void time_passes(World&, Choice& c) {
    host::advance(Nanos{static_cast<int64_t>(c.below(50'000'000))});
    timer::run_expired();
}

/// Ends the process when an operation below `limit`, answered otherwise than one that cannot exist, is beyond `made`.
template <class F>
void compare_with_impossible(const char* name, uint64_t made, uint64_t limit, F answer, uint64_t impossible = 60000) {
    const int64_t unknown = answer(impossible);
    for (uint64_t cmd = made; cmd < limit; ++cmd) {
        if (answer(cmd) == unknown) continue;
        std::fprintf(stderr, "%s has an operation %lu\n", name, static_cast<unsigned long>(cmd));
        broken("an operation that no step makes");
    }
}

}  // namespace

const Step other_steps[] = {
    {"event_op", 9, event_op},       {"vcpu_op", 6, vcpu_op},    {"domctl", 8, domctl},           {"sysctl", 1, sysctl},
    {"platform", 1, platform},       {"any_call", 10, any_call}, {"multicall", 5, multicall},     {"trap", 6, trap},
    {"change_mode", 4, change_mode}, {"enter", 2, enter},        {"time_passes", 2, time_passes},
};
const size_t other_step_count = std::size(other_steps);

void check_grammar() {
    // any_call() makes every number below 64, but for the two that have steps of their own.
    for (uint64_t n = 64; n < 4096; ++n)
        if (hypercall_handler(n)) broken("a hypercall that no step makes");
    World w({0, false});
    const Record r{};
    Choice c(r);
    host::become(0);
    run_here(*dom0->vcpus[0]);
    for (const Operations& o : operations) {
        char name[32];
        std::snprintf(name, sizeof name, "hypercall %lu", static_cast<unsigned long>(o.number));
        const auto answer = [&](uint64_t cmd) { return w.call(c, o.number, cmd); };
        // memory_op has a position above its command's six bits.
        if (o.number == xen::HYPERVISOR_memory_op) compare_with_impossible(name, o.count, 64, answer, 63);
        else compare_with_impossible(name, o.count, o.count + 200, answer);
    }
    const auto control = [&](const char* name, uint64_t number, uint32_t version, uint64_t made, uint64_t limit) {
        compare_with_impossible(name, made, limit, [&](uint64_t cmd) {
            uint32_t op[64] = {static_cast<uint32_t>(cmd), version};
            return w.call(c, number, w.put(c, op));
        });
    };
    control("domctl", xen::HYPERVISOR_domctl, xen::XEN_DOMCTL_INTERFACE_VERSION, domctl_commands, 1000);
    control("sysctl", xen::HYPERVISOR_sysctl, xen::XEN_SYSCTL_INTERFACE_VERSION, sysctl_commands, 300);
    control("platform_op", xen::HYPERVISOR_platform_op, xen::XENPF_INTERFACE_VERSION, platform_commands, 300);
}

}  // namespace hvmodel
