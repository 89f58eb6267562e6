// SPDX-License-Identifier: Apache-2.0
/// The entries of a table that are present. Most tables have few: those that are not are passed over several at a time.
#pragma once

#include <cstdint>

#include "hypervisor/arch/x86/paging.hpp"
#include "lib/base/radix.hpp"

namespace hv {

namespace detail {

inline constexpr unsigned asked_at_once = 16;
static_assert(base::radix::entries % asked_at_once == 0);

[[gnu::always_inline]] inline bool none_present(const uint64_t* e) {
    uint64_t any = 0;
#pragma GCC unroll 16
    for (unsigned i = 0; i < asked_at_once; ++i) any |= e[i];
    return !(any & pte::present);
}

}  // namespace detail

/// The first present entry from `i` on; the number of entries when there is none.
[[gnu::always_inline]] inline unsigned next_present(const uint64_t* table, unsigned i) {
    while (i < base::radix::entries) {
        if (i % detail::asked_at_once == 0 && detail::none_present(table + i)) {
            i += detail::asked_at_once;
            continue;
        }
        if (table[i] & pte::present) break;
        ++i;
    }
    return i;
}

/// One more than the last present entry below `end`; 0 when there is none.
[[gnu::always_inline]] inline unsigned last_present(const uint64_t* table, unsigned end) {
    while (end > 0) {
        if (end % detail::asked_at_once == 0 && detail::none_present(table + end - detail::asked_at_once)) {
            end -= detail::asked_at_once;
            continue;
        }
        if (table[end - 1] & pte::present) break;
        --end;
    }
    return end;
}

}  // namespace hv
