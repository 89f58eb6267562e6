// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/emulate.hpp"

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/guest/pv/cpuid.hpp"
#include "hypervisor/guest/pv/cr4.hpp"
#include "hypervisor/guest/pv/debug_regs.hpp"
#include "hypervisor/guest/pv/fetch.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/segments.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "hypervisor/rt/log.hpp"
#include "lib/base/bits.hpp"

namespace hv {
namespace {

constexpr uint64_t guest_cr0 = 0x80050033;  // PG AM WP NE ET MP PE

/// fault: #GP. injected: another exception has been handed to the guest. repeat: done, and comes back for the next element.
/// again: nothing happened yet, and will.
enum class Step : uint8_t { done, repeat, fault, injected, again };

/// A MOV to CR3 may be interrupted as the hypercall for it may: the guest executes it again.
Step load_root(Vcpu& v, Mfn m) {
    Status s = finish_pending_put(v);
    if (s) s = set_kernel_root(v, m);
    if (s) return Step::done;
    return s.error() == Errc::restart ? Step::again : Step::fault;
}

[[gnu::always_inline]] inline Step read_control(Vcpu& v, Regs& r, const Instruction& in) {
    uint64_t value = 0;
    switch (in.reg) {
        case 0: value = guest_cr0 | v.pv->cr0_ts; break;
        case 2: value = v.pv->cr2; break;
        case 3: value = v.pv->kernel_root.address(); break;
        case 4: value = pv_cr4_shown(v); break;
        default: return Step::fault;
    }
    gpr(r, in.rm) = value;
    return Step::done;
}

Step write_control(Vcpu& v, Regs& r, const Instruction& in) {
    const uint64_t value = gpr(r, in.rm);
    switch (in.reg) {
        case 0:
            if ((value ^ guest_cr0) & ~uint64_t{hw::cr0_ts | 1u << 18})
                guest_log(LogLevel::warning, "d%u: attempt to change CR0 to %lx", v.domain.id.raw, value);
            v.pv->cr0_ts = value & hw::cr0_ts;
            hw::set_ts(v.pv->cr0_ts != 0);
            return Step::done;
        case 2: v.pv->cr2 = value; return Step::done;
        case 3: return load_root(v, Mfn::of_address(value));
        case 4:
            v.pv->cr4 = pv_cr4_allowed(v.domain, value);
            arch::load_guest_cr4(v);
            return Step::done;
        default: return Step::fault;
    }
}

Step read_msr(Vcpu& v, Regs& r) {
    auto value = pv_read_msr(v, static_cast<uint32_t>(r.rcx));
    if (!value) return Step::fault;
    r.rax = static_cast<uint32_t>(value.value());
    r.rdx = value.value() >> 32;
    return Step::done;
}

Step write_msr(Vcpu& v, Regs& r) {
    const uint64_t value = (r.rdx << 32) | static_cast<uint32_t>(r.rax);
    return pv_write_msr(v, static_cast<uint32_t>(r.rcx), value) ? Step::done : Step::fault;
}

Step set_xcr(Vcpu& v, Regs& r) {
    const uint64_t value = (r.rdx << 32) | static_cast<uint32_t>(r.rax);
    const bool allowed = xcr0_allowed(value) && !(value & ~domain_xcr0_allowed(v.domain));
    if (static_cast<uint32_t>(r.rcx) != 0 || !allowed) return Step::fault;
    v.state.xcr0 = value;
    arch::load_guest_xcr0(v);
    return Step::done;
}

Step move_debug(Vcpu& v, Regs& r, const Instruction& in) {
    if (in.opcode == 0x21) {
        auto value = pv_read_debug_reg(v, in.reg);
        if (!value) return Step::fault;
        gpr(r, in.rm) = value.value();
        return Step::done;
    }
    return pv_write_debug_reg(v, in.reg, gpr(r, in.rm)) ? Step::done : Step::fault;
}

Step read_tsc(Vcpu& v, Regs& r) {
    if (!v.pv->in_kernel && (v.pv->cr4 & hw::cr4_tsd)) return Step::fault;
    const uint64_t t = hw::rdtsc();
    r.rax = static_cast<uint32_t>(t);
    r.rdx = t >> 32;
    return Step::done;
}

/// 0F 01: XSETBV, and RDTSCP of a kernel that keeps the time from its users.
Step system_group(Vcpu& v, Regs& r, const Instruction& in) {
    if (in.memory || (in.rm & 7) != 1) return Step::fault;
    switch (in.reg & 7) {
        case 2: return set_xcr(v, r);
        case 7: r.rcx = v.state.tsc_aux; return read_tsc(v, r);
        default: return Step::fault;
    }
}

[[gnu::always_inline]] inline Step kernel_only(Vcpu& v, Regs& r, const Instruction& in) {
    switch (in.opcode) {
        case 0x06:
            v.pv->cr0_ts = 0;
            hw::set_ts(false);
            return Step::done;
        case 0x08:
        case 0x09:
            if (v.domain.privileged) hw::wbinvd();
            return Step::done;
        case 0x20: return read_control(v, r, in);
        case 0x22: return write_control(v, r, in);
        case 0x21:
        case 0x23: return move_debug(v, r, in);
        case 0x30: return write_msr(v, r);
        case 0x32: return read_msr(v, r);
        case 0x01: return system_group(v, r, in);
        default: return Step::fault;
    }
}

/// SYSENTER faults because its registers name no way into the hypervisor: the way to the guest's kernel is ours to find.
Step user_only(Vcpu& v, Regs& r, const Instruction& in) {
    constexpr uint8_t sysenter = 0x34;
    return in.opcode == sysenter && pv_sysenter(v, r) ? Step::injected : Step::fault;
}

[[gnu::always_inline]] inline Step two_byte(Vcpu& v, Regs& r, const Instruction& in) {
    if (in.opcode == 0x31) return read_tsc(v, r);
    if (in.opcode == 0xa2) {
        pv_cpuid(v, r);
        return Step::done;
    }
    return v.pv->in_kernel ? kernel_only(v, r, in) : user_only(v, r, in);
}

/// Where an operand of INS or OUTS lies: only FS and GS have bases.
uint64_t string_address(const Instruction& in, bool out, uint64_t pointer) {
    constexpr uint8_t fs = 4, gs = 5;
    if (in.address32) pointer = static_cast<uint32_t>(pointer);
    if (!out) return pointer;  // ES, whatever the prefix says
    if (in.segment == fs) pointer += arch::read_fs_base();
    if (in.segment == gs) pointer += arch::read_gs_base(false);
    return pointer;
}

/// The memory of INS or OUTS is not there. `write`: what the instruction wanted to do.
Step string_fault(Vcpu& v, Regs& r, uint64_t address, bool write) {
    constexpr uint32_t error_write = 2, error_user = 4;
    if (!base::canonical(address)) return Step::fault;
    pv_inject_page_fault(v, r, address, (write ? error_write : 0) | error_user);
    return Step::injected;
}

/// A register that addresses or counts: with 32-bit addresses its upper half is lost.
void set_counter(const Instruction& in, uint64_t& reg, uint64_t value) {
    reg = in.address32 ? static_cast<uint32_t>(value) : value;
}

/// INS and OUTS: one element; with a repeat prefix the instruction comes back for the next one.
Step string_io(Vcpu& v, Regs& r, const Instruction& in) {
    const auto port = static_cast<uint16_t>(r.rdx);
    const unsigned bytes = (in.opcode & 1) == 0 ? 1 : in.operand16 ? 2 : 4;
    const bool out = in.opcode >= 0x6e;
    const uint64_t left = in.address32 ? static_cast<uint32_t>(r.rcx) : r.rcx;
    if (!pv_port_allowed(v, port, bytes)) return Step::fault;
    if (in.repeat != 0 && left == 0) return Step::done;
    uint64_t& pointer = out ? r.rsi : r.rdi;
    const uint64_t address = string_address(in, out, pointer);
    uint32_t value = 0;
    if (out) {
        if (!arch::copy_from_guest(&value, address, bytes)) return string_fault(v, r, address, false);
        pv_port_out(v, port, bytes, value);
    } else {
        value = pv_port_in(v, port, bytes);
        if (!arch::copy_to_guest(address, &value, bytes)) return string_fault(v, r, address, true);
    }
    set_counter(in, pointer, pointer + ((r.rflags & eflags_df) ? 0 - uint64_t{bytes} : bytes));
    if (in.repeat == 0) return Step::done;
    set_counter(in, r.rcx, left - 1);
    return left == 1 ? Step::done : Step::repeat;
}

Step port_io(Vcpu& v, Regs& r, const Instruction& in) {
    const bool by_dx = in.opcode >= 0xec;
    const auto port = static_cast<uint16_t>(by_dx ? r.rdx : in.immediate & 0xff);
    const unsigned bytes = (in.opcode & 1) == 0 ? 1 : in.operand16 ? 2 : 4;
    if (!pv_port_allowed(v, port, bytes)) return Step::fault;
    if (in.opcode & 2) pv_port_out(v, port, bytes, static_cast<uint32_t>(r.rax));
    else write_gpr(r, 0, bytes, true, pv_port_in(v, port, bytes));
    return Step::done;
}

[[gnu::always_inline]] inline Step one_byte(Vcpu& v, Regs& r, const Instruction& in) {
    switch (in.opcode) {
        // The real interrupt flag is not the guest's, and POPF could not give back its virtual one: code that clears it
        // around a few instructions (before it has patched itself for Xen) only needs to get past them.
        case 0xfa:
        case 0xfb: return pv_io_privileged(v) ? Step::done : Step::fault;
        case 0x6c:
        case 0x6d:
        case 0x6e:
        case 0x6f: return string_io(v, r, in);
        case 0xe4:
        case 0xe5:
        case 0xe6:
        case 0xe7:
        case 0xec:
        case 0xed:
        case 0xee:
        case 0xef: return port_io(v, r, in);
        default: return Step::fault;
    }
}

/// Into each of its two callers: kernels execute such instructions all day.
[[gnu::always_inline]] inline Step execute(Vcpu& v, Regs& r, const Instruction& in) {
    return in.two_byte ? two_byte(v, r, in) : one_byte(v, r, in);
}

/// A guest that steps through its code steps over what we execute for it too.
[[gnu::noinline]] void single_step(Vcpu& v, Regs& r) {
    constexpr uint64_t dr6_single_step = 1u << 14;
    v.state.debug[6] |= dr6_single_step;
    pv_inject(v, r, trap_debug, 0);
}

/// The instruction has run, or its next element is to run at `next`.
void end_of_instruction(Vcpu& v, Regs& r, uint64_t next) {
    r.rip = next;
    r.rflags &= ~eflags_rf;
    if (r.rflags & eflags_tf) [[unlikely]]
        single_step(v, r);
}

/// What the decoder, which knows 64-bit code, reads the same in 32-bit code. String instructions would need the bases of
/// data segments.
bool same_in_32_bits(const Instruction& in) {
    const bool string = !in.two_byte && in.opcode >= 0x6c && in.opcode <= 0x6f;
    return !in.rex && !in.memory && !string;
}

/// The same as pv_emulate_privileged for code on a selector of the guest's own, or 32-bit code.
[[gnu::noinline]] bool emulate_elsewhere(Vcpu& v, Regs& r) {
    const auto found = pv_described_segment(v, r.cs);
    if (!found) return false;
    const CodeSegment& code = found.value();
    uint8_t bytes[fetched_bytes];
    Instruction in;
    if (!decode_into(in, bytes, fetch_instruction(code.linear(r.rip), bytes), r)) return false;
    if (code.mode != CodeMode::bits64 && !same_in_32_bits(in)) return false;
    const Step s = execute(v, r, in);
    if (s == Step::done || s == Step::repeat) end_of_instruction(v, r, s == Step::done ? code.advance(r.rip, in.length) : r.rip);
    return s != Step::fault;
}

}  // namespace

bool pv_emulate_privileged(Vcpu& v, Regs& r) {
    if (r.cs != xen::FLAT_RING3_CS64) [[unlikely]]
        return emulate_elsewhere(v, r);
    uint8_t bytes[fetched_bytes];
    Instruction in;
    if (!decode_into(in, bytes, fetch_instruction(r.rip, bytes), r)) return false;
    const Step s = execute(v, r, in);
    if (s == Step::done) [[likely]] {
        end_of_instruction(v, r, r.rip + in.length);
        return true;
    }
    if (s == Step::repeat) end_of_instruction(v, r, r.rip);
    return s != Step::fault;
}

namespace {

/// Its seven bytes and one more, or as many as the page has.
[[gnu::always_inline]] inline bool forced_cpuid_at(uint64_t address) {
    uint64_t word = 0;
    if (!arch::copy_words_from_guest<1>(&word, address) && !arch::copy_from_guest(&word, address, forced_cpuid_bytes))
        [[unlikely]]
        return false;
    return is_forced_cpuid(word);
}

bool emulate_forced_elsewhere(Vcpu& v, Regs& r) {
    const auto found = pv_described_segment(v, r.cs);
    if (!found) return false;
    const CodeSegment& code = found.value();
    if (!forced_cpuid_at(code.linear(r.rip))) return false;
    pv_cpuid(v, r);
    end_of_instruction(v, r, code.advance(r.rip, forced_cpuid_bytes));
    return true;
}

}  // namespace

void pv_forced_cpuid(Vcpu& v, Regs& r) {
    pv_cpuid(v, r);
    end_of_instruction(v, r, r.rip + forced_cpuid_bytes);
}

bool pv_emulate_forced(Vcpu& v, Regs& r) {
    if (r.cs != xen::FLAT_RING3_CS64) return emulate_forced_elsewhere(v, r);
    if (!forced_cpuid_at(r.rip)) return false;
    pv_forced_cpuid(v, r);
    return true;
}

}  // namespace hv
