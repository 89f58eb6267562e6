// SPDX-License-Identifier: Apache-2.0
/// Instructions that C++ cannot say. On the host (tests of the core) they act on nothing.
#pragma once

#include <cstdint>

#include "lib/x86/cpuid.hpp"

namespace hv::hw {

using x86::CpuidResult;

inline constexpr uint64_t dr6_clear = 0xffff0ff0;  ///< no condition reported: the bits that are always set
inline constexpr uint32_t msr_apic_base = 0x1b;
inline constexpr uint32_t msr_spec_ctrl = 0x48;
inline constexpr uint32_t msr_pred_cmd = 0x49;
inline constexpr uint32_t msr_sysenter_cs = 0x174;
inline constexpr uint32_t msr_sysenter_esp = 0x175;
inline constexpr uint32_t msr_sysenter_eip = 0x176;
inline constexpr uint32_t msr_pat = 0x277;
inline constexpr uint32_t msr_mtrr_def_type = 0x2ff;
inline constexpr uint32_t msr_efer = 0xc0000080;
inline constexpr uint32_t msr_star = 0xc0000081;
inline constexpr uint32_t msr_lstar = 0xc0000082;
inline constexpr uint32_t msr_cstar = 0xc0000083;
inline constexpr uint32_t msr_syscall_mask = 0xc0000084;
inline constexpr uint32_t msr_fs_base = 0xc0000100;
inline constexpr uint32_t msr_gs_base = 0xc0000101;
inline constexpr uint32_t msr_kernel_gs_base = 0xc0000102;
inline constexpr uint32_t msr_tsc_aux = 0xc0000103;

inline constexpr uint64_t cr0_ts = 1u << 3;
inline constexpr uint64_t cr0_wp = 1u << 16;
inline constexpr uint64_t cr4_tsd = 1u << 2;
inline constexpr uint64_t cr4_de = 1u << 3;
inline constexpr uint64_t cr4_pae = 1u << 5;
inline constexpr uint64_t cr4_mce = 1u << 6;
inline constexpr uint64_t cr4_pge = 1u << 7;
inline constexpr uint64_t cr4_osfxsr = 1u << 9;
inline constexpr uint64_t cr4_osxmmexcpt = 1u << 10;
inline constexpr uint64_t cr4_umip = 1u << 11;
inline constexpr uint64_t cr4_fsgsbase = 1u << 16;
inline constexpr uint64_t cr4_osxsave = 1u << 18;
inline constexpr uint64_t cr4_smep = 1u << 20;
inline constexpr uint64_t cr4_smap = 1u << 21;

#ifdef HV_HOST
inline thread_local uint64_t host_cr2 = 0;  ///< where the fault is that a test lets happen
inline uint64_t read_cr2() { return host_cr2; }
inline uint64_t read_cr3() { return 0; }
inline uint64_t read_dr6() { return 0; }
inline void write_dr6(uint64_t) {}
inline void write_dr7(uint64_t) {}
inline void write_dr(unsigned, uint64_t) {}
inline void set_ts(bool) {}
inline void invlpg(uint64_t) {}
inline uint64_t rdmsr(uint32_t) { return 0; }
inline void wrmsr(uint32_t, uint64_t) {}
inline bool rdmsr_safe(uint32_t, uint64_t& value) {
    value = 0;
    return true;
}
inline void wbinvd() {}
/// Who answers at the ports; null: nobody.
inline uint32_t (*host_in)(uint16_t port, unsigned bytes) = nullptr;
inline void (*host_out)(uint16_t port, unsigned bytes, uint32_t value) = nullptr;
inline uint32_t in32(uint16_t p) { return host_in ? host_in(p, 4) : ~0u; }
inline uint16_t in16(uint16_t p) { return static_cast<uint16_t>(host_in ? host_in(p, 2) : ~0u); }
inline uint8_t in8(uint16_t p) { return static_cast<uint8_t>(host_in ? host_in(p, 1) : ~0u); }
inline void out32(uint16_t p, uint32_t v) { host_out ? host_out(p, 4, v) : void(); }
inline void out16(uint16_t p, uint16_t v) { host_out ? host_out(p, 2, v) : void(); }
inline void out8(uint16_t p, uint8_t v) { host_out ? host_out(p, 1, v) : void(); }
inline uint64_t rdtsc() { return 0; }
inline void pause() {}
inline CpuidResult cpuid(uint32_t, uint32_t = 0) { return {}; }
[[noreturn]] inline void halt_forever() { __builtin_trap(); }
#else
inline uint64_t read_cr0() {
    uint64_t v;
    asm volatile("mov %%cr0, %0" : "=r"(v));
    return v;
}
inline void write_cr0(uint64_t v) { asm volatile("mov %0, %%cr0" : : "r"(v) : "memory"); }
inline uint64_t read_cr2() {
    uint64_t v;
    asm volatile("mov %%cr2, %0" : "=r"(v));
    return v;
}
inline uint64_t read_cr3() {
    uint64_t v;
    asm volatile("mov %%cr3, %0" : "=r"(v));
    return v;
}
inline void write_cr3(uint64_t v) { asm volatile("mov %0, %%cr3" : : "r"(v) : "memory"); }
inline uint64_t read_cr4() {
    uint64_t v;
    asm volatile("mov %%cr4, %0" : "=r"(v));
    return v;
}
inline void write_cr4(uint64_t v) { asm volatile("mov %0, %%cr4" : : "r"(v) : "memory"); }
inline uint64_t read_dr6() {
    uint64_t v;
    asm volatile("mov %%dr6, %0" : "=r"(v));
    return v;
}
inline void write_dr6(uint64_t v) { asm volatile("mov %0, %%dr6" : : "r"(v)); }
inline void write_dr7(uint64_t v) { asm volatile("mov %0, %%dr7" : : "r"(v)); }
inline void write_dr(unsigned n, uint64_t v) {
    switch (n) {
        case 0: asm volatile("mov %0, %%dr0" : : "r"(v)); break;
        case 1: asm volatile("mov %0, %%dr1" : : "r"(v)); break;
        case 2: asm volatile("mov %0, %%dr2" : : "r"(v)); break;
        case 3: asm volatile("mov %0, %%dr3" : : "r"(v)); break;
        default: break;
    }
}
/// CR0.TS: with it, the guest's next FPU instruction raises #NM.
inline void set_ts(bool on) {
    if (on) write_cr0(read_cr0() | cr0_ts);
    else asm volatile("clts");
}
inline void invlpg(uint64_t va) { asm volatile("invlpg (%0)" : : "r"(va) : "memory"); }
inline uint64_t rdmsr(uint32_t msr) {
    uint32_t lo, hi;
    asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t{hi} << 32) | lo;
}
inline void wrmsr(uint32_t msr, uint64_t v) {
    asm volatile("wrmsr" : : "c"(msr), "a"(static_cast<uint32_t>(v)), "d"(static_cast<uint32_t>(v >> 32)) : "memory");
}
extern "C" uint64_t rdmsr_fault_safe(uint32_t msr, uint64_t* value);
/// False where the CPU has no such register. Source: entry.S.
inline bool rdmsr_safe(uint32_t msr, uint64_t& value) { return rdmsr_fault_safe(msr, &value) == 0; }
inline void wbinvd() { asm volatile("wbinvd" : : : "memory"); }
template <class T>
T in(uint16_t p) {
    T v;
    asm volatile("in %1, %0" : "=a"(v) : "Nd"(p));
    return v;
}
inline uint8_t in8(uint16_t p) { return in<uint8_t>(p); }
inline uint16_t in16(uint16_t p) { return in<uint16_t>(p); }
inline uint32_t in32(uint16_t p) { return in<uint32_t>(p); }
inline void out8(uint16_t p, uint8_t v) { asm volatile("out %0, %1" : : "a"(v), "Nd"(p)); }
inline void out16(uint16_t p, uint16_t v) { asm volatile("out %0, %1" : : "a"(v), "Nd"(p)); }
inline void out32(uint16_t p, uint32_t v) { asm volatile("out %0, %1" : : "a"(v), "Nd"(p)); }
inline uint64_t rdtsc() {
    uint32_t lo, hi;
    asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t{hi} << 32) | lo;
}
inline void pause() { asm volatile("pause"); }
inline CpuidResult cpuid(uint32_t leaf, uint32_t sub = 0) {
    CpuidResult r{};
    asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub));
    return r;
}
inline void xsetbv(uint64_t v) {
    asm volatile("xsetbv" : : "c"(0), "a"(static_cast<uint32_t>(v)), "d"(static_cast<uint32_t>(v >> 32)));
}
/// All components of the area, whatever their state.
inline void xsave(void* area) { asm volatile("xsave64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory"); }
/// False when the area is none that the CPU takes.
inline bool xrstor(const void* area) {
    uint32_t failed = 1;
    asm volatile(
        "1: xrstor64 (%[area])\n\t"
        "xor %[failed], %[failed]\n\t"
        "2:\n\t"
        ".pushsection .extable, \"a\"\n\t"
        ".quad 1b, 2b\n\t"
        ".popsection"
        : [failed] "+r"(failed)
        : [area] "r"(area), "a"(~0u), "d"(~0u)
        : "memory", "cc");
    return failed == 0;
}
inline void fxsave(void* area) { asm volatile("fxsave64 (%0)" : : "r"(area) : "memory"); }
inline void fxrstor(const void* area) { asm volatile("fxrstor64 (%0)" : : "r"(area) : "memory"); }
/// Gives the x87's last-instruction and last-operand pointers a value of ours. What else the x87 holds is lost.
inline void overwrite_x87_pointers() {
    static const int32_t operand = 0;
    // Neither a pending exception nor a full register stack may stop the load.
    asm volatile("fnclex; ffree %%st(7); fildl %0" : : "m"(operand));
}
/// 0 ds, 1 es, 2 fs, 3 gs
inline uint16_t read_selector(unsigned which) {
    uint16_t s = 0;
    switch (which) {
        case 0: asm volatile("mov %%ds, %0" : "=r"(s)); break;
        case 1: asm volatile("mov %%es, %0" : "=r"(s)); break;
        case 2: asm volatile("mov %%fs, %0" : "=r"(s)); break;
        default: asm volatile("mov %%gs, %0" : "=r"(s)); break;
    }
    return s;
}
/// Interrupts are open for the time of the halt only: one that came before it still ends it.
inline void wait_for_interrupt() { asm volatile("sti; hlt; cli" : : : "memory"); }
/// Resets the machine the way that always works: an exception without a descriptor table.
inline void triple_fault() {
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) const nothing{};
    asm volatile("lidt %0; int3" : : "m"(nothing));
}
[[noreturn]] inline void halt_forever() {
    for (;;) asm volatile("cli; hlt");
}
#endif

/// One, two or four bytes.
inline uint32_t port_in(uint16_t port, unsigned bytes) { return bytes == 1 ? in8(port) : bytes == 2 ? in16(port) : in32(port); }
inline void port_out(uint16_t port, unsigned bytes, uint32_t value) {
    if (bytes == 1) out8(port, static_cast<uint8_t>(value));
    else if (bytes == 2) out16(port, static_cast<uint16_t>(value));
    else out32(port, value);
}

}  // namespace hv::hw
