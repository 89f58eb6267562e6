// link: xend_fakes xmverbs xendcore
// SPDX-License-Identifier: Apache-2.0
// The same program called as xl: columns, texts and exit statuses are those that xl 4.17 printed on Xen.
#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "toolstack/config/libxl_json.hpp"
#include "toolstack/xend/server/router.hpp"
#include "toolstack/xm/app.hpp"
#include "xend_fakes.hpp"

namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct Ran {
    int status;
    std::string out, err;
};

struct Shell {
    fakes::Machine m;
    xend::Router router{m.manager, m.folder.path / "xend.log"};
    std::string config = m.folder.file(
        "t1.cfg", "name = 't1'\nkernel = '" + m.folder.file("vmlinuz") + "'\nmemory = 96\nvcpus = 1\nextra = 'quiet'\n" +
                      "uuid = 'f4bc2456-e4ce-11f1-a449-af95deeadde8'\non_poweroff = 'preserve'\ndisk = ['" +
                      m.folder.file("d.img") + ",raw,xvda,rw']\n");
    std::function<void()> meanwhile;

    Ran xl(std::vector<std::string> words) {
        std::ostringstream out, err;
        xm::World world{router,
                        out,
                        err,
                        true,
                        [this](unsigned) {
                            if (meanwhile) meanwhile();
                        },
                        [](const std::string&, const std::function<base::Outcome<>()>& then) { return then(); }};
        world.dialect = xm::Dialect::xl;
        const int status = xm::run(world, words);
        return {status, out.str(), err.str()};
    }
};

TEST(Xl, CreatesAndLists) {
    Shell s;
    const Ran made = s.xl({"create", s.config});
    EXPECT_EQ(made.status, 0) << made.err;
    EXPECT_EQ(made.out, "");
    EXPECT_EQ(made.err, "Parsing config from " + s.config + "\n");
    EXPECT_EQ(s.xl({"list"}).out,
              "Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
              "Domain-0                                     0   512     2     r-----      56.6\n"
              "t1                                           1    96     1     -b----       0.3\n");
    EXPECT_THAT(s.xl({"list", "-v", "t1"}).out, HasSubstr(" f4bc2456-e4ce-11f1-a449-af95deeadde8        -                -\n"));
    ASSERT_TRUE(s.m.manager.create_pool("fast", xenctrl::Scheduler::credit2, "3"));
    ASSERT_TRUE(s.m.manager.move_to_pool("t1", "fast"));
    EXPECT_THAT(s.xl({"list", "--cpupool"}).out, HasSubstr("      56.6          Pool-0\n"));
    EXPECT_THAT(s.xl({"list", "--cpupool"}).out, HasSubstr("       0.3            fast\n"));
    EXPECT_THAT(s.xl({"list", "-c", "t1"}).out, HasSubstr("       0.3            fast\n"));
    EXPECT_EQ(s.xl({"domid", "t1"}).out, "1\n");
    EXPECT_EQ(s.xl({"domname", "1"}).out, "t1\n");
}

TEST(Xl, TakesSettingsAsItsConfigurationHasThem) {
    Shell s;
    EXPECT_EQ(s.xl({"-vv", "create", "-q", s.config, "name=\"other\"", "memory=64"}).status, 0);
    EXPECT_THAT(s.xl({"list", "other"}).out, HasSubstr("other                                        1    64     1 "));
}

TEST(Xl, ExitStatusesAreLibxls) {
    Shell s;
    for (const auto& words : std::vector<std::vector<std::string>>{
             {"list", "nosuch"}, {"destroy", "nosuch"}, {"block-list", "nosuch"}, {"shutdown", "nosuch"}}) {
        const Ran r = s.xl(words);
        EXPECT_EQ(r.status, 1) << words[0];
        EXPECT_EQ(r.err, "nosuch is an invalid domain identifier (rc=-6)\n") << words[0];
    }
    EXPECT_EQ(s.xl({"domid", "nosuch"}).err, "Can't get domid of domain name 'nosuch', maybe this domain does not exist.\n");
    EXPECT_EQ(s.xl({"create", s.config}).status, 0);
    EXPECT_EQ(s.xl({"create", s.config}).status, 3);
    EXPECT_EQ(s.xl({"create", "/none"}).status, 3);
    EXPECT_EQ(s.xl({"create", s.m.folder.file("bad", "memory = ")}).status, 3);
    s.m.hypervisor.free_pages = 10;
    EXPECT_EQ(s.xl({"create", s.config, "name='big'", "uuid='f4bc2456-e4ce-11f1-a449-af95deeadde9'", "disk=[]"}).status, 3);
    EXPECT_EQ(s.xl({"rename", "t1"}).status, 2);
    EXPECT_EQ(s.xl({"list", "--nosuch"}).status, 2);
    EXPECT_EQ(s.xl({"nosuch"}).status, 1);
    EXPECT_EQ(s.xl({"nosuch"}).err, "command not implemented\n");
    EXPECT_EQ(s.xl({"-Q", "list"}).status, 2);
    EXPECT_EQ(s.xl({"help"}).status, 0);
    EXPECT_EQ(s.xl({}).status, 1);
    EXPECT_EQ(s.xl({"help", "create"}).status, 0);
    EXPECT_EQ(s.xl({"create", "-h"}).status, 0);
    const Ran moved = s.xl({"migrate", "-s", "socat #", "-C", "/etc/xen/t1", "t1", "host"});
    EXPECT_EQ(moved.status, 1);
    EXPECT_EQ(moved.err, "xl migrate: its dialogue over ssh is not spoken yet; xm migrate moves domains\n");
}

TEST(Xl, ListLongIsJson) {
    Shell s;
    ASSERT_EQ(s.xl({"create", s.config}).status, 0);
    const auto all = nlohmann::json::parse(s.xl({"list", "-l"}).out);
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0]["domid"], 1);
    const auto& config = all[0]["config"];
    EXPECT_EQ(config["c_info"]["name"], "t1");
    EXPECT_EQ(config["c_info"]["type"], "pv");
    EXPECT_EQ(config["b_info"]["max_memkb"], 98304);
    EXPECT_EQ(config["b_info"]["cmdline"], "quiet");
    EXPECT_EQ(config["disks"][0]["vdev"], "xvda");
    EXPECT_EQ(config["disks"][0]["readwrite"], 1);
    EXPECT_EQ(config["on_poweroff"], "preserve");
    EXPECT_EQ(nlohmann::json::parse(s.xl({"list", "-l", "t1"}).out), all);
    EXPECT_EQ(s.xl({"destroy", "t1"}).status, 0);
    EXPECT_EQ(s.xl({"list", "-l"}).out, "[\n]\n\n");
}

/// What is printed is read back as the same domain.
TEST(Xl, DryRunPrintsWhatARestoreWouldRead) {
    Shell s;
    const Ran r = s.xl({"create", "-q", "-n", s.config, "bootloader='pygrub'", "bootargs='--entry 1'",
                        "vif=['mac=00:16:3e:00:00:01,bridge=b']", "cpu_weight=300", "vcpus=2", "maxvcpus=4", "localtime=1"});
    ASSERT_EQ(r.status, 0) << r.err;
    auto back = config::from_libxl_json(r.out, "json");
    ASSERT_TRUE(back) << back.failure().text;
    EXPECT_TRUE(back->warnings.empty()) << back->warnings[0];
    EXPECT_EQ(back->config.name, "t1");
    EXPECT_EQ(back->config.bootloader, "pygrub");
    EXPECT_EQ(back->config.bootargs, "--entry 1");
    EXPECT_EQ(back->config.vcpus, 4U);
    EXPECT_EQ(back->config.vcpu_avail, 3U);
    EXPECT_EQ(back->config.cpu_weight, 300U);
    EXPECT_TRUE(back->config.localtime);
    EXPECT_EQ(back->config.memory_mib, 96U);
    ASSERT_EQ(back->config.vifs.size(), 1U);
    EXPECT_EQ(back->config.vifs[0].mac, "00:16:3e:00:00:01");
    ASSERT_EQ(back->config.disks.size(), 1U);
    EXPECT_EQ(back->config.disks[0].devid, 51712U);
    EXPECT_EQ(back->config.on_poweroff, config::ExitAction::preserve);
    EXPECT_EQ(s.m.hypervisor.all.size(), 1U);
}

TEST(Xl, TablesHaveItsColumns) {
    Shell s;
    ASSERT_EQ(s.xl({"create", s.config}).status, 0);
    EXPECT_THAT(s.xl({"uptime"}).out,
                StartsWith("Name                                ID Uptime\nDomain-0                             0 "));
    EXPECT_THAT(s.xl({"vcpu-list"}).out,
                StartsWith("Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n"));
    EXPECT_THAT(s.xl({"vcpu-list", "t1"}).out, HasSubstr("  all / all\n"));
    EXPECT_THAT(s.xl({"block-list", "t1"}).out,
                StartsWith("Vdev  BE  handle state evt-ch ring-ref BE-path                       \n51712 0   "));
    EXPECT_EQ(s.xl({"network-list", "t1"}).out,
              "Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       \n");
    const std::string info = s.xl({"info"}).out;
    for (const char* line : {"host                   : ", "nr_cpus                : ", "total_memory           : ",
                             "free_memory            : ", "virt_caps              : ", "xen_version            : ",
                             "free_cpus              : 0\n", "xend_config_format     : 4\n"}) {
        EXPECT_THAT(info, HasSubstr(line));
    }
}

TEST(Xl, AllMeansThoseThatRun) {
    Shell s;
    ASSERT_EQ(s.xl({"create", s.config}).status, 0);
    ASSERT_EQ(s.xl({"create", "-q", s.config, "name='second'", "uuid='f4bc2456-e4ce-11f1-a449-af95deeadde9'", "disk=[]"}).status,
              0);
    s.m.hypervisor.stop("1", xenctrl::ShutdownReason::crash);
    const Ran r = s.xl({"shutdown", "-a"});
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_EQ(r.err, "Shutting down domain 2\n");
    EXPECT_EQ(s.xl({"shutdown", "-a", "second"}).status, 1);
}

TEST(Xl, StopsDomains) {
    Shell s;
    ASSERT_EQ(s.xl({"create", s.config}).status, 0);
    s.meanwhile = [&] { s.m.hypervisor.stop("1", xenctrl::ShutdownReason::poweroff); };
    const Ran r = s.xl({"shutdown", "-w", "t1"});
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_EQ(r.err, "Shutting down domain 1\n");
    EXPECT_EQ(r.out, "Waiting for 1 domain\nDomain 1 has been shut down\n");
}

}  // namespace
