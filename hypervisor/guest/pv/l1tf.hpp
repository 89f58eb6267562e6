// SPDX-License-Identifier: Apache-2.0
/// Entries that are not present, on CPUs that read ahead of that (L1 Terminal Fault): what such an entry names is read from
/// the L1 cache, whoever's it is. A guest whose entries are checked may leave none that names memory; Linux keeps what it
/// stores in them inverted, so that they name addresses beyond all memory.
#pragma once

#include <cstdint>

#include "hypervisor/guest/pv/pv.hpp"

namespace hv {

/// Whether the entry, if it is not present, names nothing that may be in a cache: address 0, or beyond `end_of_memory`
/// (bytes) in what the cache looks at, which is `address_bits` bits.
bool l1tf_harmless(uint64_t entry, uint64_t end_of_memory, unsigned address_bits);

/// `entry`, which is not present, is to stand in a table of `d` of this level. Errors: perm: it names memory; when `d` is
/// the current vCPU's domain it will end before it runs on.
/// Source: Intel, "Deep Dive: L1 Terminal Fault"; address bits: SDM 3A 4.1.4 and 46 for caches that look at more.
Status l1tf_refuse_harmful(Domain& d, uint64_t entry, unsigned level);
inline Status l1tf_check(Domain& d, uint64_t entry, unsigned level) {
    if (!d.pv->checks_nonpresent) [[likely]]
        return ok;
    return l1tf_refuse_harmful(d, entry, level);
}

}  // namespace hv
