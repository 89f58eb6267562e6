// SPDX-License-Identifier: Apache-2.0
#include "lib/x86/speculation_policy.hpp"

namespace x86 {

bool has_spec_ctrl(const CpuTraits& cpu) { return cpu.has7(spec_bit::ibrsb) || cpu.has8(spec_bit::ibrs); }

namespace {

using namespace spec_bit;

bool or_default(Choice c, bool fallback) { return c == Choice::unset ? fallback : c == Choice::yes; }

void decide_isolation(const CpuTraits& cpu, const SpeculationOptions& o, SpeculationPlan& p) {
    p.isolate_dom0 = or_default(o.xpti_dom0, p.bugs.meltdown);
    p.isolate_domu = or_default(o.xpti_domu, p.bugs.meltdown);
    const bool l1tf = p.bugs.l1tf && !cpu.cap(skip_l1dfl);
    p.l1tf_dom0 = or_default(o.pv_l1tf_dom0, false);
    p.l1tf_domu = or_default(o.pv_l1tf_domu, l1tf);
}

/// Retpolines where returns are predicted as they are meant; IBRS where not, when it is there.
void decide_branches(const CpuTraits& cpu, const SpeculationOptions& o, SpeculationPlan& p) {
    const bool can_ibrs = has_spec_ctrl(cpu);
    bool ibrs = false;
    Thunk thunk = o.thunk;
    if (thunk == Thunk::unset && o.ibrs == Choice::unset) {
        if (p.bugs.retpoline_safe) thunk = Thunk::retpoline;
        else ibrs = can_ibrs;
    }
    if (thunk == Thunk::unset) thunk = can_ibrs && or_default(o.ibrs, ibrs) ? Thunk::jmp : Thunk::retpoline;
    if (o.thunk == Thunk::unset && o.ibrs == Choice::yes && can_ibrs) thunk = Thunk::jmp;
    p.thunk = thunk;
    if (can_ibrs && or_default(o.ibrs, ibrs)) p.spec_ctrl |= spec_ctrl::ibrs;
    p.lfence_dispatch = cpu.amd_like() && cpu.family > 0xf && cpu.family != 0x11 && !(cpu.ext21_eax & lfence_dispatch);
}

void decide_spec_ctrl(const CpuTraits& cpu, const SpeculationOptions& o, SpeculationPlan& p) {
    const bool can_stibp = cpu.has7(stibp) || cpu.has8(amd_stibp);
    const bool can_ssbd = cpu.has7(ssbd) || cpu.has8(amd_ssbd);
    if (has_spec_ctrl(cpu)) {
        if (can_stibp && or_default(o.stibp, cpu.has8(stibp_always))) p.spec_ctrl |= spec_ctrl::stibp;
        if (can_ssbd && or_default(o.ssbd, false)) p.spec_ctrl |= spec_ctrl::ssbd;
        if (cpu.has8(psfd) && or_default(o.psfd, false)) p.spec_ctrl |= spec_ctrl::psfd;
        // Guests see the register as Intel's leaf 7 tells of it; on AMD it is for guests of another kind.
        if (cpu.has7(ibrsb) && or_default(o.msr_sc_pv, true))
            p.guest_allowed = spec_ctrl::ibrs | (cpu.has7(stibp) ? spec_ctrl::stibp : 0) | (cpu.has7(ssbd) ? spec_ctrl::ssbd : 0);
    }
    p.switch_spec_ctrl = p.guest_allowed != 0 || (p.spec_ctrl & spec_ctrl::ibrs) != 0;
    if (can_ssbd || !or_default(o.ssbd, false) || !cpu.amd_like() || cpu.has8(ssb_no)) return;
    p.virt_ssbd = cpu.has8(virt_ssbd);
    if (p.virt_ssbd) return;
    // AMD, "Speculative Store Bypass Disable", table 1.
    switch (cpu.family) {
        case 0x15: p.ssbd_ls_cfg = uint64_t{1} << 54; break;
        case 0x16: p.ssbd_ls_cfg = uint64_t{1} << 33; break;
        case 0x17:
        case 0x18: p.ssbd_ls_cfg = uint64_t{1} << 10; break;
        default: break;
    }
}

void decide_barriers(const CpuTraits& cpu, const SpeculationOptions& o, SpeculationPlan& p) {
    p.has_ibpb = cpu.has7(ibrsb) || cpu.has8(ibpb);
    p.ibpb_on_entry = p.has_ibpb && or_default(o.ibpb_entry_pv, p.bugs.btc);
    p.ibpb_on_switch = p.has_ibpb && or_default(o.ibpb, !p.ibpb_on_entry);
    // A guest's returns lead to its own addresses; with SMEP the CPU does not follow there.
    p.rsb_on_entry = or_default(o.rsb_pv, !(cpu.leaf7_ebx & smep));
}

void decide_buffers(const CpuTraits& cpu, const SpeculationOptions& o, SpeculationPlan& p) {
    const bool can_tsx_ctrl = cpu.cap(tsx_ctrl);
    // Off where transactions leak and it can be said; on or off where somebody says so.
    if (can_tsx_ctrl) p.tsx = o.tsx != Choice::unset ? o.tsx : choice(!(p.bugs.taa && cpu.cap(mds_no)));
    const bool taa = p.bugs.taa && p.tsx != Choice::no;
    const bool clears = cpu.has7(md_clear) || cpu.cap(fb_clear);
    p.verw_on_exit = or_default(o.md_clear_pv, clears && (p.bugs.mds || taa));
    // RDRAND waits for the buffer to be overwritten, unless nobody could read it.
    if (!cpu.has7(srbds_ctrl)) return;
    const bool readable = p.bugs.srbds && !(cpu.cap(mds_no) && !taa);
    p.rngds_mitigation = choice(or_default(o.srb_lock, readable));
}

}  // namespace

SpeculationPlan plan_speculation(const CpuTraits& cpu, const SpeculationOptions& o) {
    SpeculationPlan p;
    p.bugs = cpu_bugs(cpu);
    p.smt = o.smt != Choice::no;
    decide_isolation(cpu, o, p);
    decide_branches(cpu, o, p);
    decide_spec_ctrl(cpu, o, p);
    decide_barriers(cpu, o, p);
    decide_buffers(cpu, o, p);
    return p;
}

}  // namespace x86
