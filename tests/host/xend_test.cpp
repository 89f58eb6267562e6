// link: xend_fakes xendcore
// SPDX-License-Identifier: Apache-2.0
#include "xend_checks.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <future>
#include <thread>

#include "toolstack/config/device_kinds.hpp"
#include "toolstack/xend/adapters/file_records.hpp"
#include "toolstack/xend/adapters/script_runner.hpp"
#include "toolstack/xend/core/device_drivers.hpp"
#include "toolstack/xend/core/disk_check.hpp"
#include "toolstack/xend/core/domain_nodes.hpp"

namespace {

using config::ExitAction;
using fakes::Before;
using fakes::create_error;
using fakes::id_of;
using fakes::Machine;
using fakes::run_demo;
using fakes::text_of;
using xenctrl::ShutdownReason;
using xend::Follow;
using xend::RecordState;

// --- decisions -----------------------------------------------------------------------------------------------------

TEST(Lifecycle, TheTable) {
    struct Row {
        ShutdownReason reason;
        ExitAction off, reboot, crash;
        Follow follow;
    };
    constexpr auto d = ExitAction::destroy, r = ExitAction::restart, p = ExitAction::preserve, n = ExitAction::rename_restart;
    const Row rows[] = {
        {ShutdownReason::poweroff, d, r, p, Follow::destroy}, {ShutdownReason::reboot, d, r, p, Follow::restart},
        {ShutdownReason::crash, d, r, p, Follow::preserve},   {ShutdownReason::watchdog, d, r, n, Follow::rename_restart},
        {ShutdownReason::suspend, d, d, d, Follow::nothing},  {ShutdownReason::poweroff, r, d, d, Follow::restart},
        {ShutdownReason::reboot, p, d, p, Follow::destroy},
    };
    for (const Row& row : rows) {
        xend::StopFacts facts;
        facts.reason = row.reason;
        facts.on_poweroff = row.off;
        facts.on_reboot = row.reboot;
        facts.on_crash = row.crash;
        facts.now = 1000;
        EXPECT_EQ(xend::after_stop(facts), row.follow);
        facts.preserved = true;
        EXPECT_EQ(xend::after_stop(facts), Follow::nothing);
    }
    xend::StopFacts watched;
    watched.reason = ShutdownReason::watchdog;
    watched.on_crash = r;
    watched.on_watchdog = ExitAction::coredump_destroy;
    EXPECT_EQ(xend::after_stop(watched), Follow::destroy);
}

TEST(Lifecycle, RestartsTooFastAreRefused) {
    xend::StopFacts facts;
    facts.reason = ShutdownReason::reboot;
    facts.now = 1000;
    facts.previous_restart = 985;
    EXPECT_EQ(xend::after_stop(facts), Follow::too_fast);
    EXPECT_EQ(xend::too_fast_text("x", facts),
              "VM x restarting too fast (15 seconds since the last restart).  Refusing to restart to avoid loops.");
    facts.previous_restart = 980;
    EXPECT_EQ(xend::after_stop(facts), Follow::restart);
    facts.previous_restart = 2000;  // the clock was set back
    EXPECT_EQ(xend::after_stop(facts), Follow::restart);
}

TEST(Record, StatesChangeByTheTableAlone) {
    using enum xend::RecordState;
    using enum xend::RecordEvent;
    const std::map<std::pair<xend::RecordState, xend::RecordEvent>, xend::RecordState> allowed = {
        {{creating, built}, live},
        {{restarting, built}, live},
        {{restarting, fail}, failed},
        {{failed, take_away}, destroying},
        {{live, keep}, preserved},
        {{live, restart}, restarting},
        {{creating, take_away}, destroying},
        {{live, take_away}, destroying},
        {{preserved, take_away}, destroying},
        {{restarting, take_away}, destroying},
        {{destroying, take_away}, destroying},
    };
    for (size_t s = 0; s < xend::record_state_names.size(); ++s) {
        for (size_t e = 0; e < xend::record_event_names.size(); ++e) {
            xend::Record record;
            record.config.name = "x";
            record.state = static_cast<xend::RecordState>(s);
            const auto event = static_cast<xend::RecordEvent>(e);
            const auto at = allowed.find({record.state, event});
            const std::string refused = "domain 'x' is " + std::string(xend::record_state_names[s]) + ": no '" +
                                        std::string(xend::record_event_names[e]) + "' can follow";
            const auto done = xend::advance(record, event);
            EXPECT_EQ(text_of(done), at == allowed.end() ? refused : "");
            EXPECT_EQ(record.state, at == allowed.end() ? static_cast<xend::RecordState>(s) : at->second);
        }
    }
}

TEST(Devices, EveryKindOfAConfigurationHasADriver) {
    fakes::Machine m;
    const auto config = m.demo();
    for (const config::DeviceKind& kind : config::device_kinds()) {
        const xend::DeviceDriver* driver = xend::device_driver(kind.name);
        ASSERT_NE(driver, nullptr) << kind.name;
        ASSERT_EQ(driver->count(config), 1U) << kind.name;
        ASSERT_TRUE(driver->backend != nullptr && driver->script != nullptr) << kind.name;
        EXPECT_EQ(driver->backend(config, 0), "0");
        const auto nodes = driver->nodes({base::DomId{7}, base::DomId{0}}, config, 0, 0, {});
        EXPECT_EQ(nodes.kind, kind.name);
        EXPECT_TRUE(nodes.back.path.starts_with("/local/domain/0/backend/" + nodes.kind + "/7/")) << nodes.back.path;
    }
    EXPECT_EQ(xend::device_driver("pci"), nullptr);
}

std::string back_value(const xend::DeviceNodes& nodes, std::string_view key) {
    for (const auto& [name, value] : nodes.back.values) {
        if (name == key) return value;
    }
    return "none";
}

TEST(Devices, RatesInTheFormOfNetback) {
    const auto written = [](const char* rate) {
        config::Vif vif;
        vif.rate = rate;
        return back_value(xend::vif_nodes({base::DomId{7}, base::DomId{0}}, vif, 0, "s"), "rate");
    };
    EXPECT_EQ(written("10Mb/s"), "62500,50000");
    EXPECT_EQ(written("250KB/s@20ms"), "5000,20000");
    EXPECT_EQ(written("1GB/s@1s"), "1000000000,1000000");
    EXPECT_EQ(written(""), "none");
    for (const char* bad :
         {"", "fast", "10", "10M/s", "99999999999999999999Mb/s", "1Mb/s@", "1Mb/s@1h", "9999GB/s@9s", "0Mb/s"}) {
        EXPECT_FALSE(config::rate_limit(bad)) << bad;
    }
}

TEST(Devices, WhatADiskSaysReachesTheStore) {
    const auto nodes = [](const char* specifier) {
        xend::Settings settings;
        settings.scripts = "/scripts";
        return xend::vbd_nodes({base::DomId{7}, base::DomId{0}}, *config::parse_disk(specifier), settings);
    };
    EXPECT_EQ(back_value(nodes("/dev/a,,xvda"), "discard-enable"), "1");
    EXPECT_EQ(back_value(nodes("/dev/a,,xvda,no-discard"), "discard-enable"), "0");
    EXPECT_EQ(back_value(nodes("vdev=xvda,script=block-drbd,target=r0"), "script"), "/scripts/block-drbd");
    EXPECT_EQ(back_value(nodes("vdev=xvda,script=block-drbd,target=r0"), "params"), "r0");
    EXPECT_EQ(nodes("/dev/a,,xvda,untrusted").front.values.back(), (std::pair<std::string, std::string>("trusted", "0")));
}

TEST(Devices, CpuLists) {
    EXPECT_EQ(*config::parse_cpu_list("0-3,^1", 4), xenctrl::BitMap{0x0d});
    EXPECT_EQ(*config::parse_cpu_list("9", 16), (xenctrl::BitMap{0, 2}));
    EXPECT_EQ(*config::parse_cpu_list("5", 4), xenctrl::BitMap{0x02});
    for (const char* bad : {"x", "3-1", "^0", "1-", "1-x", "0-99999"}) EXPECT_FALSE(config::parse_cpu_list(bad, 4)) << bad;
}

// --- the end of a domain -------------------------------------------------------------------------------------------

TEST(Reap, FollowsTheActions) {
    Machine m;
    const Before before(m);
    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::preserve);
    ASSERT_TRUE(m.manager.reap());
    EXPECT_EQ(id_of(m, "demo"), "1") << "a running domain is left alone";
    const std::string mac = config::derived_mac(m.demo().uuid, 0);

    m.hypervisor.stop("1", ShutdownReason::reboot);
    ASSERT_TRUE(m.manager.reap());
    EXPECT_EQ(id_of(m, "demo"), "2");
    EXPECT_FALSE(m.hypervisor.at(base::DomId{2})->paused);
    EXPECT_EQ(m.manager.find("demo")->uuid, m.demo().uuid);
    EXPECT_EQ(*m.manager.store_value("/local/domain/2/device/vif/0/mac"), mac) << "the same address after a restart";
    EXPECT_EQ(*m.manager.store_value("/local/domain/1/name"), "");

    m.clock.now += 5;
    m.hypervisor.stop("2", ShutdownReason::reboot);
    ASSERT_TRUE(m.manager.reap());
    EXPECT_EQ(id_of(m, "demo"), "none") << "too fast";
    before.expect_same(m, "too fast");

    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::preserve);
    m.hypervisor.stop("3", ShutdownReason::crash);
    ASSERT_TRUE(m.manager.reap());
    ASSERT_TRUE(m.manager.reap());
    EXPECT_EQ(id_of(m, "demo"), "3") << "preserved";
    ASSERT_TRUE(m.manager.destroy("demo"));

    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::preserve);
    m.hypervisor.stop("4", ShutdownReason::poweroff);
    ASSERT_TRUE(m.manager.reap());
    before.expect_same(m, "poweroff");
}

TEST(Reap, RestartsThatSomebodyAskedForAreNoLoop) {
    Machine m;
    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::destroy);
    for (int i = 1; i < 5; ++i) {
        ASSERT_TRUE(m.manager.shutdown("demo", "reboot"));
        EXPECT_EQ(*m.manager.store_value("/local/domain/" + std::to_string(i) + "/control/shutdown"), "reboot");
        m.hypervisor.stop(std::to_string(i), ShutdownReason::reboot);
        ASSERT_TRUE(m.manager.reap());
        EXPECT_EQ(id_of(m, "demo"), std::to_string(i + 1));
    }
    EXPECT_EQ(text_of(m.manager.shutdown("demo", "explode")), "Invalid reason: explode");
    EXPECT_EQ(text_of(m.manager.shutdown("0", "reboot")), "Domain 0 cannot be shutdown");
}

/// Pools get other names, and other tools move domains: neither is noted with the domain.
TEST(Reap, ARestartStaysInThePool) {
    Machine m;
    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::destroy);
    ASSERT_TRUE(m.manager.create_pool("fast", xenctrl::Scheduler::credit2, "3"));
    ASSERT_TRUE(m.manager.pin_vcpu("demo", std::nullopt, "2"));
    ASSERT_TRUE(m.manager.move_to_pool("demo", "Pool-0"));
    EXPECT_EQ(m.manager.find("demo")->record->config.cpus, "2") << "it was there";
    ASSERT_TRUE(m.manager.move_to_pool("demo", "fast"));
    EXPECT_EQ(m.manager.find("demo")->record->config.cpus, "");
    ASSERT_TRUE(m.manager.rename_pool("fast", "quick"));
    m.hypervisor.stop("1", ShutdownReason::reboot);
    ASSERT_TRUE(m.manager.reap());
    EXPECT_EQ(id_of(m, "demo"), "2");
    EXPECT_EQ(m.hypervisor.asked.cpupool, 1U);
    EXPECT_EQ(m.manager.find("demo")->record->config.pool, "quick");

    m.clock.now += 3600;
    m.hypervisor.at(base::DomId{2})->cpupool = 0;
    m.hypervisor.stop("2", ShutdownReason::reboot);
    ASSERT_TRUE(m.manager.reap());
    EXPECT_EQ(id_of(m, "demo"), "3");
    EXPECT_EQ(m.hypervisor.asked.cpupool, 0U);
    EXPECT_EQ(m.manager.find("demo")->record->config.pool, "");
}

TEST(Reap, RenameRestartKeepsTheDeadOne) {
    Machine m;
    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::rename_restart);
    m.hypervisor.stop("1", ShutdownReason::crash);
    ASSERT_TRUE(m.manager.reap());
    EXPECT_EQ(id_of(m, "demo"), "2");
    auto dead = m.manager.find("1");
    ASSERT_TRUE(dead);
    EXPECT_EQ(dead->name, "Domain-" + dead->uuid.text());
    EXPECT_NE(dead->uuid, m.demo().uuid);
    EXPECT_EQ(m.nodes("/local/domain/0/backend/vbd/1/"), "") << "its devices are free";
    ASSERT_TRUE(m.manager.reap());
    EXPECT_EQ(id_of(m, "1"), "1");
}

// A xend that is killed in the middle of it must find that there is a restart to be finished.
TEST(Reap, RenameRestartIsARestartThroughout) {
    Machine m;
    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::rename_restart);
    std::vector<RecordState> seen;
    m.scripts.before = [&] { seen.push_back(m.records.find(m.demo().uuid)->value().state); };
    m.hypervisor.stop("1", ShutdownReason::crash);
    ASSERT_TRUE(m.manager.reap());
    ASSERT_FALSE(seen.empty());
    for (const RecordState state : seen) EXPECT_EQ(state, RecordState::restarting);
}

TEST(Reap, ADomainThatVanishedIsForgotten) {
    Machine m;
    const Before before(m);
    run_demo(m, ExitAction::restart, ExitAction::restart, ExitAction::restart);
    ASSERT_TRUE(m.hypervisor.destroy({base::DomId{1}, m.demo().uuid}));
    ASSERT_TRUE(m.manager.reap());
    before.expect_same(m, "vanished");
}

TEST(Recover, WhatWasHalfDoneIsFinished) {
    for (const auto state : {xend::RecordState::creating, xend::RecordState::destroying, xend::RecordState::restarting}) {
        Machine m;
        const Before before(m);
        run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::destroy);
        m.records.all.begin()->second.state = state;
        xend::Manager next(xend::Ports{m.hypervisor, m.stores, m.scripts, m.blocks, m.records, m.clock, Machine::settings()});
        ASSERT_TRUE(next.recover());
        if (state == xend::RecordState::restarting) {
            EXPECT_EQ(id_of(m, "demo"), "2");
        } else {
            before.expect_same(m, "recovered");
        }
    }
    Machine m;
    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::destroy);
    const std::string nodes = m.nodes();
    xend::Manager next(xend::Ports{m.hypervisor, m.stores, m.scripts, m.blocks, m.records, m.clock, Machine::settings()});
    ASSERT_TRUE(next.recover());
    EXPECT_EQ(m.nodes(), nodes) << "a running domain does not notice";
}

TEST(Recover, AScriptThatWasKilledWithXendIsEndedAndUndone) {
    // What each kill leaves: the record as it stood when the script ran, and what the script had done by then.
    Machine m;
    const Before before(m);
    xend::Record at_kill;
    m.scripts.before = [&] { at_kill = m.records.all.begin()->second; };
    ASSERT_TRUE(m.manager.create(m.demo()));
    m.scripts.before = nullptr;
    ASSERT_EQ(at_kill.state, xend::RecordState::creating);
    ASSERT_EQ(at_kill.devices.size(), 2U) << "the intent of each device is written before a script runs";
    EXPECT_EQ(at_kill.devices[0].script, "") << "a file needs no script";
    EXPECT_EQ(at_kill.devices[1].script, "/etc/xen/scripts/vif-bridge");
    EXPECT_EQ(at_kill.devices[1].running, m.scripts.tags.at(0));
    for (const char* status : {"", "connected", "error"}) {
        Machine again;
        const Before nothing(again);
        ASSERT_TRUE(again.manager.create(again.demo()));
        again.records.all.begin()->second = at_kill;
        again.stores.tree.write("/local/domain/0/backend/vif/1/0/hotplug-status", status);
        again.scripts.calls.clear();
        ASSERT_TRUE(again.manager.recover());
        EXPECT_EQ(again.scripts.ended, (std::vector<std::string>{at_kill.devices[1].running}));
        EXPECT_EQ(again.scripts.calls, (std::vector<std::string>{"vif-bridge offline vif1.0"})) << "whatever its status is";
        nothing.expect_same(again, status);
    }
}

TEST(Recover, ACreationThatWasKilledBeforeItsEndLeavesNothing) {
    Machine m;
    const Before before(m);
    xend::Record at_kill;
    m.hypervisor.before_unpause = [&] { at_kill = m.records.all.begin()->second; };
    ASSERT_TRUE(m.manager.create(m.demo(), xend::Run::now));
    EXPECT_EQ(at_kill.state, xend::RecordState::creating) << "until it runs";
    m.records.all.begin()->second = at_kill;
    ASSERT_TRUE(m.manager.recover());
    before.expect_same(m, "killed");
}

TEST(Reap, AFailedRestartIsKeptWithItsReason) {
    Machine m;
    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::destroy);
    const auto stop_and_fail = [&](const std::string& id) {
        m.scripts.error = "the bridge is gone";
        m.hypervisor.stop(id, ShutdownReason::reboot);
        ASSERT_TRUE(m.manager.reap());
        ASSERT_TRUE(m.manager.reap());
        m.scripts.error.clear();
    };
    stop_and_fail("1");
    EXPECT_EQ(id_of(m, "demo"), "none");
    ASSERT_EQ(m.manager.failed()->size(), 1U);
    EXPECT_EQ((*m.manager.failed())[0].reason, "Device 0 (vif) could not be connected. the bridge is gone");
    EXPECT_EQ(xend::failed_remedy((*m.manager.failed())[0]), "'xm create' makes it again, 'xm destroy demo' forgets it.");
    ASSERT_TRUE(m.manager.recover());
    ASSERT_EQ(m.manager.failed()->size(), 1U) << "the next xend knows too";
    ASSERT_TRUE(m.manager.create(m.demo(), xend::Run::now)) << "its name, uuid and disk are free";
    EXPECT_EQ(m.manager.failed()->size(), 0U);
    m.clock.now += 100;
    stop_and_fail("3");
    ASSERT_EQ(m.manager.failed()->size(), 1U);
    EXPECT_TRUE(m.manager.destroy("demo"));
    EXPECT_EQ(m.records.all.size(), 0U);
    EXPECT_EQ(text_of(m.manager.destroy("demo")), "Domain 'demo' does not exist.");
}

TEST(Recover, AStaleRecordHurtsNobody) {
    Machine m;
    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::destroy);
    const xend::Record stale = m.records.all.begin()->second;
    ASSERT_TRUE(m.manager.destroy("demo"));
    // Another domain gets the number.
    m.hypervisor.next_id = 1;
    auto other = m.demo("other");
    other.uuid = config::Uuid::random();
    ASSERT_TRUE(m.manager.create(other));
    ASSERT_TRUE(m.manager.unpause("other"));
    const std::string nodes = m.nodes("/local/domain");
    for (const auto state : {xend::RecordState::creating, xend::RecordState::destroying, xend::RecordState::live}) {
        m.records.all[stale.config.uuid] = stale;
        m.records.all[stale.config.uuid].state = state;
        ASSERT_TRUE(m.manager.recover());
        EXPECT_EQ(id_of(m, "other"), "1");
        EXPECT_FALSE(m.hypervisor.at(base::DomId{1})->paused);
        EXPECT_EQ(m.nodes("/local/domain"), nodes);
        EXPECT_FALSE(m.records.all.contains(stale.config.uuid));
    }
}

TEST(Disks, AFileIsALoopDeviceThatGoesWithItsLastHolder) {
    Machine m;
    ASSERT_TRUE(m.manager.create(m.demo()));
    EXPECT_EQ(*m.manager.store_value("/local/domain/0/backend/vbd/1/51712/physical-device"), "7:0");
    EXPECT_EQ(*m.manager.store_value("/local/domain/0/backend/vbd/1/51712/node"), "/dev/loop0");
    EXPECT_EQ(m.blocks.looks, 3) << "xend holds it until the back end does";
    ASSERT_EQ(m.blocks.loops.size(), 1U);
    EXPECT_TRUE(m.blocks.loops[0].expired()) << "and no longer";
    ASSERT_TRUE(m.manager.destroy("demo"));
    EXPECT_EQ(m.scripts.calls, (std::vector<std::string>{"vif-bridge online vif1.0", "vif-bridge offline vif1.0"}));
    m.blocks.error = "no loop device";
    EXPECT_EQ(create_error(m, m.demo(), "loop"), "Device 51712 (vbd) could not be connected. no loop device");
}

TEST(Disks, OtherTypesHaveTheirScripts) {
    Machine m;
    auto c = m.demo();
    c.disks[0] = *config::parse_disk("drbd:x,xvda,w");
    ASSERT_TRUE(m.manager.create(c));
    EXPECT_EQ(m.scripts.calls[0], "block-drbd add");
    ASSERT_TRUE(m.manager.destroy("demo"));
    EXPECT_EQ(m.scripts.calls[2], "block-drbd remove");
}

// Whoever had to wait for a domain's lock must not write down what was true before.
TEST(Manager, WhoWaitsForADomainSeesItAsItIsThen) {
    Machine m;
    std::future<base::Outcome<>> renamed;
    m.scripts.before = [&] {
        renamed = std::async(std::launch::async, [&] { return m.manager.rename("1", "fresh"); });
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    };
    ASSERT_TRUE(m.manager.create(m.demo()));
    ASSERT_TRUE(renamed.valid());
    const auto done = renamed.get();
    EXPECT_TRUE(done) << text_of(done);
    const auto& record = m.records.all.begin()->second;
    EXPECT_EQ(record.config.name, "fresh");
    EXPECT_EQ(record.state, RecordState::live) << "else the next xend destroys it";
    EXPECT_EQ(record.devices.size(), 2U);
}

TEST(Manager, RenameMemoryAndScheduler) {
    Machine m;
    run_demo(m, ExitAction::destroy, ExitAction::restart, ExitAction::destroy);
    EXPECT_EQ(text_of(m.manager.rename("demo", "1bad")), "Invalid VM Name: '1bad'");
    EXPECT_EQ(text_of(m.manager.rename("demo", "Domain-0")), "VM name 'Domain-0' already exists");
    ASSERT_TRUE(m.manager.rename("demo", "fresh"));
    EXPECT_EQ(id_of(m, "fresh"), "1");
    ASSERT_TRUE(m.manager.set_memory_target("fresh", 32));
    EXPECT_EQ(*m.manager.store_value("/local/domain/1/memory/target"), "32768");
    EXPECT_EQ(text_of(m.manager.set_memory_target("fresh", 65)), "Invalid memory size");
    EXPECT_EQ(text_of(m.manager.set_sched_params("fresh", {0, 0})), "weight is out of range");
    EXPECT_EQ(text_of(m.manager.set_sched_params("fresh", {256, 201})), "cap is out of range");
    EXPECT_TRUE(m.manager.set_sched_params("fresh", {512, 50}));
}

// --- adapters ------------------------------------------------------------------------------------------------------

TEST(Records, SurviveInFiles) {
    const fakes::Folder folder;
    xend::FileRecords records((folder.path / "domains").string());
    ASSERT_TRUE(records.prepare());
    Machine m;
    xend::Record record;
    record.config = m.demo();
    record.config.vifs[0].mac = "00:16:3e:01:02:03";
    record.state = xend::RecordState::restarting;
    record.domid = 7;
    record.start_time = 123;
    record.previous_restart = 99;
    record.restarts = 2;
    record.devices = {{"vbd", 51712, 0, "", ""}, {"vif", 0, 3, "/etc/xen/scripts/vif-bridge", "tag"}};
    ASSERT_TRUE(records.save(record));
    auto found = xend::FileRecords((folder.path / "domains").string()).find(record.config.uuid);
    ASSERT_TRUE(found && *found) << text_of(found);
    EXPECT_EQ((*found)->config, record.config);
    EXPECT_EQ((*found)->state, record.state);
    EXPECT_EQ((*found)->domid, 7U);
    EXPECT_EQ((*found)->previous_restart, 99);
    EXPECT_EQ((*found)->devices, record.devices);
    std::ofstream(folder.path / "domains" / "broken.sxp") << "(record";
    auto all = xend::FileRecords((folder.path / "domains").string()).load();
    ASSERT_TRUE(all);
    EXPECT_EQ(all->size(), 1U) << "a broken file is no reason to forget the others";
    ASSERT_TRUE(records.remove(record.config.uuid));
    EXPECT_FALSE(*records.find(record.config.uuid));
    EXPECT_EQ(xend::FileRecords((folder.path / "domains").string()).load()->size(), 0U);
}

TEST(Scripts, ReportAndTimeOut) {
    const fakes::Folder folder;
    const auto script = [&](const char* name, const char* body) {
        const std::string path = folder.file(name, std::string("#!/bin/sh\n") + body + "\n");
        std::filesystem::permissions(path, std::filesystem::perms::owner_all);
        return path;
    };
    xend::ScriptRunner runner((folder.path / "log").string());
    EXPECT_TRUE(runner.run({script("ok", "test \"$1$A\" = addb"), {"add"}, {{"A", "b"}}, std::chrono::seconds(5)}));
    const std::string bad = script("bad", "echo one; echo two >&2; exit 3");
    EXPECT_EQ(text_of(runner.run({bad, {}, {}, std::chrono::seconds(5)})), bad + " failed (exit status 3): two");
    const std::string slow = script("slow", "sleep 60");
    EXPECT_EQ(text_of(runner.run({slow, {}, {}, std::chrono::seconds(1)})), slow + " did not end within 1 s");
    // What a script leaves in the background holds its pipe, and does not hold us.
    const auto start = std::chrono::steady_clock::now();
    EXPECT_TRUE(runner.run({script("leaves", "sleep 20 & echo $! >${0%/*}/pid"), {}, {}, std::chrono::seconds(5), "left"}));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
    pid_t left = 0;
    std::ifstream(folder.path / "pid") >> left;
    runner.end({"another"});
    EXPECT_EQ(::kill(left, 0), 0);
    runner.end({"left", "another"});
    EXPECT_TRUE(::kill(left, 0) != 0 || std::ifstream("/proc/" + std::to_string(left) + "/cmdline").get() == EOF)
        << "a zombie at most";
    const int leak = ::open("/dev/null", O_RDONLY);
    EXPECT_TRUE(runner.run({script("fds", "test ! -e /proc/$$/fd/9"), {}, {}, std::chrono::seconds(5)}));
    ASSERT_GE(::dup2(leak, 9), 0);
    EXPECT_TRUE(runner.run({script("fds", "test ! -e /proc/$$/fd/9"), {}, {}, std::chrono::seconds(5)}))
        << "no descriptor of ours";
    EXPECT_EQ(text_of(runner.run({"/nowhere/script", {}, {}, std::chrono::seconds(1)})), "there is no script /nowhere/script");
}

}  // namespace
