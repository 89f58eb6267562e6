// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/segments.hpp"

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/arch/x86/speculation.hpp"

namespace hv {
namespace {

constexpr uint32_t descriptors_per_page = 512;
// Fields of a descriptor. SDM 3A, figure 5-1.
constexpr uint64_t is_code = uint64_t{1} << 43, not_system = uint64_t{1} << 44, present = uint64_t{1} << 47;
constexpr uint64_t long_mode = uint64_t{1} << 53, default_32 = uint64_t{1} << 54;

/// The frames stay descriptor tables as long as the vCPU, which is running, has them loaded.
base::Result<uint64_t> descriptor(const PvVcpu& pv, uint16_t selector) {
    constexpr uint16_t in_ldt = 4;
    const uint32_t index = selector >> 3;
    const uint32_t entries = selector & in_ldt ? pv.ldt_entries : pv.gdt_entries;
    if (index >= entries) return Err{Errc::inval};
    const uint64_t at = clamp_index(index, entries);
    const Mfn* frames = selector & in_ldt ? pv.ldt_frames : pv.gdt_frames;
    const uint64_t* page = map_mfn<uint64_t>(frames[at / descriptors_per_page]);
    return __atomic_load_n(page + at % descriptors_per_page, __ATOMIC_RELAXED);
}

uint32_t base_of(uint64_t d) { return static_cast<uint32_t>((d >> 16 & 0xffffff) | (d >> 32 & 0xff000000)); }

}  // namespace

base::Result<CodeSegment> pv_described_segment(const Vcpu& v, uint64_t selector) {
    if (selector == xen::FLAT_RING3_CS32) return CodeSegment{CodeMode::bits32, 0};
    const uint64_t d = TRY(descriptor(*v.pv, static_cast<uint16_t>(selector)));
    constexpr uint64_t needed = is_code | not_system | present;
    if ((d & needed) != needed) return Err{Errc::inval};
    if (d & long_mode) return CodeSegment{};
    if (!(d & default_32)) return Err{Errc::inval};
    return CodeSegment{CodeMode::bits32, base_of(d)};
}

}  // namespace hv
