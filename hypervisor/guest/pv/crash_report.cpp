// SPDX-License-Identifier: Apache-2.0
/// What the log keeps of a vCPU whose domain crashed: its registers and the top of its stack.
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/guest/pv/kind.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {
namespace {

constexpr unsigned words_a_line = 4, lines = 20;

/// The guest chose rsp: each word is read as a guest's memory is, and the first that is not there ends the list.
void show_guest_stack(uint64_t rsp) {
    log(LogLevel::error, "Guest stack trace from rsp=%016lx:", rsp);
    bool there = true;
    for (unsigned l = 0; l < lines && there; ++l) {
        char text[words_a_line * 17 + 1];
        size_t n = 0;
        for (unsigned w = 0; w < words_a_line && there; ++w) {
            const uint64_t at = rsp + (l * words_a_line + w) * 8;
            uint64_t word = 0;
            there = arch::load_from_guest(word, at);
            if (there) n += format(text + n, sizeof text - n, " %016lx", word);
        }
        if (n) log(LogLevel::error, "  %s", text);
        if (!there) log(LogLevel::error, "   (no memory is mapped after these)");
    }
}

}  // namespace

void pv_report_crash(Vcpu& v) {
    const Regs& r = arch::guest_regs();
    const PvVcpu& pv = *v.pv;
    const xen::VcpuInfo* info = v.info.load(std::memory_order_acquire);
    log(LogLevel::error, "Domain %u (vcpu#%u) crashed on cpu#%u:", v.domain.id.raw, v.id.raw, this_cpu().id);
    log(LogLevel::error, "RIP:    %04lx:[<%016lx>]", r.cs & 0xffff, r.rip);
    log(LogLevel::error, "RFLAGS: %016lx   EM: %u   CONTEXT: pv guest (d%uv%u), %s", r.rflags, unsigned{info->evtchn_upcall_mask},
        v.domain.id.raw, v.id.raw, pv.in_kernel ? "kernel" : "user");
    log(LogLevel::error, "rax: %016lx   rbx: %016lx   rcx: %016lx", r.rax, r.rbx, r.rcx);
    log(LogLevel::error, "rdx: %016lx   rsi: %016lx   rdi: %016lx", r.rdx, r.rsi, r.rdi);
    log(LogLevel::error, "rbp: %016lx   rsp: %016lx   r8:  %016lx", r.rbp, r.rsp, r.r8);
    log(LogLevel::error, "r9:  %016lx   r10: %016lx   r11: %016lx", r.r9, r.r10, r.r11);
    log(LogLevel::error, "r12: %016lx   r13: %016lx   r14: %016lx", r.r12, r.r13, r.r14);
    log(LogLevel::error, "r15: %016lx   cr2: %016lx   cr3: %016lx", r.r15, pv.cr2, pv.root() << page_shift);
    log(LogLevel::error, "fsb: %016lx   gsb: %016lx   gss: %016lx", arch::read_fs_base(), arch::read_gs_base(false),
        arch::read_gs_base(true));
    log(LogLevel::error, "ds: %04x   es: %04x   fs: %04x   gs: %04x   ss: %04lx   cs: %04lx", arch::read_segment(0),
        arch::read_segment(1), arch::read_segment(2), arch::read_segment(3), r.ss & 0xffff, r.cs & 0xffff);
    show_guest_stack(r.rsp);
}

}  // namespace hv
