// SPDX-License-Identifier: Apache-2.0
// link: xendcore
// Saving a domain, and what becomes of it when something fails on the way.
#include <gtest/gtest.h>

#include <thread>

#include "xend_checks.hpp"

namespace {

using fakes::Machine;
using fakes::text_of;
using xend::AfterSave;

const std::string request = "/local/domain/1/control/shutdown";

/// A guest that suspends itself as soon as it is asked; `then` happens at that moment.
class SuspendingGuest {
public:
    SuspendingGuest(Machine& m, std::function<void()> then)
        : thread_([&m, then = std::move(then)] {
              for (int i = 0; i < 2000; ++i) {
                  {
                      const std::lock_guard guard(m.stores.tree.mutex);
                      if (m.stores.tree.nodes[request].value == "suspend") {
                          m.stores.tree.write(request, "");
                          const std::lock_guard stopping(m.hypervisor.mutex);
                          m.hypervisor.stop("1", xenctrl::ShutdownReason::suspend);
                          then();
                          return;
                      }
                  }
                  std::this_thread::sleep_for(std::chrono::milliseconds(5));
              }
          }) {}
    ~SuspendingGuest() { thread_.join(); }
    SuspendingGuest(const SuspendingGuest&) = delete;
    SuspendingGuest& operator=(const SuspendingGuest&) = delete;

private:
    std::thread thread_;
};

struct Saving {
    Machine m;
    std::string file = (m.folder.path / "demo.save").string();
    Saving() {
        EXPECT_TRUE(m.manager.create(m.demo(), xend::Run::now));
        m.stores.tree.write("/local/domain/1/control/feature-suspend", "1");
    }
    base::Outcome<> save(
        AfterSave after, std::function<void()> then = [] {}) {
        const SuspendingGuest guest(m, std::move(then));
        return m.manager.save("demo", file, after);
    }
};

TEST(Save, ItGoesOrGoesOn) {
    Saving s;
    ASSERT_TRUE(s.save(AfterSave::resume));
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->shutdown);
    ASSERT_TRUE(s.save(AfterSave::destroy));
    EXPECT_EQ(s.m.hypervisor.at(base::DomId{1}), nullptr);
    EXPECT_TRUE(s.m.records.all.empty());
}

TEST(Save, WhatCannotBeWrittenGoesOn) {
    Saving s;
    s.m.hypervisor.save_error = "the disk is full";
    EXPECT_EQ(text_of(s.save(AfterSave::destroy)), "the disk is full");
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->shutdown);
    EXPECT_FALSE(std::filesystem::exists(s.file));
}

/// Writing takes minutes, in which the store may be restarted. The domain must not stay suspended until xend is.
TEST(Save, WhoCannotGoOnAtOnceGoesOnLater) {
    Saving s;
    s.m.hypervisor.save_error = "the disk is full";
    EXPECT_FALSE(s.save(AfterSave::destroy, [&] { s.m.stores.tree.broken = request; }));
    EXPECT_TRUE(s.m.hypervisor.at(base::DomId{1})->shutdown) << "the store does not answer";
    s.m.stores.tree.broken.clear();
    ASSERT_TRUE(s.m.manager.reap());
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->shutdown);
    EXPECT_FALSE(s.m.records.all.begin()->second.saving);
}

/// Writing a core takes its time, with the domain paused.
TEST(Save, AKilledXendLeavesNoDomainPausedForItsCore) {
    Saving s;
    xend::Record before;
    s.m.hypervisor.before_dump = [&] { before = s.m.records.all.begin()->second; };
    ASSERT_TRUE(s.m.manager.dump_core("demo", s.file, xend::Manager::Dump::still));
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->paused);
    EXPECT_FALSE(s.m.records.all.begin()->second.dumping);
    s.m.records.all.begin()->second = before;  // as it was when xend was killed
    s.m.hypervisor.at(base::DomId{1})->paused = true;
    ASSERT_TRUE(s.m.manager.recover());
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->paused);
    EXPECT_FALSE(s.m.records.all.begin()->second.dumping);
}

/// A guest that was only asked, and has the disk mounted, keeps it whatever happens to who asked.
TEST(Save, AskingForADiskDoesNotBecomeTakingIt) {
    Saving s;
    s.m.stores.tree.guests_let_go = false;
    const std::string back = "/local/domain/0/backend/vbd/1/51712/state";
    s.m.stores.tree.write(back, "4");
    xend::Record before = s.m.records.all.begin()->second;
    xend::Record asked;
    s.m.records.saved = [&](const xend::Record& record) {
        if (asked.devices.empty()) asked = record;
    };
    const auto kept = s.m.manager.detach_device("demo", "vbd", "xvda", xend::Manager::Force::no);
    ASSERT_FALSE(kept);
    s.m.records.all.begin()->second = asked;  // as it was when xend was killed
    s.m.stores.tree.write(back, "5");
    ASSERT_TRUE(s.m.manager.recover());
    EXPECT_EQ(s.m.records.all.begin()->second.devices.size(), before.devices.size());
    EXPECT_FALSE(s.m.records.all.begin()->second.changes());
    EXPECT_EQ(s.m.stores.tree.nodes[back].value, "4");
}

}  // namespace
