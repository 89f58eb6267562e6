// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/l1tf.hpp"

#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

bool l1tf_harmless(uint64_t entry, uint64_t end_of_memory, unsigned address_bits) {
    const uint64_t seen = entry & pte::frame_mask & ((uint64_t{1} << address_bits) - 1);
    return (entry & pte::present) || seen == 0 || seen >= end_of_memory;
}

Status l1tf_refuse_harmful(Domain& d, uint64_t entry, unsigned level) {
    // Caches from Nehalem on look at 44 bits at least, whatever the CPU says that it has.
    constexpr unsigned cache_bits = 44;
    const unsigned bits = cpu_features.physical_bits > cache_bits ? cpu_features.physical_bits : cache_bits;
    if (l1tf_harmless(entry, max_frame << page_shift, bits)) return ok;
    log(LogLevel::error, "d%u: L%u entry %016lx is not present, but names memory (L1TF)", d.id.raw, level, entry);
    if (&current().domain == &d) this_cpu().raise(SoftIrq::crash);
    return Err{Errc::perm};
}

}  // namespace hv
