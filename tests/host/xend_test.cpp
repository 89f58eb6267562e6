// link: xendcore
// SPDX-License-Identifier: Apache-2.0
#include "xend_fakes.hpp"

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
using fakes::Machine;
using xenctrl::ShutdownReason;
using xend::Follow;

std::string text_of(const auto& outcome) { return outcome ? "" : outcome.failure().text; }

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
        const auto nodes = driver->nodes({base::DomId{7}, base::DomId{0}}, config, 0, {});
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
        return xend::vbd_nodes({base::DomId{7}, base::DomId{0}}, *config::parse_disk(specifier), "/scripts");
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

// --- creation ------------------------------------------------------------------------------------------------------

TEST(Create, WritesWhatLinuxExpects) {
    Machine m;
    auto made = m.manager.create(m.demo());
    ASSERT_TRUE(made) << text_of(made);
    EXPECT_EQ(made->name, "demo");
    EXPECT_TRUE(made->info.paused);
    const std::string mac = config::derived_mac(made->uuid, 0);
    EXPECT_EQ(m.nodes("/local/domain/1/device/"),
              "/local/domain/1/device/suspend = \"\" (n0,r1)\n"
              "/local/domain/1/device/suspend/event-channel = \"\" (n1)\n"
              "/local/domain/1/device/vbd = \"\" (n0,r1)\n"
              "/local/domain/1/device/vbd/51712 = \"\" (n1,r0)\n"
              "/local/domain/1/device/vbd/51712/backend = \"/local/domain/0/backend/vbd/1/51712\" (n1,r0)\n"
              "/local/domain/1/device/vbd/51712/backend-id = \"0\" (n1,r0)\n"
              "/local/domain/1/device/vbd/51712/device-type = \"disk\" (n1,r0)\n"
              "/local/domain/1/device/vbd/51712/protocol = \"x86_64-abi\" (n1,r0)\n"
              "/local/domain/1/device/vbd/51712/state = \"1\" (n1,r0)\n"
              "/local/domain/1/device/vbd/51712/virtual-device = \"51712\" (n1,r0)\n"
              "/local/domain/1/device/vif = \"\" (n0,r1)\n"
              "/local/domain/1/device/vif/0 = \"\" (n1,r0)\n"
              "/local/domain/1/device/vif/0/backend = \"/local/domain/0/backend/vif/1/0\" (n1,r0)\n"
              "/local/domain/1/device/vif/0/backend-id = \"0\" (n1,r0)\n"
              "/local/domain/1/device/vif/0/handle = \"0\" (n1,r0)\n"
              "/local/domain/1/device/vif/0/mac = \"" +
                  mac +
                  "\" (n1,r0)\n"
                  "/local/domain/1/device/vif/0/state = \"1\" (n1,r0)\n");
    const std::string disk = made->record->config.disks[0].target;
    EXPECT_EQ(m.nodes("/local/domain/0/backend/vbd/1/51712"),
              "/local/domain/0/backend/vbd/1/51712 = \"\" (n0,r1)\n"
              "/local/domain/0/backend/vbd/1/51712/bootable = \"1\" (n0,r1)\n"
              "/local/domain/0/backend/vbd/1/51712/dev = \"xvda\" (n0,r1)\n"
              "/local/domain/0/backend/vbd/1/51712/device-type = \"disk\" (n0,r1)\n"
              "/local/domain/0/backend/vbd/1/51712/discard-enable = \"1\" (n0,r1)\n"
              "/local/domain/0/backend/vbd/1/51712/frontend = \"/local/domain/1/device/vbd/51712\" (n0,r1)\n"
              "/local/domain/0/backend/vbd/1/51712/frontend-id = \"1\" (n0,r1)\n"
              "/local/domain/0/backend/vbd/1/51712/hotplug-status = \"connected\" (n0,r1)\n"
              "/local/domain/0/backend/vbd/1/51712/mode = \"w\" (n0,r1)\n"
              "/local/domain/0/backend/vbd/1/51712/node = \"/dev/loop0\" (n0,r1)\n"
              "/local/domain/0/backend/vbd/1/51712/online = \"1\" (n0,r1)\n"
              "/local/domain/0/backend/vbd/1/51712/params = \"" +
                  disk +
                  "\" (n0,r1)\n"
                  "/local/domain/0/backend/vbd/1/51712/physical-device = \"7:0\" (n0,r1)\n"
                  "/local/domain/0/backend/vbd/1/51712/physical-device-path = \"/dev/loop0\" (n0,r1)\n"
                  "/local/domain/0/backend/vbd/1/51712/removable = \"0\" (n0,r1)\n"
                  "/local/domain/0/backend/vbd/1/51712/script = \"/etc/xen/scripts/block\" (n0,r1)\n"
                  "/local/domain/0/backend/vbd/1/51712/state = \"2\" (n0,r1)\n"
                  "/local/domain/0/backend/vbd/1/51712/type = \"file\" (n0,r1)\n");
    EXPECT_EQ(m.nodes("/local/domain/1/console"),
              "/local/domain/1/console = \"\" (n0,r1)\n"
              "/local/domain/1/console/backend = \"/local/domain/0/backend/console/1/0\" (n0,r1)\n"
              "/local/domain/1/console/backend-id = \"0\" (n0,r1)\n"
              "/local/domain/1/console/limit = \"1048576\" (n0,r1)\n"
              "/local/domain/1/console/output = \"pty\" (n0,r1)\n"
              "/local/domain/1/console/port = \"2\" (n0,r1)\n"
              "/local/domain/1/console/ring-ref = \"1001\" (n0,r1)\n"
              "/local/domain/1/console/tty = \"\" (n0,r1)\n"
              "/local/domain/1/console/type = \"xenconsoled\" (n0,r1)\n");
    EXPECT_EQ(m.nodes("/local/domain/1/control"),
              "/local/domain/1/control = \"\" (n0,r1)\n"
              "/local/domain/1/control/feature-poweroff = \"\" (n1)\n"
              "/local/domain/1/control/feature-reboot = \"\" (n1)\n"
              "/local/domain/1/control/feature-suspend = \"\" (n1)\n"
              "/local/domain/1/control/platform-feature-multiprocessor-suspend = \"1\" (n0,r1)\n"
              "/local/domain/1/control/platform-feature-xs_reset_watches = \"1\" (n0,r1)\n"
              "/local/domain/1/control/shutdown = \"\" (n1)\n"
              "/local/domain/1/control/sysrq = \"\" (n1)\n");
    EXPECT_EQ(m.scripts.calls, (std::vector<std::string>{"vif-bridge online vif1.0"}));
    EXPECT_EQ(m.records.all.begin()->second.state, xend::RecordState::live);
}

/// What must be as before when a creation failed.
struct Before {
    std::string nodes;
    uint64_t free_pages;
    size_t domains;
    explicit Before(const Machine& m) : nodes(m.nodes()), free_pages(m.hypervisor.free_pages), domains(m.hypervisor.all.size()) {}
    void expect_same(const Machine& m, const char* what) const {
        // Folders of the store that all domains share may have come into being.
        const auto without_empty = [](const std::string& dump) {
            std::string out;
            std::istringstream lines(dump);
            for (std::string line; std::getline(lines, line);) {
                if (line.find("= \"\" (n0)") == std::string::npos) out += line + "\n";
            }
            return out;
        };
        EXPECT_EQ(without_empty(m.nodes()), without_empty(nodes)) << what;
        EXPECT_EQ(m.hypervisor.free_pages, free_pages) << what;
        EXPECT_EQ(m.hypervisor.all.size(), domains) << what;
        EXPECT_EQ(m.records.all.size(), domains - 1) << what;
    }
};

std::string create_error(Machine& m, const config::DomainConfig& config, const char* what) {
    const Before before(m);
    auto made = m.manager.create(config);
    EXPECT_FALSE(made) << what;
    before.expect_same(m, what);
    return text_of(made);
}

// What a file says of the machine is what the builder is asked for.
TEST(Create, VariablesReachTheBuilder) {
    Machine m;
    auto config = m.demo();
    config.vcpus = 3;
    config.cpus = "0;2-3,^2";
    config.tsc_mode = 2;
    config.rtc_timeoffset = -3600;
    config.max_event_channels = 127;
    config.max_grant_frames = 8;
    config.max_maptrack_frames = 9;
    config.max_grant_version = 1;
    config.cpu_weight = 512;
    config.cpu_cap = 50;
    ASSERT_TRUE(m.manager.create(config));
    const builder::BuildInput& asked = m.hypervisor.asked;
    EXPECT_EQ(asked.vcpu_affinity, (std::vector<std::vector<uint8_t>>{{1}, {8}, {}}));
    EXPECT_EQ(asked.tsc_mode, 2U);
    EXPECT_EQ(asked.time_offset, -3600);
    EXPECT_EQ(asked.max_event_channels, 127U);
    EXPECT_EQ(asked.max_grant_frames, 8);
    EXPECT_EQ(asked.max_maptrack_frames, 9);
    EXPECT_EQ(asked.max_grant_version, 1);
    EXPECT_EQ(asked.sched_weight, 512);
    EXPECT_EQ(asked.sched_cap, 50);
    config.name = "local";
    config.uuid = {};
    config.disks.clear();
    config.vifs.clear();
    config.localtime = true;
    ASSERT_TRUE(m.manager.create(config));
    EXPECT_EQ(m.hypervisor.asked.time_offset, 3600);
}

TEST(Create, EveryFailureIsUndoneAndNamed) {
    Machine m;
    auto c = m.demo();
    c.kernel = "/nowhere/vmlinuz";
    EXPECT_EQ(create_error(m, c, "kernel"), "Kernel image does not exist: /nowhere/vmlinuz");
    c = m.demo();
    c.ramdisk = "/nowhere/initrd";
    EXPECT_EQ(create_error(m, c, "ramdisk"), "Kernel ramdisk does not exist: /nowhere/initrd");
    c = m.demo();
    c.disks[0].target = "/nowhere/disk";
    EXPECT_EQ(create_error(m, c, "disk"), "Disk image does not exist: /nowhere/disk");
    c = m.demo();
    c.disks[0].type = "phy";
    EXPECT_EQ(create_error(m, c, "phy"), "Disk " + c.disks[0].target + " is not a block device; use file: for image files");
    c = m.demo();
    c.memory_mib = 4096;
    EXPECT_EQ(
        create_error(m, c, "memory"),
        "Not enough free memory and dom0_min_mem is 0, so I cannot release any more. I need 4196352 KiB but only have 400000.");
    c = m.demo("Domain-0");
    EXPECT_EQ(create_error(m, c, "dom0's name"), "Domain 'Domain-0' already exists with ID '0'");
    m.hypervisor.build_error = "out of luck";
    EXPECT_EQ(create_error(m, m.demo(), "build"), "out of luck");
    m.hypervisor.build_error.clear();
    m.scripts.error = "Could not find bridge device xenbr0";
    EXPECT_EQ(create_error(m, m.demo(), "script"), "Device 0 (vif) could not be connected. Could not find bridge device xenbr0");
    m.scripts.error.clear();
    m.stores.tree.back_ends = false;
    EXPECT_EQ(create_error(m, m.demo(), "back end"), "Device 51712 (vbd) could not be connected. Backend device not found.");
    m.stores.tree.back_ends = true;
    EXPECT_TRUE(m.manager.create(m.demo()));
}

TEST(Create, NamesAndDisksAreNotSharedByAccident) {
    Machine m;
    ASSERT_TRUE(m.manager.create(m.demo()));
    auto second = m.demo();
    second.uuid = config::Uuid::random();
    EXPECT_EQ(create_error(m, second, "name"), "Domain 'demo' already exists with ID '1'");
    second.name = "second";
    EXPECT_EQ(create_error(m, second, "disk"),
              "File " + second.disks[0].target +
                  " is in use: it is mounted read-write in guest domain 'demo', and so cannot be mounted read-write now.");
    second.disks[0].mode = config::DiskMode::read_only;
    EXPECT_NE(create_error(m, second, "read of a written disk").find("mounted read-only now"), std::string::npos);
    second.disks[0].mode = config::DiskMode::shared_write;
    EXPECT_TRUE(m.manager.create(second));
    auto third = m.demo("third");
    EXPECT_EQ(create_error(m, third, "uuid"), "The uuid f4bc2456-e4ce-11f1-a449-af95deeadde8 belongs to domain 'demo'");
}

TEST(Create, AKernelThatDiesAtOnceFailsTheStart) {
    Machine m;
    const Before before(m);
    ASSERT_TRUE(m.manager.create(m.demo()));
    m.hypervisor.crash_at_once = true;
    const auto started = m.manager.unpause("demo");
    EXPECT_EQ(text_of(started), "Domain 'demo' crashed at once after its start; see 'xm dmesg'. It was destroyed.");
    before.expect_same(m, "crash");
}

TEST(Create, WhoLooksDoesNotWaitForAScript) {
    Machine m;
    std::promise<void> running, release;
    m.scripts.before = [&] {
        running.set_value();
        release.get_future().wait();
        m.scripts.before = nullptr;
    };
    std::thread creator([&] { EXPECT_TRUE(m.manager.create(m.demo())); });
    running.get_future().wait();
    auto look = std::async(std::launch::async, [&] {
        const auto all = m.manager.domains();
        return all && all->size() == 2 && m.manager.find("demo") && m.manager.devices("demo", "vbd") && m.manager.ended() &&
               *m.manager.follow_up(m.records.all.begin()->second);  // busy
    });
    EXPECT_EQ(look.wait_for(std::chrono::seconds(10)), std::future_status::ready) << "a lock is held while a script runs";
    release.set_value();
    EXPECT_TRUE(look.get());
    creator.join();
}

TEST(Create, DestroyLeavesNothing) {
    Machine m;
    for (int i = 0; i < 50; ++i) {
        const Before before(m);
        ASSERT_TRUE(m.manager.create(m.demo()));
        ASSERT_TRUE(m.manager.unpause("demo"));
        ASSERT_TRUE(m.manager.destroy("demo"));
        before.expect_same(m, "round");
    }
    EXPECT_EQ(text_of(m.manager.destroy("demo")), "Domain 'demo' does not exist.");
    EXPECT_EQ(text_of(m.manager.destroy("0")), "Cannot destroy privileged domain 0");
    EXPECT_EQ(text_of(m.manager.pause("Domain-0")), "Cannot pause privileged domain");
}

// --- the end of a domain -------------------------------------------------------------------------------------------

/// A running demo domain with these actions.
void run_demo(Machine& m, ExitAction off, ExitAction reboot, ExitAction crash) {
    auto c = m.demo();
    c.on_poweroff = off;
    c.on_reboot = reboot;
    c.on_crash = crash;
    ASSERT_TRUE(m.manager.create(c));
    ASSERT_TRUE(m.manager.unpause("demo"));
}

std::string id_of(Machine& m, const std::string& name) {
    auto view = m.manager.find(name);
    return view ? std::to_string(view->info.id.raw) : "none";
}

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
    auto found = records.find(record.config.uuid);
    ASSERT_TRUE(found && *found) << text_of(found);
    EXPECT_EQ((*found)->config, record.config);
    EXPECT_EQ((*found)->state, record.state);
    EXPECT_EQ((*found)->domid, 7U);
    EXPECT_EQ((*found)->previous_restart, 99);
    EXPECT_EQ((*found)->devices, record.devices);
    std::ofstream(folder.path / "domains" / "broken.sxp") << "(record";
    auto all = records.load();
    ASSERT_TRUE(all);
    EXPECT_EQ(all->size(), 1U) << "a broken file is no reason to forget the others";
    ASSERT_TRUE(records.remove(record.config.uuid));
    EXPECT_FALSE(*records.find(record.config.uuid));
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
