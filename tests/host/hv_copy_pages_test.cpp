// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// HYPERVISOR_copy_pages: pages come and go whole, those that are not the domain's or are tables are refused one by one, and it goes on
/// where it stopped.
#include "abi/xenolith/copy_pages.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;
using namespace xenolith;

constexpr uint8_t untouched = 0xa5;
using Page = std::array<uint8_t, base::page_size>;

class CopyPagesTest : public ::testing::Test {
protected:
    Guest& dom0 = control_domain();
    Guest guest{5}, other{6};
    std::vector<uint64_t> frames;
    std::vector<uint8_t> states;
    std::vector<Page> pages;

    ~CopyPagesTest() override { host::preempt_every(0); }

    /// A page of the guest's that begins with this word.
    Mfn page_with(uint64_t word) {
        const Mfn m = guest.page();
        *map_mfn<uint64_t>(m) = word;
        return m;
    }
    void list(std::vector<uint64_t> wanted) {
        frames = std::move(wanted);
        states.assign(frames.size(), COPY_PAGES_DATA);
        pages.assign(frames.size(), Page{});
        for (Page& p : pages) p.fill(untouched);
    }
    CopyPages argument() const {
        auto a = xen::zeroed<CopyPages>();
        a.domid = 5;
        a.count = static_cast<uint32_t>(frames.size());
        a.frames.addr = address(frames.data());
        a.states.addr = address(states.data());
        a.pages.addr = address(pages.data());
        return a;
    }
    static Result<uint64_t> ask(Guest& caller, uint32_t cmd, const CopyPages* a, uint64_t first = 0, unsigned* turns = nullptr) {
        Vcpu* const running = std::exchange(this_cpu().current, &caller.vcpu());
        auto r = hypercall(hypercall_handler(HYPERVISOR_copy_pages), caller.vcpu(), cmd, address(a), first, turns);
        this_cpu().current = running;
        return r;
    }
    static Errc error_of(const Result<uint64_t>& r) { return r ? Errc{} : r.error(); }
    Errc run(uint32_t cmd, const CopyPages& a) { return error_of(ask(dom0, cmd, &a)); }
    Errc run(uint32_t cmd) { return run(cmd, argument()); }
    static uint64_t word_of(const Page& p) {
        uint64_t w = 0;
        std::memcpy(&w, p.data(), sizeof w);
        return w;
    }
    static bool is_untouched(const Page& p) {
        return std::ranges::all_of(p, [](uint8_t b) { return b == untouched; });
    }
};

TEST_F(CopyPagesTest, SaysWhichItIs) { EXPECT_EQ(must(ask(dom0, COPY_PAGES_version, nullptr)), COPY_PAGES_VERSION); }

TEST_F(CopyPagesTest, ReadsPagesAndSaysWhatIsZerosOrNotTheDomains) {
    const Mfn full = page_with(0x1122), empty = guest.page(), last_byte = guest.page(), strange = other.page();
    map_mfn(last_byte)[base::page_size - 1] = 7;
    *map_mfn<uint64_t>(strange) = 0xdead;
    list({full.raw, empty.raw, strange.raw, last_byte.raw, max_frame, ~uint64_t{0}, full.raw});
    ASSERT_EQ(run(COPY_PAGES_read), Errc{});
    EXPECT_EQ(states, (std::vector<uint8_t>{COPY_PAGES_DATA, COPY_PAGES_ZEROS, COPY_PAGES_REFUSED, COPY_PAGES_DATA,
                                            COPY_PAGES_REFUSED, COPY_PAGES_REFUSED, COPY_PAGES_DATA}));
    EXPECT_EQ(std::memcmp(pages[0].data(), map_mfn(full), base::page_size), 0);
    EXPECT_EQ(std::memcmp(pages[3].data(), map_mfn(last_byte), base::page_size), 0);
    EXPECT_EQ(word_of(pages[6]), 0x1122u);
    for (const unsigned i : {1U, 2U, 4U, 5U}) EXPECT_TRUE(is_untouched(pages[i])) << i;
}

TEST_F(CopyPagesTest, ReadsTables) {
    const Mfn root = guest.page();
    ASSERT_TRUE(set_kernel_root(guest.vcpu(), root));
    list({root.raw});
    ASSERT_EQ(run(COPY_PAGES_read), Errc{});
    EXPECT_NE(states[0], COPY_PAGES_REFUSED);
    states[0] = COPY_PAGES_DATA;
    ASSERT_EQ(run(COPY_PAGES_write), Errc{});
    EXPECT_EQ(states[0], COPY_PAGES_REFUSED) << "a table is not written";
    EXPECT_NE(*map_mfn(root), untouched);
}

TEST_F(CopyPagesTest, WritesPagesAndZeros) {
    const Mfn a = page_with(1), b = page_with(2), strange = other.page();
    *map_mfn<uint64_t>(strange) = 0xdead;
    list({a.raw, b.raw, strange.raw, ~uint64_t{0}});
    states[1] = COPY_PAGES_ZEROS;
    ASSERT_EQ(run(COPY_PAGES_write), Errc{});
    EXPECT_EQ(states, (std::vector<uint8_t>{COPY_PAGES_DATA, COPY_PAGES_ZEROS, COPY_PAGES_REFUSED, COPY_PAGES_REFUSED}));
    EXPECT_EQ(std::memcmp(map_mfn(a), pages[0].data(), base::page_size), 0);
    EXPECT_TRUE(std::all_of(map_mfn(b), map_mfn(b) + base::page_size, [](uint8_t byte) { return byte == 0; }));
    EXPECT_EQ(*map_mfn<uint64_t>(strange), 0xdeadu);
    EXPECT_EQ(page_of(a).type.load() & page::users_mask, 0u) << "it may become a table again";
}

TEST_F(CopyPagesTest, RefusesWhatItCannotDo) {
    list({page_with(1).raw});
    CopyPages a = argument();
    EXPECT_EQ(error_of(ask(guest, COPY_PAGES_read, &a)), Errc::perm);
    EXPECT_EQ(error_of(ask(guest, COPY_PAGES_version, &a)), Errc::perm);
    EXPECT_EQ(error_of(ask(dom0, 3, &a)), Errc::nosys);
    a.domid = 0;
    EXPECT_EQ(run(COPY_PAGES_read, a), Errc::inval) << "the caller itself";
    for (const uint16_t domid : {uint16_t{99}, uint16_t{0x7ff0}, uint16_t{0x7ff1}, uint16_t{0x7ff2}}) {
        a.domid = domid;
        EXPECT_NE(run(COPY_PAGES_write, a), Errc{}) << domid;
    }
    a = argument();
    a.count = COPY_PAGES_MOST + 1;
    EXPECT_EQ(run(COPY_PAGES_read, a), Errc::toobig);
    a = argument();
    a.pad = 1;
    EXPECT_EQ(run(COPY_PAGES_read, a), Errc::inval);
    EXPECT_EQ(error_of(ask(dom0, COPY_PAGES_read, nullptr)), Errc::fault);
    states[0] = COPY_PAGES_REFUSED;
    EXPECT_EQ(run(COPY_PAGES_write), Errc::inval);
    EXPECT_EQ(*map_mfn<uint64_t>(Mfn(frames[0])), 1u);
    EXPECT_TRUE(is_untouched(pages[0]));
}

TEST_F(CopyPagesTest, MemoryThatFaultsLosesNothing) {
    const Mfn m = page_with(1);
    list({m.raw});
    const uint64_t count = page_of(m).count.load();
    for (const uint32_t cmd : {COPY_PAGES_read, COPY_PAGES_write})
        for (xen::Handle<uint8_t> CopyPages::*part : {&CopyPages::pages, &CopyPages::states}) {
            CopyPages a = argument();
            (a.*part).addr = 64;
            EXPECT_EQ(run(cmd, a), Errc::fault);
        }
    CopyPages a = argument();
    a.frames.addr = 64;
    EXPECT_EQ(run(COPY_PAGES_read, a), Errc::fault);
    EXPECT_EQ(page_of(m).count.load(), count);
    EXPECT_EQ(page_of(m).type.load() & page::users_mask, 0u);
}

TEST_F(CopyPagesTest, GoesOnWhereItStopped) {
    std::vector<uint64_t> all;
    for (uint64_t i = 0; i < 40; ++i) all.push_back(page_with(i + 1).raw);
    list(all);
    host::preempt_every(1);
    unsigned turns = 0;
    CopyPages a = argument();
    ASSERT_EQ(error_of(ask(dom0, COPY_PAGES_read, &a, 0, &turns)), Errc{});
    EXPECT_EQ(turns, 40u);
    for (uint64_t i = 0; i < 40; ++i) EXPECT_EQ(word_of(pages[i]), i + 1);
    // Where it goes on is the caller's word, and is believed in nothing.
    list(all);
    a = argument();
    ASSERT_EQ(error_of(ask(dom0, COPY_PAGES_read, &a, 39)), Errc{});
    EXPECT_TRUE(is_untouched(pages[38]));
    EXPECT_EQ(word_of(pages[39]), 40u);
    EXPECT_EQ(error_of(ask(dom0, COPY_PAGES_read, &a, ~uint64_t{0})), Errc{});
}

TEST_F(CopyPagesTest, PagesOfADomainThatEndsAreRefused) {
    list({page_with(1).raw});
    guest.stop();
    const DomainRef kept = must(find_domain(DomId(5)));
    while (!domain_kill(*guest.d)) {}
    EXPECT_NE(run(COPY_PAGES_read), Errc::fault);
    EXPECT_TRUE(is_untouched(pages[0]));
}

}  // namespace
