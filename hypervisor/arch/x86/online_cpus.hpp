// SPDX-License-Identifier: Apache-2.0
/// Which CPUs are there.
#pragma once

#include "lib/x86/cpu_set.hpp"

namespace hv {

using x86::cpu_words;
using x86::cpu_words_for;
using x86::CpuMask;
using x86::CpuSet;
using x86::max_cpu_words;
using x86::max_cpus;

inline unsigned cpu_count = 0;  ///< CPUs 0..cpu_count-1 are online
namespace detail {
inline constinit CpuSet online;
}
inline const CpuSet& online_cpus() { return detail::online; }
/// Boot: n CPUs are online from now on.
inline void set_cpu_count(unsigned n) {
    cpu_count = n;
    detail::online = CpuSet::below(n);
}

}  // namespace hv
