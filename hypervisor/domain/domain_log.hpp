// SPDX-License-Identifier: Apache-2.0
/// What a domain may write into the hypervisor's log, and what it has not finished writing.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "hypervisor/rt/log_ring.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {

struct Domain;

/// A line of console_io that the guest has not ended yet.
struct ConsoleLine {
    static constexpr size_t longest = 200;
    Spinlock lock{Rank::console};
    char text[longest] GUARDED_BY(lock) = {};
    uint32_t used GUARDED_BY(lock) = 0;
};

struct DomainLog {
    base::RateLimit limit{10, base::Nanos::ms(500)};
    ConsoleLine line;
    std::atomic<bool> report_due{false};  ///< it crashed on this CPU, and the state of its vCPU is not in the log yet
    static constexpr unsigned most_msrs = 16;
    std::atomic<uint64_t> refused_msrs[most_msrs] = {};  ///< those that the log has named; 0: a free place
};

/// Text of the domain's console_io: each line break, and each line that is full, makes a line of the log. What cannot be
/// printed becomes a dot. Locks: none of rank console.
void domain_console_add(Domain& d, const char* text, size_t n);
/// The domain writes no more: what is left is a line.
void domain_console_flush(Domain& d);

/// True the first time that the domain is refused this register, for reading or for writing; false when most_msrs others
/// were named already.
bool domain_msr_is_news(Domain& d, uint32_t msr, bool write);

}  // namespace hv
