// SPDX-License-Identifier: Apache-2.0
/// What the files of the benchmark kernel share.
#pragma once

#include "guests/tiny/paging.hpp"

namespace bench {

using namespace guest;

/// Prints `name: ticks of one round`, with one decimal.
void report(const char* name, uint64_t tenths);
/// Prints a line that makes the run a failed one, unless `right`.
void expect(const char* what, bool right);

/// Runs f `rounds` times (and a few times before) and reports the ticks of one round.
template <class F>
void measure(const char* name, unsigned rounds, F f) {
    for (unsigned i = 0; i < 8; ++i) f();
    const uint64_t begin = ticks();
    for (unsigned i = 0; i < rounds; ++i) f();
    report(name, (ticks() - begin) * 10 / rounds);
}

/// Pages to map things at, and pages to map.
struct Windows {
    char grant[page_bytes], map[16][page_bytes], granted[page_bytes], other[page_bytes], table[page_bytes];
};
extern Windows windows;

void events();
void vcpus();
void batches();
void grants();
void traps();
void paging();
void memory();

}  // namespace bench
