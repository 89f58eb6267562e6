// SPDX-License-Identifier: Apache-2.0
/// The machine that scenarios run on: the host's fake one, with CPUs that are the explorer's, and TLBs that remember.
#pragma once

#include <gtest/gtest.h>

#include "hypervisor/domain/domain.hpp"
#include "tests/explore/explorer.hpp"
#include "tests/host/hv_fixture.hpp"
#include "tests/machine/host.hpp"

namespace explore {

using namespace hv;
using hvtest::Guest;
using hvtest::must;

inline constexpr unsigned world_cpus = 3;

/// Guests that every scenario may use. Made once; each schedule finds them as they were.
struct World {
    Guest dom0{0};
    Guest a{1, 2};
    Guest b{2, 2};
};
World& world();

/// What a CPU's TLB may hold of one page. Between two flushes it forgets nothing.
struct Cached {
    const PageInfo* page = nullptr;
    bool writable = false;  ///< a writable translation to it
    bool table = false;     ///< a translation that was made through it, as a table
};

namespace tlb {
/// The calling CPU's guest code writes to the page through a mapping, or uses a mapping that the page, a table, holds.
void write_through(const PageInfo& p);
void walk_through(const PageInfo& p);
/// True when a CPU may still write to the page, or translate through it.
bool may_write(unsigned cpu, const PageInfo& p);
bool may_walk(unsigned cpu, const PageInfo& p);
bool anyone_may_write(const PageInfo& p);
bool anyone_may_walk(const PageInfo& p);
/// The calling CPU loads other tables because its guest turns to its other mode.
void flush_in_passing();
void forget_all();
}  // namespace tlb

/// The calling CPU is in the guest for a moment: it answers what others ask of it.
void in_guest();
/// It is there, and takes every interrupt, until the program of CPU `other` has ended.
void in_guest_until_ended(unsigned other);
/// All CPUs do what they have been told to. Before or after the programs.
void settle();

/// The scenario on the world's CPUs.
Scenario on_world(Program setup, std::vector<Program> cpus);

/// Explores, says how many schedules it took, and fails the test when a property broke.
void expect_holds(const char* what, const Scenario& s, Bounds b);

/// XENOLITH_EXPLORE=deep: one preemption more than what every test run can afford.
Bounds bounded(unsigned preemptions, unsigned delayed_stores = 0);

}  // namespace explore
