// link: xenconfig_program
// SPDX-License-Identifier: Apache-2.0
// Configuration files that are programs: what classic ones do works, and nothing they try gets out of the sandbox.
#include "toolstack/config/program.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "toolstack/config/load.hpp"

namespace {

using config::Setting;

base::Outcome<config::Loaded> load(const std::string& text, std::vector<Setting> settings = {}) {
    return config::parse_config(text, "f", settings, [](auto program, const auto& file, const auto& preset) {
        return config::run_program(program, file, preset);
    });
}

config::DomainConfig parsed(const std::string& text, std::vector<Setting> settings = {}) {
    auto out = load(text, std::move(settings));
    EXPECT_TRUE(out) << (out ? "" : out.failure().text);
    return out ? out->config : config::DomainConfig{};
}

std::string error_of(const std::string& text, std::vector<Setting> settings = {}) {
    auto out = load(text, std::move(settings));
    return out ? "no error" : out.failure().text;
}

// In the manner of the examples of Xen 2 and 3: a number from the command line, checked, from which all follows.
constexpr const char* with_vmid = R"(
import os, re
def vmid_check(var, val):
    val = int(val)
    if val <= 0:
        raise ValueError("must be positive")
    return val
xm_vars.var('vmid', use="Virtual machine id. Integer greater than 0.", check=vmid_check)
xm_vars.check()
kernel = "/boot/vmlinuz"
arch = os.uname()[4]
if re.search('64', arch):
    memory = 128
else:
    memory = 64
name = "VM%d" % vmid
cpus = "%s" % vmid
vif = ['ip=192.168.%d.1/24' % (vmid)]
disk = [ 'phy:sda%d,sda1,w' % (7+vmid), 'phy:sda6,sda6,r' ]
root = "/dev/sda1 ro"
extra = "4 VMID=%d usr=/dev/sda6" % vmid
)";

TEST(Program, AClassicFileWithANumber) {
    const auto c = parsed(with_vmid, {{"vmid", "3"}});
    EXPECT_EQ(c.name, "VM3");
    EXPECT_EQ(c.memory_mib, 128U);
    EXPECT_EQ(c.cpus, "3");
    ASSERT_EQ(c.disks.size(), 2U);
    EXPECT_EQ(c.disks[0].target, "/dev/sda10");
    ASSERT_EQ(c.vifs.size(), 1U);
    EXPECT_EQ(c.vifs[0].ip, "192.168.3.1/24");
    EXPECT_EQ(c.cmdline(), "root=/dev/sda1 ro 4 VMID=3 usr=/dev/sda6");
    EXPECT_EQ(parsed(with_vmid, {{"vmid", "3"}, {"memory", "256"}}).memory_mib, 256U);  // the command line wins
    EXPECT_EQ(error_of(with_vmid, {{"vmid", "-1"}}),
              "f:9:1: vmid - must be positive (Virtual machine id. Integer greater than 0.)");
    EXPECT_NE(error_of(with_vmid).find("f:9:1: vmid - int() argument must be"), std::string::npos) << error_of(with_vmid);
}

TEST(Program, WhatPythonCanSay) {
    EXPECT_EQ(parsed("disk = ['phy:sd%s,sd%s,w' % (c, c) for c in 'abc']").disks.size(), 3U);
    EXPECT_EQ(parsed("disk = map(lambda c: 'phy:sd%s,sd%s,w' % (c, c), 'abc')").disks.size(), 3U);
    EXPECT_EQ(parsed("memory = 1 if True else 2").memory_mib, 1U);
    EXPECT_EQ(parsed("memory = int('64')").memory_mib, 64U);
    EXPECT_EQ(parsed("for i in range(3):\n    extra = 'x' * i").extra, "xx");
    EXPECT_EQ(parsed("from xen.util.ip import *\nextra = add_offset_to_ip('10.0.0.255', 2)").extra, "10.0.1.1");
    EXPECT_EQ(parsed("import xen.util.ip\nextra = str(xen.util.ip.check_subnet('10.1.2.3', '10.1.0.0', '255.255.0.0'))").extra,
              "True");
    EXPECT_EQ(parsed("import os.path\nname = os.path.basename(xm_file) + 'x'").name, "fx");
    EXPECT_EQ(parsed("extra = open('/proc/self/comm').read().strip()").extra, "python3");
    EXPECT_EQ(parsed("print('hello')\nmemory = 7").memory_mib, 7U);
    EXPECT_EQ(parsed("exec('memory = 8')").memory_mib, 8U);
}

TEST(Program, ErrorsNameThePlace) {
    EXPECT_EQ(error_of("import os\n\nmemory = nothing"), "f:3:1: NameError: name 'nothing' is not defined");
    EXPECT_EQ(error_of("def f():\n    return 1 / 0\n\nmemory = f()"), "f:2:1: ZeroDivisionError: division by zero");
    EXPECT_NE(error_of("import os\nprint 'x'").find("f:2:1: Missing parentheses in call to 'print'"), std::string::npos);
    EXPECT_EQ(error_of("import os\nmemory = 'lots'"), "f:2:10: memory: 'lots' is not a number");
    EXPECT_EQ(error_of("import os\nif True:\n  disk = ['nonsense']"),
              "f:3:10: Invalid disk specifier: nonsense (the device is missing: vdev=xvda)");
    EXPECT_EQ(error_of("import os\nmemory = 10 ** 30"), "f:2:10: the number 1000000000000000000000000000000 is too large");
    EXPECT_EQ(error_of("import os\nx = float('inf')"), "f:2:5: the number inf is too large");
    // What neither reads is told as plain declarations are.
    EXPECT_EQ(error_of("memory = lots"), "f:1:10: 'lots' has no value; a text needs quotes");
    EXPECT_EQ(error_of("import sys\nsys.exit(3)"), "f:2:1: SystemExit: 3");
    EXPECT_EQ(error_of("import os\nvif = {''}"), "f:2:7: vif: a list of strings is wanted, not a set");
    EXPECT_EQ(error_of("import os\nname = os"), "f:2:8: name: a string is wanted, not a module");
    EXPECT_EQ(error_of("import os\npci = {1}"), "f:2:7: pci: PCI devices are not supported yet; take it out");
    EXPECT_TRUE(load("import os\nhelper = {1}\nother = lambda: 3")->warnings.empty());
    EXPECT_EQ(error_of("import nothing"), "f:1:1: ModuleNotFoundError: No module named 'nothing'");
    EXPECT_EQ(error_of("ip = get_current_ipaddr()"),
              "f:1:1: configuration files cannot ask the network for its addresses: write them down");
}

/// What a program tries that it must not be able to do, and what would show that it did.
TEST(Program, NothingGetsOut) {
    const auto folder = std::filesystem::temp_directory_path() / "config-program-test";
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
    const std::string there = (folder / "there").string(), made = (folder / "made").string();
    std::ofstream(there) << "precious";
    const std::string paths = "import os, resource, socket, subprocess, ctypes\nthere, made = '" + there + "', '" + made + "'\n";
    const char* const attempts[] = {
        "open(made, 'w')",
        "open(there, 'a').write('x')",
        "open(there, 'r+').truncate(0)",
        "os.open(there, os.O_RDONLY | os.O_TRUNC)",
        "os.remove(there)",
        "os.rename(there, made)",
        "os.mkdir(made)",
        "os.symlink('/etc/passwd', made)",
        "os.link(there, made)",
        "os.chmod(there, 0)",
        "os.truncate(there, 0)",
        "os.mknod(made)",
        "os.utime(there, (0, 0))",
        "os.chdir('/')",
        "os.fork()",
        "subprocess.run(['/bin/true'])",
        "os.system('/bin/true')",
        "os.kill(os.getppid(), 9)",
        "socket.socket()",
        "socket.socketpair()",
        "os.setuid(0)",
        "os.nice(-5)",
        "os.memfd_create('x')",
        "os.pipe()",
        "resource.prlimit(0, resource.RLIMIT_AS, (-1, -1))",  // root may raise limits
    };
    for (const char* attempt : attempts) {
        // The error, and that it is one of permission: not a mistake in the attempt.
        const std::string text = paths + "why = ''\ntry:\n    r = " + attempt +
                                 "\n    why = 'done: ' + str(r)\nexcept OSError as e:\n    why = e.strerror\nextra = why";
        const std::string why = parsed(text).extra;
        const bool shell = std::string(attempt).starts_with("os.system");
        EXPECT_EQ(why, shell ? "done: 32512" : "Operation not permitted") << attempt;
    }
    std::ifstream in(there);
    std::string content;
    std::getline(in, content);
    EXPECT_EQ(content, "precious");
    EXPECT_FALSE(std::filesystem::exists(made));
    std::filesystem::remove_all(folder);
}

TEST(Program, LimitsHold) {
    config::ProgramLimits patient;  // a busy host gives its processor time slowly
    patient.time = std::chrono::minutes(2);
    const auto endless = config::run_program("import os\nwhile True: pass", "f", {}, patient);
    EXPECT_EQ(endless ? std::string("no error") : endless.failure().text, "f: it computes for too long");
    EXPECT_EQ(error_of("import os\nx = 'x' * (2 << 20)"), "f: its variables are too large");
    EXPECT_NE(error_of("import os\nx = 'x' * (1 << 40)").find("MemoryError"), std::string::npos);
    EXPECT_EQ(error_of("import os\nx = []\nfor i in range(10000): x = [x]\nmemory = 5"), "no error");  // left out
    config::ProgramLimits hasty;
    hasty.time = std::chrono::milliseconds(300);
    auto slow = config::run_program("import time\ntime.sleep(60)", "f", {}, hasty);
    EXPECT_EQ(slow.failure().code, base::Errc::timedout);
    slow = config::run_program("import os, time\nos.close(3)\ntime.sleep(5)", "f", {}, hasty);
    EXPECT_EQ(slow ? std::string("no error") : slow.failure().text, "f: it runs for more than 0 s")
        << "nobody waits for one that has closed its answer";
    EXPECT_EQ(error_of("import os\nos.write(3, b'{\"variables\": [[\"a\", 1, 1, ' + b'[' * 200000 + b']' * 200000 + b']]}')\n"
                       "os._exit(0)"),
              "f:1:1: it is nested too deeply");
    // A program that answers itself, or not at all.
    EXPECT_EQ(error_of("import os\nos.write(3, b'nonsense')\nos._exit(0)"), "f: its program did not give variables");
    EXPECT_EQ(error_of("import os\nos.write(3, b'{\"variables\": [[1, 2]]}')\nos._exit(0)"),
              "f: its program did not give variables");
    EXPECT_EQ(error_of("import os\nos._exit(0)"), "f: python3 ended without an answer");
    EXPECT_EQ(error_of("import os\nos.close(3)\nmemory = 1"), "f: python3 ended without an answer");
}

TEST(Program, AClosedStandardInputIsNoHindrance) {
    const int kept = ::dup(0);
    ::close(0);
    EXPECT_EQ(parsed("import os\nmemory = 7").memory_mib, 7U);
    ::dup2(kept, 0);
    ::close(kept);
}

TEST(Program, TheCallersEnvironmentStaysOutside) {
    ::setenv("SECRET_OF_THE_CALLER", "x", 1);
    EXPECT_EQ(parsed("import os\nextra = os.environ.get('SECRET_OF_THE_CALLER', 'none')").extra, "none");
    EXPECT_EQ(parsed("import os\nextra = ' '.join(sorted(os.listdir('/proc/self/fd')))").extra, "0 1 2 3 4");  // 4: the listing
}

}  // namespace
