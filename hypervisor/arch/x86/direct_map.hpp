// SPDX-License-Identifier: Apache-2.0
/// The hypervisor's own view of machine memory: all of it, at one place.
#pragma once

#include <cstdint>

#include "lib/base/types.hpp"

namespace hv {

using namespace base;

#ifdef HV_HOST
extern uint8_t* directmap_base;  ///< host tests: an arena that plays the machine's memory
#else
inline uint8_t* const directmap_base = reinterpret_cast<uint8_t*>(0xffff'8300'0000'0000);
#endif

template <class T = uint8_t>
inline T* map_mfn(Mfn m) {
    return reinterpret_cast<T*>(directmap_base + m.address());
}
inline Mfn mfn_of(const void* p) {
    return Mfn::of_address(static_cast<uint64_t>(static_cast<const uint8_t*>(p) - directmap_base));
}

/// Tables in machine memory (lib/base/radix.hpp). Who makes some adds where their pages come from.
struct MappedTables {
    static uint64_t* entry(uint64_t at) { return reinterpret_cast<uint64_t*>(directmap_base + at); }
    static uint64_t read(uint64_t at) { return __atomic_load_n(entry(at), __ATOMIC_RELAXED); }
    static void write(uint64_t at, uint64_t v) { *entry(at) = v; }
    static bool cas(uint64_t at, uint64_t& old, uint64_t v) {
        return __atomic_compare_exchange_n(entry(at), &old, v, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    }
};

}  // namespace hv
