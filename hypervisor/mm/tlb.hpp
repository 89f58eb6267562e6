// SPDX-License-Identifier: Apache-2.0
/// The TLB clock: which CPUs may still hold translations to a frame whose last use has ended.
///
/// The clock counts flushes. A CPU's time is the clock of its last flush, a page's stamp the clock when its last use ended.
/// A CPU can still translate through that use only when its time is not later than the stamp. That holds because of the
/// order of three steps on either side, each side with a locked instruction between its first and its second:
///
///     a use ends                                       a CPU flushes
///     1. the entry is cleared                          1. the clock goes on, to t
///     2. the type word says so (locked)                2. the TLB is flushed
///     3. the clock is read, the page stamped           3. the CPU's time becomes t
///
///  - A stamp below t was read from the clock before it went to t: the entry had gone before the flush began, and nothing
///    can bring its translation back. A stamp of t or above makes whoever changes the page flush that CPU again.
///  - Others see t only when the flush is over: until then even the CPU's speculative walks count as not flushed.
///
/// A flush in passing, which nobody asked for, reads the clock in its first step and leaves it at t. That holds as well: a stamp
/// below t was read before the clock went to t, which was before the first step; and what is stamped t, before or after, counts as
/// not flushed. Between the first step and the second stands no locked instruction, but loads stay in order, and the flush is one
/// by MOV to CR3, which waits for all before it.
///
/// A page has many users, and each ends its use by steps 1 and 2; the last one (it takes the count to zero) does step 3 for
/// all. Those before it passed step 2 earlier, so their entries had gone by the time of the stamp as well. In between the
/// page has no users and no stamp yet, so it is marked `leaving`, and nobody takes it up before that is cleared: the mark
/// is a lock that its holder keeps for three instructions and that only he clears. A stamp written before the
/// count falls would not do: between the two another CPU can take the page up, use it, and leave it as it was.
#pragma once

#include <cstdint>

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/mm/frame.hpp"

namespace hv {

/// Stamps a page whose last user has left: translations made until now may be cached. After a locked instruction that
/// followed the clearing of the last entry, and before anybody can take the page up.
inline void tlb_stamp(PageInfo& p) { p.stamp.store(tlb_clock.load(std::memory_order_acquire), std::memory_order_release); }
#ifdef HV_HOST
/// A flush where there is nothing to flush.
inline void tlb_flushed(Cpu& cpu) { tlb_flush_ended(cpu, tlb_flush_begins()); }
#endif
/// Flushes those of `which`, CPUs that are online, that have not flushed since the page's stamp. Before a page changes its
/// type (which: the owner's dirty_cpus) or its owner (online_cpus()).
void tlb_flush_before_reuse(const PageInfo& p, const CpuSet& which);
/// The same for a stamp taken earlier (a block of free frames carries the newest of its pages' stamps).
void tlb_flush_stamped(uint32_t stamp, const CpuSet& which);

}  // namespace hv
