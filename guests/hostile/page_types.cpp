// SPDX-License-Identifier: Apache-2.0
/// Page-type confusion on one vCPU, races of types on two: pages are pinned as tables of any level, mapped writable, given
/// as descriptor tables and cleared, all at random. Whenever a page is held as a table it must not be writable.
#include "abi/xen/sched.hpp"
#include "guests/hostile/hostile.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/vcpus.hpp"

namespace {

using namespace hostile;
using namespace xen;

constexpr unsigned pages = 12;
Page play[pages], tables[3];
uint64_t* last_table;
volatile bool go, stopped;

uint64_t mfn(Random& random) { return mfn_of(&play[random.below(pages)]); }

uint64_t entry(Random& random) {
    switch (random.below(5)) {
        case 0: return 0;
        case 1: return (random.odd() & ~uint64_t{0xfff}) | read_write;
        case 2: return mfn(random) * page_bytes | read_only;
        default: return mfn(random) * page_bytes | read_write;
    }
}

long map_in_window(Random& random, unsigned slot) {
    return write_entry(machine_address(last_table + slot), entry(random) | (random.one_in(8) ? 0x80 : 0));
}

void step(Random& random) {
    const uint64_t frame = mfn(random);
    switch (random.below(10)) {
        case 0:
        case 1: mmuext(MMUEXT_PIN_L1_TABLE + static_cast<uint32_t>(random.below(4)), frame); break;
        case 2: mmuext(MMUEXT_UNPIN_TABLE, frame); break;
        case 3: write_entry(frame * page_bytes + random.below(512) * 8 + random.below(4), entry(random)); break;
        case 4: set_entry(&play[random.below(pages)], entry(random)); break;
        case 5: map_in_window(random, static_cast<unsigned>(random.below(16))); break;
        case 6: mmuext(random.one_in(2) ? MMUEXT_CLEAR_PAGE : MMUEXT_COPY_PAGE, frame, mfn(random)); break;
        case 7: mmuext(MMUEXT_NEW_USER_BASEPTR, frame); break;
        case 8: {
            uint64_t frames[1] = {frame};
            hypercall(HYPERVISOR_set_gdt, addr(frames), random.below(513));
            break;
        }
        default: {
            auto* word = at<volatile uint64_t>(window + random.below(16) * page_bytes + random.below(512) * 8);
            const uint64_t value = entry(random);
            (void)caught([=] { *word = value; });
        }
    }
}

/// Everything given back, each page mapped as at the start.
void tidy() {
    hypercall(HYPERVISOR_set_gdt, 0, 0);
    mmuext(MMUEXT_NEW_USER_BASEPTR, 0);
    for (unsigned i = 0; i < 16; ++i) write_entry(machine_address(last_table + i), 0);
    for (unsigned round = 0; round < 4; ++round)
        for (Page& p : play) mmuext(MMUEXT_UNPIN_TABLE, mfn_of(&p));
    for (Page& p : play) set_entry(&p, 0);
}

/// A page that can be pinned as a table must fault when it is written through any of its mappings. Returns how many could: Xen
/// sometimes keeps a random table that nothing holds, and with it the writable mappings of all pages.
unsigned check_exclusion() {
    tidy();
    unsigned tables_made = 0;
    for (Page& p : play) {
        if (protect(&p, read_write) != 0) continue;  // what a random table still maps may stay a table
        for (uint64_t& w : reinterpret_cast<uint64_t(&)[512]>(p)) w = 0;
        const bool writable_pinned = mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(&p)) == 0;
        expect("a writable page is no table", !writable_pinned);
        protect(&p, read_only);
        if (mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(&p)) != 0) continue;  // and what it maps writable is none
        ++tables_made;
        expect("a table is not mapped writable", protect(&p, read_write) != 0);
        expect("nor written", caught([&] { *reinterpret_cast<volatile uint64_t*>(&p) = ~uint64_t{0}; }) == 14);
        expect("nor cleared", mmuext(MMUEXT_CLEAR_PAGE, mfn_of(&p)) != 0);
        mmuext(MMUEXT_UNPIN_TABLE, mfn_of(&p));
    }
    return tables_made;
}

void second() {
    Random random(option("seed", 1) + 1000);
    while (!go) asm volatile("pause");
    while (go) step(random);
    stopped = true;
    stop_this_vcpu();
}

}  // namespace

int guest_main() {
    Random random(option("seed", 1));
    last_table = make_tables(window, tables);
    expect("tables", last_table != nullptr);
    expect("a read-only page may be a table", check_exclusion() == pages);
    for (int i = 0; i < 20000; ++i) step(random);
    check_exclusion();
    expect("a second vCPU", start_vcpu(1, second) == 0);
    go = true;
    const uint64_t end = now() + 4'000'000'000;
    while (now() < end) step(random);
    go = false;
    while (!stopped) hypercall(HYPERVISOR_sched_op, SCHEDOP_yield);
    check_exclusion();
    return failures;
}
