// SPDX-License-Identifier: Apache-2.0
/// Model-specific registers that say the same at all times and that nothing a guest writes changes: kernels read them
/// without a thought for #GP, as they are on every machine. What is not here or in guest/pv/msr.cpp is #GP, as on real Xen.
#include "lib/x86/fixed_msrs.hpp"

namespace x86 {
namespace {

/// Whose CPUs have it; amd_devices: only the domain that drives the devices sees it.
enum class Vendor : uint8_t { any, intel, amd, amd_devices };
/// Writes: #GP, accepted when they say what the register says, accepted and forgotten, or all that can be done.
enum class Access : uint8_t { read_only, same, forget, write_only };

struct Fixed {
    uint32_t first, last;
    Vendor vendor;
    Access access;
    uint64_t value;
};

constexpr uint64_t lfence_serialises = 1u << 1, feature_control_locked = 1;

constexpr Fixed table[] = {
    {0x0, 0x1, Vendor::any, Access::read_only, 0},  // machine check of the Pentium
    {0x3a, 0x3a, Vendor::intel, Access::read_only, feature_control_locked},
    {0xc1, 0xc8, Vendor::intel, Access::forget, 0},       // performance counters
    {0xce, 0xce, Vendor::any, Access::read_only, 0},      // platform information: no CPUID faulting
    {0xe7, 0xe8, Vendor::any, Access::write_only, 0},     // MPERF, APERF
    {0x140, 0x140, Vendor::any, Access::same, 0},         // CPUID faulting, ring 3 MWAIT: off
    {0x186, 0x189, Vendor::intel, Access::forget, 0},     // performance event selection
    {0x198, 0x198, Vendor::intel, Access::read_only, 0},  // performance state
    {0x199, 0x199, Vendor::intel, Access::forget, 0},
    {0x19a, 0x19a, Vendor::intel, Access::write_only, 0},                 // clock modulation
    {0x19c, 0x19c, Vendor::intel, Access::read_only, 0},                  // thermal status
    {0x1b0, 0x1b0, Vendor::intel, Access::write_only, 0},                 // energy and performance bias
    {0x309, 0x30b, Vendor::intel, Access::forget, 0},                     // fixed counters
    {0x345, 0x345, Vendor::any, Access::read_only, 0},                    // performance capabilities: none
    {0x38d, 0x390, Vendor::intel, Access::forget, 0},                     // control of the counters
    {0xc0010000, 0xc0010007, Vendor::amd, Access::forget, 0},             // performance counters
    {0xc0010010, 0xc0010010, Vendor::amd_devices, Access::read_only, 0},  // system configuration
    {0xc0010015, 0xc0010015, Vendor::amd, Access::same, 0},               // hardware configuration
    {0xc0010016, 0xc001001a, Vendor::amd_devices, Access::read_only, 0},  // I/O range, top of memory
    {0xc001001d, 0xc001001d, Vendor::amd_devices, Access::read_only, 0},  // second top of memory
    {0xc001001f, 0xc001001f, Vendor::any, Access::forget, 0},             // north bridge
    {0xc0010041, 0xc0010042, Vendor::amd, Access::forget, 0},             // performance states of family 0fh
    {0xc0010061, 0xc001006b, Vendor::amd, Access::forget, 0},             // performance states
    {0xc0010112, 0xc0010113, Vendor::amd_devices, Access::read_only, 0},  // system management memory
    {0xc0010200, 0xc001020b, Vendor::amd, Access::forget, 0},             // performance counters of family 15h
    {0xc0011029, 0xc0011029, Vendor::amd, Access::forget, lfence_serialises},
};

bool applies(const Fixed& f, MsrReader who) {
    switch (f.vendor) {
        case Vendor::any: return true;
        case Vendor::intel: return !who.amd;
        case Vendor::amd: return who.amd;
        case Vendor::amd_devices: return who.amd && who.drives_devices;
    }
    return false;
}

const Fixed* find(MsrReader who, uint32_t msr) {
    for (const Fixed& f : table)
        if (msr >= f.first && msr <= f.last && applies(f, who)) return &f;
    return nullptr;
}

}  // namespace

base::Result<uint64_t> msr_read_fixed(MsrReader who, uint32_t msr) {
    const Fixed* f = find(who, msr);
    if (!f || f->access == Access::write_only) return base::Err{base::Errc::perm};
    return f->value;
}

base::Status msr_write_fixed(MsrReader who, uint32_t msr, uint64_t value) {
    const Fixed* f = find(who, msr);
    if (!f || f->access == Access::read_only) return base::Err{base::Errc::perm};
    if (f->access == Access::same && value != f->value) return base::Err{base::Errc::perm};
    return base::ok;
}

// -- machine check ----------------------------------------------------------------------------------------------------
namespace {

constexpr uint32_t mcg_cap = 0x179, mcg_ctl = 0x17b;  // the status lies between them
constexpr uint32_t first_ctl2 = 0x280, last_ctl2 = 0x29f, first_bank = 0x400, last_bank = 0x47f;
constexpr uint32_t registers_per_bank = 4;  // control, status, address, miscellaneous
constexpr uint64_t guest_banks = 2;
/// Bits 10, 11 and 24 of MCG_CAP: corrected errors interrupt, thresholds, software recovery. SDM 3B, 15.3.1.1.
constexpr uint64_t intel_capabilities = 1u << 10 | 1u << 11 | 1u << 24;

bool is_bank(uint32_t msr) { return msr >= first_bank && msr <= last_bank; }
bool is_control(uint32_t msr) { return (msr - first_bank) % registers_per_bank == 0; }

bool is_machine_check(uint32_t msr) {
    return (msr >= mcg_cap && msr <= mcg_ctl) || (msr >= first_ctl2 && msr <= last_ctl2) || is_bank(msr);
}

}  // namespace

base::Result<uint64_t> msr_read_machine_check(MsrReader who, uint32_t msr) {
    if (!is_machine_check(msr)) return base::Err{base::Errc::perm};
    if (msr == mcg_cap) return guest_banks | (who.amd ? 0 : intel_capabilities);
    // All errors of the guest's banks are reported, and none has happened.
    const bool enabled = is_bank(msr) && is_control(msr) && (msr - first_bank) / registers_per_bank < guest_banks;
    return enabled ? ~uint64_t{0} : 0;
}

base::Status msr_write_machine_check(uint32_t msr, uint64_t value) {
    if (!is_machine_check(msr)) return base::Err{base::Errc::perm};
    const bool report = is_bank(msr) && !is_control(msr);
    // What is reported can be cleared and nothing else. SDM 3B, 15.3.2.2.
    if (report && value != 0) return base::Err{base::Errc::perm};
    return base::ok;
}

}  // namespace x86
