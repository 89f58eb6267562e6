// SPDX-License-Identifier: Apache-2.0
// link: xenctrl builder xenstored_daemon xendcore xmverbs
// The whole way down: xm's command lines, xend, the store daemon, the builder, the hypervisor's core and guests, in one
// process. What is not real: dom0's kernel drivers and the hotplug scripts.
#include <gtest/gtest.h>

#include <sys/socket.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/mm/heap.hpp"
#include "tests/host/test_kernel.hpp"
#include "tests/sim/guest.hpp"
#include "tests/sim/store.hpp"
#include "toolstack/migration/saved_file.hpp"
#include "toolstack/xend/adapters/control_hypervisor.hpp"
#include "toolstack/xend/adapters/file_records.hpp"
#include "toolstack/xend/adapters/sqlite_transfers.hpp"
#include "toolstack/xend/adapters/tcp_lines.hpp"
#include "toolstack/xend/core/manager.hpp"
#include "toolstack/xend/server/router.hpp"
#include "toolstack/xm/app.hpp"

namespace {

using base::Outcome;
using namespace std::chrono_literals;

class SimStores final : public xend::Stores {
public:
    explicit SimStores(xenstore::Location where) : where_(std::move(where)) {}
    Outcome<std::unique_ptr<xenstore::Store>> open() override { return xenstore::open_store(where_); }

private:
    xenstore::Location where_;
};

/// Hotplug scripts that always find what they look for; "fail" in the path makes one that does not.
class SimScripts final : public xend::Scripts {
public:
    explicit SimScripts(xend::Stores& stores) : stores_(stores) {}
    Outcome<> run(const xend::ScriptCall& call) override {
        ++runs;
        if (call.arguments[0] != "add" && call.arguments[0] != "online") return base::ok;
        auto store = OTRY(stores_.open());
        for (const auto& [name, value] : call.environment) {
            if (name != "XENBUS_PATH") continue;
            OTRY(store->write(value + "/hotplug-status", refuse ? "error" : "connected"));
            if (refuse) OTRY(store->write(value + "/hotplug-error", "the bridge is missing"));
        }
        return base::ok;
    }
    void end(const std::vector<std::string>&) override {}
    std::atomic<int> runs{0};
    bool refuse = false;

private:
    xend::Stores& stores_;
};

/// Loop devices that nobody opens.
class SimBlocks final : public xend::BlockDevices {
public:
    Outcome<xend::BlockDevice> device(const std::string& path) override { return xend::BlockDevice{path, "fe:1", nullptr}; }
    Outcome<xend::BlockDevice> loop(const std::string&, config::DiskMode) override {
        return xend::BlockDevice{"/dev/loop0", "7:0", nullptr};
    }
    Outcome<xend::BlockDevice> image(const xend::ImageFile&, const std::string&) override {
        return xend::BlockDevice{"/dev/nbd0", "2b:0", nullptr};
    }
    Outcome<> release(const std::string&) override { return base::ok; }
    Outcome<> end_dead() override { return base::ok; }
    bool served(base::DomId, uint32_t) override { return true; }
    Outcome<bool> settled(base::DomId, uint32_t) override { return true; }
};

/// To a manager in this process, which takes what comes in a thread of its own.
class SimLines final : public migration::Lines {
    class Watched final : public xend::SocketLine {
    public:
        Watched(int fd, std::function<void(uint32_t)>& told) : SocketLine(service::Fd(fd), "here"), on_round_(told) {}
        Outcome<> say(const proto::relocation::Message& message) override {
            const auto* round = std::get_if<proto::relocation::Round>(&message);
            if (round != nullptr && on_round_) on_round_(round->number);
            return SocketLine::say(message);
        }

    private:
        std::function<void(uint32_t)>& on_round_;
    };
    std::vector<std::thread> threads_;

public:
    xend::Manager* target = nullptr;
    std::function<void(uint32_t)> on_round;  // before the source says so

    Outcome<std::unique_ptr<migration::Line>> connect(const std::string&, uint16_t) override {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return service::system_failure("socketpair");
        threads_.emplace_back(
            [this, fd = ends[1]] { EXPECT_TRUE(target->receive(std::make_unique<xend::SocketLine>(service::Fd(fd), "here"))); });
        return std::unique_ptr<migration::Line>(new Watched(ends[0], on_round));
    }
    void finish() {
        for (std::thread& thread : threads_) thread.join();
        threads_.clear();
    }
    ~SimLines() override { finish(); }
};

class RealClock final : public xend::Clock {
public:
    int64_t unix_seconds() override { return std::time(nullptr); }
    int64_t local_offset() override { return 0; }
    void sleep(std::chrono::milliseconds time) override { std::this_thread::sleep_for(time); }
};

/// A temporary folder with a kernel, a ramdisk, a disk and a configuration.
class Files {
public:
    Files() {
        char name[] = "/tmp/xm_sim.XXXXXX";
        folder = ::mkdtemp(name);
        write("kernel", testing_tools::make_bzimage(testing_tools::make_kernel()));
        write("initrd", std::vector<std::byte>(30'000));
        write("disk.img", std::vector<std::byte>(1 << 20));
    }
    ~Files() { std::filesystem::remove_all(folder); }
    void write(const std::string& name, const std::vector<std::byte>& bytes) {
        std::ofstream(folder + "/" + name, std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    std::string config(const std::string& name, const std::string& more = "") {
        const std::string path = folder + "/" + name + ".cfg";
        std::ofstream(path) << "name = \"" << name << "\"\nkernel = \"" << folder << "/kernel\"\nramdisk = \"" << folder
                            << "/initrd\"\nmemory = 24\nvcpus = 2\nextra = \"quiet\"\n"
                            << more << "\n";
        return path;
    }
    std::string disk() const { return "disk = [ 'file:" + folder + "/disk.img,xvda,w' ]"; }
    std::string folder;
};

class XmSim : public ::testing::Test {
protected:
    XmSim() {
        EXPECT_TRUE(records.prepare());
        xend::Settings settings;
        settings.min_restart_seconds = 0;
        settings.backend_timeout = 5s;
        settings.hotplug_timeout = 5s;
        settings.suspend_timeout = 1s;
        settings.scripts = files.folder;
        manager = std::make_unique<xend::Manager>(
            xend::Ports{hypervisor, stores, scripts, blocks, records, clock, settings, nullptr, &transfers, &lines});
        lines.target = manager.get();
        router = std::make_unique<xend::Router>(*manager, files.folder + "/xend.log");
        auto store = stores.open().take();
        EXPECT_TRUE(store->write("/local/domain/0/name", "Domain-0"));
        EXPECT_TRUE(store->write("/local/domain/0/domid", "0"));
        EXPECT_TRUE(manager->recover());
    }

    ~XmSim() override {
        for (const auto& d : control.list().take())
            if (d.id != base::DomId{0}) { EXPECT_TRUE(manager->destroy(std::to_string(d.id.raw))); }
    }

    int xm(const std::vector<std::string>& words) {
        out.str("");
        err.str("");
        xm::World world{
            *router,
            out,
            err,
            true,
            [](unsigned ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); },
            [](const std::string&, const auto&) -> Outcome<> { return base::fail(base::Errc::nosys, "no terminal"); }};
        return xm::run(world, words);
    }
    std::string state(const std::string& name) {
        auto view = manager->find(name);
        return view ? view->info.state() : "gone";
    }
    /// Reaps until `name` is in `wanted` state.
    bool becomes(const std::string& name, const std::string& wanted) {
        for (int i = 0; i < 500; ++i) {
            EXPECT_TRUE(manager->reap());
            if (state(name) == wanted) return true;
            std::this_thread::sleep_for(10ms);
        }
        return false;
    }

    Files files;
    sim::Machine& machine = sim::Machine::instance();
    sim::Guests guests{machine};
    sim::SimBackend backend{machine};
    xenctrl::Control control{backend};
    sim::StoreService service{backend, files.folder + "/store"};
    sim::BackendDrivers drivers{service.location()};
    SimStores stores{service.location()};
    SimScripts scripts{stores};
    SimBlocks blocks;
    RealClock clock;
    xend::FileRecords records{files.folder + "/records"};
    xend::ControlHypervisor hypervisor{control};
    xend::SqliteTransfers transfers{files.folder + "/transfers.db"};
    std::unique_ptr<xend::Manager> manager;
    SimLines lines;
    std::unique_ptr<xend::Router> router;
    std::ostringstream out, err;
};

TEST_F(XmSim, CreateListShutdown) {
    ASSERT_EQ(xm({"create", files.config("demo", files.disk() + "\nvif = [ 'bridge=xenbr0' ]")}), 0) << err.str();
    EXPECT_NE(out.str().find("Started domain demo"), std::string::npos);
    EXPECT_EQ(scripts.runs, 1) << "of the card; the disk needs none";
    EXPECT_EQ(state("demo"), "-b----");
    ASSERT_EQ(xm({"list"}), 0) << err.str();
    EXPECT_NE(out.str().find("Domain-0"), std::string::npos);
    EXPECT_NE(out.str().find("demo"), std::string::npos);
    ASSERT_EQ(xm({"block-list", "demo"}), 0);
    EXPECT_NE(out.str().find("51712"), std::string::npos);
    ASSERT_EQ(xm({"network-list", "demo"}), 0);
    EXPECT_NE(out.str().find("00:16:3e"), std::string::npos);
    ASSERT_EQ(xm({"shutdown", "demo"}), 0) << err.str();
    EXPECT_TRUE(becomes("demo", "gone"));
}

TEST_F(XmSim, PauseAndUnpause) {
    ASSERT_EQ(xm({"create", files.config("demo")}), 0) << err.str();
    ASSERT_EQ(xm({"pause", "demo"}), 0);
    EXPECT_EQ(state("demo"), "-bp---");
    ASSERT_EQ(xm({"unpause", "demo"}), 0);
    EXPECT_EQ(state("demo"), "-b----");
    ASSERT_EQ(xm({"destroy", "demo"}), 0);
    EXPECT_EQ(state("demo"), "gone");
}

TEST_F(XmSim, VcpusPoolsAndDevices) {
    ASSERT_EQ(xm({"create", files.config("demo", "vcpus = 2")}), 0) << err.str();
    ASSERT_EQ(xm({"vcpu-pin", "demo", "1", "0"}), 0) << err.str();
    ASSERT_EQ(xm({"vcpu-list", "demo"}), 0);
    EXPECT_NE(out.str().find(" 0\n"), std::string::npos) << out.str();
    ASSERT_EQ(xm({"cpupool-list"}), 0) << err.str();
    EXPECT_NE(out.str().find("Pool-0 "), std::string::npos) << out.str();
    EXPECT_EQ(xm({"cpupool-create", "name=more"}), 0) << err.str();
    const auto refused = [&](const std::vector<std::string>& words, const std::string& why) {
        EXPECT_EQ(xm(words), 1) << words[0];
        EXPECT_NE(err.str().find(why), std::string::npos) << err.str();
    };
    EXPECT_EQ(xm({"cpupool-create", "name=exact", "sched=rtds"}), 0) << err.str();
    ASSERT_EQ(xm({"cpupool-list", "exact"}), 0) << err.str();
    EXPECT_NE(out.str().find(" rtds "), std::string::npos) << out.str();
    EXPECT_EQ(xm({"cpupool-destroy", "exact"}), 0) << err.str();
    ASSERT_EQ(xm({"cpupool-list"}), 0) << err.str();
    EXPECT_NE(out.str().find("more "), std::string::npos) << out.str();
    refused({"cpupool-migrate", "demo", "more"}, "That pool has no CPU");
    refused({"cpupool-migrate", "0", "more"}, "Domain 0 stays where it is");
    refused({"cpupool-cpu-add", "more", "0"}, "Cannot add CPU 0 to the pool: A pool has it already");
    refused({"cpupool-cpu-remove", "more", "0"}, "Cannot take CPU 0 out of the pool: That pool does not have it");
    EXPECT_EQ(xm({"cpupool-destroy", "more"}), 0) << err.str();
    ASSERT_EQ(xm({"trigger", "demo", "nmi"}), 0) << err.str();
    ASSERT_EQ(xm({"block-attach", "demo", "file:" + files.folder + "/disk.img", "xvdb", "w"}), 0) << err.str();
    ASSERT_EQ(xm({"block-list", "demo"}), 0);
    EXPECT_NE(out.str().find("51728"), std::string::npos) << out.str();
    ASSERT_EQ(xm({"block-detach", "demo", "xvdb", "-f"}), 0) << err.str();
    ASSERT_EQ(xm({"block-list", "demo"}), 0);
    EXPECT_EQ(out.str().find("51728"), std::string::npos) << out.str();
    ASSERT_EQ(xm({"top", "-b", "-i", "1"}), 0) << err.str();
    ASSERT_EQ(xm({"info", "-n"}), 0) << err.str();
    ASSERT_EQ(xm({"destroy", "demo"}), 0) << err.str();
}

TEST_F(XmSim, RebootMakesANewDomainWithTheSameIdentity) {
    ASSERT_EQ(xm({"create", files.config("demo", "on_reboot = 'restart'")}), 0) << err.str();
    const auto before = manager->find("demo").take();
    ASSERT_EQ(xm({"reboot", "demo"}), 0) << err.str();
    for (int i = 0; i < 500; ++i) {
        ASSERT_TRUE(manager->reap());
        auto now = manager->find("demo");
        if (now && now->info.id != before.info.id && now->info.state() == "-b----") break;
        std::this_thread::sleep_for(10ms);
    }
    const auto after = manager->find("demo").take();
    EXPECT_NE(after.info.id, before.info.id);
    EXPECT_EQ(after.uuid, before.uuid);
    ASSERT_EQ(xm({"destroy", "demo"}), 0);
}

TEST_F(XmSim, EverythingComesBackExactly) {
    const std::string config = files.config("demo", files.disk());
    ASSERT_EQ(xm({"create", config}), 0) << err.str();
    ASSERT_EQ(xm({"destroy", "demo"}), 0);
    const uint64_t before = machine.free_pages();
    for (int i = 0; i < 10; ++i) {
        ASSERT_EQ(xm({"create", config}), 0) << err.str();
        ASSERT_EQ(xm({"destroy", "demo"}), 0) << err.str();
    }
    EXPECT_EQ(machine.free_pages(), before);
    EXPECT_EQ(backend.mappings(), 0U);
}

TEST_F(XmSim, BadInputLeavesNothing) {
    ASSERT_EQ(xm({"create", files.config("good")}), 0) << err.str();
    const uint64_t before = machine.free_pages();
    const auto refused = [&](const std::vector<std::string>& words, const std::string& reason) {
        EXPECT_EQ(xm(words), 1);
        EXPECT_NE(err.str().find(reason), std::string::npos) << err.str();
        EXPECT_EQ(machine.free_pages(), before) << reason;
        EXPECT_EQ(control.list()->size(), 2U) << reason;
    };
    refused({"create", files.config("good")}, "good");
    refused({"create", files.config("big", "memory = 4000")}, "ree memory");
    refused({"create", files.config("nokernel", "kernel = '/nothing/here'")}, "/nothing/here");
    refused({"create", files.config("text", "kernel = '" + files.folder + "/text.cfg'")}, "is not a kernel");
    refused({"create", files.config("nodisk", "disk = [ 'file:/nothing/disk,xvda,w' ]")}, "/nothing/disk");
    refused({"create", files.config("crash", "extra = 'crash'")}, "crash");
    scripts.refuse = true;
    refused({"create", files.config("nobridge", "vif = [ '' ]")}, "the bridge is missing");
    ASSERT_EQ(xm({"destroy", "good"}), 0);
}

/// What the guest wrote to its console, as long as nobody has read it.
std::string console_of(sim::Machine& machine, base::DomId domain) {
    const std::lock_guard guard(machine.lock());
    auto store = hv::lookup_domain(domain);
    for (uint64_t m = 0; store && m < hv::max_frame; ++m) {
        if (hv::page_of(hv::Mfn{m}).owner.load() != domain.raw) continue;
        const auto* page = hv::map_mfn<xen::XenconsInterface>(hv::Mfn{m});
        const std::string text(page->out, std::min<uint32_t>(page->out_prod, sizeof page->out));
        if (text.starts_with("booted with")) return text;
    }
    return {};
}

TEST_F(XmSim, SaveAndRestore) {
    const std::string config = files.config("demo", files.disk() + "\nvif = [ 'bridge=xenbr0' ]");
    ASSERT_EQ(xm({"create", config}), 0) << err.str();
    const auto before = manager->find("demo").take();
    const std::string file = files.folder + "/demo.save";
    ASSERT_EQ(xm({"save", "demo", file}), 0) << err.str();
    EXPECT_EQ(out.str(), "");
    EXPECT_EQ(state("demo"), "gone");
    EXPECT_EQ(records.load()->size(), 0U);
    EXPECT_TRUE(std::filesystem::exists(file));
    EXPECT_FALSE(std::filesystem::exists(file + ".part"));
    ASSERT_EQ(xm({"restore", file}), 0) << err.str();
    EXPECT_EQ(out.str(), "");
    const auto after = manager->find("demo").take();
    EXPECT_EQ(after.uuid, before.uuid);
    EXPECT_NE(after.info.id, before.info.id);
    EXPECT_EQ(after.info.pages, before.info.pages);
    EXPECT_EQ(after.record->config.vifs, before.record->config.vifs) << "its cards keep their addresses";
    EXPECT_EQ(after.info.state(), "-b----");
    EXPECT_NE(console_of(machine, after.info.id).find("restored"), std::string::npos) << console_of(machine, after.info.id);
    ASSERT_EQ(xm({"block-list", "demo"}), 0);
    EXPECT_NE(out.str().find("51712"), std::string::npos);
    // It hears of its store again; and is saved a second time.
    ASSERT_EQ(xm({"save", "demo", file}), 0) << err.str();
    ASSERT_EQ(xm({"restore", "-p", file}), 0) << err.str();
    EXPECT_EQ(state("demo"), "--p---");
    ASSERT_EQ(xm({"unpause", "demo"}), 0) << err.str();
    ASSERT_EQ(xm({"shutdown", "demo"}), 0) << err.str();
    EXPECT_TRUE(becomes("demo", "gone"));
}

/// Debian's xen-utils, where images of dom0 with xl were made.
TEST_F(XmSim, XensOwnCheckerTakesTheFile) {
    const std::string xen = std::string(XENOLITH_CACHE_DIR) + "/packages/xen-utils-4.17/usr/lib/xen-4.17";
    if (!std::filesystem::exists(xen + "/bin/verify-stream-v2")) GTEST_SKIP() << "no verify-stream-v2 in " << xen;
    ASSERT_EQ(xm({"create", files.config("demo")}), 0) << err.str();
    const std::string file = files.folder + "/demo.save", said = files.folder + "/said";
    ASSERT_EQ(xm({"save", "demo", file}), 0) << err.str();
    const auto checked = [&] {
        const std::string command = "PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=" + xen + "/lib/python python3 " + xen +
                                    "/bin/verify-stream-v2 -f xl -i " + file + " >" + said + " 2>&1";
        return std::system(command.c_str());
    };
    std::stringstream text;
    EXPECT_EQ(checked(), 0) << (text << std::ifstream(said).rdbuf(), text.str());
    // That it can say no.
    std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
    EXPECT_NE(checked(), 0);
}

TEST_F(XmSim, ACheckpointGoesOn) {
    ASSERT_EQ(xm({"create", files.config("demo")}), 0) << err.str();
    const auto before = manager->find("demo").take();
    const std::string file = files.folder + "/demo.save";
    for (int i = 0; i < 3; ++i) {
        ASSERT_EQ(xm({"save", "-c", "demo", file}), 0) << err.str();
        const auto after = manager->find("demo").take();
        EXPECT_EQ(after.info.id, before.info.id);
        EXPECT_EQ(after.info.state(), "-b----");
        EXPECT_FALSE(after.record->saving);
    }
    EXPECT_NE(console_of(machine, before.info.id).find("goes on"), std::string::npos);
    EXPECT_EQ(xm({"restore", file}), 1);
    EXPECT_NE(err.str().find("already exists"), std::string::npos) << err.str();
    ASSERT_EQ(xm({"destroy", "demo"}), 0);
    ASSERT_EQ(xm({"restore", file}), 0) << err.str();
    ASSERT_EQ(xm({"destroy", "demo"}), 0);
}

TEST_F(XmSim, WhatCannotBeSavedGoesOn) {
    ASSERT_EQ(xm({"create", files.config("demo")}), 0) << err.str();
    const auto refused = [&](const std::vector<std::string>& words, const std::string& reason) {
        EXPECT_EQ(xm(words), 1);
        EXPECT_NE(err.str().find(reason), std::string::npos) << err.str();
        EXPECT_EQ(state("demo"), "-b----") << reason;
    };
    const std::string file = files.folder + "/demo.save";
    refused({"save", "demo", "/nowhere/file"}, "Unable to create file /nowhere/file");
    refused({"save", "demo", files.folder}, "Unable to create file");
    refused({"save", "0", file}, "Cannot save privileged domain 0");
    refused({"save", "nobody", file}, "nobody");
    sim::GuestKernel::ignores_suspend = true;
    refused({"save", "demo", file}, "did not suspend itself within");
    sim::GuestKernel::ignores_suspend = false;
    EXPECT_FALSE(std::filesystem::exists(file));
    EXPECT_FALSE(std::filesystem::exists(file + ".part"));
    stores.open()
        .take()
        ->remove("/local/domain/" + std::to_string(manager->find("demo")->info.id.raw) + "/control/feature-suspend")
        .take();
    refused({"save", "demo", file}, "does not suspend itself");
    ASSERT_EQ(xm({"destroy", "demo"}), 0);
}

TEST_F(XmSim, BadFilesLeaveNothing) {
    ASSERT_EQ(xm({"create", files.config("demo")}), 0) << err.str();
    const std::string file = files.folder + "/demo.save", bad = files.folder + "/bad.save";
    ASSERT_EQ(xm({"save", "demo", file}), 0) << err.str();
    const uint64_t before = machine.free_pages();
    const auto refused = [&](const std::string& reason) {
        EXPECT_EQ(xm({"restore", bad}), 1);
        EXPECT_NE(err.str().find(reason), std::string::npos) << err.str();
        EXPECT_EQ(machine.free_pages(), before) << reason;
        EXPECT_EQ(control.list()->size(), 1U) << reason;
        EXPECT_EQ(records.load()->size(), 0U) << reason;
    };
    refused("Unable to read file " + bad);
    files.write("bad.save", std::vector<std::byte>(10'000));
    refused("not a saved domain");
    std::filesystem::copy_file(file, bad, std::filesystem::copy_options::overwrite_existing);
    const uint64_t size = migration::verify_saved(file)->stream_length;  // behind that nothing is needed
    for (const uint64_t part : {uint64_t{100}, size / 3, size - 5000, size - 1}) {
        std::filesystem::resize_file(bad, part);
        refused("the file ends inside");
        std::filesystem::copy_file(file, bad, std::filesystem::copy_options::overwrite_existing);
    }
    ASSERT_EQ(xm({"restore", file}), 0) << err.str();
    ASSERT_EQ(xm({"destroy", "demo"}), 0);
    EXPECT_EQ(machine.free_pages(), before);
}

TEST_F(XmSim, AXendThatIsKilledWhileSavingLetsTheGuestGoOn) {
    ASSERT_EQ(xm({"create", files.config("demo")}), 0) << err.str();
    const auto view = manager->find("demo").take();
    xend::Record record = *view.record;
    record.saving = xend::SaveIntent{xend::SaveIntent::Step::asking, files.folder + "/demo.save"};
    ASSERT_TRUE(records.save(record));
    auto store = stores.open().take();
    ASSERT_TRUE(store->write("/local/domain/" + std::to_string(view.info.id.raw) + "/control/shutdown", "suspend"));
    for (int i = 0; i < 500 && state("demo") != "---s--"; ++i) std::this_thread::sleep_for(10ms);
    ASSERT_EQ(state("demo"), "---s--");
    ASSERT_TRUE(manager->recover());
    EXPECT_EQ(state("demo"), "-b----");
    EXPECT_FALSE(manager->find("demo")->record->saving);
    ASSERT_EQ(xm({"shutdown", "demo"}), 0) << err.str();
    EXPECT_TRUE(becomes("demo", "gone"));
}

/// The guest writes to its memory in front of each round, and in the end has what it wrote; this host moves it to itself.
TEST_F(XmSim, ADomainMovesWhileItRuns) {
    constexpr uint64_t pfn = 5600;
    const auto page_of = [](base::DomId id) -> uint64_t* {
        for (uint64_t mfn = 0; mfn < hv::max_frame; ++mfn) {
            const hv::Mfn m{mfn};
            if (hv::page_of(m).owner.load() == id.raw && hv::m2p(m) == pfn) return hv::map_mfn<uint64_t>(m);
        }
        return nullptr;
    };
    ASSERT_EQ(xm({"create", files.config("demo", files.disk())}), 0) << err.str();
    uint64_t written = 0;
    base::DomId id = manager->find("demo")->info.id;
    lines.on_round = [&](uint32_t round) {
        const std::lock_guard guard(machine.lock());
        uint64_t* page = page_of(id);
        ASSERT_NE(page, nullptr);
        page[1] = written = 1000 + round;
        hv::dirtied(page);
    };
    for (int moves = 0; moves < 2; ++moves) {
        written = 0;
        const auto before = manager->find("demo").take();
        ASSERT_EQ(xm({"migrate", "-l", "-v", "--max-rounds", "2", "--max-downtime", "0", "demo", "localhost"}), 0) << err.str();
        lines.finish();
        EXPECT_EQ(out.str().find("2 rounds, "), 0U) << out.str();
        const auto after = manager->find("demo").take();
        EXPECT_NE(after.info.id, before.info.id);
        EXPECT_EQ(after.uuid, before.uuid);
        EXPECT_EQ(after.info.pages, before.info.pages);
        EXPECT_TRUE(becomes("demo", "-b----"));
        EXPECT_EQ(written, 1003U);
        id = after.info.id;
        ASSERT_NE(page_of(id), nullptr);
        EXPECT_EQ(page_of(id)[1], written);
    }
    // Its line is cut, and it is somebody else's log.
    lines.on_round = [&](uint32_t) { throw std::runtime_error("cut"); };
    EXPECT_EQ(xm({"migrate", "-l", "demo", "localhost"}), 1);
    lines.finish();
    EXPECT_EQ(manager->find("demo")->info.id, id);
    ASSERT_TRUE(control.start_dirty_log(id)) << "nobody logs it";
    EXPECT_EQ(xm({"migrate", "-l", "demo", "localhost"}), 1);
    lines.finish();
    EXPECT_EQ(err.str(), "Error: Another tool moves it, or was killed while it did: leave out -l: The dirty pages of domain " +
                             std::to_string(id.raw) + " are logged already\n");
    EXPECT_EQ(control.start_dirty_log(id).failure().code, base::Errc::busy) << "and they are yet";
    ASSERT_TRUE(control.stop_dirty_log(id));
    EXPECT_EQ(xm({"migrate", "--max-rounds", "3", "demo", "localhost"}), 1);
    EXPECT_EQ(err.str(), "Error: --max-rounds is for live migration: say -l too\n");
    EXPECT_EQ(xm({"migrate", "-l", "--max-rounds", "0", "demo", "localhost"}), 1);
    EXPECT_EQ(err.str(), "Error: Invalid parameter: max_rounds: the first one sends everything\n");
    EXPECT_EQ(xm({"migrate", "-l", "--max-downtime", "soon", "demo", "localhost"}), 1);
    EXPECT_EQ(err.str(), "Error: Invalid parameter: max_downtime: not a number up to 60000\n");
    ASSERT_EQ(xm({"destroy", "demo"}), 0);
}

}  // namespace
