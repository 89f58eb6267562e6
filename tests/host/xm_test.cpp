// link: xend_fakes xmverbs xendcore
// SPDX-License-Identifier: Apache-2.0
// xm against a xend in the same process: columns, texts and exit statuses that scripts rely on.
#include "toolstack/xm/app.hpp"

#include <gtest/gtest.h>

#include "toolstack/xend/server/router.hpp"
#include "xend_fakes.hpp"

namespace {

struct Ran {
    int status;
    std::string out;
    std::string err;
};

struct Shell {
    fakes::Machine m;
    xend::Router router{m.manager, m.folder.path / "xend.log"};
    std::string config;
    bool root = true;
    std::function<void()> meanwhile;  // what happens while xm sleeps
    std::string joined;
    std::string typed;  // to `xm shell`

    Shell() { config = m.folder.file("demo.cfg", file_text()); }
    std::string file_text() {
        m.folder.file("vmlinuz");
        m.folder.file("disk.img");
        return "name = 'demo'\nkernel = '" + (m.folder.path / "vmlinuz").string() + "'\nmemory = 64\nvcpus = 2\n" +
               "uuid = 'f4bc2456-e4ce-11f1-a449-af95deeadde8'\ndisk = ['file:" + (m.folder.path / "disk.img").string() +
               ",xvda,w']\n" + "vif = ['bridge=xenbr0']\non_reboot = 'restart'\n";
    }
    Ran xm(std::vector<std::string> words, xend::Transport* other = nullptr) {
        std::ostringstream out, err;
        xm::World world{other != nullptr ? *other : router,
                        out,
                        err,
                        root,
                        [this](unsigned) {
                            if (meanwhile) meanwhile();
                        },
                        [this](const std::string& tty, const std::function<base::Outcome<>()>& then) -> base::Outcome<> {
                            joined = tty;
                            return then();
                        }};
        std::istringstream in(typed);
        world.in = &in;
        world.sys = (m.folder.path / "sys").string();
        const int status = xm::run(world, words);
        return {status, out.str(), err.str()};
    }
};

TEST(Xm, CreatesAndLists) {
    Shell s;
    Ran r = s.xm({"create", s.config});
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_EQ(r.out, "Using config file \"" + s.config + "\".\nStarted domain demo\n");
    EXPECT_EQ(r.err, "");
    r = s.xm({"list"});
    EXPECT_EQ(r.out,
              "Name                                        ID   Mem VCPUs      State   Time(s)\n"
              "Domain-0                                     0   512     2     r-----      56.6\n"
              "demo                                         1    64     1     -b----       0.3\n");
    EXPECT_EQ(s.xm({"list", "demo"}).out,
              "Name                                        ID   Mem VCPUs      State   Time(s)\n"
              "demo                                         1    64     1     -b----       0.3\n");
    EXPECT_EQ(s.xm({"domid", "demo"}).out, "1\n");
    EXPECT_EQ(s.xm({"domname", "1"}).out, "demo\n");
    EXPECT_EQ(s.xm({"vcpu-list", "demo"}).out,
              "Name                                ID  VCPU   CPU State   Time(s) CPU Affinity\n"
              "demo                                 1     0     0   -b-       1.5 any cpu\n"
              "demo                                 1     1     -   --p       1.5 0,2,3\n");
    EXPECT_EQ(s.xm({"block-list", "demo"}).out,
              "Vdev  BE handle state evt-ch ring-ref BE-path\n"
              "51712 0  0      1     -1     -1       /local/domain/0/backend/vbd/1/51712\n");
    EXPECT_EQ(s.xm({"network-list", "demo"}).out,
              "Idx BE     MAC Addr.     handle state evt-ch tx-/rx-ring-ref BE-path\n"
              "0   0  00:16:3e:4b:b1:ec 0      1     -1        -1/-1        /local/domain/0/backend/vif/1/0\n");
    r = s.xm({"list", "-l", "demo"});
    EXPECT_EQ(r.status, 0);
    EXPECT_TRUE(r.out.starts_with("(domain\n    (domid 1)\n    (uuid f4bc2456-e4ce-11f1-a449-af95deeadde8)")) << r.out;
    for (const char* part :
         {"(image (linux (kernel ", "(on_reboot restart)", "(state -b----)", "(store_mfn 1000)", "(console_mfn 1001)"}) {
        EXPECT_NE(r.out.find(part), std::string::npos) << part << " in " << r.out;
    }
    r = s.xm({"uptime", "demo"});
    EXPECT_TRUE(r.out.starts_with("Name                                ID Uptime \ndemo                                 1 "))
        << r.out;
    EXPECT_EQ(s.xm({"sched-credit", "-d", "demo"}).out,
              "Name                                ID Weight  Cap\n"
              "demo                                 1    256    0\n");
    EXPECT_EQ(s.xm({"sched-credit", "-d", "demo", "-w", "512"}).status, 0);
    EXPECT_EQ(s.m.hypervisor.params[1].weight, 512);
}

TEST(Xm, ADomainThatCouldNotBeRestartedIsListed) {
    Shell s;
    ASSERT_EQ(s.xm({"create", s.config}).status, 0);
    s.m.scripts.error = "the bridge is gone";
    s.m.hypervisor.stop("1", xenctrl::ShutdownReason::reboot);
    ASSERT_TRUE(s.m.manager.reap());
    Ran r = s.xm({"list"});
    EXPECT_EQ(r.status, 0);
    EXPECT_TRUE(r.out.ends_with("\ndemo                                         -    64     0     ------       0.0\n")) << r.out;
    EXPECT_EQ(r.err,
              "Warning: Domain 'demo' could not be restarted: Device 0 (vif) could not be connected. the bridge is gone "
              "'xm create' makes it again, 'xm destroy demo' forgets it.\n");
    EXPECT_NE(s.xm({"list", "-l"}).out.find("(status failed)"), std::string::npos);
    EXPECT_EQ(s.xm({"list", "--state=running"}).out.find("demo"), std::string::npos);
    EXPECT_EQ(s.xm({"shutdown", "-a"}).status, 0);
    EXPECT_EQ(s.xm({"destroy", "demo"}).status, 0);
    EXPECT_EQ(s.xm({"list"}).err, "");
}

TEST(Xm, OptionsOfCreate) {
    Shell s;
    Ran r = s.xm({"create", "-n", s.config, "memory=32", "name=other"});
    EXPECT_EQ(r.status, 0);
    EXPECT_NE(r.out.find("(name other)"), std::string::npos);
    EXPECT_NE(r.out.find("(memory 32)"), std::string::npos);
    EXPECT_EQ(s.m.hypervisor.all.size(), 1U) << "a dry run makes nothing";
    r = s.xm({"create", "-qp", "-f", s.config});
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_EQ(r.out, "");
    EXPECT_NE(s.xm({"list"}).out.find("--p---"), std::string::npos);
    EXPECT_EQ(s.xm({"unpause", "demo"}).status, 0);
    EXPECT_EQ(s.xm({"destroy", "demo"}).status, 0);
    EXPECT_EQ(s.m.hypervisor.all.size(), 1U);

    // -c: the console first, then the start
    int naps = 0;
    s.meanwhile = [&] {
        if (++naps == 3) s.m.stores.tree.write("/local/domain/2/console/tty", "/dev/pts/9");
    };
    r = s.xm({"create", "-c", s.config});
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_EQ(s.joined, "/dev/pts/9");
    EXPECT_NE(r.out.find("Started domain demo"), std::string::npos);
    EXPECT_EQ(s.xm({"console", "demo"}).status, 0);
    EXPECT_EQ(s.xm({"console", "0"}).status, 1);
}

TEST(Xm, ErrorsAreOneLine) {
    Shell s;
    const auto error = [&](std::vector<std::string> words) {
        const Ran r = s.xm(std::move(words));
        EXPECT_EQ(r.status, 1);
        return r.err.substr(0, r.err.find('\n'));
    };
    EXPECT_EQ(error({"create", "/nowhere/x.cfg"}),
              "Error: Cannot open config file \"/nowhere/x.cfg\": No such file or directory");
    const std::string bad = s.m.folder.file("bad.cfg", "name = 'x'\nmemory = [\n");
    EXPECT_EQ(error({"create", bad}), "Error: " + bad + ":2:10: the bracket that opens here is never closed");
    const std::string empty = s.m.folder.file("empty.cfg", "");
    EXPECT_EQ(error({"create", empty}), "Error: " + empty + ": No kernel specified");
    EXPECT_EQ(error({"create", s.config, "kernel=/nowhere/k"}), "Error: Kernel image does not exist: /nowhere/k");
    EXPECT_EQ(error({"create", "--nonsense", s.config}), "Error: option --nonsense not recognized");
    EXPECT_EQ(error({"destroy", "nobody"}), "Error: Domain 'nobody' does not exist.");
    EXPECT_EQ(error({"destroy", "0"}), "Error: Cannot destroy privileged domain 0");
    EXPECT_EQ(error({"destroy"}), "Error: 'xm destroy' requires 1 argument.");
    EXPECT_EQ(error({"rename", "a"}), "Error: 'xm rename' requires 2 arguments.");
    EXPECT_EQ(error({"frobnicate"}), "Error: Subcommand frobnicate not found!");
    EXPECT_EQ(error({"domname", "x"}), "Error: Invalid argument.");
    EXPECT_EQ(error({"list", "--state=running", "demo"}),
              "Error: You may specify either a state or a particular VM, but not both");
    EXPECT_EQ(error({"sched-credit", "-w", "5"}), "Error: No domain given.");
    ASSERT_EQ(s.xm({"create", s.config}).status, 0);
    EXPECT_EQ(error({"create", s.config,
                     "uuid="
                     "11111111-2222-3333-4444-555555555555"}),
              "Error: Domain 'demo' already exists with ID '1'");
    s.root = false;
    EXPECT_EQ(error({"list"}), "Error: Most commands need root access. Please try again as root.");
}

TEST(Xm, ShutdownWaits) {
    Shell s;
    ASSERT_EQ(s.xm({"create", s.config}).status, 0);
    int naps = 0;
    s.meanwhile = [&] {
        if (++naps != 2) return;
        s.m.hypervisor.stop("1", xenctrl::ShutdownReason::poweroff);
        auto ignored = s.m.manager.reap();
    };
    const Ran r = s.xm({"shutdown", "-w", "demo"});
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_EQ(r.out, "Domain demo terminated\nAll domains terminated\n");
    EXPECT_EQ(s.xm({"shutdown", "-a"}).status, 0) << "nothing to do is no failure";
}

struct NoXend final : xend::Transport {
    base::Outcome<xend::Reply> call(const xend::Request&) override {
        return base::fail(base::Errc::connrefused, "Unable to connect to xend: Connection refused. Is xend running?");
    }
};

TEST(Xm, WithoutXend) {
    Shell s;
    NoXend none;
    const Ran r = s.xm({"list"}, &none);
    EXPECT_EQ(r.status, 1);
    EXPECT_EQ(r.err, "Error: Unable to connect to xend: Connection refused. Is xend running?\n");
    s.root = false;
    EXPECT_EQ(s.xm({"help"}, &none).status, 0);
    EXPECT_EQ(s.xm({"create", "--help"}, &none).status, 1) << "as in 3.2";
}

TEST(Xm, DevicesComeAndGo) {
    Shell s;
    ASSERT_EQ(s.xm({"create", s.config}).status, 0);
    const std::string image = s.m.folder.file("b.img");
    const auto blocks = [&] { return s.xm({"block-list", "demo"}).out; };
    for (const std::vector<std::string>& words : {std::vector<std::string>{"file:" + image, "xvdb", "w"},
                                                  {"file:" + image + ",xvdb,w"},
                                                  {"vdev=xvdb", "access=rw", "target=" + image},
                                                  {"file:" + image, "/dev/xvdb", "r", "0"}}) {
        std::vector<std::string> line = {"block-attach", "demo"};
        line.insert(line.end(), words.begin(), words.end());
        const Ran r = s.xm(line);
        EXPECT_EQ(r.status, 0) << r.err;
        EXPECT_EQ(r.out, "");
        EXPECT_NE(blocks().find("\n51728 0 "), std::string::npos) << blocks();
        EXPECT_EQ(s.xm({"block-detach", "demo", "xvdb"}).status, 0);
        EXPECT_EQ(blocks().find("51728"), std::string::npos);
    }
    EXPECT_EQ(s.xm({"vbd-create", "demo", "file:" + image, "xvdb", "w"}).err,
              "Command vbd-create is deprecated.  Please use xm block-attach instead.\n");
    s.m.stores.tree.guests_let_go = false;
    EXPECT_EQ(s.xm({"block-detach", "demo", "51728"}).status, 1);
    EXPECT_EQ(s.xm({"block-detach", "demo", "51728", "-f"}).status, 0);
    EXPECT_EQ(s.xm({"block-detach", "demo", "51728"}).err, "Error: Device 51728 (vbd) is not connected.\n");
    s.m.stores.tree.guests_let_go = true;
    EXPECT_EQ(s.xm({"block-configure", "demo", "file:" + image, "xvda", "w"}).status, 1);
    EXPECT_EQ(s.xm({"network-attach", "demo", "mac=00:16:3e:01:02:03", "bridge=xenbr0", "rate=1Mb/s"}).status, 0);
    EXPECT_NE(s.xm({"network-list", "demo"}).out.find("\n1   0  00:16:3e:01:02:03 "), std::string::npos);
    EXPECT_EQ(s.xm({"network-attach", "demo", "colour=red"}).err, "Error: Invalid vif option: colour\n");
    EXPECT_EQ(s.xm({"network-detach", "demo", "1"}).status, 0);
    EXPECT_EQ(s.xm({"block-attach", "demo"}).err.substr(0, 62),
              "Error: 'xm block-attach' requires between 2 and 12 arguments.\n");
}

TEST(Xm, VcpusArePinnedCountedAndTriggered) {
    Shell s;
    ASSERT_EQ(s.xm({"create", s.config}).status, 0);
    auto& affinity = s.m.hypervisor.affinity;
    EXPECT_EQ(s.xm({"vcpu-pin", "demo", "1", "0-2,^1"}).status, 0);
    EXPECT_EQ((affinity[{1, 1}]), xenctrl::BitMap{0x05});
    EXPECT_EQ(affinity.size(), 1U);
    EXPECT_EQ(s.m.records.all.begin()->second.config.cpus, "all;0-2,^1") << "a reboot has it too";
    EXPECT_EQ(s.xm({"vcpu-pin", "demo", "all", "3"}).status, 0);
    EXPECT_EQ((affinity[{1, 0}]), xenctrl::BitMap{0x08});
    EXPECT_EQ(s.m.records.all.begin()->second.config.cpus, "3");
    EXPECT_EQ(s.xm({"pincpu", "demo", "-1"}).status, 0);
    EXPECT_EQ((affinity[{1, 0}]), xenctrl::BitMap{0x0f});
    EXPECT_EQ(s.xm({"vcpu-pin", "demo", "2", "all"}).err, "Error: Invalid VCPU 2\n");
    EXPECT_TRUE(s.xm({"vcpu-pin", "demo", "x", "all"}).err.starts_with("Error: Invalid argument.\nUsage: xm vcpu-pin "));
    EXPECT_EQ(s.xm({"vcpu-pin", "demo", "0", "9-1"}).err, "Error: '9-1' is not a list of CPUs like 0-3,^1\n");
    EXPECT_EQ(s.xm({"vcpu-pin", "demo", "0"}).err.substr(0, 44), "Error: 'xm vcpu-pin' requires 3 arguments.\nU");

    EXPECT_EQ(s.xm({"vcpu-set", "demo", "1"}).status, 0);
    EXPECT_EQ(*s.m.manager.store_value("/local/domain/1/cpu/0/availability"), "online");
    EXPECT_EQ(*s.m.manager.store_value("/local/domain/1/cpu/1/availability"), "offline");
    EXPECT_EQ(s.m.records.all.begin()->second.config.vcpu_avail, 1U);
    EXPECT_EQ(s.xm({"set-vcpus", "demo", "2"}).err, "Command set-vcpus is deprecated.  Please use xm vcpu-set instead.\n");
    EXPECT_EQ(*s.m.manager.store_value("/local/domain/1/cpu/1/availability"), "online");
    EXPECT_EQ(s.m.records.all.begin()->second.config.vcpu_avail, 0U);
    EXPECT_EQ(s.xm({"vcpu-set", "demo", "3"}).err, "Error: Invalid number of VCPUs: domain 'demo' can have 1 to 2\n");
    EXPECT_EQ(s.xm({"vcpu-set", "0", "1"}).status, 0) << "dom0's too";

    EXPECT_EQ(s.xm({"trigger", "demo", "nmi"}).status, 0);
    EXPECT_EQ(s.xm({"trigger", "demo", "init", "1"}).status, 0);
    EXPECT_EQ(s.m.hypervisor.triggers, (std::vector<std::string>{"0 0", "2 1"}));
    EXPECT_EQ(s.xm({"trigger", "demo", "tickle"}).err, "Error: Invalid trigger: tickle\n");
}

TEST(Xm, CoresAreDumped) {
    Shell s;
    ASSERT_EQ(s.xm({"create", s.config}).status, 0);
    const std::string file = (s.m.folder.path / "x.core").string();
    EXPECT_EQ(s.xm({"dump-core", "demo", file}).out, "Dumping core of domain: demo ...\n");
    EXPECT_EQ(s.xm({"dump-core", "-L", "demo", file}).status, 0);
    EXPECT_EQ(s.m.hypervisor.dumps, (std::vector<std::string>{file + " paused", file + " running"}));
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->paused) << "it goes on";
    EXPECT_EQ(s.xm({"dump-core", "demo"}).status, 0);
    const std::string& given = s.m.hypervisor.dumps.back();
    EXPECT_NE(given.find("/xend-test-dumps/1970-0112-"), std::string::npos) << given;
    EXPECT_TRUE(given.ends_with("-demo.1.core paused")) << given;
    s.m.hypervisor.dump_error = "no room";
    EXPECT_EQ(s.xm({"dump-core", "-C", "demo", file}).err, "Error: no room\n");
    EXPECT_EQ(s.xm({"domid", "demo"}).status, 0) << "what was not dumped is not destroyed";
    s.m.hypervisor.dump_error.clear();
    EXPECT_EQ(s.xm({"dump-core", "-C", "demo", file}).out, "Dumping core of domain: demo ...\nDestroying domain: demo ...\n");
    EXPECT_EQ(s.xm({"domid", "demo"}).status, 1);
    EXPECT_EQ(s.xm({"dump-core", "0"}).err, "Error: Cannot dump privileged domain 0\n");
}

TEST(Xm, ConfigIsCheckedAndConverted) {
    Shell s;
    const Ran xml = s.xm({"config", "convert", "--to", "libvirt", s.config, "memory=77", "pool=fast"});
    ASSERT_EQ(xml.status, 0) << xml.err;
    EXPECT_TRUE(xml.out.starts_with("<domain type=\"xen\">\n")) << xml.out;
    EXPECT_NE(xml.out.find(std::to_string(77 * 1024)), std::string::npos);
    EXPECT_EQ(xml.err, "Warning: " + s.config + ": in the form 'libvirt' pool: 'fast' is lost\n");
    const Ran whole = s.xm({"config", "check", s.config, s.config});
    EXPECT_EQ(whole.status, 0) << whole.err;
    EXPECT_EQ(whole.out, s.config + ": 'demo' is whole\n" + s.config + ": 'demo' is whole\n");
    const auto refused = [&](const std::vector<std::string>& words, const std::string& why) {
        const Ran r = s.xm(words);
        EXPECT_EQ(r.status, 1);
        EXPECT_EQ(r.err.substr(0, r.err.find('\n')), "Error: " + why);
    };
    refused({"config", "convert", s.config}, "xm config convert wants --to file, sxp, json, libxl or libvirt");
    refused({"config", "convert", "-t", "yaml", s.config},
            "'yaml' is no form of a configuration: file, sxp, json, libxl or libvirt");
    refused({"config", "convert", "-t", "sxp", s.config, "more"}, "'more' is no name=value");
    refused({"config", "convert", "-f", "json", "-t", "sxp", s.config, "memory=1"},
            s.config + ": name=value is for files of xm and xl alone");
    refused({"config", "check", "/nowhere"}, "Cannot open config file \"/nowhere\": No such file or directory");
    refused({"config", "paint", s.config}, "'paint' is neither check nor convert");
    const Ran some = s.xm({"config", "check", "/nowhere", s.config});
    EXPECT_EQ(some.status, 1);
    EXPECT_NE(some.err.find("Error: 1 of 2 configurations are wrong\n"), std::string::npos) << some.err;
}

/// An owner who mistypes is told, and nothing is decided.
TEST(Xm, MigrateTakesWhatBelongsTogether) {
    Shell s;
    ASSERT_EQ(s.xm({"create", s.config}).status, 0);
    const auto refused = [&](const std::vector<std::string>& words, const std::string& why) {
        const Ran r = s.xm(words);
        EXPECT_EQ(r.status, 1);
        EXPECT_EQ(r.err.substr(0, r.err.find('\n')), "Error: " + why);
    };
    refused({"migrate", "--reclaim", "--forget", "demo"},
            "--reclaim lets the copy here go on and --forget removes it: one of them");
    for (const std::vector<std::string>& more : {std::vector<std::string>{"-l"}, {"-p", "8002"}, {"-r", "10"}, {"host"}}) {
        std::vector<std::string> words = {"migrate", "--reclaim", "demo"};
        words.insert(words.end(), more.begin(), more.end());
        refused(words, "--reclaim wants a domain alone, and no other option");
    }
    refused({"migrate", "--forget", "demo"}, "Domain 'demo' is not on its way to another host");
    refused({"migrate", "-p", "0", "demo", "host"}, "Invalid parameter: port: nobody listens at port 0");
    refused({"migrate", "-p", "65536", "demo", "host"}, "Invalid parameter: port: not a number up to 65535");
    refused({"migrate", "demo"}, "'xm migrate' requires 2 arguments.");
}

TEST(Xm, CpuPools) {
    Shell s;
    ASSERT_EQ(s.xm({"create", s.config}).status, 0);
    const std::string head = "Name               CPUs   Sched     Active   Domain count\n";
    EXPECT_EQ(s.xm({"cpupool-list"}).out, head + "Pool-0               4   credit2       y          1\n");
    EXPECT_EQ(s.xm({"cpupool-list", "-c", "Pool-0"}).out, "Name               CPU list\nPool-0             0,1,2,3\n");
    EXPECT_EQ(s.xm({"cpupool-cpu-remove", "Pool-0", "2-3"}).status, 0);
    EXPECT_EQ(s.xm({"cpupool-create", "name=\"fast\"", "sched=credit", "cpus=\"2,3\""}).status, 0);
    EXPECT_EQ(s.xm({"cpupool-list"}).out, head +
                                              "Pool-0               2   credit2       y          1\n"
                                              "fast                 2    credit       y          0\n");
    EXPECT_EQ(s.xm({"cpupool-create", "name=fast"}).err, "Error: Pool 'fast' already exists.\n");
    EXPECT_EQ(s.xm({"cpupool-create", "name=x", "sched=best"}).err, "Error: unknown scheduler: best\n");
    EXPECT_EQ(s.xm({"cpupool-create", "colour=red"}).status, 1);
    s.m.hypervisor.pool_error = "it is taken";
    EXPECT_EQ(s.xm({"cpupool-create", "name=more", "cpus=1"}).err, "Error: it is taken\n");
    EXPECT_EQ(s.xm({"cpupool-list", "more"}).err, "Error: Pool 'more' does not exist.\n") << "nothing of it stays";
    EXPECT_EQ(s.m.hypervisor.all_pools.size(), 2U);
    EXPECT_EQ(s.xm({"cpupool-rename", "fast", "quick"}).status, 0);
    EXPECT_EQ(s.xm({"cpupool-migrate", "demo", "quick"}).status, 0);
    EXPECT_EQ(s.m.hypervisor.all_pools[1].domains, 1U);
    s.m.hypervisor.all_pools[1].domains = 0;
    EXPECT_EQ(s.xm({"cpupool-destroy", "quick"}).status, 0);
    EXPECT_EQ(s.m.hypervisor.all_pools.size(), 1U);
    EXPECT_EQ(s.xm({"cpupool-destroy", "Pool-0"}).err, "Error: Pool-0 cannot be destroyed\n");
}

TEST(Xm, SchedulersThatAreNotThere) {
    Shell s;
    EXPECT_EQ(s.xm({"sched-credit2"}).out,
              "Name                                ID Weight  Cap\n"
              "Domain-0                             0    256    0\n");
    for (const char* verb : {"sched-sedf", "sched-rtds", "sched-bvt", "bvt", "atropos", "rrobin", "bvt_ctxallow"}) {
        const Ran r = s.xm({verb});
        EXPECT_EQ(r.status, 1) << verb;
        EXPECT_EQ(r.err, "Error: Xen is running with the credit2 scheduler\n") << verb;
    }
}

// The forms of Xen 2.0 and 3.0.

TEST(Xm, SedfShowsAndSets) {
    Shell s;
    s.m.hypervisor.all_pools[0].scheduler = xenctrl::Scheduler::sedf;
    s.m.hypervisor.scheds[0] = {xenctrl::Scheduler::sedf,
                                {{"period", 20'000'000}, {"slice", 15'000'000}, {"latency", 0}, {"extratime", 1}, {"weight", 0}}};
    EXPECT_EQ(s.xm({"sched-sedf"}).out,
              "Name                                ID Period(ms) Slice(ms) Lat(ms) Extra Weight\n"
              "Domain-0                             0      20.0      15.0     0.0      1      0\n");
    EXPECT_EQ(s.xm({"sched-sedf", "0", "-p", "100", "-s", "2.5", "--extratime", "0"}).status, 0);
    auto& now = s.m.hypervisor.scheds[0].values;
    EXPECT_EQ(now["period"], 100'000'000);
    EXPECT_EQ(now["slice"], 2'500'000);
    EXPECT_EQ(now["extratime"], 0);
    EXPECT_EQ(s.xm({"sched-sedf", "0", "-w", "300"}).status, 0);
    EXPECT_EQ(now["weight"], 300);
    EXPECT_EQ(now["period"], 0);
    EXPECT_EQ(s.xm({"sched-sedf", "0", "20000", "10000", "0", "1", "0"}).status, 0) << "five numbers, as 3.0.0 had them";
    EXPECT_EQ(now["period"], 20'000);
    EXPECT_EQ(now["weight"], 0);
    EXPECT_EQ(s.xm({"sched-sedf", "0", "-w", "3", "-p", "4"}).err, "Error: a weight goes instead of a period and a slice\n");
    EXPECT_EQ(s.xm({"sched-sedf", "0", "20000", "13", "0", "1", "0"}).err, "Error: Failed to set sedf parameters (rv=22).\n");
    EXPECT_EQ(s.xm({"sched-sedf", "0", "-p", "soon"}).err, "Error: 'soon' is no time in ms\n");
    EXPECT_EQ(s.xm({"sched-credit"}).err, "Error: Xen is running with the sedf scheduler\n");
}

TEST(Xm, BvtAtroposAndRoundRobinAreSet) {
    Shell s;
    auto& h = s.m.hypervisor;
    h.all_pools[0].scheduler = xenctrl::Scheduler::bvt;
    EXPECT_EQ(s.xm({"bvt", "0", "20", "1", "-7", "5000", "6000"}).status, 0);
    EXPECT_EQ(h.scheds[0].values["mcuadv"], 20);
    EXPECT_EQ(h.scheds[0].values["warpvalue"], -7);
    EXPECT_EQ(h.scheds[0].values["warpu"], 6000);
    EXPECT_EQ(s.xm({"sched-bvt", "0", "30", "0", "0", "0", "0"}).status, 0);
    EXPECT_EQ(h.scheds[0].values["mcuadv"], 30);
    EXPECT_EQ(s.xm({"bvt", "0", "20"}).err, "Error: 'xm bvt' requires 6 arguments.\n");
    EXPECT_EQ(s.xm({"bvt", "0", "x", "1", "2", "3", "4"}).err, "Error: Invalid parameter: mcuadv\n");
    EXPECT_EQ(s.xm({"bvt_ctxallow", "5000000"}).status, 0);
    EXPECT_EQ(h.pool_sched.values["ctx_allow"], 5'000'000);
    EXPECT_EQ(s.xm({"sched-bvt-ctxallow", "6000000"}).status, 0);
    EXPECT_EQ(h.pool_sched.values["ctx_allow"], 6'000'000);
    EXPECT_EQ(s.xm({"atropos", "0", "1", "2", "3", "1"}).err, "Error: Xen is running with the bvt scheduler\n");
    EXPECT_EQ(s.xm({"rrobin", "1"}).err, "Error: Xen is running with the bvt scheduler\n");
    h.scheds.clear();
    h.all_pools[0].scheduler = xenctrl::Scheduler::atropos;
    EXPECT_EQ(s.xm({"atropos", "0", "20000000", "15000000", "5000000", "1"}).status, 0);
    EXPECT_EQ(h.scheds[0].values["latency"], 5'000'000);
    EXPECT_EQ(h.scheds[0].values["xtratime"], 1);
    h.all_pools[0].scheduler = xenctrl::Scheduler::rrobin;
    EXPECT_EQ(s.xm({"rrobin", "20000000"}).status, 0);
    EXPECT_EQ(h.pool_sched.values["slice"], 20'000'000);
    EXPECT_EQ(s.xm({"rrobin"}).err, "Error: 'xm rrobin' requires 1 argument.\n");
}

TEST(Xm, RtdsShowsAndSets) {
    Shell s;
    s.m.hypervisor.all_pools[0].scheduler = xenctrl::Scheduler::rtds;
    s.m.hypervisor.scheds[0] = {xenctrl::Scheduler::rtds, {{"period", 10'000}, {"budget", 4'000}, {"extratime", 1}}};
    EXPECT_EQ(s.xm({"sched-rtds"}).out,
              "Name                                ID    Period    Budget  Extratime\n"
              "Domain-0                             0     10000      4000        yes\n");
    EXPECT_EQ(s.xm({"sched-rtds", "-d", "0", "-p", "20000", "-b", "5000", "-e", "0"}).status, 0);
    EXPECT_EQ(s.m.hypervisor.scheds[0].values["budget"], 5'000);
    EXPECT_EQ(s.m.hypervisor.scheds[0].values["extratime"], 0);
    EXPECT_EQ(s.xm({"sched-rtds", "-p", "20000"}).err, "Error: No domain given.\n");
}

TEST(Xm, WhatHasNothingToActOnSaysSo) {
    Shell s;
    EXPECT_EQ(s.xm({"tmem-list", "-a", "x"}).err, "Error: xm tmem-list: this hypervisor has no transcendent memory\n");
    EXPECT_EQ(s.xm({"pci-attach", "demo", "00:06.0"}).err, "Error: xm pci-attach: PCI devices are not given to domains yet\n");
    int refused = 0;
    for (const xm::Verb& verb : xm::verbs()) {
        if (verb.refusal.empty()) continue;
        ++refused;
        const Ran r = s.xm({std::string(verb.name)});
        EXPECT_EQ(r.status, 1);
        EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
    }
    EXPECT_GE(refused, 30);
}

TEST(Xm, TopIsWhatXentopPrints) {
    Shell s;
    ASSERT_EQ(s.xm({"create", s.config}).status, 0);
    const auto devices = s.m.folder.path / "sys/bus/xen-backend/devices";
    const auto put = [&](const std::string& file, uint64_t value) {
        std::filesystem::create_directories((devices / file).parent_path());
        std::ofstream(devices / file) << value;
    };
    put("vif-1-0/net/vif1.0/statistics/rx_bytes", 3 * 1024);
    put("vif-1-0/net/vif1.0/statistics/tx_bytes", 5 * 1024);
    put("vif-11-0/net/vif11.0/statistics/tx_bytes", 5 * 1024);
    put("vbd-1-51712/statistics/rd_req", 7);
    put("vbd-1-51728/statistics/wr_sect", 8);
    const std::string head =
        "      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS NETS NETTX(k) NETRX(k) VBDS   VBD_OO   "
        "VBD_RD   VBD_WR  VBD_RSECT  VBD_WSECT SSID\n";
    EXPECT_EQ(s.xm({"top", "-b", "-i", "1"}).out, head +
                                                      "  Domain-0 -----r         57    0.0     524288   50.0     524288      "
                                                      "50.0     2    0        0        0    0        0 "
                                                      "       0        0          0          0    0\n"
                                                      "      demo --b---          0    0.0      65536    6.2      65536       "
                                                      "6.2     1    1        3        5    2        0 "
                                                      "       7        0          0          8    0\n");
    s.meanwhile = [&] { s.m.hypervisor.at(base::DomId{0})->cpu_time = base::Nanos::ms(1'000'000'000); };
    const Ran twice = s.xm({"top", "-b", "-i2", "-f", "-d1"});
    EXPECT_EQ(twice.status, 0) << twice.err;
    EXPECT_EQ(twice.out.find(head, 1), twice.out.rfind(head));
    EXPECT_EQ(twice.out.substr(twice.out.rfind(head)).find("Domain-0 -----r    1000000    0.0"), std::string::npos)
        << "the second look knows the first";
    EXPECT_EQ(s.xm({"top", "-i", "0"}).status, 1);
}

TEST(Xm, AShellAndSingleRequests) {
    Shell s;
    ASSERT_EQ(s.xm({"create", s.config}).status, 0);
    s.typed = "domid demo\n\n  domname   '1'\nnonsense\nlist \"x\nquit\nlist\n";
    const Ran r = s.xm({"shell"});
    EXPECT_EQ(r.status, 0);
    EXPECT_EQ(r.out, "xm> 1\nxm> xm> demo\nxm> xm> xm> ");
    EXPECT_NE(r.err.find("Subcommand nonsense not found!"), std::string::npos);
    EXPECT_NE(r.err.find("Error: the quotation is never closed\n"), std::string::npos);

    EXPECT_EQ(s.xm({"call", "xend_domains"}).out, "(Domain-0 demo)\n");
    EXPECT_TRUE(s.xm({"call", "domain", "demo"}).out.starts_with("(domain\n    (domid 1)"));
    EXPECT_EQ(s.xm({"call", "domain_pause", "demo"}).status, 0);
    EXPECT_NE(s.xm({"list"}).out.find("p---"), std::string::npos);
    EXPECT_EQ(s.xm({"call", "node_get_dmesg"}).out, "(XEN) hello\n\n");
    EXPECT_EQ(s.xm({"call", "fly"}).err, "Error: Unknown function: fly\n");
    EXPECT_EQ(s.xm({"call", "domain_pause"}).err, "Error: domain_pause: Missing domain\n");
    EXPECT_EQ(s.xm({"call", "domain_pause", "demo", "x"}).err, "Error: domain_pause: Invalid argument(s)\n");
    s.m.stores.tree.write("/local/domain/1/console/tty", "/dev/pts/9");
    EXPECT_EQ(s.xm({"consoles"}).out, "Dom Port  Id Connection\n  1    -   1 /dev/pts/9\n");
}

TEST(Xm, HelpKnowsEveryVerb) {
    Shell s;
    const Ran all = s.xm({"help", "--long"});
    EXPECT_EQ(all.status, 0);
    for (const xm::Verb& verb : xm::verbs()) {
        EXPECT_NE(all.out.find("\n " + std::string(verb.name) + " "), std::string::npos) << verb.name << " is in no group";
        const Ran one = s.xm({"help", std::string(verb.name)});
        EXPECT_TRUE(one.out.starts_with("Usage: xm " + std::string(verb.name))) << one.out;
    }
    EXPECT_EQ(s.xm({}).status, 1);
    EXPECT_EQ(s.xm({"shutd", "nobody"}).err, "Error: Domain 'nobody' does not exist.\n") << "a unique beginning is enough";
    EXPECT_EQ(s.xm({"dom", "1"}).status, 1);
}

TEST(Xm, Host) {
    Shell s;
    const Ran r = s.xm({"info"});
    EXPECT_NE(r.out.find("\nnr_cpus                : 4\n"), std::string::npos) << r.out;
    EXPECT_NE(r.out.find("\nnode_to_cpu            : node0:0-3\n"), std::string::npos);
    EXPECT_NE(r.out.find("\nxen_major              : 4\nxen_minor              : 17\nxen_extra              : .5\n"),
              std::string::npos);
    EXPECT_EQ(s.xm({"dmesg"}).out, "(XEN) hello\n");
    const std::string numa = s.xm({"info", "-n"}).out;
    EXPECT_TRUE(numa.starts_with(r.out));
    EXPECT_EQ(numa.substr(r.out.size()),
              "cpu_topology           :\ncpu:    core    socket     node\n"
              "  0:       0        0        0\n  1:       1        0        0\n  2:       2        0        0\n  3:       3      "
              "  0        0\n"
              "device topology        :\ndevice           node\nNo device topology data available\n"
              "numa_info              :\nnode:    memsize    memfree    distances\n   0:      1024        400      10\n");
}

// What others may send to xend: every request has an answer, and none without POST changes anything.
TEST(Router, RefusesWhatItDoesNotKnow) {
    Shell s;
    using xend::Request;
    EXPECT_EQ(s.router.handle({Request::Method::get, "/xend/", {}}).body, "(ls node domain vnet)");
    EXPECT_EQ(s.router.handle({Request::Method::get, "/xend/domain", {}}).body, "(Domain-0)");
    EXPECT_EQ(s.router.handle({Request::Method::get, "/xend/nothing", {}}).status, 404);
    EXPECT_EQ(s.router.handle({Request::Method::post, "/xend/domain/0", {}}).status, 406);
    EXPECT_EQ(s.router.handle({Request::Method::post, "/xend/domain/0", {{"op", "fly"}}}).status, 501);
    EXPECT_EQ(s.router.handle({Request::Method::get, "/xend/domain/0", {{"op", "destroy"}}}).status, 501);
    EXPECT_EQ(s.router.handle({Request::Method::post, "/xend/domain", {{"op", "create"}}}).body,
              "(xend.err 'Missing parameter: config')");
    const auto bad = s.router.handle({Request::Method::post, "/xend/domain", {{"op", "create"}, {"config", "(vm"}}});
    EXPECT_EQ(bad.status, 200);
    EXPECT_TRUE(bad.body.starts_with("(xend.err ")) << bad.body;
}

}  // namespace
