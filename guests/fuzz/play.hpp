// SPDX-License-Identifier: Apache-2.0
/// What the fuzzer plays with: pages that may become anything, tables, addresses to map at; never what it stands on itself.
#pragma once

#include "guests/tiny/paging.hpp"
#include "guests/tiny/random.hpp"

namespace fuzz {

using namespace guest;

inline constexpr unsigned play_pages = 64;
inline constexpr uint64_t window = 0x400000000000;

/// Makes the tables of the window. False when the hypervisor refused what it must not.
bool make_window();

/// What a letter of the grammar stands for.
uint64_t value_of(char letter, Random& random);
/// Makes a page hold what calls find behind pointers: frames, pages, ports, entries.
void fill_buffer(Random& random);
/// Puts garbage where the hypervisor reads without a call: play pages, tables, event words, grant entries.
void scribble(Random& random);

}  // namespace fuzz
