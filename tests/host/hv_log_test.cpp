// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// XEN_DOMCTL_shadow_op as tools use it for live migration: its answers, its interruptions, and what becomes of a log that nobody
/// reads to its end. What is in a log is hv_log_model_test.cpp's.
#include <algorithm>
#include <cstring>
#include <vector>

#include "abi/xen/domctl.hpp"
#include "hypervisor/domain/dirty_log.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/mirror.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "tests/host/hv_paged_guest.hpp"

namespace {

using namespace hvtest;

constexpr uint16_t id = 51;
constexpr uint64_t data_pfn = 70;

class Log : public ::testing::Test {
protected:
    Guest& dom0 = control_domain();
    std::vector<uint8_t> bits = std::vector<uint8_t>(64 << 10);

    ~Log() override { host::preempt_every(0); }

    static xen::Domctl shadow(uint32_t what, uint32_t mode = 0) {
        auto op = xen::zeroed<xen::Domctl>();
        op.cmd = xen::XEN_DOMCTL_shadow_op;
        op.interface_version = xen::XEN_DOMCTL_INTERFACE_VERSION;
        op.domain = id;
        op.u.shadow_op.op = what;
        op.u.shadow_op.mode = mode;
        return op;
    }
    Errc call(xen::Domctl& op, unsigned* turns = nullptr) {
        Vcpu* const running = std::exchange(this_cpu().current, &dom0.vcpu());
        const auto r = hypercall(hypercall_handler(xen::HYPERVISOR_domctl), dom0.vcpu(), address(&op), 0, 0, turns);
        this_cpu().current = running;
        return r ? Errc{} : r.error();
    }
    /// One entry of the hypercall, which may want to be entered again.
    Errc once(xen::Domctl& op) {
        Vcpu* const running = std::exchange(this_cpu().current, &dom0.vcpu());
        const uint64_t in[6] = {address(&op)};
        std::memcpy(dom0.vcpu().hypercall.args, in, sizeof in);
        const auto r = hypercall_handler(xen::HYPERVISOR_domctl)(dom0.vcpu(), dom0.vcpu().hypercall.args);
        this_cpu().current = running;
        return r ? Errc{} : r.error();
    }
    Errc ask(uint32_t what, uint32_t mode = 0) {
        auto op = shadow(what, mode);
        return call(op);
    }
    xen::Domctl reading(uint32_t what, uint64_t pages = 128, uint32_t mode = 0) {
        auto op = shadow(what, mode);
        op.u.shadow_op.dirty_bitmap.addr = address(bits.data());
        op.u.shadow_op.pages = pages;
        return op;
    }
    /// The numbers in the bitmap.
    std::vector<uint64_t> numbers() const {
        std::vector<uint64_t> all;
        for (uint64_t i = 0; i < bits.size() * 8; ++i)
            if (bits[i / 8] >> (i % 8) & 1) all.push_back(i);
        return all;
    }
    static void write_to(PagedGuest& g) {
        set_m2p(g.data, data_pfn);
        dirtied(g.data);
    }
    using Numbers = std::vector<uint64_t>;
};

TEST_F(Log, IsBegunOnceAndEndedAtAnyTime) {
    PagedGuest g(id);
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_OFF), Errc{}) << "there is none";
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_CLEAN), Errc::inval);
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_PEEK), Errc::inval);
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY), Errc{});
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY), Errc::inval);
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE, xen::XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY), Errc::inval);
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_OFF), Errc{});
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE, xen::XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY), Errc{});
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_CLEAN, 2), Errc::inval) << "a mode that there is not";
    auto op = reading(xen::XEN_DOMCTL_SHADOW_OP_CLEAN, ~uint64_t{0});
    EXPECT_EQ(call(op), Errc::toobig);
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_OFF), Errc{});
    EXPECT_FALSE(any_dirty_log());
}

TEST_F(Log, IsOfOthersThatHaveVcpus) {
    auto op = shadow(xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY);
    for (const uint16_t self : {uint16_t{0}, uint16_t{xen::DOMID_SELF}}) {
        op.domain = self;
        EXPECT_EQ(call(op), Errc::inval);
    }
    DomainRef empty = domain_create(DomId(id), pv_guest, {}, false).take();
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY), Errc::inval);
    while (!domain_kill(*empty)) {}
    empty = DomainRef();
    domains_reap();
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY), Errc::srch);
}

TEST_F(Log, CleanTakesWhatPeekLeaves) {
    PagedGuest g(id);
    ASSERT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY), Errc{});
    write_to(g);
    for (unsigned n = 0; n < 2; ++n) {
        auto op = reading(xen::XEN_DOMCTL_SHADOW_OP_PEEK);
        ASSERT_EQ(call(op), Errc{});
        EXPECT_EQ(numbers(), Numbers{data_pfn});
        EXPECT_EQ(op.u.shadow_op.pages, 128u);
        EXPECT_EQ(op.u.shadow_op.stats.dirty_count, 1u);
    }
    auto less = reading(xen::XEN_DOMCTL_SHADOW_OP_CLEAN, data_pfn);
    bits[data_pfn / 8] = 0xff;
    ASSERT_EQ(call(less), Errc{});
    EXPECT_EQ(bits[data_pfn / 8], 0) << "the byte has no bit behind the last page";
    auto op = reading(xen::XEN_DOMCTL_SHADOW_OP_CLEAN);
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(numbers(), Numbers{data_pfn}) << "what was not asked for was left";
    EXPECT_EQ(op.u.shadow_op.stats.dirty_count, 0u) << "counted since the last time";
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(numbers(), Numbers{});
    write_to(g);
    op.u.shadow_op.dirty_bitmap.addr = 0;
    ASSERT_EQ(call(op), Errc{}) << "only to clean";
    op = reading(xen::XEN_DOMCTL_SHADOW_OP_CLEAN);
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(numbers(), Numbers{});
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_OFF), Errc{});
}

TEST_F(Log, WhatCannotBeDeliveredStays) {
    PagedGuest g(id);
    ASSERT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY), Errc{});
    write_to(g);
    auto op = reading(xen::XEN_DOMCTL_SHADOW_OP_CLEAN);
    op.u.shadow_op.dirty_bitmap.addr = 8;
    EXPECT_EQ(call(op), Errc::fault);
    op = reading(xen::XEN_DOMCTL_SHADOW_OP_CLEAN);
    ASSERT_EQ(call(op), Errc{});
    EXPECT_EQ(numbers(), Numbers{data_pfn});
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_OFF), Errc{});
}

TEST_F(Log, OneReadingAtATime) {
    PagedGuest g(id);
    const uint64_t many = PageNumbers::per_leaf - 5;
    ASSERT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY), Errc{});
    write_to(g);
    auto op = reading(xen::XEN_DOMCTL_SHADOW_OP_CLEAN, many);
    host::preempt_every(1);
    ASSERT_EQ(once(op), Errc::restart);
    auto other = reading(xen::XEN_DOMCTL_SHADOW_OP_PEEK, many);
    EXPECT_EQ(once(other), Errc::busy);
    other = reading(xen::XEN_DOMCTL_SHADOW_OP_CLEAN, many - 1);
    EXPECT_EQ(once(other), Errc::busy);
    unsigned turns = 0;
    ASSERT_EQ(call(op, &turns), Errc{});
    EXPECT_GT(turns, 3u) << "the copy stops in between";
    EXPECT_EQ(numbers(), Numbers{data_pfn});
    host::preempt_every(0);
    EXPECT_EQ(call(other), Errc{}) << "it is over";
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_OFF), Errc{});
}

TEST_F(Log, EndsInTheMiddleOfAReading) {
    PagedGuest g(id);
    const Resources before;
    for (unsigned n = 0; n < 2; ++n) {
        ASSERT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY), Errc{});
        write_to(g);
        auto op = reading(xen::XEN_DOMCTL_SHADOW_OP_CLEAN, PageNumbers::per_leaf, n);
        host::preempt_every(1);
        ASSERT_EQ(once(op), Errc::restart);
        auto off = shadow(xen::XEN_DOMCTL_SHADOW_OP_OFF);
        ASSERT_EQ(once(off), Errc::restart) << "mirrors go one by one";
        EXPECT_EQ(g.vcpu().pv->kernel_cr3, g.l4) << "and nobody runs on them any more";
        EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY), Errc::inval) << "it is not gone yet";
        ASSERT_EQ(call(off), Errc{});
        host::preempt_every(0);
        EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_CLEAN), Errc::inval);
        EXPECT_EQ(Resources(), before);
    }
}

TEST_F(Log, GoesWithItsDomain) {
    domains_reap();
    const Resources before;
    {
        PagedGuest g(id);
        host::preempt_every(1);
        ASSERT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY), Errc{});
        auto op = reading(xen::XEN_DOMCTL_SHADOW_OP_CLEAN, PageNumbers::per_leaf);
        ASSERT_EQ(once(op), Errc::restart);
    }
    host::preempt_every(0);
    domains_reap();
    EXPECT_FALSE(any_dirty_log());
    EXPECT_EQ(Resources().bytes, before.bytes);
}

/// What the mirror of the table that maps the guest's data at 0 says.
uint64_t& mirror_entry(PagedGuest& g) {
    Guard lock(g->pv->lock);
    return map_mfn<uint64_t>(Mfn(mirror_of(g, g.info(g.l1), 1)))[0];
}

TEST_F(Log, WhatMirrorsKnewThatWereLeftToThemselvesIsInIt) {
    PagedGuest g(id);
    ASSERT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY), Errc{});
    set_m2p(g.data, data_pfn);
    this_cpu().loaded_cr3 = g.vcpu().pv->cr3();
    uint32_t error = 6;
    ASSERT_TRUE(mirror_fault(g.vcpu(), 0, error));
    auto op = reading(xen::XEN_DOMCTL_SHADOW_OP_CLEAN);
    ASSERT_EQ(call(op), Errc{});
    uint64_t& entry = mirror_entry(g);
    EXPECT_EQ(entry, entry_of(g.data, data_bits & ~pte::dirty));
    entry |= pte::dirty;  // the CPU
    {
        // The next table finds no page.
        Guard lock(g->pv->lock);
        Mirrors& m = *g->pv->mirrors;
        while (m.unused.first) {
            const uint32_t page = m.unused.first;
            m.unused.first = frame_table[page].next;
            --m.pages;
            heap::free_page(map_mfn(Mfn(page)));
        }
        m.unused.last = 0;
        m.most = m.pages;
    }
    const Mfn other = g.page();
    {
        Guard lock(g->pv->lock);
        uint64_t* slot = &hvtest::entry(g.l2, 1);
        ASSERT_TRUE(update_table(g.vcpu(), g, slot, entry_of(other, table_bits), 2, KeepAccessed::no));
        ASSERT_TRUE(update_l1(g, g, &hvtest::entry(other, 0), entry_of(g.data, data_bits), KeepAccessed::no));
    }
    error = 4;
    ASSERT_TRUE(mirror_fault(g.vcpu(), uint64_t{2} << 20, error));
    op = reading(xen::XEN_DOMCTL_SHADOW_OP_CLEAN);
    ASSERT_EQ(call(op), Errc{});
    const auto all = numbers();
    EXPECT_NE(std::find(all.begin(), all.end(), data_pfn), all.end());
    this_cpu().loaded_cr3 = idle_cr3();
    EXPECT_EQ(ask(xen::XEN_DOMCTL_SHADOW_OP_OFF), Errc{});
}

}  // namespace
