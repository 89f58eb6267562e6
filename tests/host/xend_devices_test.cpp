// link: xend_fakes xendcore
// SPDX-License-Identifier: Apache-2.0
// Devices that come and go while a domain runs, and tear-down that fails.
#include <gtest/gtest.h>

#include "toolstack/xend/adapters/file_records.hpp"
#include "xend_checks.hpp"

namespace {

using config::ExitAction;
using fakes::Before;
using fakes::id_of;
using fakes::Machine;
using fakes::run_demo;
using fakes::Running;
using fakes::text_of;
using xend::DeviceStep;
using Force = xend::Manager::Force;

TEST(HotDevices, ADiskComesAndGoes) {
    Running m;
    const std::string nodes = m.nodes();
    const auto config = m.record().config;
    EXPECT_EQ(m.attach("file:" + m.image + ",xvdb,w"), "");
    EXPECT_EQ(m.value(fakes::second_disk + "/physical-device"), "7:0");
    EXPECT_EQ(m.value("/local/domain/1/device/vbd/51728/state"), "1");
    EXPECT_EQ(m.value(fakes::second_disk + "/state"), "2");
    ASSERT_EQ(m.record().config.disks.size(), 2U) << "a reboot must have it too";
    EXPECT_EQ(m.record().devices.back().step, DeviceStep::none);
    EXPECT_EQ(m.detach("xvdb"), "");
    EXPECT_EQ(m.nodes(), nodes);
    EXPECT_EQ(m.record().config, config);
    EXPECT_EQ(m.record().devices.size(), 2U);
    for (const std::string name : {"51728", "0xca10", "xvdb"}) {
        EXPECT_EQ(m.attach("file:" + m.image + ",xvdb,w"), "");
        EXPECT_EQ(m.detach(name), "") << name;
    }
    EXPECT_EQ(m.nodes(), nodes);
}

TEST(HotDevices, TheLastOfItsKindLeavesNoFolder) {
    Machine m;
    auto c = m.demo();
    c.disks.clear();
    c.vifs.clear();
    ASSERT_TRUE(m.manager.create(c));
    ASSERT_TRUE(m.manager.attach_device("demo", "vbd", "file:" + m.folder.file("b.img") + ",xvdb,w"));
    ASSERT_TRUE(m.manager.attach_device("demo", "vif", ""));
    ASSERT_TRUE(m.manager.detach_device("demo", "vbd", "xvdb", Force::no));
    ASSERT_TRUE(m.manager.detach_device("demo", "vif", "0", Force::yes));
    EXPECT_EQ(m.nodes("/local/domain/0/backend/vbd/"), "");
    EXPECT_EQ(m.nodes("/local/domain/0/backend/vif/"), "");
}

TEST(HotDevices, EachFormOfADiskIsTaken) {
    Running m;
    for (const std::string& specifier : {"file:" + m.image + ",xvdb,w", "file:" + m.image + ",xvdb,r,0", m.image + ",raw,xvdb,rw",
                                         "vdev=xvdb,access=rw,target=" + m.image, "tap:aio:" + m.image + ",xvdb,w"}) {
        EXPECT_EQ(m.attach(specifier), "") << specifier;
        EXPECT_EQ(m.detach("xvdb"), "") << specifier;
    }
}

TEST(HotDevices, WhatCannotBeLeavesNothing) {
    Running m;
    const std::string other = m.folder.file("other.img");
    const std::string nodes = m.nodes();
    EXPECT_EQ(m.attach("file:" + m.image + ",xvda,w"), "Device 51712 (vbd) is already connected.");
    EXPECT_EQ(m.attach("file:" + (m.folder.path / "disk.img").string() + ",xvdb,w"),
              "File " + (m.folder.path / "disk.img").string() +
                  " is in use: it is mounted read-write in guest domain 'demo', and so cannot be mounted read-write now.");
    EXPECT_EQ(m.attach("file:/nowhere,xvdb,w"), "Disk image does not exist: /nowhere");
    EXPECT_TRUE(m.attach("nonsense").starts_with("Invalid disk specifier: ")) << m.attach("nonsense");
    EXPECT_EQ(text_of(m.manager.attach_device("demo", "pci", "0")), "unknown device type: pci");
    EXPECT_EQ(text_of(m.manager.attach_device("0", "vbd", "x")), "Devices of the privileged domain 0 cannot be changed");
    EXPECT_EQ(m.detach("xvdz"), "Device xvdz (vbd) is not connected.");
    m.blocks.error = "no loop device";
    EXPECT_EQ(m.attach("file:" + other + ",xvdb,w"), "Device 51728 (vbd) could not be connected. no loop device");
    m.blocks.error.clear();
    m.stores.tree.back_ends = false;
    EXPECT_EQ(m.attach("file:" + other + ",xvdb,w"), "Device 51728 (vbd) could not be connected. Backend device not found.");
    m.stores.tree.back_ends = true;
    m.scripts.error = "the bridge is gone";
    EXPECT_EQ(text_of(m.manager.attach_device("demo", "vif", "bridge=x")),
              "Device 1 (vif) could not be connected. the bridge is gone");
    m.scripts.error.clear();
    EXPECT_EQ(m.nodes(), nodes);
    EXPECT_EQ(m.record().config, m.manager.find("demo")->record->config);
    EXPECT_EQ(m.record().config.disks.size(), 1U);
    EXPECT_EQ(m.record().config.vifs.size(), 1U);
    EXPECT_EQ(m.attach("file:" + other + ",xvdb,w"), "") << "nobody holds it";
}

TEST(HotDevices, ABusyDiskStaysUntilItIsForced) {
    Running m;
    ASSERT_EQ(m.attach("file:" + m.image + ",xvdb,w"), "");
    const std::string nodes = m.nodes();
    m.stores.tree.guests_let_go = false;
    EXPECT_EQ(m.detach("xvdb"),
              "Device 51728 (vbd) is busy: the guest does not let go of it, and keeps it. Option -f takes it by force.");
    EXPECT_EQ(m.value(fakes::second_disk + "/online"), "1");
    EXPECT_EQ(m.record().devices.back().step, DeviceStep::none);
    EXPECT_EQ(m.record().config.disks.size(), 2U);
    EXPECT_EQ(m.nodes(), nodes) << "it is as it was";
    EXPECT_EQ(m.detach("xvdb", Force::yes), "");
    EXPECT_EQ(m.value(fakes::second_disk + "/state"), "");
    EXPECT_EQ(m.record().config.disks.size(), 1U);
}

TEST(HotDevices, CardsHaveTheLowestNumberThatIsFree) {
    Running m;
    const auto card = [&](const std::string& specifier) { return m.manager.attach_device("demo", "vif", specifier); };
    EXPECT_EQ(*card("mac=00:16:3e:00:00:07"), 1U);
    EXPECT_EQ(*card("bridge=xenbr0"), 2U);
    EXPECT_EQ(m.scripts.calls.back(), "vif-bridge online vif1.2");
    const std::string mac = m.value("/local/domain/0/backend/vif/1/2/mac");
    EXPECT_EQ(mac, config::derived_mac(m.demo().uuid, 2));
    EXPECT_TRUE(m.manager.detach_device("demo", "vif", "00:16:3e:00:00:07", Force::no)) << "by its address";
    EXPECT_EQ(m.scripts.calls.back(), "vif-bridge offline vif1.1");
    ASSERT_EQ(m.record().config.vifs.size(), 2U);
    EXPECT_EQ(m.record().config.vifs[1].mac, mac) << "the right one went";
    EXPECT_EQ(*card(""), 1U);
    EXPECT_TRUE(m.manager.detach_device("demo", "vif", "0", Force::no));
    EXPECT_EQ(m.record().config.vifs[0].mac, mac);
    EXPECT_EQ(text_of(m.manager.attach_device("demo", "vif", "colour=red")), "Invalid vif option: colour");
}

TEST(HotDevices, TheMediumOfACdDriveIsChanged) {
    Running m;
    const std::string one = m.folder.file("one.iso"), two = m.folder.file("two.iso");
    ASSERT_EQ(m.attach("file:" + one + ",xvdc:cdrom,r"), "");
    EXPECT_TRUE(m.manager.change_medium("demo", "file:" + two + ",xvdc:cdrom,r"));
    EXPECT_EQ(m.value("/local/domain/0/backend/vbd/1/51744/params"), two);
    EXPECT_EQ(text_of(m.manager.change_medium("demo", "file:/nowhere,xvdc:cdrom,r")), "Disk image does not exist: /nowhere");
    EXPECT_EQ(m.value("/local/domain/0/backend/vbd/1/51744/params"), two) << "the old one is in it again";
    EXPECT_TRUE(
        text_of(m.manager.change_medium("demo", "file:" + two + ",xvda,w")).starts_with("Refusing to reconfigure device xvda"));
}

// A xend that is killed while it connects or takes off leaves nothing, and the domain goes on.
TEST(HotDevices, AChangeThatWasKilledIsUndoneOrFinished) {
    Running m;
    const auto config = m.record().config;
    const std::string nodes = m.nodes();
    xend::Record at_kill;
    m.scripts.before = [&] { at_kill = m.record(); };
    ASSERT_TRUE(m.manager.attach_device("demo", "vif", "bridge=x"));
    ASSERT_EQ(at_kill.devices.back().step, DeviceStep::attaching);
    m.records.all.begin()->second = at_kill;
    m.scripts.before = nullptr;
    {
        auto next = m.next();
        ASSERT_EQ(next.interrupted()->size(), 1U);
        ASSERT_TRUE(next.recover());
    }
    EXPECT_EQ(m.scripts.ended, (std::vector<std::string>{at_kill.devices.back().running}));
    EXPECT_EQ(m.scripts.calls.back(), "vif-bridge offline vif1.1");
    EXPECT_EQ(m.nodes(), nodes);
    EXPECT_EQ(m.record().config, config);
    EXPECT_EQ(id_of(m, "demo"), "1");

    ASSERT_EQ(m.attach("file:" + m.image + ",xvdb,w"), "");
    at_kill = m.record();
    at_kill.devices.back().step = DeviceStep::detaching;
    m.records.all.begin()->second = at_kill;
    EXPECT_TRUE(m.next().recover());
    EXPECT_EQ(m.nodes(), nodes);
    EXPECT_EQ(m.record().config, config);
    EXPECT_FALSE(m.hypervisor.at(base::DomId{1})->paused) << "the guest goes on";
}

TEST(HotDevices, TheJournalsFilesKnowTheStep) {
    Running m;
    xend::Record record = m.record();
    record.devices.back().step = DeviceStep::detaching;
    record.rings = xend::RingIntent{0x12345, 1, 0x12346, 2};
    const auto again = xend::record_from_sxp(xend::to_sxp(record));
    ASSERT_TRUE(again);
    EXPECT_EQ(again->devices, record.devices);
    EXPECT_EQ(again->rings, record.rings);
    EXPECT_EQ(again->config, record.config);
}

TEST(Devices, TheFirstQueueStandsForAll) {
    Running m;
    auto& tree = m.stores.tree;
    const std::string front = "/local/domain/1/device/vif/0/";
    tree.write(front + "multi-queue-num-queues", "2");
    for (const auto& [key, value] :
         {std::pair{"event-channel-tx", "7"}, {"event-channel-rx", "8"}, {"tx-ring-ref", "9"}, {"rx-ring-ref", "10"}}) {
        tree.write(front + "queue-0/" + key, value);
        tree.write(front + "queue-1/" + key, "99");
    }
    tree.write("/local/domain/1/device/vbd/51712/ring-ref0", "5");
    const auto has = [&](const std::string& kind, const std::string& key, const std::string& value) {
        const auto devices = m.manager.devices("demo", kind);
        for (const auto& one : devices->at(0).front) {
            if (one == std::pair(key, value)) return true;
        }
        return false;
    };
    EXPECT_TRUE(has("vif", "event-channel-tx", "7"));
    EXPECT_TRUE(has("vif", "tx-ring-ref", "9"));
    EXPECT_TRUE(has("vbd", "ring-ref", "5"));
}

// --- what cannot be taken away is not forgotten ------------------------------------------------------------------------

TEST(TearDown, ADomainThatTheHypervisorKeepsIsKeptInMind) {
    Machine m;
    const Before before(m);
    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::destroy);
    m.hypervisor.destroy_error = "Cannot destroy domain 1: Device or resource busy";
    EXPECT_EQ(text_of(m.manager.destroy("demo")), "while removing domain 1: Cannot destroy domain 1: Device or resource busy");
    const auto view = m.manager.find("demo");
    ASSERT_TRUE(view && view->record) << "it is still listed, by its name";
    EXPECT_EQ(view->record->state, xend::RecordState::destroying);
    EXPECT_EQ(view->record->reason, "while removing domain 1: Cannot destroy domain 1: Device or resource busy");
    EXPECT_FALSE(m.manager.create(m.demo())) << "its name and disk are its own";
    ASSERT_EQ(m.manager.ended()->size(), 1U);
    auto tried = m.manager.reap();  // in vain
    m.hypervisor.destroy_error.clear();
    ASSERT_TRUE(m.manager.reap());
    before.expect_same(m, "tried again");
    EXPECT_TRUE(m.manager.ended()->empty());
}

TEST(TearDown, AStoreThatFailsIsNotOneWithoutDevices) {
    for (const std::string broken : {"/local/domain/0/backend", "/local/domain/1", "/vm"}) {
        Machine m;
        const Before before(m);
        run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::destroy);
        m.stores.tree.broken = broken;
        EXPECT_NE(text_of(m.manager.destroy("demo")).find("the store has failed"), std::string::npos) << broken;
        ASSERT_EQ(m.records.all.size(), 1U) << broken;
        m.stores.tree.broken.clear();
        ASSERT_TRUE(m.manager.reap());
        before.expect_same(m, broken.c_str());
    }
}

TEST(TearDown, ARestartWaitsUntilTheOldDomainIsGone) {
    Machine m;
    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::destroy);
    m.hypervisor.destroy_error = "busy";
    m.hypervisor.stop("1", xenctrl::ShutdownReason::reboot);
    ASSERT_TRUE(m.manager.reap());
    EXPECT_EQ(m.records.all.begin()->second.state, xend::RecordState::restarting);
    m.hypervisor.destroy_error.clear();
    ASSERT_TRUE(m.manager.reap());
    EXPECT_EQ(id_of(m, "demo"), "2");
    EXPECT_EQ(m.records.all.begin()->second.reason, "");
}

TEST(CoreDumps, ACrashIsDumpedWhenTheFileOrXendSaysSo) {
    struct Row {
        ExitAction action;
        bool every;
        size_t dumps;
    };
    for (const Row& row : {Row{ExitAction::destroy, false, 0}, Row{ExitAction::destroy, true, 1},
                           Row{ExitAction::coredump_destroy, false, 1}, Row{ExitAction::coredump_restart, false, 1}}) {
        xend::Settings settings = Machine::settings();
        settings.dump_crashes = row.every;
        Machine m(settings);
        run_demo(m, ExitAction::destroy, ExitAction::destroy, row.action);
        m.hypervisor.stop("1", xenctrl::ShutdownReason::crash);
        ASSERT_TRUE(m.manager.reap());
        EXPECT_EQ(m.hypervisor.dumps.size(), row.dumps);
        EXPECT_EQ(id_of(m, "demo"), row.action == ExitAction::coredump_restart ? "2" : "none");
    }
    xend::Settings settings = Machine::settings();
    settings.dump_crashes = true;
    Machine m(settings);
    run_demo(m, ExitAction::destroy, ExitAction::destroy, ExitAction::restart);
    m.hypervisor.dump_error = "no room";
    m.hypervisor.stop("1", xenctrl::ShutdownReason::poweroff);
    ASSERT_TRUE(m.manager.reap());
    EXPECT_EQ(id_of(m, "demo"), "none") << "this was no crash";
    run_demo(m, ExitAction::destroy, ExitAction::destroy, ExitAction::restart);
    m.hypervisor.stop("2", xenctrl::ShutdownReason::crash);
    ASSERT_TRUE(m.manager.reap());
    EXPECT_EQ(id_of(m, "demo"), "3") << "a dump that fails stops nothing";
}

TEST(Memory, WhatMemMaxSaysHoldsForMemSet) {
    Machine m;
    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::destroy);
    EXPECT_EQ(text_of(m.manager.set_memory_target("demo", 80)), "Invalid memory size");
    ASSERT_TRUE(m.manager.set_max_memory("demo", 96));
    EXPECT_EQ(m.records.all.begin()->second.config.maxmem_mib, 96U);
    EXPECT_EQ(*m.manager.store_value("/local/domain/1/memory/static-max"), "98304");
    EXPECT_EQ(text_of(m.manager.set_memory_target("demo", 80)), "");
    EXPECT_EQ(text_of(m.manager.set_memory_target("demo", 97)), "Invalid memory size");
    EXPECT_EQ(text_of(m.manager.set_max_memory("demo", 32)), "Invalid memory size") << "less than it has";
}

}  // namespace
