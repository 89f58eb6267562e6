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

}  // namespace hv
