// SPDX-License-Identifier: Apache-2.0
// link: hvmodel
// Hostile guests and the control domain on the hypervisor's core. The guests are real: their memory is their own frames, reached
// through page tables they make themselves, on CPUs whose TLBs remember. An input is a list of records, each one step
// (tests/model): a hypercall with what the grammar or chance puts in, a trap, a write to a page table, a switch.
//
// What must hold after it: the model's counts of every page, nothing dangerous in any TLB, and when the guests are gone every
// page and object is back. Beside that no sanitizer report and no broken invariant.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "tests/model/world.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace hvmodel;
    static const bool whole = [] {
        check_grammar();
        return true;
    }();
    (void)whole;
    constexpr std::size_t longest = 400;
    const std::size_t steps = std::min(size / sizeof(Record), longest);
    if (steps == 0) return 0;
    // Looking at the whole machine costs as much as ten steps: now and then is enough, and always at the end.
    World world({16, (data[0] & 1) != 0});
    for (std::size_t i = 0; i < steps; ++i) {
        Record r;
        std::memcpy(&r, data + i * sizeof r, sizeof r);
        world.step(r);
    }
    return 0;
}
