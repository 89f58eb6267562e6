// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// Trace buffers: as tools make them, what is recorded at which points, and that no reader can do harm. Buffers are made once for the
/// life of the machine, so the order of these tests matters.
#include <deque>
#include <map>
#include <random>

#include "abi/xen/sched.hpp"
#include "abi/xen/sysctl.hpp"
#include "abi/xen/trace.hpp"
#include "abi/xen/vcpu.hpp"
#include "hypervisor/domain/run.hpp"
#include "hypervisor/domain/trace_buffers.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/trace_points.hpp"
#include "hypervisor/hypercall/trace_control.hpp"
#include "hypervisor/trace/trace.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;
using Words = std::vector<uint32_t>;

constexpr uint32_t pages = 3, size = pages * 4096 - sizeof(xen::TBuf);

struct Record {
    uint32_t event = 0;
    bool timed = false;
    uint64_t when = 0;
    Words words;
};

/// One CPU's buffer as a tool maps it: frames by number, of which it writes `cons`.
class Reader {
    std::vector<uint8_t*> pages_;
    uint32_t size_;

    uint32_t word(uint32_t at) const {
        const uint32_t offset = (at >= size_ ? at - size_ : at) + sizeof(xen::TBuf);
        uint32_t w = 0;
        std::memcpy(&w, pages_[offset / 4096] + offset % 4096, sizeof w);
        return w;
    }
    uint32_t next(uint32_t at, uint32_t bytes) const { return (at + bytes) % (2 * size_); }

public:
    explicit Reader(unsigned cpu) {
        const TraceInfoPages info = trace_info_pages();
        const auto* t = map_mfn<xen::TInfo>(info.first);
        const uint16_t list = reinterpret_cast<const uint16_t*>(t)[1 + cpu];
        for (unsigned i = 0; i < t->tbuf_size; ++i) {
            const Mfn m(reinterpret_cast<const uint32_t*>(t)[list + i]);
            pages_.push_back(map_mfn<uint8_t>(m));
        }
        size_ = static_cast<uint32_t>(pages_.size() * 4096 - sizeof(xen::TBuf));
    }
    xen::TBuf& head() const { return *reinterpret_cast<xen::TBuf*>(pages_[0]); }
    uint32_t waiting() const { return (head().prod + 2 * size_ - head().cons) % (2 * size_); }
    /// The next record; it may not lie across the end.
    Record take() {
        const uint32_t at = head().cons, first = word(at);
        Record r;
        r.event = first & 0x0fff'ffff;
        r.timed = first >> 31;
        const uint32_t n = first >> 28 & 7, before = r.timed ? 12 : 4, bytes = before + n * 4;
        EXPECT_LE(at % size_ + bytes, size_) << "a record lies across the end";
        EXPECT_LE(bytes, waiting());
        if (r.timed) r.when = word(next(at, 4)) | uint64_t{word(next(at, 8))} << 32;
        for (uint32_t i = 0; i < n; ++i) r.words.push_back(word(next(at, before + i * 4)));
        head().cons = next(at, bytes);
        return r;
    }
    std::vector<Record> all() {
        std::vector<Record> list;
        while (waiting()) {
            Record r = take();
            if (r.event != xen::TRC_TRACE_WRAP_BUFFER) list.push_back(std::move(r));
        }
        return list;
    }
    void forget() { head().cons = head().prod; }
};

class Trace : public ::testing::Test {
protected:
    Guest& dom0 = control_domain();

    void SetUp() override {
        host::become(0);
        trace_events(xen::TRC_ALL);
        trace::set_cpus(CpuSet::any());
        this_cpu().pending = 0;
    }
    void TearDown() override {
        trace_end();
        host::preempt_every(0);
    }

    Result<uint64_t> ask(Guest& caller, uint32_t cmd, uint32_t n, xen::SysctlTbufOp& t) {
        auto op = xen::zeroed<xen::Sysctl>();
        op.cmd = xen::XEN_SYSCTL_tbuf_op;
        op.interface_version = xen::XEN_SYSCTL_INTERFACE_VERSION;
        op.u.tbuf_op.cmd = cmd;
        op.u.tbuf_op.size = op.u.tbuf_op.evt_mask = n;
        auto r = hypercall(hypercall_handler(xen::HYPERVISOR_sysctl), caller.vcpu(), address(&op));
        t = op.u.tbuf_op;
        return r;
    }
    Errc call(uint32_t cmd, uint32_t n = 0) {
        xen::SysctlTbufOp t{};
        const auto r = ask(dom0, cmd, n, t);
        return r ? Errc{} : r.error();
    }
    /// One entry of the hypercall, restarted or not.
    Errc enter(uint32_t n) {
        const auto r = make_trace_buffers(n);
        return r ? Errc{} : r.error();
    }
    xen::SysctlTbufOp info() {
        xen::SysctlTbufOp t{};
        EXPECT_TRUE(ask(dom0, xen::XEN_SYSCTL_TBUFOP_get_info, 9, t));
        return t;
    }
    static std::vector<Record> records(unsigned cpu = 0) { return Reader(cpu).all(); }
    static std::vector<Record> records_of(uint32_t event) {
        std::vector<Record> found;
        for (Record& r : records())
            if (r.event == event) found.push_back(std::move(r));
        return found;
    }
    /// With only these events on, from now.
    void record(uint32_t events) {
        trace_events(events);
        Reader(0).forget();
        ASSERT_EQ(call(xen::XEN_SYSCTL_TBUFOP_enable), Errc{});
    }
};

// -- making them ---------------------------------------------------------------------------------------------------------

TEST_F(Trace, ThereAreNoneBeforeSomebodyAsks) {
    EXPECT_EQ(info().size, 0u);
    EXPECT_EQ(info().buffer_mfn, 0u);
    EXPECT_EQ(info().evt_mask, xen::TRC_ALL);
    EXPECT_EQ(call(xen::XEN_SYSCTL_TBUFOP_enable), Errc::inval);
    EXPECT_EQ(call(xen::XEN_SYSCTL_TBUFOP_disable), Errc{});
    EXPECT_EQ(call(xen::XEN_SYSCTL_TBUFOP_set_size, 0), Errc::inval);
    EXPECT_EQ(call(6), Errc::inval);
    Guest other(61);
    for (uint32_t cmd = 0; cmd < 7; ++cmd) {
        xen::SysctlTbufOp t{};
        EXPECT_EQ(ask(other, cmd, 1, t).error(), Errc::perm);
    }
    trace::event(xen::TRC_SCHED_WAKE, 1u, 2u);
}

TEST_F(Trace, WhatThereIsNoMemoryForGoesBackInSteps) {
    constexpr uint32_t far_too_many = 6000;
    EXPECT_EQ(call(xen::XEN_SYSCTL_TBUFOP_set_size, far_too_many), Errc::nomem);
    const Resources before;
    host::preempt_every(1);
    ASSERT_EQ(enter(far_too_many), Errc::restart);
    EXPECT_EQ(enter(far_too_many + 1), Errc::inval) << "one at a time";
    unsigned turns = 1;
    Errc e = Errc::restart;
    for (; e == Errc::restart; ++turns) e = enter(far_too_many);
    EXPECT_EQ(e, Errc::nomem);
    EXPECT_GT(turns, 10'000u) << "pages came and went one by one";
    EXPECT_EQ(Resources{}, before);
    EXPECT_EQ(info().size, 0u);

    // The same, and who asked does not come back: the next one sees to what is left.
    do e = enter(far_too_many);
    while (e == Errc::restart && heap::free_pages().n > 0);
    ASSERT_EQ(e, Errc::restart);
    ASSERT_EQ(enter(far_too_many), Errc::restart) << "gives back";
    host::preempt_every(0);
    EXPECT_EQ(enter(1), Errc::nomem);
    EXPECT_EQ(Resources{}, before);
}

TEST_F(Trace, AreMadeOnceAndBelongToXen) {
    host::preempt_every(2);
    ASSERT_EQ(call(xen::XEN_SYSCTL_TBUFOP_set_size, pages), Errc{});
    EXPECT_EQ(call(xen::XEN_SYSCTL_TBUFOP_set_size, pages), Errc{});
    EXPECT_EQ(call(xen::XEN_SYSCTL_TBUFOP_set_size, pages + 1), Errc::inval);
    const xen::SysctlTbufOp t = info();
    EXPECT_EQ(t.size, 4096u);
    const auto* words = map_mfn<uint32_t>(Mfn(t.buffer_mfn));
    const auto* halves = reinterpret_cast<const uint16_t*>(words);
    EXPECT_EQ(halves[0], pages);
    std::map<uint32_t, int> seen;
    for (unsigned cpu = 0; cpu < test_cpus; ++cpu)
        for (unsigned i = 0; i < pages; ++i) {
            const uint32_t m = words[halves[1 + cpu] + i];
            ++seen[m];
            PageInfo& p = page_of(Mfn(m));
            EXPECT_FALSE(get_page(p, DomId(0)));
            ASSERT_TRUE(get_page(p, DomId(xen::DOMID_XEN)));
            EXPECT_TRUE(get_writable_type(p)) << "readers write how far they are";
            put_writable_type(p);
            put_page(p);
        }
    EXPECT_EQ(seen.size(), size_t{test_cpus} * pages);
    EXPECT_EQ(seen.count(0), 0u);
}

// -- what is in them -----------------------------------------------------------------------------------------------------

TEST_F(Trace, RecordsHaveXensLayout) {
    Reader(0).forget();
    ASSERT_EQ(call(xen::XEN_SYSCTL_TBUFOP_enable), Errc{});
    Reader(0).forget();
    trace::event(xen::TRC_SCHED_WAKE);
    trace::untimed_event(xen::TRC_SCHED_SLEEP, 1u, 2u, 3u, 4u, 5u, 6u, 7u);
    trace::event(xen::TRC_MEM_PAGE_GRANT_MAP, uint64_t{0x1122334455667788}, 9u);
    const auto got = records();
    ASSERT_EQ(got.size(), 3u);
    EXPECT_EQ(got[0].event, xen::TRC_SCHED_WAKE);
    EXPECT_TRUE(got[0].timed);
    EXPECT_TRUE(got[0].words.empty());
    EXPECT_FALSE(got[1].timed);
    EXPECT_EQ(got[1].words, (Words{1, 2, 3, 4, 5, 6, 7}));
    EXPECT_EQ(got[2].words, (Words{0x55667788, 0x11223344, 9}));
    EXPECT_GE(got[2].when, got[0].when);
    ASSERT_EQ(call(xen::XEN_SYSCTL_TBUFOP_disable), Errc{});
    trace::event(xen::TRC_SCHED_WAKE);
    EXPECT_TRUE(records().empty());
}

TEST_F(Trace, OnlyWhatIsWanted) {
    struct {
        uint32_t mask, event;
        bool wanted;
    } const cases[] = {
        {xen::TRC_ALL, xen::TRC_SCHED_WAKE, true},
        {xen::TRC_SCHED, xen::TRC_SCHED_WAKE, true},
        {xen::TRC_SCHED_VERBOSE, xen::TRC_SCHED_WAKE, true},
        {xen::TRC_SCHED_MIN, xen::TRC_SCHED_WAKE, false},
        {xen::TRC_SCHED_MIN, xen::TRC_SCHED_RUNSTATE_CHANGE | 0x210, true},
        {xen::TRC_MEM, xen::TRC_SCHED_WAKE, false},
        {xen::TRC_HW_IRQ, xen::TRC_HW_IRQ_HANDLED, true},
        {xen::TRC_HW_PM, xen::TRC_HW_IRQ_HANDLED, false},
        {xen::TRC_PV_ENTRY, xen::TRC_PV_HYPERCALL_SUBCALL, false},
        {0xfff0'0000 & xen::TRC_ALL, xen::TRC_SCHED_WAKE, false},
        {0, xen::TRC_SCHED_WAKE, false},
    };
    for (const auto& c : cases) {
        ASSERT_EQ(call(xen::XEN_SYSCTL_TBUFOP_set_evt_mask, c.mask), Errc{});
        EXPECT_EQ(info().evt_mask, c.mask);
        Reader(0).forget();
        ASSERT_EQ(call(xen::XEN_SYSCTL_TBUFOP_enable), Errc{});
        Reader(0).forget();
        trace::event(c.event, 1u);
        EXPECT_EQ(records().size(), c.wanted ? 1u : 0u) << std::hex << c.mask << " " << c.event;
        ASSERT_EQ(call(xen::XEN_SYSCTL_TBUFOP_disable), Errc{});
    }
}

TEST_F(Trace, OnTheCpusThatAreWanted) {
    const uint8_t only_cpu1 = 2;
    auto op = xen::zeroed<xen::Sysctl>();
    op.cmd = xen::XEN_SYSCTL_tbuf_op;
    op.interface_version = xen::XEN_SYSCTL_INTERFACE_VERSION;
    op.u.tbuf_op.cmd = xen::XEN_SYSCTL_TBUFOP_set_cpu_mask;
    op.u.tbuf_op.cpu_mask.nr_bits = 8;
    op.u.tbuf_op.cpu_mask.bitmap.addr = address(&only_cpu1);
    ASSERT_TRUE(hypercall(hypercall_handler(xen::HYPERVISOR_sysctl), dom0.vcpu(), address(&op)));
    record(xen::TRC_SCHED_VERBOSE);
    Reader(1).forget();
    trace::event(xen::TRC_SCHED_WAKE, 0u);
    host::become(1);
    trace::event(xen::TRC_SCHED_WAKE, 1u);
    host::become(0);
    EXPECT_TRUE(records(0).empty());
    const auto got = records(1);
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].words, Words{1});
}

/// Any mix of records and readers: whatever was taken comes out in order, whatever was not is counted, nothing lies across the end.
TEST_F(Trace, NothingIsLostUncounted) {
    record(xen::TRC_SCHED_VERBOSE);
    std::minstd_rand engine(20261123);
    const auto random = [&] { return static_cast<uint32_t>(engine()); };
    Reader reader(0);
    std::deque<Words> expected;
    uint32_t number = 0, next = 0, lost = 0, wraps = 0;
    for (unsigned step = 0; step < 60'000; ++step) {
        const uint32_t burst = random() % 40;
        for (uint32_t i = 0; i < burst; ++i) {
            Words w(1 + random() % 7, number++);
            trace::detail::record(xen::TRC_SCHED_WAKE, w.data(), static_cast<unsigned>(w.size()), random() % 2);
            expected.push_back(std::move(w));
        }
        const uint32_t few = step % 500 < 100 ? 0 : random() % 60;
        for (uint32_t i = 0; i < few && reader.waiting(); ++i) {
            const Record r = reader.take();
            if (r.event == xen::TRC_TRACE_WRAP_BUFFER) {
                ++wraps;
                continue;
            }
            if (r.event == xen::TRC_LOST_RECORDS) {
                ASSERT_EQ(r.words.size(), 4u);
                ASSERT_GT(r.words[0], 0u);
                lost += r.words[0];
                ASSERT_EQ(r.words[1], uint32_t{current().domain.id.raw} | uint32_t{current().id.raw} << 16);
                ASSERT_LE(r.words[2] | uint64_t{r.words[3]} << 32, r.when);
                for (uint32_t gone = r.words[0]; gone > 0; --gone, ++next) expected.pop_front();
                continue;
            }
            ASSERT_EQ(r.words, expected.front()) << "record " << next;
            expected.pop_front();
            ++next;
        }
    }
    EXPECT_GT(wraps, 1000u);
    EXPECT_GT(lost, 1000u);
}

TEST_F(Trace, ReadersHearWhenItIsHalfFull) {
    record(xen::TRC_SCHED_VERBOSE);
    Reader reader(0);
    const auto told = [] { return this_cpu().pending.exchange(0) & static_cast<uint32_t>(SoftIrq::trace); };
    (void)told();
    for (int round = 0; round < 5; ++round) {
        unsigned calls = 0;
        while (reader.waiting() + 64 < size) {
            const bool below = reader.waiting() < size / 2;
            trace::event(xen::TRC_SCHED_WAKE, 1u, 2u, 3u);
            if (!told()) continue;
            ++calls;
            EXPECT_TRUE(below);
            EXPECT_GE(reader.waiting(), size / 2);
        }
        EXPECT_EQ(calls, 1u);
        reader.forget();
    }
}

TEST_F(Trace, NoReaderDoesHarm) {
    Reader reader(0);
    const auto try_with = [&](uint32_t cons) {
        reader.forget();
        trace::disable();
        trace_events(xen::TRC_SCHED_VERBOSE);
        ASSERT_EQ(call(xen::XEN_SYSCTL_TBUFOP_enable), Errc{});
        for (int i = 0; i < 20; ++i) trace::event(xen::TRC_SCHED_WAKE, 1u);
        const uint32_t prod = reader.head().prod;
        reader.head().cons = cons;
        reader.head().prod = 0x1234'5678;
        trace::event(xen::TRC_SCHED_WAKE, 2u);
        const uint32_t ahead = (prod + 2 * size - cons) % (2 * size);
        const bool makes_sense = cons < 2 * size && cons % 4 == 0 && ahead <= size;
        EXPECT_EQ(trace::on(), makes_sense) << cons;
        const bool added = reader.head().prod != 0x1234'5678;
        if (makes_sense && ahead + 16 <= size) { EXPECT_TRUE(added) << "what readers write there is not read"; }
        if (!added) reader.head().prod = prod;
    };
    const uint32_t odd[] = {1,        2,   3,  size, size - 4, size + 1, 2 * size - 4, 2 * size - 1, 2 * size, 2 * size + 4,
                            1u << 31, ~0u, ~3u};
    for (const uint32_t c : odd) try_with(c);
    std::minstd_rand engine(7);
    const auto random = [&] { return static_cast<uint32_t>(engine()) * 2; };
    for (int i = 0; i < 5000; ++i) try_with(i % 2 ? random() : random() % (2 * size + 8));
    reader.forget();
}

TEST_F(Trace, WhatWasLostBeforeIsNotTold) {
    record(xen::TRC_SCHED_VERBOSE);
    for (uint32_t i = 0; i < size; ++i) trace::event(xen::TRC_SCHED_WAKE, i);
    record(xen::TRC_SCHED_VERBOSE);
    trace::event(xen::TRC_SCHED_WAKE, 77u);
    const auto got = records();
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].words, Words{77});
}

// -- where they come from --------------------------------------------------------------------------------------------------

TEST_F(Trace, Hypercalls) {
    Guest g(62);
    Vcpu& v = g.vcpu();
    const auto make = [&](uint64_t op, uint64_t a0, uint64_t a1, uint64_t a2) {
        Regs r{};
        r.rax = op;
        r.rdi = a0;
        r.rsi = a1;
        r.rdx = a2;
        hypercall_dispatch(v, r);
        return static_cast<int64_t>(r.rax);
    };
    EXPECT_EQ(make(xen::HYPERVISOR_xen_version, 0, 0, 0), 0x40011);
    record(xen::TRC_PV_ENTRY);
    EXPECT_EQ(make(xen::HYPERVISOR_xen_version, 0, 0, 0), 0x40011);
    make(xen::HYPERVISOR_mmu_update, 64, 0, 0);
    make(xen::HYPERVISOR_vcpu_op, 3, 5, 0);
    make(xen::HYPERVISOR_grant_table_op, 1, 64, 0);
    EXPECT_EQ(make(63, 1, 2, 3), -38);
    EXPECT_EQ(make(1'000'000, 1, 2, 3), -38);
    xen::MulticallEntry list[2]{};
    list[0].op = list[1].op = xen::HYPERVISOR_vcpu_op;
    make(xen::HYPERVISOR_multicall, address(list), 2, 0);
    std::vector<Words> got;
    for (const Record& r : records()) {
        EXPECT_EQ(r.event, xen::TRC_PV_HYPERCALL_V2);
        got.push_back(r.words);
    }
    const std::vector<Words> expected = {
        {xen::HYPERVISOR_xen_version},
        {xen::HYPERVISOR_mmu_update | 1u << 22, 0},
        {xen::HYPERVISOR_vcpu_op | 5u << 20, 3, 5},
        {xen::HYPERVISOR_grant_table_op | 1u << 20 | 1u << 24, 1, 0},
        {63},  // unknown; what is no number of the table at all leaves none
        {xen::HYPERVISOR_multicall | 1u << 22, 2},
    };
    EXPECT_EQ(got, expected);

    record(xen::TRC_PV_SUBCALL);
    make(xen::HYPERVISOR_multicall, address(list), 2, 0);
    EXPECT_EQ(records_of(xen::TRC_PV_HYPERCALL_SUBCALL).size(), 2u);
    trace_end();
    make(xen::HYPERVISOR_xen_version, 0, 0, 0);
    EXPECT_TRUE(records().empty());
}

TEST_F(Trace, TrapsAndWhatIsDoneForGuests) {
    record(xen::TRC_PV);
    Regs r{};
    r.rip = 0xffff'8000'1234'5678;
    pv_trace_trap(r, 13, 0x1234);
    pv_trace_software_interrupt(r, 3);
    pv_trace_page_fault(r, 0x7fff'0000'1000, 6);
    pv_trace_emulation(r, xen::TRC_PV_EMULATE_PRIVOP);
    const auto got = records();
    ASSERT_EQ(got.size(), 4u);
    EXPECT_EQ(got[0].event, 0x201103u);
    EXPECT_EQ(got[0].words, (Words{0x12345678, 0xffff8000, 13 | 0x8000 | 0x1234u << 16}));
    EXPECT_EQ(got[1].words, (Words{0x12345678, 0xffff8000, 3}));
    EXPECT_EQ(got[2].event, 0x201104u);
    EXPECT_EQ(got[2].words, (Words{0x12345678, 0xffff8000, 0x1000, 0x7fff, 6}));
    EXPECT_EQ(got[3].event, 0x201106u);
}

TEST_F(Trace, LivesOfDomainsAndTurnsOfVcpus) {
    record(xen::TRC_SCHED | (xen::TRC_DOM0OP & ~0xfu));
    {
        Guest g(63);
        g.start();
        const auto born = records();
        const auto has = [](const std::vector<Record>& list, uint32_t event, const Words& words) {
            for (const Record& r : list)
                if (r.event == event && r.words == words) return true;
            return false;
        };
        EXPECT_TRUE(has(born, xen::TRC_DOM0_DOM_ADD, {63}));
        EXPECT_TRUE(has(born, xen::TRC_SCHED_DOM_ADD, {63}));
        EXPECT_TRUE(has(born, xen::TRC_SCHED_WAKE, {63, 0}));

        // On the CPU where it waits: to it, then to nobody again.
        const unsigned cpu = g.vcpu().cpu;
        host::become(cpu);
        Reader(cpu).forget();
        schedule();
        ASSERT_EQ(&current(), &g.vcpu());
        const auto came = records(cpu);
        const uint32_t idle = xen::DOMID_IDLE;
        EXPECT_TRUE(has(came, xen::TRC_SCHED_SWITCH, {idle, cpu, 63, 0}));
        EXPECT_TRUE(
            has(came, xen::TRC_SCHED_RUNSTATE_CHANGE | xen::RUNSTATE_runnable << 8 | xen::RUNSTATE_running << 4, {63u << 16}));
        vcpu_yield_current();
        vcpu_block_current();
        schedule();
        const auto went = records(cpu);
        EXPECT_TRUE(has(went, xen::TRC_SCHED_YIELD, {63, 0}));
        EXPECT_TRUE(has(went, xen::TRC_SCHED_BLOCK, {63, 0}));
        EXPECT_TRUE(has(went, xen::TRC_SCHED_SWITCH, {63, 0, idle, cpu}));
        EXPECT_TRUE(
            has(went, xen::TRC_SCHED_RUNSTATE_CHANGE | xen::RUNSTATE_running << 8 | xen::RUNSTATE_blocked << 4, {63u << 16}));
        host::become(0);
        Reader(0).forget();
    }
    domains_reap();
    EXPECT_EQ(records_of(xen::TRC_DOM0_DOM_REM).size(), 1u);
}

}  // namespace
