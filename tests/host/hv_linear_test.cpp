// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// Linear page tables: tables that name themselves or others of their level, read-only. What they may not become is a way to
// write to a table, or to reach what is not the guest's.
#include "hypervisor/guest/pv/guest_memory.hpp"

#include <array>
#include <random>
#include <utility>

#include "hypervisor/grant/guest_map.hpp"
#include "hypervisor/guest/pv/fetch.hpp"
#include "hypervisor/guest/pv/pt_write.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "tests/host/hv_paged_guest.hpp"

namespace {

using namespace hvtest;

constexpr uint64_t linear_bits = table_bits & ~pte::rw;

uint64_t word(Mfn m) { return page_of(m).type.load(); }
uint64_t users(Mfn m) { return word(m) & page::users_mask; }
uint64_t references(Mfn m) { return page_of(m).count.load() & page::count_mask; }
uint64_t linear_entries(Mfn m) { return (word(m) & page::linear_entries_mask) >> page::linear_entries_shift; }
uint64_t linear_uses(Mfn m) { return (word(m) & page::linear_uses_mask) >> page::linear_uses_shift; }

/// An address by the index it has at each level.
uint64_t va_of(uint64_t i4, uint64_t i3, uint64_t i2, uint64_t i1, uint64_t offset = 0) {
    const uint64_t va = i4 << 39 | i3 << 30 | i2 << 21 | i1 << 12 | offset;
    return i4 & 256 ? va | 0xffff'0000'0000'0000 : va;
}

/// A guest to whose tables one entry can be written, by their level in use.
struct LinearGuest : PagedGuest {
    using PagedGuest::PagedGuest;
    Status set(Mfn table, unsigned index, uint64_t value) {
        Guard lock(d->pv->lock);
        const auto level = static_cast<unsigned>(type_of(word(table)));
        return update_table(vcpu(), *d, &entry(table, index), value, level, KeepAccessed::no);
    }
    Status link(Mfn table, unsigned index, Mfn to, uint64_t bits = linear_bits) { return set(table, index, entry_of(to, bits)); }
    /// A table of `level` that is in use, by a pin, with nothing in it.
    Mfn pinned(unsigned level) {
        const Mfn m = page();
        EXPECT_TRUE(pin_table(*d, m, static_cast<PageType>(level)));
        return m;
    }
};

struct Linear : testing::Test {
    Linear() { control_domain(); }
};

TEST_F(Linear, ATableMayNameItselfReadOnly) {
    LinearGuest g(1);
    for (const Mfn table : {g.l4, g.l3, g.l2}) {
        const uint64_t before[] = {users(table), references(table)};
        EXPECT_EQ(g.link(table, 5, table, table_bits).error(), Errc::inval) << "writable";
        EXPECT_EQ(entry(table, 5), 0u);
        EXPECT_TRUE(g.link(table, 5, table));
        EXPECT_EQ(entry(table, 5), entry_of(table, linear_bits));
        // The same frame again: bits change, but never that one.
        EXPECT_EQ(g.link(table, 5, table, table_bits).error(), Errc::inval);
        EXPECT_EQ(entry(table, 5), entry_of(table, linear_bits));
        EXPECT_TRUE(g.link(table, 5, table, linear_bits | pte::nx | pte::avail));
        EXPECT_EQ(entry(table, 5), entry_of(table, linear_bits | pte::nx | pte::avail));
        EXPECT_EQ(users(table), before[0]);
        EXPECT_EQ(references(table), before[1]);
        EXPECT_EQ(linear_entries(table), 0u);
        EXPECT_TRUE(g.set(table, 5, 0));
        EXPECT_EQ(users(table), before[0]);
    }
    EXPECT_FALSE(g.link(g.l2, 5, g.l4)) << "two levels up";
    EXPECT_FALSE(g.link(g.l2, 5, g.l3));
    EXPECT_FALSE(g.link(g.l4, 5, g.l2)) << "two levels down";
}

TEST_F(Linear, AnotherTableOfTheLevelIsCounted) {
    LinearGuest g(1);
    for (unsigned level = 2; level <= 4; ++level) {
        const Mfn a = g.pinned(level), b = g.pinned(level), c = g.pinned(level);
        EXPECT_EQ(g.link(a, 1, b, table_bits).error(), Errc::inval);
        ASSERT_TRUE(g.link(a, 1, b));
        ASSERT_TRUE(g.link(a, 2, b));
        ASSERT_TRUE(g.link(a, 3, c));
        EXPECT_EQ(g.link(a, 1, b, table_bits).error(), Errc::inval) << "the same frame";
        EXPECT_EQ(linear_entries(a), 3u);
        EXPECT_EQ(linear_uses(b), 2u);
        EXPECT_EQ(users(b), 3u);
        EXPECT_EQ(references(b), 4u);
        // One step and no more: neither behind b nor in front of a.
        EXPECT_EQ(g.link(b, 1, c).error(), Errc::inval);
        EXPECT_EQ(g.link(c, 1, a).error(), Errc::inval);
        EXPECT_TRUE(g.link(b, 1, b)) << "itself is no step";
        // The entries keep the table one.
        ASSERT_TRUE(unpin_table(g, b));
        EXPECT_EQ(users(b), 2u);
        EXPECT_FALSE(get_writable_type(g.info(b)));
        ASSERT_TRUE(g.link(a, 2, c));
        EXPECT_EQ(linear_uses(b), 1u);
        ASSERT_TRUE(g.set(a, 1, 0));
        EXPECT_EQ(users(b), 0u);
        EXPECT_EQ(references(b), 1u);
        ASSERT_TRUE(g.set(a, 2, 0));
        ASSERT_TRUE(g.set(a, 3, 0));
        EXPECT_EQ(word(a) & (page::linear_entries_mask | page::linear_uses_mask), 0u);
        EXPECT_TRUE(g.link(c, 1, a)) << "now it may";
        ASSERT_TRUE(unpin_table(g, c));
        EXPECT_EQ(users(a), 1u);
    }
}

TEST_F(Linear, OnlyTablesOfTheGuestInUseAreNamed) {
    LinearGuest g(1);
    {
        Guest other(2);
        const Mfn foreign = other.page();
        ASSERT_TRUE(pin_table(other, foreign, PageType::l3));
        EXPECT_EQ(g.link(g.l3, 7, foreign).error(), Errc::perm);
    }
    // Half validated is not validated.
    const Mfn l3 = g.page(), l2 = g.page();
    for (unsigned i = 0; i < 4; ++i) entry(l3, i) = entry_of(l2, table_bits);
    host::preempt_every(1);
    EXPECT_EQ(pin_table(g, l3, PageType::l3).error(), Errc::restart);
    host::preempt_every(0);
    EXPECT_EQ(g.link(g.l3, 7, l3).error(), Errc::inval);
    EXPECT_EQ(linear_entries(g.l3), 0u);
}

// Whatever the address: a slot that is found lies in an L1, and the calls that ask for one refuse the others.
TEST_F(Linear, NoWalkEndsInAHigherTable) {
    LinearGuest g(1);
    const Mfn other3 = g.pinned(3), other2 = g.pinned(2);
    ASSERT_TRUE(g.link(g.l4, 1, g.l4));
    ASSERT_TRUE(g.link(g.l3, 1, g.l3));
    ASSERT_TRUE(g.link(g.l2, 1, g.l2));
    ASSERT_TRUE(g.link(g.l3, 2, other3));
    ASSERT_TRUE(g.link(g.l2, 2, other2));
    ASSERT_TRUE(g.link(g.l4, 3, g.l3)) << "read-only, and of the next level: no linear entry";
    const uint64_t some[] = {0, 1, 2, 3, 256, 260, 262};
    unsigned found = 0;
    for (const uint64_t i4 : some)
        for (const uint64_t i3 : some)
            for (const uint64_t i2 : some)
                for (const uint64_t i1 : some) {
                    const uint64_t va = va_of(i4, i3, i2, i1);
                    const uint64_t* slot = find_l1_slot(g.l4, va);
                    const bool proper = (i4 == 0 || i4 == 3) && i3 == 0 && i2 == 0;
                    EXPECT_EQ(slot != nullptr, proper) << i4 << ' ' << i3 << ' ' << i2;
                    if (slot) { EXPECT_EQ(slot, &entry(g.l1, static_cast<unsigned>(i1))); }
                    found += slot != nullptr;
                    if (proper) continue;
                    EXPECT_FALSE(hypercall(hypercall_handler(xen::HYPERVISOR_update_va_mapping), g.vcpu(), va,
                                           entry_of(g.data, data_bits), 0));
                    EXPECT_FALSE(pv_map_grant(g.vcpu(), va, g.data, Access::read_write, false, 0));
                }
    EXPECT_GT(found, 0u);
    EXPECT_EQ(entry(g.l4, 1), entry_of(g.l4, linear_bits));
    EXPECT_EQ(entry(g.l2, 0), entry_of(g.l1, table_bits));
}

// The hypervisor's slots of an L4 are no part of what a guest reaches through a linear entry, at whatever depth.
TEST_F(Linear, TheHypervisorsSlotsStayOutOfReach) {
    LinearGuest g(1);
    ASSERT_TRUE(g.link(g.l4, 1, g.l4));
    const uint64_t saved = std::exchange(entry(g.l4, l4_slot_directmap), entry_of(g.l3, table_bits));
    const uint64_t slot = l4_slot_directmap;
    for (const uint64_t va : {va_of(slot, 0, 0, 0), va_of(1, slot, 0, 0), va_of(1, 1, slot, 0), va_of(1, 1, 1, slot)}) {
        EXPECT_EQ(find_mapping(g.l4, va).slot, nullptr) << va;
        uint64_t out = 0;
        EXPECT_EQ(arch::walked_read(&out, va, sizeof out), arch::Walked::fault);
    }
    entry(g.l4, l4_slot_directmap) = saved;
    // What is the guest's own is there.
    EXPECT_EQ(find_mapping(g.l4, va_of(1, 1, 1, 1)).slot, &entry(g.l4, 1));
    EXPECT_EQ(find_mapping(g.l4, va_of(1, 0, 0, 0)).slot, &entry(g.l2, 0));
    EXPECT_FALSE(find_mapping(g.l4, va_of(1, 0, 0, 0)).in_l1);
    EXPECT_TRUE(find_mapping(g.l4, va_of(0, 0, 0, 0)).in_l1);
}

TEST_F(Linear, CopiesWalkTheGuestsTables) {
    LinearGuest g(1);
    uint64_t out = 0;
    EXPECT_EQ(arch::walked_read(&out, 0, 8), arch::Walked::not_needed);
    this_cpu().current = this_cpu().idle;
    EXPECT_EQ(arch::walked_read(&out, 0, 8), arch::Walked::not_needed);
    this_cpu().current = &g.vcpu();
    const Mfn second = g.page(), constant = g.page();
    {
        Guard lock(g->pv->lock);
        constexpr uint64_t fresh = data_bits & ~(pte::dirty | pte::accessed);
        ASSERT_TRUE(update_l1(g, g, &entry(g.l1, 1), entry_of(second, fresh), KeepAccessed::no));
        ASSERT_TRUE(update_l1(g, g, &entry(g.l1, 2), entry_of(constant, data_bits & ~pte::rw), KeepAccessed::no));
    }
    g->dirty_cpus.set(2);
    const uint64_t seen = host::record(2).tlb_flushes.load();
    ASSERT_TRUE(g.link(g.l4, 1, g.l4));
    EXPECT_EQ(host::record(2).tlb_flushes.load(), seen + 1) << "CPUs that run it have left their copies";
    g->dirty_cpus.clear(2);

    // Across the border of two pages, there and back.
    const char text[] = "twelve bytes";
    EXPECT_EQ(arch::walked_write(0xffa, text, 12), arch::Walked::done);
    EXPECT_EQ(std::memcmp(map_mfn(g.data) + 0xffa, text, 6), 0);
    EXPECT_EQ(std::memcmp(map_mfn(second), text + 6, 6), 0);
    EXPECT_EQ(entry(g.l1, 1) & (pte::accessed | pte::dirty), pte::accessed | pte::dirty);
    char back[12] = {};
    EXPECT_EQ(arch::walked_read(back, 0xffa, 12), arch::Walked::done);
    EXPECT_EQ(std::memcmp(back, text, 12), 0);
    EXPECT_EQ(arch::walked_write(0xff8, nullptr, 8), arch::Walked::done);
    EXPECT_EQ(map_mfn(g.data)[0xffa], 0);

    EXPECT_EQ(arch::walked_read(&out, 0x2000, 8), arch::Walked::done);
    EXPECT_EQ(arch::walked_write(0x2000, &out, 8), arch::Walked::fault) << "read-only";
    EXPECT_EQ(arch::walked_read(&out, 0x2ffc, 8), arch::Walked::fault) << "half of it is not mapped";
    EXPECT_EQ(arch::walked_read(&out, va_of(1, 0, 0, 0, 8), 8), arch::Walked::done) << "an L1 seen through a linear entry";
    EXPECT_EQ(out, entry(g.l1, 1));
    EXPECT_EQ(arch::walked_write(va_of(1, 0, 0, 0, 8), &out, 8), arch::Walked::fault);
    EXPECT_EQ(arch::walked_write(va_of(1, 1, 1, 1, 8), nullptr, 8), arch::Walked::fault);
}

// A guest finds its L1 through the linear entry and writes to it: performed like any other write to an L1; to a higher table
// it is a fault of the guest's.
TEST_F(Linear, WritesToTablesSeenThroughItAreChecked) {
    LinearGuest g(1);
    ASSERT_TRUE(g.link(g.l4, 1, g.l4));
    const uint8_t mov_rcx_to_rax[fetched_bytes] = {0x48, 0x89, 0x08};
    Regs r{};
    r.cs = xen::FLAT_KERNEL_CS64;
    const auto write = [&](uint64_t va, uint64_t value) {
        r.rip = address(mov_rcx_to_rax);
        r.rax = va;
        r.rcx = value;
        return pv_emulate_pt_write(g.vcpu(), r, va);
    };
    // The guest's instruction lies in the test's own memory, as everywhere on this machine.
    g->pv->linear_l4 = false;
    EXPECT_TRUE(write(va_of(1, 0, 0, 0, 8 * 9), entry_of(g.data, data_bits)));
    EXPECT_EQ(entry(g.l1, 9), entry_of(g.data, data_bits));
    EXPECT_FALSE(write(va_of(1, 0, 0, 0, 8 * 9), entry_of(g.l1, data_bits))) << "a writable table";
    EXPECT_FALSE(write(va_of(1, 1, 0, 0, 8 * 9), entry_of(g.l1, table_bits))) << "an L2";
    EXPECT_FALSE(write(va_of(1, 1, 1, 1, 8 * 9), entry_of(g.l4, linear_bits))) << "the L4";
    EXPECT_EQ(entry(g.l4, 9), 0u);
}

/// A MOV of a register to [rsi]: its bytes, and what it stores.
struct Store {
    std::array<uint8_t, fetched_bytes> code{};
    unsigned length = 0, size = 0, reg = 0;
    bool has_rex = false;

    Store(unsigned form, unsigned source) : reg(source) {
        static constexpr unsigned sizes[] = {1, 1, 2, 4, 8};
        static constexpr uint8_t prefixes[] = {0, 0x40, 0x66, 0, 0x48};
        size = sizes[form];
        has_rex = (prefixes[form] & 0xf0) == 0x40;
        if (prefixes[form] != 0) code[length++] = prefixes[form];
        code[length++] = size == 1 ? 0x88 : 0x89;
        code[length++] = static_cast<uint8_t>(reg << 3 | 6);
    }
    uint64_t value(Regs& r) const { return size == 1 && !has_rex && reg >= 4 ? x86::gpr(r, reg - 4) >> 8 : x86::gpr(r, reg); }
};

TEST_F(Linear, PartsOfEntriesAreWrittenAndNothingElse) {
    LinearGuest g(1);
    ASSERT_TRUE(g.link(g.l4, 1, g.l4));
    g->pv->linear_l4 = false;
    std::mt19937_64 rnd{3};
    constexpr uint64_t never_present = ~uint64_t{0x0101010101010101};
    for (unsigned round = 0; round < 100'000; ++round) {
        const Store store(static_cast<unsigned>(rnd() % 5), static_cast<unsigned>(rnd() % 8));
        if (store.reg == 6) continue;  // it holds the address
        Regs r{};
        for (unsigned i = 0; i < 16; ++i) x86::gpr(r, i) = rnd() & never_present;
        r.cs = xen::FLAT_KERNEL_CS64;
        r.rip = address(store.code.data());
        const auto offset = static_cast<unsigned>(rnd() % 8);
        r.rsi = va_of(1, 0, 0, 0, 8 * 9 + offset);
        uint64_t& e = entry(g.l1, 9);
        const uint64_t old = e = rnd() & never_present;
        Regs expected = r;
        const bool done = pv_emulate_pt_write(g.vcpu(), r, r.rsi);
        ASSERT_EQ(done, offset + store.size <= 8);
        uint64_t wanted = old;
        if (done) {
            const uint64_t value = store.value(expected);
            std::memcpy(reinterpret_cast<char*>(&wanted) + offset, &value, store.size);
            expected.rip += store.length;
        }
        ASSERT_EQ(e, wanted) << store.size << " bytes at " << offset << " from register " << store.reg;
        ASSERT_EQ(std::memcmp(&r, &expected, sizeof r), 0);
        e = 0;
    }
}

// -- ends ---------------------------------------------------------------------------------------------------------------

TEST_F(Linear, TheyGoWithTheirDomainWhateverInterruptsIt) {
    for (const unsigned period : {0u, 1u, 2u, 3u}) {
        domains_reap();
        const Resources start;
        {
            LinearGuest g(1);
            for (unsigned level = 2; level <= 4; ++level) {
                const Mfn a = g.pinned(level), b = g.pinned(level);
                const Mfn below = level == 2 ? g.page() : g.pinned(level - 1);
                for (unsigned i = 8; i < 20; ++i) ASSERT_TRUE(g.link(b, i, below, table_bits));
                ASSERT_TRUE(g.link(a, 1, a));
                for (unsigned i = 2; i < 6; ++i) ASSERT_TRUE(g.link(a, i, b));
                ASSERT_TRUE(g.link(b, 1, b));
                // Only a's entries keep b.
                ASSERT_TRUE(unpin_table(g, b));
            }
            ASSERT_TRUE(set_user_root(g.vcpu(), g.l4));
            host::preempt_every(period);
        }
        host::preempt_every(0);
        domains_reap();
        EXPECT_EQ(Resources(), start) << period;
    }
}

// Releasing a table whose linear entry is the last use of another: interrupted, taken up again by the release, or by a pin in
// between that makes the same page a table once more.
TEST_F(Linear, AReleaseThroughALinearEntryIsInterruptible) {
    for (const bool pinned_again : {false, true}) {
        LinearGuest g(1);
        const Mfn a = g.pinned(3), b = g.pinned(3), l2 = g.pinned(2);
        for (unsigned i = 8; i < 12; ++i) ASSERT_TRUE(g.link(b, i, l2, table_bits));
        ASSERT_TRUE(g.link(a, 1, b));
        ASSERT_TRUE(unpin_table(g, b));
        host::preempt_every(1);
        EXPECT_EQ(unpin_table(g, a).error(), Errc::restart);
        EXPECT_TRUE(word(b) & page::partial);
        EXPECT_EQ(users(l2), 4u) << "one of four entries is released, and the pin is there";
        if (pinned_again) {
            Status s = ok;
            while (!(s = pin_table(g, a, PageType::l3)) && s.error() == Errc::restart) {}
            host::preempt_every(0);
            // b is no table any more: an entry of an L3 makes it an L2, which cannot hold what it has.
            EXPECT_EQ(s.error(), Errc::inval);
        } else {
            Status s = ok;
            while (!(s = unpin_table(g, a)) && s.error() == Errc::restart) {}
            EXPECT_TRUE(s);
            host::preempt_every(0);
        }
        EXPECT_EQ(users(a), 0u);
        EXPECT_EQ(users(b), 0u);
        EXPECT_EQ(references(b), 1u);
        EXPECT_EQ(users(l2), 1u);
    }
}

// -- at random ----------------------------------------------------------------------------------------------------------

/// Counts what the tables in use say of each other, and compares it with what their words say.
class Model {
    const std::vector<Mfn>& pool_;

public:
    explicit Model(const std::vector<Mfn>& pool) : pool_(pool) {}
    void check() const {
        for (const Mfn m : pool_) {
            if (!in_use(m)) {
                EXPECT_EQ(word(m) & (page::linear_entries_mask | page::linear_uses_mask), 0u);
                continue;
            }
            unsigned entries = 0, uses = 0, type_uses = 0;
            for (const Mfn other : pool_)
                if (in_use(other)) count(other, m, uses, type_uses);
            for (unsigned i = 0; i < 16; ++i) entries += names(m, i) && target(m, i) != m && level(target(m, i)) == level(m);
            EXPECT_EQ(linear_entries(m), entries);
            EXPECT_EQ(linear_uses(m), uses);
            EXPECT_FALSE(entries && uses);
            EXPECT_EQ(users(m), type_uses + !!(word(m) & page::pinned));
        }
    }

private:
    static bool in_use(Mfn m) { return users(m) && (word(m) & page::validated) && level(m) >= 2 && level(m) <= 4; }
    static unsigned level(Mfn m) { return static_cast<unsigned>(type_of(word(m))); }
    static bool names(Mfn m, unsigned i) { return entry(m, i) & pte::present; }
    static Mfn target(Mfn m, unsigned i) { return Mfn::of_address(entry(m, i) & pte::frame_mask); }
    static void count(Mfn from, Mfn to, unsigned& uses, unsigned& type_uses) {
        for (unsigned i = 0; i < 16; ++i) {
            if (!names(from, i) || target(from, i) != to || from == to) continue;
            ++type_uses;
            const bool linear = level(from) == level(to);
            uses += linear;
            EXPECT_FALSE(linear && (entry(from, i) & pte::rw));
        }
    }
};

TEST_F(Linear, AtRandomTheCountsHold) {
    domains_reap();
    const Resources start;
    unsigned linear_made = 0;
    {
        LinearGuest g(1);
        std::mt19937_64 random(4);
        std::vector<Mfn> pool;
        for (unsigned i = 0; i < 12; ++i) pool.push_back(g.page());
        const Model model(pool);
        const auto any = [&] { return pool[random() % pool.size()]; };
        for (unsigned step = 0; step < 60'000 && !HasFailure(); ++step) {
            host::preempt_every(static_cast<unsigned>(random() % 4));
            const Mfn m = any();
            const auto level = static_cast<unsigned>(2 + random() % 3);
            Status s = ok;
            switch (random() % 8) {
                case 0: s = pin_table(g, m, static_cast<PageType>(level)); break;
                case 1: s = unpin_table(g, m); break;
                default: {
                    const PageType t = type_of(word(m));
                    const bool table = users(m) && (word(m) & page::validated) && is_table(t) && t != PageType::l1;
                    const unsigned index = static_cast<unsigned>(random() % 16);
                    const uint64_t value = random() % 5 == 0 ? 0 : entry_of(any(), random() % 3 ? linear_bits : table_bits);
                    if (table) {
                        s = g.set(m, index, value);
                        const Mfn to = Mfn::of_address(value & pte::frame_mask);
                        linear_made += s && value && to != m && type_of(word(to)) == type_of(word(m));
                    } else if (!users(m)) {
                        // What it will be validated with: one entry that may be anything, or nothing.
                        std::memset(map_mfn(m), 0, base::page_size);
                        if (random() % 4 == 0) entry(m, index) = value;
                    }
                }
            }
            if (!s && s.error() == Errc::intr) postpone_release(g.vcpu(), g, m);
            // Most interruptions are followed by another attempt, at some time.
            if (random() % 3) {
                host::preempt_every(0);
                while (!finish_pending_put(g.vcpu())) {}
                for (const Mfn p : pool)
                    if (word(p) & page::partial) (void)unpin_table(g, p);
                model.check();
            }
        }
        host::preempt_every(3);
    }
    EXPECT_GT(linear_made, 500u);
    host::preempt_every(0);
    domains_reap();
    EXPECT_EQ(Resources(), start);
}

}  // namespace
