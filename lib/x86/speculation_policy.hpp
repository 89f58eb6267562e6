// SPDX-License-Identifier: Apache-2.0
/// What is done about speculation: from the command line and what the CPU is, to a plan. Pure; the options are Xen's.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/x86/cpu_bugs.hpp"

namespace x86 {

enum class Choice : uint8_t { unset, no, yes };
inline Choice choice(bool b) { return b ? Choice::yes : Choice::no; }

/// How indirect branches of the hypervisor are taken: as a return that speculation cannot follow, after an LFENCE, or just so.
enum class Thunk : uint8_t { unset, retpoline, lfence, jmp };

struct SpeculationOptions {
    // spec-ctrl=
    Thunk thunk = Thunk::unset;
    Choice msr_sc_pv = Choice::unset, rsb_pv = Choice::unset, md_clear_pv = Choice::unset, ibpb_entry_pv = Choice::unset;
    Choice ibrs = Choice::unset, stibp = Choice::unset, ibpb = Choice::unset, ssbd = Choice::unset, psfd = Choice::unset;
    Choice srb_lock = Choice::unset;
    bool lazy_fpu_wanted = false;        ///< eager-fpu=no: not to be had
    bool plain_branches_wanted = false;  ///< branch-harden=no: not to be had
    // xpti=, pv-l1tf=, tsx=, smt=
    Choice xpti_dom0 = Choice::unset, xpti_domu = Choice::unset;
    Choice pv_l1tf_dom0 = Choice::unset, pv_l1tf_domu = Choice::unset;
    Choice tsx = Choice::unset;
    Choice smt = Choice::unset;
};

/// False: an item is not known, or its value makes no sense; the others count.
bool parse_spec_ctrl(std::string_view list, SpeculationOptions& o);
bool parse_xpti(std::string_view list, SpeculationOptions& o);
bool parse_pv_l1tf(std::string_view list, SpeculationOptions& o);

/// Bits of MSR SPEC_CTRL.
namespace spec_ctrl {
inline constexpr uint32_t ibrs = 1, stibp = 2, ssbd = 4, psfd = 1u << 7;
}

struct SpeculationPlan {
    CpuBugs bugs;
    bool isolate_dom0 = false, isolate_domu = false;  ///< page-table isolation
    bool l1tf_dom0 = false, l1tf_domu = false;        ///< entries that are not present may not name memory
    Thunk thunk = Thunk::jmp;
    uint32_t spec_ctrl = 0;         ///< SPEC_CTRL while the hypervisor runs
    uint32_t guest_allowed = 0;     ///< bits of SPEC_CTRL that guests may set; 0: they do not see the register
    bool switch_spec_ctrl = false;  ///< SPEC_CTRL is loaded on the way in and out
    bool rsb_on_entry = false;
    bool ibpb_on_entry = false;
    bool ibpb_on_switch = false;  ///< when a CPU turns from one domain to another
    bool has_ibpb = false;
    bool verw_on_exit = false;
    bool lfence_dispatch = false;             ///< AMD: LFENCE has to be made serialising
    uint64_t ssbd_ls_cfg = 0;                 ///< AMD without SSBD in SPEC_CTRL: bit of LS_CFG to set; 0: none
    bool virt_ssbd = false;                   ///< by VIRT_SPEC_CTRL
    Choice rngds_mitigation = Choice::unset;  ///< MCU_OPT_CTRL.RNGDS_MITG_DIS: unset = not there
    Choice tsx = Choice::unset;               ///< through TSX_CTRL; unset: not there, or left alone
    bool smt = true;

    bool isolates() const { return isolate_dom0 || isolate_domu; }
    /// The entry stubs must be the guarded ones.
    bool guarded() const { return isolates() || switch_spec_ctrl || rsb_on_entry || ibpb_on_entry || verw_on_exit; }
};

/// MSR SPEC_CTRL is there.
bool has_spec_ctrl(const CpuTraits& cpu);
SpeculationPlan plan_speculation(const CpuTraits& cpu, const SpeculationOptions& o);

}  // namespace x86
