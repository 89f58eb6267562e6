// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/arch/x86/features.hpp"

#include <cstring>

#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

CpuFeatures cpu_features;

namespace {

/// PAT as Xen documents it to PV guests: WB WT UC- UC, WC WP UC UC.
constexpr uint64_t guest_pat = 0x0000'0501'0007'0406;

void detect_xsave() {
    constexpr uint64_t wanted = 7;  // x87, SSE, AVX
    const auto leaf = hw::cpuid(0xd, 0);
    cpu_features.xcr0 = (uint64_t{leaf.d} << 32 | leaf.a) & wanted;
    uint32_t size = 512 + 64;
    if (cpu_features.xcr0 & 4) {
        const auto avx = hw::cpuid(0xd, 2);
        if (avx.b + avx.a > size) size = avx.b + avx.a;
    }
    cpu_features.xsave_size = size;
}

void read_brand() {
    if (hw::cpuid(0x80000000).a < 0x80000004) return;
    for (uint32_t i = 0; i < 3; ++i) {
        const auto r = hw::cpuid(0x80000002 + i);
        memcpy(cpu_features.brand + i * 16, &r, 16);
    }
}

}  // namespace

void detect_features() {
    auto& f = cpu_features;
    const auto vendor = hw::cpuid(0);
    f.amd = vendor.b == 0x68747541 || vendor.b == 0x6f677948;  // "Auth", "Hygo"
    const auto basic = hw::cpuid(1);
    f.pge = (basic.d >> 13) & 1;
    f.xsave = (basic.c >> 26) & 1;
    if (vendor.a >= 7) {
        const auto seven = hw::cpuid(7);
        f.smep = (seven.b >> 7) & 1;
        f.smap = (seven.b >> 20) & 1;
        f.umip = (seven.c >> 2) & 1;
    }
    const auto extended = hw::cpuid(0x80000001);
    f.rdtscp = (extended.d >> 27) & 1;
    f.gib_pages = (extended.d >> 26) & 1;
    uint32_t extended_ebx = 0;
    if (hw::cpuid(0x80000000).a >= 0x80000008) {
        const auto sizes = hw::cpuid(0x80000008);
        f.physical_bits = sizes.a & 0xff;
        extended_ebx = sizes.b;
    }
    constexpr uint32_t restores_error_pointers = 1u << 2;  // APM 3 E.4.7, RstrFpErrPtrs
    f.x87_pointers_stay = f.amd && !(extended_ebx & restores_error_pointers);
    if (f.xsave) detect_xsave();
    f.topology = x86::read_topology([](uint32_t leaf, uint32_t subleaf) { return hw::cpuid(leaf, subleaf); }, f.amd);
    read_brand();
    f.cr4 = hw::cr4_pae | hw::cr4_osfxsr | hw::cr4_osxmmexcpt | hw::cr4_mce | (f.pge ? hw::cr4_pge : 0) |
            (f.smep ? hw::cr4_smep : 0) | (f.smap ? hw::cr4_smap : 0) | (f.umip ? hw::cr4_umip : 0) |
            (f.xsave ? hw::cr4_osxsave : 0);
}

void enable_features() {
    hw::write_cr4(cpu_features.cr4);
    hw::write_cr0((hw::read_cr0() & ~(hw::cr0_ts | uint64_t{1} << 2)) | hw::cr0_wp | 2);
    hw::wrmsr(hw::msr_pat, guest_pat);
    if (cpu_features.xsave) hw::xsetbv(cpu_features.xcr0);
    asm volatile("fninit");
}

/// Three bytes that become an instruction; usercopy.cpp and entry.S make the list.
struct SmapSite {
    uint64_t address, last_byte;  ///< of STAC or CLAC
};

void patch_smap_sites() {
    extern const SmapSite sites_start[] asm("smap_sites_start");
    extern const SmapSite sites_end[] asm("smap_sites_end");
    if (!cpu_features.smap) return;
    for (const SmapSite* s = sites_start; s < sites_end; ++s) {
        auto* code = reinterpret_cast<volatile uint8_t*>(s->address);
        code[0] = 0x0f;
        code[1] = 0x01;
        code[2] = static_cast<uint8_t>(s->last_byte);
    }
}

}  // namespace hv
