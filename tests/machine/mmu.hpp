// SPDX-License-Identifier: Apache-2.0
/// The fake machine's MMU: guest addresses are translated by the page tables that the guest itself made, and every CPU has a
/// TLB that forgets only what the hypervisor tells it to forget.
///
/// What a CPU may have cached, after the manuals (SDM 3A 4.10, APM 2 5.5): translations of pages, and entries of the paging
/// structures above them, of any address that its root reaches, whether or not an access asked for it. Two ways to fill
/// a TLB follow: touch() for one access, and cache_everything() for the worst that the manuals allow.
///
/// check() is the property that all the flushing in the hypervisor is for: whatever is cached, wherever it came from, leads
/// to nothing that its guest must not reach.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lib/base/types.hpp"

namespace hv::host {

/// How the copy functions of arch/ understand a guest's addresses.
enum class GuestMemory : uint8_t {
    window,       ///< addresses of the process (see guest_window())
    page_tables,  ///< linear addresses in the page tables that the CPU has loaded
};
void guest_memory(GuestMemory kind);
GuestMemory guest_memory();

namespace mmu {

struct Translation {
    base::Mfn mfn{0};
    bool writable = false;
};
/// Where guest code gets to from `va` with the root of that CPU, by a walk now. Nothing: it faults.
std::optional<Translation> walk(unsigned cpu, uint64_t va);

/// An access of guest code on that CPU: the walk sets the accessed and dirty bits, and its results are cached. False: it faults.
bool touch(unsigned cpu, uint64_t va, bool write);
/// Caches all that the CPU's root reaches.
void cache_everything(unsigned cpu);
/// From now on every CPU caches all it can whenever that can matter: after each flush and root, where long operations look
/// whether to stop, and in check(). Without it only touch() and copies fill.
void cache_eagerly(bool on);

/// From now on each second access uses what is cached for its page, whatever the tables say by now, as CPUs do: a translation whose
/// dirty bit it knows to be set, or the entry that names the last table.
void use_what_is_cached(bool on);

/// What accesses of guests that run on mirrors (guest/pv/mirror.hpp) found wrong so far, in words: the guest's own tables must allow
/// what mirrors allow, and have their accessed and dirty bits as if the CPU had walked them.
std::string mirrors_complaint();

/// Mutations for tests of check(): flushes that are counted and dated, but do not happen.
void ignore_flushes(bool on);

/// The first cached entry that leads where it must not, in words; empty when there is none. Context: no CPU is in the middle
/// of anything.
///  - No writable translation leads to a page table or a descriptor table.
///  - No entry of a paging structure leads to a page in use as something else.
///  - Nothing leads to a page that has changed its owner since, or to another domain's but while a grant holds it. The control
///    domain may map any domain's pages.
std::string check();
/// Forgets everything, on all CPUs: between tests.
void reset();

// What machine.cpp makes of it.
bool read(void* dst, uint64_t va, size_t n);
bool write(uint64_t va, const void* src, size_t n);
bool clear(uint64_t va, size_t n);
void load_root(unsigned cpu, uint64_t cr3);
/// The same without the clock's going on.
void load_other_root(unsigned cpu, uint64_t cr3);
void flush(unsigned cpu);
void flush_page(unsigned cpu, uint64_t va);
void long_operation(unsigned cpu);

}  // namespace mmu
}  // namespace hv::host
