// SPDX-License-Identifier: Apache-2.0
#include "lib/x86/speculation_words.hpp"

#include <cstdarg>
#include <cstring>

#include "lib/base/format.hpp"

namespace x86 {
namespace {

using Say = void (*)(const char* line);

void say_line(Say say, const char* fmt, ...) __attribute__((format(printf, 2, 3)));
void say_line(Say say, const char* fmt, ...) {
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    (void)base::vformat(line, sizeof line, fmt, ap);
    va_end(ap);
    say(line);
}

/// Words on one line, each after a blank; what does not fit any more is left out.
class Words {
    char text_[200] = {};
    size_t used_ = 0;

public:
    Words& add(bool on, const char* word) {
        const size_t n = strlen(word);
        if (!on || used_ + n + 2 > sizeof text_) return *this;
        text_[used_++] = ' ';
        memcpy(text_ + used_, word, n + 1);
        used_ += n;
        return *this;
    }
    const char* text() const { return used_ ? text_ : " none"; }
};

void say_hints(const CpuTraits& c, Say say) {
    using namespace spec_bit;
    Words w;
    w.add(c.cap(rdcl_no), "RDCL_NO").add(c.cap(ibrs_all), "EIBRS").add(c.cap(rsba), "RSBA").add(c.cap(rrsba), "RRSBA");
    w.add(c.cap(skip_l1dfl), "SKIP_L1DFL").add(c.cap(cap_ssb_no) || c.has8(ssb_no), "SSB_NO").add(c.cap(mds_no), "MDS_NO");
    w.add(c.cap(taa_no), "TAA_NO").add(c.cap(sbdr_ssdp_no), "SBDR_SSDP_NO").add(c.cap(fbsdp_no), "FBSDP_NO");
    w.add(c.cap(psdp_no), "PSDP_NO").add(c.has8(ibrs_always), "IBRS_ALWAYS").add(c.has8(stibp_always), "STIBP_ALWAYS");
    w.add(c.has8(ibrs_fast), "IBRS_FAST").add(c.has8(btc_no), "BTC_NO").add(c.has8(ibpb_ret), "IBPB_RET");
    say_line(say, "  Hardware hints:%s", w.text());
}

void say_features(const CpuTraits& c, Say say) {
    using namespace spec_bit;
    Words w;
    w.add(c.has7(ibrsb), "IBRS/IBPB").add(c.has8(ibpb), "IBPB").add(c.has8(ibrs), "IBRS");
    w.add(c.has7(stibp) || c.has8(amd_stibp), "STIBP").add(c.has7(ssbd) || c.has8(amd_ssbd), "SSBD");
    w.add(c.has7(l1d_flush), "L1D_FLUSH").add(c.has7(md_clear), "MD_CLEAR").add(c.has7(srbds_ctrl), "SRBDS_CTRL");
    w.add(c.cap(tsx_ctrl), "TSX_CTRL").add(c.cap(fb_clear), "FB_CLEAR").add(c.has8(virt_ssbd), "VIRT_SSBD");
    w.add(c.has8(psfd), "PSFD");
    say_line(say, "  Hardware features:%s", w.text());
}

const char* name_of(Thunk t) { return t == Thunk::retpoline ? "RETPOLINE" : t == Thunk::lfence ? "LFENCE" : "JMP"; }

void say_settings(const SpeculationPlan& p, Say say) {
    Words control, other;
    control.add(p.spec_ctrl & spec_ctrl::ibrs, "IBRS").add(p.spec_ctrl & spec_ctrl::stibp, "STIBP");
    control.add((p.spec_ctrl & spec_ctrl::ssbd) || p.virt_ssbd || p.ssbd_ls_cfg, "SSBD");
    control.add(p.spec_ctrl & spec_ctrl::psfd, "PSFD");
    other.add(p.ibpb_on_switch, "IBPB-ctxt").add(p.rngds_mitigation == Choice::yes, "SRB_LOCK+");
    other.add(p.rngds_mitigation == Choice::no, "SRB_LOCK-").add(p.tsx == Choice::yes, "TSX+").add(p.tsx == Choice::no, "TSX-");
    other.add(p.lfence_dispatch, "LFENCE-dispatch").add(true, "BRANCH_HARDEN");
    say_line(say, "  Xen settings: BTI-Thunk %s, SPEC_CTRL:%s, Other:%s", name_of(p.thunk), control.text(), other.text());
}

void say_guests(const SpeculationPlan& p, Say say) {
    Words w;
    w.add(p.guest_allowed, "MSR_SPEC_CTRL").add(p.rsb_on_entry, "RSB").add(true, "EAGER_FPU").add(p.verw_on_exit, "MD_CLEAR");
    w.add(p.ibpb_on_entry, "IBPB-entry");
    say_line(say, "  Support for PV VMs:%s", w.text());
    const auto on = [](bool yes) { return yes ? "enabled" : "disabled"; };
    say_line(say, "  XPTI (64-bit PV only): Dom0 %s, DomU %s (without PCID)%s", on(p.isolate_dom0), on(p.isolate_domu),
             p.bugs.meltdown ? ", this CPU needs it" : "");
    say_line(say, "  PV L1TF crash: Dom0 %s, DomU %s%s", on(p.l1tf_dom0), on(p.l1tf_domu),
             p.bugs.l1tf ? ", this CPU needs it" : "");
}

}  // namespace

void describe_speculation(const CpuTraits& cpu, const SpeculationPlan& plan, void (*say)(const char* line)) {
    say("Speculative mitigation facilities:");
    say_hints(cpu, say);
    say_features(cpu, say);
    say_settings(plan, say);
    say_guests(plan, say);
}

}  // namespace x86
