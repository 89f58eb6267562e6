// SPDX-License-Identifier: Apache-2.0
// link: x86
// What is done about speculation: CPUs as CPUID and ARCH_CAPABILITIES describe them, options, and the decisions.
#include "lib/x86/speculation_words.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using namespace x86;
using namespace x86::spec_bit;

CpuTraits intel(unsigned model, uint32_t leaf7_edx = 0, uint64_t caps = 0, uint32_t leaf7_ebx = smep) {
    CpuTraits t;
    t.vendor = CpuVendor::intel;
    t.family = 6;
    t.model = model;
    t.leaf7_ebx = leaf7_ebx;
    t.leaf7_edx = leaf7_edx | (caps ? arch_caps : 0);
    t.arch_caps = caps;
    return t;
}
CpuTraits amd(unsigned family, uint32_t ext8 = 0, uint32_t ext21 = 0, uint32_t leaf7_ebx = smep) {
    CpuTraits t;
    t.vendor = CpuVendor::amd;
    t.family = family;
    t.leaf7_ebx = leaf7_ebx;
    t.ext8_ebx = ext8;
    t.ext21_eax = ext21;
    return t;
}

constexpr unsigned haswell = 0x3c, skylake = 0x5e, cascade_lake = 0x55, ice_lake = 0x6a, bonnell = 0x1c, silvermont = 0x37,
                   goldmont = 0x5c;
constexpr uint32_t microcode_2018 = ibrsb | stibp | ssbd | l1d_flush;
constexpr uint32_t microcode_2019 = microcode_2018 | md_clear;
constexpr uint32_t microcode_2020 = microcode_2019 | srbds_ctrl;
constexpr uint64_t caps_cascade = rdcl_no | ibrs_all | skip_l1dfl | mds_no | tsx_ctrl;
constexpr uint64_t caps_ice = rdcl_no | ibrs_all | skip_l1dfl | mds_no | taa_no | rrsba;

/// The plan in one line, so that a table of them can be read.
std::string describe(const SpeculationPlan& p) {
    std::string s;
    const auto word = [&s](bool on, const char* w) {
        if (on) s += (s.empty() ? "" : " ") + std::string(w);
    };
    word(p.isolate_dom0, "xpti-dom0");
    word(p.isolate_domu, "xpti-domu");
    word(p.l1tf_dom0, "l1tf-dom0");
    word(p.l1tf_domu, "l1tf-domu");
    word(p.thunk == Thunk::retpoline, "retpoline");
    word(p.thunk == Thunk::lfence, "lfence");
    word(p.thunk == Thunk::jmp, "jmp");
    word(p.spec_ctrl & spec_ctrl::ibrs, "ibrs");
    word(p.spec_ctrl & spec_ctrl::stibp, "stibp");
    word(p.spec_ctrl & spec_ctrl::ssbd, "ssbd");
    word(p.spec_ctrl & spec_ctrl::psfd, "psfd");
    word(p.guest_allowed, "msr-pv");
    word(p.rsb_on_entry, "rsb");
    word(p.ibpb_on_entry, "ibpb-entry");
    word(p.ibpb_on_switch, "ibpb");
    word(p.verw_on_exit, "verw");
    word(p.lfence_dispatch, "lfence-dispatch");
    word(p.ssbd_ls_cfg, "ls-cfg");
    word(p.virt_ssbd, "virt-ssbd");
    word(p.rngds_mitigation == Choice::yes, "srb+");
    word(p.rngds_mitigation == Choice::no, "srb-");
    word(p.tsx == Choice::yes, "tsx+");
    word(p.tsx == Choice::no, "tsx-");
    word(!p.smt, "no-smt");
    word(p.guarded(), "guarded");
    return s;
}

struct Options {
    const char *spec_ctrl = nullptr, *xpti = nullptr, *pv_l1tf = nullptr;
};

SpeculationPlan plan(const CpuTraits& t, const Options& given = {}) {
    SpeculationOptions o;
    EXPECT_TRUE(!given.spec_ctrl || parse_spec_ctrl(given.spec_ctrl, o)) << given.spec_ctrl;
    EXPECT_TRUE(!given.xpti || parse_xpti(given.xpti, o)) << given.xpti;
    EXPECT_TRUE(!given.pv_l1tf || parse_pv_l1tf(given.pv_l1tf, o)) << given.pv_l1tf;
    return plan_speculation(t, o);
}

struct Case {
    const char* what;
    CpuTraits cpu;
    Options options;
    const char* decisions;
};

const std::vector<Case>& cases() {
    static const std::vector<Case> table = {
        // what a CPU gets by itself
        {"Haswell as it was sold", intel(haswell), {}, "xpti-dom0 xpti-domu l1tf-domu retpoline guarded"},
        {"Haswell, microcode of 2018",
         intel(haswell, microcode_2018),
         {},
         "xpti-dom0 xpti-domu l1tf-domu retpoline msr-pv ibpb guarded"},
        {"Haswell, microcode of 2020",
         intel(haswell, microcode_2020),
         {},
         "xpti-dom0 xpti-domu l1tf-domu retpoline msr-pv ibpb verw srb+ guarded"},
        {"Skylake without microcode", intel(skylake), {}, "xpti-dom0 xpti-domu l1tf-domu retpoline guarded"},
        {"Skylake: its returns fall back on branch prediction",
         intel(skylake, microcode_2019),
         {},
         "xpti-dom0 xpti-domu l1tf-domu jmp ibrs msr-pv ibpb verw guarded"},
        {"Cascade Lake with TSX",
         intel(cascade_lake, microcode_2019, caps_cascade, smep | rtm),
         {},
         "jmp ibrs msr-pv ibpb tsx- guarded"},
        {"Ice Lake", intel(ice_lake, microcode_2019, caps_ice), {}, "jmp ibrs msr-pv ibpb guarded"},
        {"Bonnell does nothing ahead of time", intel(bonnell, 0, 0, 0), {}, "retpoline rsb guarded"},
        {"Silvermont", intel(silvermont, microcode_2019), {}, "xpti-dom0 xpti-domu retpoline msr-pv ibpb verw guarded"},
        {"Goldmont", intel(goldmont, microcode_2018), {}, "xpti-dom0 xpti-domu retpoline msr-pv ibpb guarded"},
        {"an Intel model of tomorrow that says nothing", intel(0xfe), {}, "xpti-dom0 xpti-domu l1tf-domu retpoline guarded"},
        {"a CPU of nobody we know", CpuTraits{}, {}, "xpti-dom0 xpti-domu retpoline rsb guarded"},
        {"an emulated EPYC", amd(0x17), {}, "retpoline lfence-dispatch"},
        {"Zen 2", amd(0x17, ibpb | amd_stibp | amd_ssbd | ibrs), {}, "retpoline ibpb-entry lfence-dispatch guarded"},
        {"Zen 3",
         amd(0x19, ibpb | ibrs | amd_stibp | stibp_always | amd_ssbd | btc_no | psfd),
         {},
         "retpoline stibp ibpb lfence-dispatch"},
        {"Zen 4, LFENCE always serialises",
         amd(0x19, ibpb | ibrs | amd_stibp | stibp_always | amd_ssbd | btc_no, lfence_dispatch),
         {},
         "retpoline stibp ibpb"},
        {"K10", amd(0x10, 0, 0, 0), {}, "retpoline rsb lfence-dispatch guarded"},
        {"K8", amd(0xf, 0, 0, 0), {}, "retpoline rsb guarded"},
        // spec-ctrl=
        {"nothing", intel(skylake, microcode_2020), {"no"}, "jmp srb-"},
        {"nothing but isolation", intel(skylake, microcode_2019), {"no", "yes"}, "xpti-dom0 xpti-domu jmp guarded"},
        {"nothing for the hypervisor",
         intel(skylake, microcode_2019),
         {"no-xen"},
         "xpti-dom0 xpti-domu l1tf-domu jmp msr-pv guarded"},
        {"nothing for PV", intel(skylake, microcode_2019), {"no-pv"}, "xpti-dom0 xpti-domu l1tf-domu jmp ibrs ibpb guarded"},
        {"HVM's words change nothing",
         intel(ice_lake, microcode_2019, caps_ice),
         {"hvm=no,l1d-flush,md-clear=no-hvm"},
         "jmp ibrs msr-pv ibpb guarded"},
        {"retpolines where IBRS is the default",
         intel(skylake, microcode_2019),
         {"bti-thunk=retpoline"},
         "xpti-dom0 xpti-domu l1tf-domu retpoline msr-pv ibpb verw guarded"},
        {"IBRS where retpolines are",
         intel(haswell, microcode_2018),
         {"ibrs"},
         "xpti-dom0 xpti-domu l1tf-domu jmp ibrs msr-pv ibpb guarded"},
        {"IBRS cannot be had", intel(haswell), {"ibrs"}, "xpti-dom0 xpti-domu l1tf-domu retpoline guarded"},
        {"SSBD", intel(haswell, microcode_2018), {"ssbd"}, "xpti-dom0 xpti-domu l1tf-domu retpoline ssbd msr-pv ibpb guarded"},
        {"SSBD the old way", amd(0x17), {"ssbd"}, "retpoline lfence-dispatch ls-cfg"},
        {"SSBD under somebody else", amd(0x17, virt_ssbd), {"ssbd"}, "retpoline lfence-dispatch virt-ssbd"},
        {"SSBD where it is not needed", amd(0x17, ssb_no), {"ssbd"}, "retpoline lfence-dispatch"},
        {"PSFD", amd(0x19, ibrs | btc_no | psfd), {"psfd"}, "retpoline psfd lfence-dispatch"},
        {"STIBP", intel(ice_lake, microcode_2019, caps_ice), {"stibp"}, "jmp ibrs stibp msr-pv ibpb guarded"},
        {"everything that any CPU can",
         amd(0x17),
         {"rsb,md-clear=pv,bti-thunk=lfence"},
         "lfence rsb verw lfence-dispatch guarded"},
        {"no IBPB at all", amd(0x17, ibpb), {"ibpb-entry=no,ibpb=no"}, "retpoline lfence-dispatch"},
        {"IBPB at a switch when not at entries", amd(0x17, ibpb), {"no-ibpb-entry"}, "retpoline ibpb lfence-dispatch"},
        {"IBPB that is not there", amd(0x17), {"ibpb,ibpb-entry"}, "retpoline lfence-dispatch"},
        {"slow RDRAND not wanted",
         intel(skylake, microcode_2020),
         {"no-srb-lock"},
         "xpti-dom0 xpti-domu l1tf-domu jmp ibrs msr-pv ibpb verw srb- guarded"},
        // xpti=, pv-l1tf=
        {"isolation by hand", amd(0x17), {nullptr, "yes"}, "xpti-dom0 xpti-domu retpoline lfence-dispatch guarded"},
        {"isolation for one kind", amd(0x17), {nullptr, "domu"}, "xpti-domu retpoline lfence-dispatch guarded"},
        {"isolation but for dom0", intel(haswell), {nullptr, "no-dom0"}, "xpti-domu l1tf-domu retpoline guarded"},
        {"isolation but for dom0, said in another way",
         intel(haswell),
         {nullptr, "dom0=no,domu=1"},
         "xpti-domu l1tf-domu retpoline guarded"},
        {"no isolation", intel(haswell), {nullptr, "no"}, "l1tf-domu retpoline"},
        {"entries checked for all", amd(0x17), {nullptr, nullptr, "yes"}, "l1tf-dom0 l1tf-domu retpoline lfence-dispatch"},
        {"entries checked for none", intel(haswell), {nullptr, "no", "no"}, "retpoline"},
    };
    return table;
}

TEST(Speculation, DecisionsByTable) {
    for (const Case& c : cases()) EXPECT_EQ(describe(plan(c.cpu, c.options)), c.decisions) << c.what;
}

TEST(Speculation, WhatIsNotUnderstoodIsSaid) {
    SpeculationOptions o;
    for (const char* list : {"rubbish", "ssbd=maybe", "bti-thunk=spring", "bti-thunk", "md-clear=both", "yes", "ibpb,rubbish"})
        EXPECT_FALSE(parse_spec_ctrl(list, o)) << list;
    EXPECT_EQ(o.ibpb, Choice::yes) << "the rest of a list counts";
    EXPECT_FALSE(parse_xpti("dom1", o));
    EXPECT_FALSE(parse_xpti("dom0=perhaps", o));
    EXPECT_FALSE(parse_pv_l1tf("hvm", o));
}

TEST(Speculation, GuestsGetOnlyBitsThatTheCpuHas) {
    EXPECT_EQ(plan(intel(haswell, ibrsb)).guest_allowed, uint32_t{spec_ctrl::ibrs});
    EXPECT_EQ(plan(intel(haswell, ibrsb | stibp)).guest_allowed, spec_ctrl::ibrs | spec_ctrl::stibp);
    EXPECT_EQ(plan(intel(haswell, microcode_2018)).guest_allowed, spec_ctrl::ibrs | spec_ctrl::stibp | spec_ctrl::ssbd);
    EXPECT_EQ(plan(amd(0x19, ibrs | amd_stibp | amd_ssbd)).guest_allowed, 0u);
}

/// No register and no command that CPUID does not tell of, whatever the options and the CPU.
TEST(Speculation, NothingIsUsedThatIsNotThere) {
    const Options everything{"ibrs,stibp,ssbd,psfd,ibpb,ibpb-entry,srb-lock,msr-sc,rsb,md-clear", "yes", "yes"};
    for (const CpuTraits& bare : {intel(haswell), intel(skylake), amd(0x15), amd(0x16), amd(0x17), amd(0x19), CpuTraits{}}) {
        const SpeculationPlan p = plan(bare, everything);
        EXPECT_EQ(p.spec_ctrl, 0u);
        EXPECT_EQ(p.guest_allowed, 0u);
        EXPECT_FALSE(p.switch_spec_ctrl || p.ibpb_on_entry || p.ibpb_on_switch || p.virt_ssbd);
        EXPECT_EQ(p.rngds_mitigation, Choice::unset);
        EXPECT_EQ(p.tsx, Choice::unset);
    }
}

std::vector<std::string> said;

/// The lines that boot logs.
std::vector<std::string> words_of(const CpuTraits& cpu, const SpeculationPlan& p) {
    said.clear();
    describe_speculation(cpu, p, [](const char* line) { said.emplace_back(line); });
    return said;
}

TEST(SpeculationWords, ACpuThatSaysNothing) {
    EXPECT_EQ(words_of(intel(haswell), plan(intel(haswell))),
              (std::vector<std::string>{
                  "Speculative mitigation facilities:", "  Hardware hints: none", "  Hardware features: none",
                  "  Xen settings: BTI-Thunk RETPOLINE, SPEC_CTRL: none, Other: BRANCH_HARDEN", "  Support for PV VMs: EAGER_FPU",
                  "  XPTI (64-bit PV only): Dom0 enabled, DomU enabled (without PCID), this CPU needs it",
                  "  PV L1TF crash: Dom0 disabled, DomU enabled, this CPU needs it"}));
}

TEST(SpeculationWords, OnesThatSayALot) {
    const CpuTraits cascade = intel(cascade_lake, microcode_2019, caps_cascade, smep | rtm);
    EXPECT_EQ(words_of(cascade, plan(cascade)),
              (std::vector<std::string>{"Speculative mitigation facilities:", "  Hardware hints: RDCL_NO EIBRS SKIP_L1DFL MDS_NO",
                                        "  Hardware features: IBRS/IBPB STIBP SSBD L1D_FLUSH MD_CLEAR TSX_CTRL",
                                        "  Xen settings: BTI-Thunk JMP, SPEC_CTRL: IBRS, Other: IBPB-ctxt TSX- BRANCH_HARDEN",
                                        "  Support for PV VMs: MSR_SPEC_CTRL EAGER_FPU",
                                        "  XPTI (64-bit PV only): Dom0 disabled, DomU disabled (without PCID)",
                                        "  PV L1TF crash: Dom0 disabled, DomU disabled"}));
    const CpuTraits zen3 = amd(0x19, ibpb | ibrs | amd_stibp | stibp_always | amd_ssbd | btc_no | psfd);
    const auto zen3_words = words_of(zen3, plan(zen3));
    EXPECT_EQ(zen3_words[1], "  Hardware hints: STIBP_ALWAYS BTC_NO");
    EXPECT_EQ(zen3_words[2], "  Hardware features: IBPB IBRS STIBP SSBD PSFD");
    EXPECT_EQ(zen3_words[3],
              "  Xen settings: BTI-Thunk RETPOLINE, SPEC_CTRL: STIBP, Other: IBPB-ctxt LFENCE-dispatch BRANCH_HARDEN");
}

// Each word of a plan stands for one decision, and comes in one place.
TEST(SpeculationWords, OneForEachDecision) {
    const auto words = [](auto change) {
        SpeculationPlan p;
        change(p);
        const auto lines = words_of({}, p);
        return lines[3].substr(lines[3].find("BTI")) + lines[4].substr(lines[4].find(':'));
    };
    const std::string thunk = "BTI-Thunk JMP, ", end = "BRANCH_HARDEN: EAGER_FPU";
    EXPECT_EQ(words([](auto&) {}), thunk + "SPEC_CTRL: none, Other: " + end);
    EXPECT_EQ(words([](auto& p) { p.thunk = Thunk::lfence; }), "BTI-Thunk LFENCE, SPEC_CTRL: none, Other: " + end);
    EXPECT_EQ(words([](auto& p) { p.spec_ctrl = spec_ctrl::ssbd | spec_ctrl::psfd; }),
              thunk + "SPEC_CTRL: SSBD PSFD, Other: " + end);
    EXPECT_EQ(words([](auto& p) { p.virt_ssbd = true; }), thunk + "SPEC_CTRL: SSBD, Other: " + end);
    EXPECT_EQ(words([](auto& p) { p.ssbd_ls_cfg = 1; }), thunk + "SPEC_CTRL: SSBD, Other: " + end);
    EXPECT_EQ(words([](auto& p) { p.rngds_mitigation = Choice::yes; }), thunk + "SPEC_CTRL: none, Other: SRB_LOCK+ " + end);
    EXPECT_EQ(words([](auto& p) { p.rngds_mitigation = Choice::no; }), thunk + "SPEC_CTRL: none, Other: SRB_LOCK- " + end);
    EXPECT_EQ(words([](auto& p) { p.tsx = Choice::yes; }), thunk + "SPEC_CTRL: none, Other: TSX+ " + end);
    EXPECT_EQ(words([](auto& p) { p.rsb_on_entry = p.verw_on_exit = p.ibpb_on_entry = true; }),
              thunk + "SPEC_CTRL: none, Other: BRANCH_HARDEN: RSB EAGER_FPU MD_CLEAR IBPB-entry");
}

}  // namespace
