// SPDX-License-Identifier: Apache-2.0
// link: xenctrl
// Control operations against the fake hypervisor: decoding, texts, and that no buffer is left.
#include <gtest/gtest.h>

#include "tests/host/fake_xen.hpp"
#include "toolstack/xenctrl/control.hpp"

namespace {

using namespace testing_tools;
using xenctrl::Control;
using xenctrl::DomainInfo;

class Xenctrl : public ::testing::Test {
protected:
    static xenctrl::CreateOptions options(uint32_t vcpus) {
        xenctrl::CreateOptions o;
        o.max_vcpus = vcpus;
        return o;
    }
    DomId make(uint32_t vcpus = 1) { return control.create(options(vcpus)).take(); }
    void TearDown() override {
        EXPECT_EQ(xen.buffers, 0U);
        EXPECT_EQ(xen.mappings, 0U);
    }
    FakeXen xen;
    Control control{xen};
};

TEST_F(Xenctrl, CreateListDestroy) {
    const uint64_t before = xen.free_pages();
    for (int i = 0; i < 300; ++i) make(2);  // more than one chunk of the list
    const auto all = control.list().take();
    ASSERT_EQ(all.size(), 300U);
    EXPECT_EQ(all[299].id.raw, 300);
    EXPECT_EQ(all[0].vcpus, 2U);
    EXPECT_EQ(control.list(DomId{299})->size(), 2U);
    for (const auto& d : all) ASSERT_TRUE(control.destroy(d.id));
    EXPECT_EQ(xen.free_pages(), before);
    EXPECT_TRUE(control.list()->empty());
}

TEST_F(Xenctrl, AFailedSecondHalfOfCreateUndoesTheFirst) {
    xen.fail_call = 2;
    auto made = control.create(options(4));
    ASSERT_FALSE(made);
    EXPECT_EQ(made.failure().text, "Cannot create the virtual CPUs of domain 1: Not enough free memory in the hypervisor");
    EXPECT_TRUE(xen.domains.empty());
}

TEST_F(Xenctrl, InfoIsOfThisDomainOrNone) {
    make();
    const DomId second = make();
    ASSERT_TRUE(control.destroy(DomId{1}));
    EXPECT_EQ(control.info(second)->id, second);
    const auto gone = control.info(DomId{1});  // the hypervisor answers with the next one
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.failure().code, Errc::srch);
    EXPECT_EQ(gone.failure().text, "Domain 1 does not exist");
}

TEST_F(Xenctrl, DestroyGoesOnWhileItIsAskedTo) {
    const DomId d = make();
    xen.destroy_pieces = 5;
    EXPECT_TRUE(control.destroy(d));
    EXPECT_TRUE(xen.domains.empty());
}

TEST_F(Xenctrl, TextsNameTheOperationAndTheDomain) {
    EXPECT_EQ(control.pause(DomId{7}).failure().text, "Cannot pause the CPUs of domain 7: No such domain");
    EXPECT_EQ(control.destroy(DomId{7}).failure().text, "Cannot destroy domain 7: No such domain");
    xen.fail_call = xen.calls + 1;
    xen.fail_code = Errc::access;
    EXPECT_EQ(control.physinfo().failure().text,
              "Cannot read the machine's data: The hypervisor speaks another version of the control interface");
}

TEST_F(Xenctrl, PauseAndState) {
    const DomId d = make();
    EXPECT_EQ(control.info(d)->state(), "--p---");
    ASSERT_TRUE(control.unpause(d));
    EXPECT_EQ(control.info(d)->state(), "r-----");
    ASSERT_TRUE(control.pause(d));
    EXPECT_TRUE(control.info(d)->paused);
}

TEST(DomainState, Letters) {
    DomainInfo d;
    EXPECT_EQ(d.state(), "------");
    d.blocked = true;
    EXPECT_EQ(d.state(), "-b----");
    d.shutdown = true;
    d.reason = xenctrl::ShutdownReason::crash;
    EXPECT_EQ(d.state(), "-b--c-");
    d.reason = xenctrl::ShutdownReason::reboot;
    d.dying = true;
    EXPECT_EQ(d.state(), "-b-s-d");
}

TEST_F(Xenctrl, PopulateReportsHowMuchItGot) {
    const DomId d = make();
    std::vector<uint64_t> frames(xen.free_pages() + 10);
    for (size_t i = 0; i < frames.size(); ++i) frames[i] = i;
    const uint64_t free = xen.free_pages();
    EXPECT_EQ(control.populate(d, frames, 0).take(), free);
    EXPECT_EQ(xen.free_pages(), 0U);
    EXPECT_EQ(frames.back(), frames.size() - 1);  // what was not made keeps its pfn
    EXPECT_EQ(control.info(d)->pages, free);
    EXPECT_EQ(control.claim(d, 1).failure().text,
              "Cannot set aside 4 KiB for domain 1: Not enough free memory in the hypervisor");
}

TEST_F(Xenctrl, VersionTextsNeedNoTerminator) {
    const auto v = control.version().take();
    EXPECT_EQ(v.major, 4U);
    EXPECT_EQ(v.minor, 17U);
    EXPECT_EQ(v.extra, std::string(16, 'x'));
    EXPECT_EQ(v.capabilities, "xen-3.0-x86_64");
}

TEST_F(Xenctrl, ConsoleRingOfAnySize) {
    xen.console = std::string(200'000, 'm');
    EXPECT_EQ(control.console_ring()->size(), 200'000U);
    EXPECT_EQ(control.console_ring(Control::Ring::clear)->size(), 200'000U);
    EXPECT_EQ(*control.console_ring(), "");
}

TEST_F(Xenctrl, GrantSeedsStayInsideTheFirstFrame) {
    const DomId d = make();
    const xenctrl::GrantSeed outside{512, DomId{0}, base::Gfn{1}};
    EXPECT_FALSE(control.seed_grants(d, {&outside, 1}));
    const xenctrl::GrantSeed wide{0, DomId{0}, base::Gfn{uint64_t{1} << 33}};
    EXPECT_FALSE(control.seed_grants(d, {&wide, 1}));
}

TEST_F(Xenctrl, MemoryMapIsTheBiosLayout) {
    const DomId d = make();
    const xenctrl::MemoryRange ram{0x1000, 0x2000, 1};
    ASSERT_TRUE(control.set_memory_map(d, {&ram, 1}));
    const auto& bytes = xen.domains.at(d.raw).map;
    ASSERT_EQ(bytes.size(), 20U);
    EXPECT_EQ(bytes[1], 0x10);
    EXPECT_EQ(bytes[9], 0x20);
    EXPECT_EQ(bytes[16], 1);
}

}  // namespace
