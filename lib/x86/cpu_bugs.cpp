// SPDX-License-Identifier: Apache-2.0
#include "lib/x86/cpu_bugs.hpp"

namespace x86 {
namespace {

using namespace spec_bit;

/// Intel's family 6 by what its cores are. Models: SDM 4 table 2-1.
enum class Core : uint8_t {
    old_atom,    ///< in order: Bonnell, Saltwell
    silvermont,  ///< with Airmont: out of order, store buffers shared
    goldmont,    ///< with Goldmont Plus and Tremont
    knights,     ///< Xeon Phi
    before_skylake,
    skylake,  ///< and its successors up to Comet Lake
    newer,
};

Core core_of(unsigned model) {
    switch (model) {
        case 0x1c:
        case 0x26:
        case 0x27:
        case 0x35:
        case 0x36: return Core::old_atom;
        case 0x37:
        case 0x4a:
        case 0x4c:
        case 0x4d:
        case 0x5a:
        case 0x5d:
        case 0x65:
        case 0x6e:
        case 0x75: return Core::silvermont;
        case 0x5c:
        case 0x5f:
        case 0x7a:
        case 0x86:
        case 0x96:
        case 0x9c: return Core::goldmont;
        case 0x57:
        case 0x85: return Core::knights;
        case 0x4e:
        case 0x55:
        case 0x5e:
        case 0x66:
        case 0x8e:
        case 0x9e:
        case 0xa5:
        case 0xa6: return Core::skylake;
        case 0x6a:
        case 0x6c:
        case 0x7d:
        case 0x7e:
        case 0x8c:
        case 0x8d:
        case 0x8f:
        case 0x97:
        case 0x9a:
        case 0xa7:
        case 0xb7:
        case 0xba:
        case 0xbf:
        case 0xcf: return Core::newer;
        // Up to Broadwell; and what nobody has told us of, which is taken for the worst but for retpolines (see below).
        default: return Core::before_skylake;
    }
}

bool known_before_skylake(unsigned model) {
    switch (model) {
        case 0x0f:
        case 0x16:
        case 0x17:
        case 0x1a:
        case 0x1d:
        case 0x1e:
        case 0x1f:
        case 0x25:
        case 0x2a:
        case 0x2c:
        case 0x2d:
        case 0x2e:
        case 0x2f:
        case 0x3a:
        case 0x3c:
        case 0x3d:
        case 0x3e:
        case 0x3f:
        case 0x45:
        case 0x46:
        case 0x47:
        case 0x4f:
        case 0x56: return true;
        default: return false;
    }
}

bool has_srbds(const CpuTraits& cpu) {
    switch (cpu.model) {
        case 0x3a:
        case 0x3c:
        case 0x3d:
        case 0x45:
        case 0x46:
        case 0x47:
        case 0x4e:
        case 0x5e: return true;
        case 0x8e: return cpu.stepping <= 0xc;
        case 0x9e: return cpu.stepping <= 0xd;
        default: return false;
    }
}

CpuBugs intel(const CpuTraits& cpu) {
    CpuBugs b;
    const Core core = core_of(cpu.model);
    b.meltdown = !cpu.cap(rdcl_no) && core != Core::old_atom;
    const bool l1tf_core = core == Core::before_skylake || core == Core::skylake || core == Core::newer;
    b.l1tf = !cpu.cap(rdcl_no) && l1tf_core;
    b.mds = !cpu.cap(mds_no) && core != Core::old_atom && core != Core::goldmont;
    b.taa = (cpu.leaf7_ebx & rtm) && !cpu.cap(taa_no);
    b.srbds = has_srbds(cpu);
    const bool alternate = cpu.cap(rsba) || cpu.cap(rrsba) || cpu.cap(ibrs_all);
    b.retpoline_safe = !alternate && (known_before_skylake(cpu.model) || core == Core::silvermont || core == Core::goldmont ||
                                      core == Core::knights || core == Core::old_atom);
    return b;
}

CpuBugs amd(const CpuTraits& cpu) {
    CpuBugs b;
    b.btc = !cpu.has8(btc_no) && cpu.family >= 0x15 && cpu.family <= 0x18;
    b.retpoline_safe = true;
    return b;
}

}  // namespace

CpuBugs cpu_bugs(const CpuTraits& cpu) {
    if (cpu.amd_like()) return amd(cpu);
    if (cpu.vendor == CpuVendor::intel && cpu.family == 6) return intel(cpu);
    CpuBugs b;
    // Nobody has said that these are safe from it.
    b.meltdown = !cpu.cap(rdcl_no);
    return b;
}

}  // namespace x86
