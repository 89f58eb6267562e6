// link: xend_fakes xendcore
// SPDX-License-Identifier: Apache-2.0
// tsan
// How domains come into being, one and many at once.
#include "xend_checks.hpp"

#include <future>
#include <thread>

namespace {

using fakes::Before;
using fakes::create_error;
using fakes::Machine;
using fakes::text_of;

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
    config.pool = "fast";
    auto refused = m.manager.create(config);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.failure().text.find("Pool 'fast' does not exist."), std::string::npos) << refused.failure().text;
    ASSERT_TRUE(m.manager.create_pool("fast", xenctrl::Scheduler::credit2, ""));
    refused = m.manager.create(config);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.failure().text.find("Pool 'fast' has no CPU"), std::string::npos) << refused.failure().text;
    ASSERT_TRUE(m.manager.change_pool_cpus("fast", "3", xend::PoolChange::What::add_cpu));
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
    EXPECT_EQ(asked.cpupool, 1U);
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

TEST(Create, AStartWaitsForLifeAndNotForTheClock) {
    Machine m;
    const auto timed = [&] {
        const auto begin = std::chrono::steady_clock::now();
        EXPECT_TRUE(m.manager.create(m.demo(), xend::Run::now));
        EXPECT_TRUE(m.manager.find("demo")->record->start_time != 0);
        EXPECT_TRUE(m.manager.destroy("demo"));
        return std::chrono::steady_clock::now() - begin;
    };
    EXPECT_LT(timed(), std::chrono::milliseconds(250)) << "a guest that waits for something is alive";
    m.hypervisor.busy = true;
    EXPECT_GE(timed(), std::chrono::milliseconds(500)) << "of one that does not nobody knows yet";
    m.hypervisor.crash_at_once = true;
    const Before before(m);
    EXPECT_EQ(text_of(m.manager.create(m.demo(), xend::Run::now)),
              "Domain 'demo' crashed at once after its start; see 'xm dmesg'. It was destroyed.");
    before.expect_same(m, "crash");
}

/// A domain of its own name, uuid and disk.
config::DomainConfig numbered(Machine& m, size_t i) {
    auto c = m.demo("guest" + std::to_string(i));
    c.uuid = config::Uuid::random();
    c.disks[0] = *config::parse_disk("file:" + m.folder.file("disk" + std::to_string(i)) + ",xvda,w");
    return c;
}

TEST(Create, ManyAtOnceAndNobodyWaitsForAnother) {
    Machine m;
    m.hypervisor.free_pages = 1'000'000;
    std::atomic<int> running = 0;
    std::promise<void> release;
    const std::shared_future<void> released = release.get_future().share();
    m.scripts.before = [&] {
        ++running;
        released.wait();
    };
    std::vector<config::DomainConfig> configs;
    for (size_t i = 0; i < 20; ++i) configs.push_back(numbered(m, i));
    auto same_name = numbered(m, 20), same_disk = numbered(m, 21);
    same_name.name = configs[7].name;
    same_disk.disks[0].target = configs[7].disks[0].target;
    std::vector<std::future<std::string>> jobs;
    for (const auto& c : configs) {
        jobs.push_back(std::async(std::launch::async, [&] { return text_of(m.manager.create(c, xend::Run::now)); }));
    }
    for (int i = 0; i < 1000 && running < 20; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(running, 20) << "twenty scripts hang, one a creation";
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(m.manager.domains()->size(), 21U);
    EXPECT_NE(text_of(m.manager.create(same_name)).find("already exists"), std::string::npos);
    EXPECT_NE(text_of(m.manager.create(same_disk)).find("is in use: it is mounted read-write in guest domain 'guest7'"),
              std::string::npos);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
    release.set_value();
    for (auto& job : jobs) EXPECT_EQ(job.get(), "");
    EXPECT_EQ(m.records.all.size(), 20U);
}

TEST(Create, MemoryIsPromisedOnce) {
    Machine m;
    m.hypervisor.free_pages = 5 * 64 * 256 + 600;  // for five of them
    std::vector<std::future<bool>> jobs;
    for (size_t i = 0; i < 10; ++i) {
        jobs.push_back(std::async(std::launch::async, [&m, c = numbered(m, i)] { return bool(m.manager.create(c)); }));
    }
    int made = 0;
    for (auto& job : jobs) made += job.get() ? 1 : 0;
    EXPECT_EQ(made, 5);
}

/// Requests to the store of one list, and of one creation and destruction.
std::pair<size_t, size_t> costs(Machine& m) {
    EXPECT_TRUE(m.manager.domains());
    EXPECT_TRUE(m.manager.domains());  // names that are new are read again once
    const size_t start = m.stores.tree.requests;
    EXPECT_TRUE(m.manager.domains());
    EXPECT_TRUE(m.manager.reap());
    const size_t list = m.stores.tree.requests - start;
    EXPECT_TRUE(m.manager.create(m.demo(), xend::Run::now));
    EXPECT_TRUE(m.manager.destroy("demo"));
    return {list, m.stores.tree.requests - start - list};
}

TEST(Create, CostsTheSameAmongManyDomains) {
    Machine m;
    const auto alone = costs(m);
    EXPECT_EQ(alone.first, 0U) << "a list asks the store nothing that it knows";
    m.hypervisor.free_pages = 100'000'000;
    for (size_t i = 0; i < 40; ++i) ASSERT_TRUE(m.manager.create(numbered(m, i)));
    EXPECT_EQ(costs(m), alone);
    // A name that somebody else changes is seen all the same.
    m.stores.tree.write("/local/domain/3/name", "renamed");
    EXPECT_TRUE(m.manager.find("renamed"));
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

}  // namespace
