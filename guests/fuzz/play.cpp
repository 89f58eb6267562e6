// SPDX-License-Identifier: Apache-2.0
#include "guests/fuzz/play.hpp"

#include "guests/tiny/events.hpp"
#include "guests/tiny/grants.hpp"
#include "guests/tiny/traps.hpp"

namespace fuzz {

using namespace xen;

namespace {

Page play[play_pages], tables[3], buffers[2];
/// Their frames, noted at the start: the list of frames may be unmapped by a call like all else.
uint64_t play_mfn[play_pages], table_mfn[3], root_mfn;
uint64_t own_id;

uint64_t frame(Random& random) { return play_mfn[random.below(play_pages)]; }

/// The frame of a play page, or of one of the window's tables.
uint64_t frame_or_table(Random& random) { return random.one_in(6) ? table_mfn[random.below(3)] : frame(random); }

uint64_t entry(Random& random) {
    switch (random.below(6)) {
        case 0: return 0;
        case 1: return random.odd();
        case 2: return frame_or_table(random) * page_bytes | (random.next() & 0x8000000000000fff);
        case 3: return frame_or_table(random) * page_bytes | read_only;
        default: return frame_or_table(random) * page_bytes | read_write;
    }
}

uint64_t entry_address(Random& random) {
    if (random.one_in(16)) return random.odd();
    const uint64_t offset = random.one_in(4) ? random.below(512) * 8 : random.below(8) * 8;
    return frame_or_table(random) * page_bytes + offset + (random.one_in(4) ? random.below(8) : 0);
}

uint64_t address(Random& random) {
    switch (random.below(8)) {
        case 0: return addr(&play[random.below(play_pages)]);
        case 1: return random.odd();
        default: return window + random.below(16) * page_bytes + (random.one_in(8) ? random.below(page_bytes) : 0);
    }
}

/// Not the ports of console and store: they are how we are heard.
uint64_t port(Random& random) {
    for (;;) {
        const uint64_t p = random.one_in(16) ? random.odd() : random.below(64);
        const auto low = static_cast<uint32_t>(p);
        if (low != info->console.domU.evtchn && low != info->store_evtchn) return p;
    }
}

/// vCPUs 2 and up: 0 and 1 are the ones that run this.
uint64_t vcpu(Random& random) {
    const uint64_t v = random.one_in(8) ? random.odd() : 2 + random.below(3);
    return static_cast<uint32_t>(v) < 2 ? 2 : v;
}

uint64_t domain(Random& random) {
    switch (random.below(16)) {
        case 0: return 0;
        case 1: return random.odd();
        case 2: return DOMID_SELF + random.below(16);
        case 3: return own_id;
        default: return DOMID_SELF;
    }
}

uint64_t root(Random& random) { return random.one_in(2) ? root_mfn : random.odd(); }

template <class F>
void attempt(F f) {
    (void)caught(f);
}

/// A word of a play page or a table, by a write that may fault or be emulated.
void write_word(Random& random) {
    uint64_t* word = at<uint64_t>(addr(random.one_in(8) ? &tables[random.below(3)] : &play[random.below(play_pages)])) +
                     (random.one_in(2) ? random.below(8) : random.below(512));
    const uint64_t value = entry(random);
    attempt([=] { *static_cast<volatile uint64_t*>(word) = value; });
}

/// Through whatever is mapped in the window.
void write_window(Random& random) {
    auto* word = at<uint64_t>(window + random.below(16) * page_bytes + random.below(512) * 8);
    const uint64_t value = entry(random);
    attempt([=] { *static_cast<volatile uint64_t*>(word) = value; });
}

void write_events(Random& random) {
    SharedInfo& shared = shared_info();
    const uint64_t value = random.next() & random.next();
    switch (random.below(4)) {
        case 0: __atomic_store_n(&shared.evtchn_pending[random.below(64)], value, __ATOMIC_RELAXED); break;
        case 1: __atomic_store_n(&shared.evtchn_mask[random.below(64)], value, __ATOMIC_RELAXED); break;
        case 2: __atomic_store_n(&shared.vcpu_info[random.below(2)].evtchn_pending_sel, value, __ATOMIC_RELAXED); break;
        default: __atomic_store_n(&shared.vcpu_info[2 + random.below(30)].evtchn_upcall_mask, uint8_t(value), __ATOMIC_RELAXED);
    }
}

void write_grant(Random& random) {
    GrantEntryV1* table = grant_table();
    if (!table) return;
    const auto id = static_cast<uint16_t>(random.one_in(4) ? random.below(4) : own_id);
    const auto f = static_cast<uint32_t>(random.one_in(8) ? random.odd() : frame_or_table(random));
    const auto flags = static_cast<uint16_t>(random.one_in(2) ? random.below(8) : random.next());
    GrantEntryV1* e = &table[8 + random.below(24)];
    attempt([=] {
        auto* v = const_cast<volatile GrantEntryV1*>(e);
        v->domid = id;
        v->frame = f;
        v->flags = flags;
    });
}

}  // namespace

bool make_window() {
    own_id = own_domid();
    for (unsigned i = 0; i < play_pages; ++i) play_mfn[i] = mfn_of(&play[i]);
    for (unsigned i = 0; i < 3; ++i) table_mfn[i] = mfn_of(&tables[i]);
    root_mfn = mfn_of(at<void>(info->pt_base));
    uint64_t* last = make_tables(window, tables);
    if (!last) return false;
    for (unsigned i = 0; i < 8; ++i)
        if (write_entry(machine_address(last + i), mfn_of(&play[i]) * page_bytes | read_write) != 0) return false;
    return true;
}

void fill_buffer(Random& random) {
    auto* words = reinterpret_cast<uint64_t*>(&buffers[random.below(2)]);
    for (unsigned i = 0; i < 16; ++i) {
        switch (random.below(5)) {
            case 0: words[i] = port(random); break;
            case 1: words[i] = (addr(&play[random.below(play_pages)]) - kernel_base) / page_bytes; break;
            case 2: words[i] = random.odd(); break;
            default: words[i] = frame(random);
        }
    }
}

void scribble(Random& random) {
    switch (random.below(5)) {
        case 0: return write_events(random);
        case 1: return write_grant(random);
        case 2: return write_window(random);
        default: return write_word(random);
    }
}

uint64_t value_of(char letter, Random& random) {
    switch (letter) {
        case 'd': return domain(random);
        case 'p': return port(random);
        case 'v': return vcpu(random);
        case 'q': return random.one_in(8) ? random.odd() : random.below(24);
        case 'r': return random.one_in(16) ? random.odd() : 8 + random.below(24);
        case 'h': return random.one_in(8) ? random.odd() : random.below(32);
        case 'f': return random.one_in(16) ? random.odd() : frame_or_table(random);
        case 'g': return random.one_in(8) ? random.odd() : (addr(&play[random.below(play_pages)]) - kernel_base) / page_bytes;
        case 'e': return entry_address(random);
        case 't': return entry(random);
        case 'a': return address(random);
        case 'b': return random.one_in(16) ? random.odd() : addr(&buffers[random.below(2)]) + random.below(8) * 8;
        case 'k': return root(random);
        case 'n': return random.one_in(64) ? random.odd() : random.below(4);
        case 'i': return random.one_in(16) ? now() + random.below(2'000'000) : 1 + random.below(1000);
        case 's': return random.one_in(32) ? random.odd() : random.below(40);
        case 'm': return random.next() & (random.one_in(2) ? 0xf : 0xffff);
        case 'u': return random.odd();
        default: return 0;
    }
}

}  // namespace fuzz
