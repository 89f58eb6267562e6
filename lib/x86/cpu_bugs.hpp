// SPDX-License-Identifier: Apache-2.0
/// Which of the published speculation weaknesses a CPU has, from what CPUID and ARCH_CAPABILITIES say of it. Pure.
#pragma once

#include <cstdint>

namespace x86 {

enum class CpuVendor : uint8_t { intel, amd, hygon, other };

/// CPUID bits and ARCH_CAPABILITIES bits by name. Source: SDM 4 table 2-2, APM 3 appendix E, Intel's and AMD's guidance.
namespace spec_bit {
// leaf 7, EBX
inline constexpr uint32_t hle = 1u << 4, smep = 1u << 7, rtm = 1u << 11;
// leaf 7, EDX
inline constexpr uint32_t srbds_ctrl = 1u << 9, md_clear = 1u << 10, ibrsb = 1u << 26, stibp = 1u << 27, l1d_flush = 1u << 28,
                          arch_caps = 1u << 29, ssbd = 1u << 31;
// leaf 0x80000008, EBX
inline constexpr uint32_t ibpb = 1u << 12, ibrs = 1u << 14, amd_stibp = 1u << 15, ibrs_always = 1u << 16, stibp_always = 1u << 17,
                          ibrs_fast = 1u << 18, amd_ssbd = 1u << 24, virt_ssbd = 1u << 25, ssb_no = 1u << 26, psfd = 1u << 28,
                          btc_no = 1u << 29, ibpb_ret = 1u << 30;
// leaf 0x80000021, EAX
inline constexpr uint32_t lfence_dispatch = 1u << 2, auto_ibrs = 1u << 8;
// ARCH_CAPABILITIES
inline constexpr uint64_t rdcl_no = 1u << 0, ibrs_all = 1u << 1, rsba = 1u << 2, skip_l1dfl = 1u << 3, cap_ssb_no = 1u << 4,
                          mds_no = 1u << 5, if_pschange_mc_no = 1u << 6, tsx_ctrl = 1u << 7, taa_no = 1u << 8,
                          sbdr_ssdp_no = 1u << 13, fbsdp_no = 1u << 14, psdp_no = 1u << 15, fb_clear = 1u << 17, rrsba = 1u << 19,
                          bhi_no = 1u << 20, pbrsb_no = 1u << 24;
}  // namespace spec_bit

/// What of a CPU matters here; a leaf that it does not have is 0.
struct CpuTraits {
    CpuVendor vendor = CpuVendor::other;
    unsigned family = 0, model = 0, stepping = 0;
    uint32_t leaf7_ebx = 0, leaf7_edx = 0, ext8_ebx = 0, ext21_eax = 0;
    uint64_t arch_caps = 0;
    bool has7(uint32_t bit) const { return leaf7_edx & bit; }
    bool has8(uint32_t bit) const { return ext8_ebx & bit; }
    bool cap(uint64_t bit) const { return arch_caps & bit; }
    bool amd_like() const { return vendor == CpuVendor::amd || vendor == CpuVendor::hygon; }
};

struct CpuBugs {
    bool meltdown = false;        ///< ring 3 reads what only ring 0 may
    bool l1tf = false;            ///< an entry that is not present still names what L1 holds
    bool mds = false;             ///< buffers of the core show through
    bool taa = false;             ///< the same through aborted transactions
    bool srbds = false;           ///< RDRAND's results show through
    bool btc = false;             ///< returns predicted as branches (AMD)
    bool retpoline_safe = false;  ///< returns are predicted from the return stack buffer only
};
CpuBugs cpu_bugs(const CpuTraits& cpu);

}  // namespace x86
