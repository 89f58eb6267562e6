// SPDX-License-Identifier: Apache-2.0
// link: xentrace_core
// xentrace's reader over the hypervisor's own core: buffers are made, mapped, read and consumed; nothing is lost or comes twice.
#include <gtest/gtest.h>

#include <set>

#include "abi/xen/sched.hpp"
#include "hypervisor/trace/trace.hpp"
#include "tests/machine/host.hpp"
#include "tests/sim/backend.hpp"
#include "toolstack/xentrace/rings.hpp"

namespace {

using namespace xentrace;

class XentraceSim : public ::testing::Test {
protected:
    sim::Machine& machine = sim::Machine::instance();
    sim::SimBackend backend{machine};
    xenctrl::Control control{backend};
};

/// The words of the records, one behind the other.
std::vector<uint32_t> words_of(const Window& w) {
    std::vector<uint32_t> out(w.bytes() / 4);
    std::memcpy(out.data(), w.first.data(), w.first.size());
    std::memcpy(reinterpret_cast<std::byte*>(out.data()) + w.first.size(), w.second.data(), w.second.size());
    return out;
}

TEST_F(XentraceSim, WhatIsRecordedIsReadOnce) {
    EXPECT_EQ(control.trace(true).failure().code, base::Errc::inval) << "there is nothing to write to";
    auto rings = open_rings(control, 2);
    ASSERT_TRUE(rings) << rings.failure().text;
    EXPECT_EQ(rings.value().size(), control.physinfo().value().cpus);
    ASSERT_TRUE(control.set_trace_events(xen::TRC_SCHED_VERBOSE));
    ASSERT_TRUE(control.set_trace_cpus({1}));
    ASSERT_TRUE(control.trace(true));
    EXPECT_TRUE(open_rings(control, 7)) << "those that there are";
    EXPECT_EQ(control.make_trace_buffers(7).failure().code, base::Errc::inval);

    Ring& ring = rings.value()[0];
    uint32_t next = 0, expected = 0;
    unsigned cut = 0;
    for (unsigned round = 0; round < 3000; ++round) {
        for (unsigned i = 0; i < 1 + round % 40; ++i) {
            const std::lock_guard lock(machine.lock());
            hv::host::become(0);
            hv::trace::event(xen::TRC_SCHED_WAKE, expected++);
        }
        const auto w = ring.waiting();
        ASSERT_TRUE(w);
        cut += !w.value().second.empty();
        const auto words = words_of(w.value());
        for (size_t at = 0; at < words.size();) {
            const uint32_t n = (words[at] >> 28 & 7) + (words[at] >> 31) * 2;
            if ((words[at] & 0x0fff'ffff) == xen::TRC_SCHED_WAKE) { ASSERT_EQ(words.at(at + 3), next++); }
            at += 1 + n;
        }
        ring.consume(w.value().bytes());
    }
    EXPECT_EQ(next, expected);
    EXPECT_GT(cut, 10u) << "runs that lie across the end";
    for (size_t cpu = 1; cpu < rings.value().size(); ++cpu) EXPECT_EQ(rings.value()[cpu].waiting().value().bytes(), 0u);
    ASSERT_TRUE(control.trace(false));
}

}  // namespace
