// SPDX-License-Identifier: Apache-2.0
// link: hvcore
#include "hypervisor/rt/log_ring.hpp"

#include <string>

#include "abi/xen/sched.hpp"
#include "hypervisor/domain/domain_log.hpp"
#include "hypervisor/guest/pv/emulate.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/timestamp.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;

std::string shown;
bool room = true;
ConsoleSink capture{[](TextFrom, const char* text, size_t n) { shown.append(text, n); }, [](size_t) { return room; }};

constexpr LogLevels all{4, 4};

/// Every test starts with an empty log that keeps everything, on a CPU that runs nobody, long after the last line.
class Log : public testing::Test {
protected:
    Vcpu* const before_ = (control_domain(), this_cpu().current);
    Log() {
        static const bool once = (add_console(capture), true);
        (void)once;
        host::log_to_stderr = false;
        set_log_levels(all, all);
        set_timestamps(Timestamps::none);
        host::advance(base::Nanos::s(3600));
        shown.clear();
    }
    ~Log() override {
        this_cpu().current = before_;
        set_log_levels({1, 1}, {1, 1});
        host::log_to_stderr = true;
    }
    static unsigned lines_with(const std::string& part) {
        unsigned n = 0;
        for (size_t at = 0; (at = shown.find(part, at)) != std::string::npos; ++at) ++n;
        return n;
    }
    static Result<uint64_t> write(Guest& g, const std::string& text) {
        return hypercall(hypercall_handler(xen::HYPERVISOR_console_io), g.vcpu(), xen::CONSOLEIO_write, text.size(),
                         address(text.data()));
    }
};

TEST_F(Log, LinesOfAGuestAreItsOwn) {
    Guest g(5);
    (void)must(write(g, "one\ntwo\nthr"));
    EXPECT_EQ(shown, "(d5) one\n(d5) two\n") << "a line that is not ended waits";
    (void)must(write(g, "ee\r\n"));
    EXPECT_EQ(shown, "(d5) one\n(d5) two\n(d5) three\n");
    shown.clear();
    (void)must(write(g, std::string("a\033[2Jb\0c\x80\xff\td\n(XEN) forged\n", 26)));
    EXPECT_EQ(shown, "(d5) a.[2Jb.c.. d\n(d5) (XEN) forged\n");
    shown.clear();
    (void)must(write(g, std::string(450, 'x')));
    EXPECT_EQ(shown, "(d5) " + std::string(200, 'x') + "\n(d5) " + std::string(200, 'x') + "\n");
    shown.clear();
    g.destroy();
    EXPECT_EQ(shown, "(d5) " + std::string(50, 'x') + "\n") << "the end of the domain ends its line";
}

TEST_F(Log, TextOfGuestsIsAtDebugLevel) {
    Guest g(5);
    set_log_levels(default_own_levels, default_guest_levels);
    (void)must(write(g, "unheard\n"));
    EXPECT_EQ(shown, "");
    set_log_levels(all, {3, 4});
    for (unsigned i = 0; i < 100; ++i) (void)must(write(g, "limited\n"));
    EXPECT_EQ(lines_with("(d5) limited"), 10u);
    Guest other(6);
    (void)must(write(other, "has a share of its own\n"));
    EXPECT_EQ(lines_with("(d6) has a share"), 1u);
    host::advance(base::Nanos::ms(500));
    for (unsigned i = 0; i < 5; ++i) (void)must(write(g, "again\n"));
    EXPECT_EQ(lines_with("(XEN) d5: 90 lines suppressed\n(d5) again\n"), 1u);
    EXPECT_EQ(lines_with("again"), 1u);
}

TEST_F(Log, Levels) {
    const LogLevel levels[] = {LogLevel::error, LogLevel::warning, LogLevel::info, LogLevel::debug};
    for (uint8_t kept = 0; kept <= 4; ++kept) {
        shown.clear();
        set_log_levels({kept, kept}, {kept, kept});
        for (const LogLevel l : levels) {
            log(l, "own");
            guest_log(l, "guest");
            EXPECT_EQ(guest_log_wanted(l), static_cast<uint8_t>(l) < kept);
        }
        EXPECT_EQ(lines_with("own"), kept);
        EXPECT_EQ(lines_with("guest"), kept);
    }
}

// At a limited level a guest that causes many lines uses up its own share, and nobody else's.
TEST_F(Log, EachGuestHasAShareOfTheLines) {
    Guest g(5), other(6);
    constexpr unsigned many = 1000;
    set_log_levels(all, {0, 4});
    this_cpu().current = &g.vcpu();
    for (unsigned i = 0; i < many; ++i) guest_log(LogLevel::warning, "g's line");
    const unsigned kept = lines_with("g's line");
    EXPECT_GE(kept, 1u);
    EXPECT_LT(kept, many / 2);
    this_cpu().current = &other.vcpu();
    guest_log(LogLevel::warning, "other's line");
    EXPECT_EQ(lines_with("other's line"), 1u);
    this_cpu().current = nullptr;  // of nobody, as at boot
    guest_log(LogLevel::warning, "nobody's line");
    EXPECT_EQ(lines_with("nobody's line"), 1u);
    shown.clear();
    host::advance(base::Nanos::s(3600));
    this_cpu().current = &g.vcpu();
    guest_log(LogLevel::warning, "later");
    EXPECT_EQ(shown, "(XEN) d5: " + std::to_string(many - kept) + " lines suppressed\n(XEN) later\n");
}

TEST_F(Log, ARefusedRegisterIsSaidOnce) {
    Guest g(5), other(6);
    for (unsigned i = 0; i < 3; ++i) {
        EXPECT_FALSE(pv_read_msr(g.vcpu(), 0xdead));
        EXPECT_FALSE(pv_write_msr(g.vcpu(), 0xdead, 1));
        EXPECT_FALSE(pv_read_msr(other.vcpu(), 0xdead));
    }
    EXPECT_EQ(lines_with("d5v0: RDMSR 0000dead refused"), 1u);
    EXPECT_EQ(lines_with("d5v0: WRMSR 0000dead = 1 refused"), 1u);
    EXPECT_EQ(lines_with("d6v0: RDMSR 0000dead refused"), 1u);
    for (uint32_t msr = 0xd000; msr < 0xd100; ++msr) EXPECT_FALSE(pv_read_msr(g.vcpu(), msr));
    EXPECT_EQ(lines_with("RDMSR"), 2u + DomainLog::most_msrs - 2);
}

TEST_F(Log, ACrashShowsRegistersStackAndReason) {
    Guest g(5);
    g.start();
    this_cpu().current = &g.vcpu();
    uint64_t stack[200];
    for (unsigned i = 0; i < 200; ++i) stack[i] = 0xabc000 + i;
    Regs& r = arch::guest_regs();
    r.rsp = address(stack);
    r.rip = 0xffffffff81001234;
    r.r15 = 0x1515;
    domain_crash(g, "reserved bit set in a page table");
    EXPECT_EQ(lines_with("crashed on cpu"), 0u) << "not under the caller's locks";
    domain_report_crash();
    domain_report_crash();
    EXPECT_EQ(lines_with("(XEN) domain_crash called from "), 1u);
    EXPECT_EQ(lines_with("hv_log_test.cpp:"), 1u);
    EXPECT_EQ(lines_with("d5 crashed: reserved bit set in a page table\n"), 1u);
    EXPECT_EQ(lines_with("(XEN) Domain 5 (vcpu#0) crashed on cpu#0:\n"), 1u);
    EXPECT_EQ(lines_with("[<ffffffff81001234>]"), 1u);
    EXPECT_EQ(lines_with("r15: 0000000000001515"), 1u);
    EXPECT_EQ(lines_with("(XEN) Guest stack trace from rsp="), 1u);
    EXPECT_EQ(lines_with(" 0000000000abc0"), 80u);
    EXPECT_EQ(lines_with("0000000000abc04f"), 1u);
    EXPECT_TRUE(g->shut_down.load());
    EXPECT_EQ(g->shutdown_code, xen::SHUTDOWN_crash);
}

TEST_F(Log, AStackThatIsNotThere) {
    Guest g(5);
    g.start();
    this_cpu().current = &g.vcpu();
    uint64_t stack[8] = {0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666, 0x7777, 0x8888};
    host::guest_window(address(stack), 6 * 8);
    arch::guest_regs().rsp = address(stack);
    domain_crash(g, "any reason");
    domain_report_crash();
    host::guest_window(base::page_size, ~uint64_t{0} - base::page_size);
    EXPECT_EQ(lines_with("0000000000006666"), 1u);
    EXPECT_EQ(lines_with("0000000000007777"), 0u);
    EXPECT_EQ(lines_with("no memory is mapped"), 1u);
}

TEST_F(Log, CrashesAreLimited) {
    const uint64_t stack[200] = {};
    arch::guest_regs().rsp = address(stack);
    for (uint16_t id = 10; id < 30; ++id) {
        Guest g(id);
        g.start();
        this_cpu().current = &g.vcpu();
        domain_crash(g, "over and over");
        domain_report_crash();
        this_cpu().current = before_;
    }
    EXPECT_EQ(lines_with("over and over"), 4u);
    EXPECT_EQ(lines_with("Guest stack trace"), 4u);
    host::advance(base::Nanos::s(60));
    Guest g(30);
    domain_crash(g, "by another");
    EXPECT_EQ(lines_with("16 crashes of domains not shown"), 1u);
    EXPECT_EQ(lines_with("d30 crashed: by another"), 1u);
    domain_report_crash();
    EXPECT_EQ(lines_with("Guest stack trace"), 4u) << "only of the vCPU that did it";
}

TEST_F(Log, ARefusedUpdateSaysWhat) {
    Guest g(5), other(6);
    const Mfn theirs = other.page(), ours = g.page();
    const auto update = [&](uint64_t ptr, uint64_t value) {
        const xen::MmuUpdate u{ptr, value};
        const uint64_t in[6] = {address(&u), 1, 0, xen::DOMID_SELF, 0, 0};
        return hypercall_handler(xen::HYPERVISOR_mmu_update)(g.vcpu(), in);
    };
    this_cpu().current = &g.vcpu();
    EXPECT_FALSE(update(theirs.address() + 0x128, 0x1234567));
    char want[200];
    format(want, sizeof want,
           "(XEN) d5v0: mmu_update refused: ptr %016lx, value 0000000001234567, L0: the frame is not the domain's (error 1)\n",
           theirs.address() + 0x128);
    EXPECT_EQ(shown, want);
    shown.clear();
    EXPECT_FALSE(update(uint64_t{1} << 50, 0));
    EXPECT_EQ(lines_with("there is no such frame"), 1u);

    const auto pin = [&](Mfn m, uint32_t cmd) {
        auto op = xen::zeroed<xen::MmuextOp>();
        op.cmd = cmd;
        op.arg1.mfn = m.raw;
        const uint64_t in[6] = {address(&op), 1, 0, xen::DOMID_SELF, 0, 0};
        return hypercall_handler(xen::HYPERVISOR_mmuext_op)(g.vcpu(), in);
    };
    PageRef ref = must(PageRef::acquire(ours, g->id));
    ASSERT_TRUE(get_writable_type(ref.page()));
    EXPECT_FALSE(pin(ours, xen::MMUEXT_PIN_L2_TABLE));
    format(want, sizeof want, "mmuext_op %u refused: %lx, 0, L2: the frame is mapped writable (error 22)\n",
           xen::MMUEXT_PIN_L2_TABLE, ours.raw);
    EXPECT_EQ(lines_with(want), 1u);
    put_writable_type(ref.page());

    // An entry that is not allowed: the table is pinned, then made to map somebody else's page.
    ASSERT_TRUE(pin(ours, xen::MMUEXT_PIN_L1_TABLE));
    EXPECT_FALSE(update(ours.address() + 8, theirs.address() | 7));
    format(want, sizeof want, "ptr %016lx, value %016lx, L1: the frame is not the domain's", ours.address() + 8,
           theirs.address() | 7);
    EXPECT_EQ(lines_with(want), 1u);
    ASSERT_TRUE(pin(ours, xen::MMUEXT_UNPIN_TABLE));
}

TEST_F(Log, TheRingGrowsWithItsText) {
    static char large[4 * log_ring_size];
    char text[64];
    uint32_t index = 0;
    while (log_read(text, sizeof text, index, true)) {}
    for (unsigned i = 0; i < 3000; ++i) log(LogLevel::info, "line %u, long enough to fill the ring", i);
    std::string before, after;
    index = 0;
    while (const size_t n = log_read(text, sizeof text, index, false)) before.append(text, n);
    EXPECT_EQ(before.size(), log_ring_size);
    log_ring_move(large, sizeof large);
    index = 0;
    while (const size_t n = log_read(text, sizeof text, index, false)) after.append(text, n);
    EXPECT_EQ(before, after);
    for (unsigned i = 0; i < 3000; ++i) log(LogLevel::info, "line %u, long enough to fill the ring", i);
    after.clear();
    index = 0;
    while (const size_t n = log_read(text, sizeof text, index, false)) after.append(text, n);
    EXPECT_EQ(after.substr(0, before.size()), before);
    EXPECT_NE(after.find("line 2999"), after.rfind("line 2999"));
    while (log_read(text, sizeof text, index, true)) {}
}

TEST_F(Log, Dom0sConsoleWaitsForRoomAndMayGoToTheRing) {
    Vcpu& v = control_domain().vcpu();
    room = false;
    const std::string text = "from dom0\n";
    const uint64_t in[6] = {xen::CONSOLEIO_write, text.size(), address(text.data()), 0, 0, 0};
    std::memcpy(v.hypercall.args, in, sizeof in);
    EXPECT_EQ(hypercall_handler(xen::HYPERVISOR_console_io)(v, v.hypercall.args).error(), Errc::restart);
    EXPECT_EQ(v.hypercall.args[1], text.size()) << "all of it again";
    room = true;
    uint32_t index = 0;
    char kept[64];
    while (log_read(kept, sizeof kept, index, true)) {}
    (void)must(
        hypercall(hypercall_handler(xen::HYPERVISOR_console_io), v, xen::CONSOLEIO_write, text.size(), address(text.data())));
    EXPECT_EQ(log_read(kept, sizeof kept, index, false), 0u);
    set_console_to_ring(true);
    (void)must(
        hypercall(hypercall_handler(xen::HYPERVISOR_console_io), v, xen::CONSOLEIO_write, text.size(), address(text.data())));
    set_console_to_ring(false);
    EXPECT_EQ(std::string(kept, log_read(kept, sizeof kept, index, true)), text);
    EXPECT_EQ(shown, text + text);
}

TEST_F(Log, TimestampsComeFirst) {
    clock::set_wallclock(951'827'696, 5, base::Nanos{0});  // 2000-02-29 12:34:56
    const uint64_t s = 951'827'696 + static_cast<uint64_t>(host::now().n / 1'000'000'000);
    clock::set_wallclock(951'827'696 - (s - 951'827'696), 0, base::Nanos{0});
    char text[64];
    EXPECT_EQ(format_timestamp(text, sizeof text, Timestamps::none), 0u);
    format_timestamp(text, sizeof text, Timestamps::date);
    EXPECT_STREQ(text, "[2000-02-29 12:34:56] ");
    format_timestamp(text, sizeof text, Timestamps::date_ms);
    char want[64];
    format(want, sizeof want, "[2000-02-29 12:34:56.%03ld] ", host::now().n % 1'000'000'000 / 1'000'000);
    EXPECT_STREQ(text, want);
    set_timestamps(Timestamps::boot);
    log(LogLevel::error, "text");
    format(want, sizeof want, "(XEN) [%5ld.%06ld] text\n", host::now().n / 1'000'000'000, host::now().n % 1'000'000'000 / 1000);
    EXPECT_EQ(shown, want);
}

}  // namespace
