// link: xenconfig
// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/load.hpp"

#include <gtest/gtest.h>

#include "toolstack/config/domain_sxp.hpp"

namespace {

using config::parse_config;

std::string error_of(const std::string& text) {
    auto out = parse_config(text, "f");
    return out ? "no error" : out.failure().text;
}

config::DomainConfig parsed(const std::string& text, std::vector<config::Setting> settings = {}) {
    auto out = parse_config(text, "/etc/xen/f", settings);
    EXPECT_TRUE(out) << (out ? "" : out.failure().text);
    return out ? out->config : config::DomainConfig{};
}

constexpr const char* classic = R"(#  -*- mode: python; -*-
"""A typical file, with everything that is plain."""
kernel = "/boot/vmlinuz-2.6.10-xenU"
ramdisk = '/boot/initrd'
memory = 64
name = "ExampleDomain"
vmid = 3
vcpus = '2'   # numbers may be texts
vif = [ 'mac=aa:0:0:0:0:11, bridge=xen-br0',
        '' ]  # the second one has all defaults
disk = [ 'phy:hda1,hda1,w', "file:/srv/vm%d.img,xvda,r" % vmid,
       ]
hostname= "vm%d" % vmid; ip = "10.0.0." + "%d" % (vmid + 1)
netmask="255.255.255.0"
gateway="10.0.0.1"
root = "/dev/hda1 " \
       'ro'
extra = "4 usr=%s" % ("/dev/hda6",)
on_crash = 'rename-restart'
restart = None
localtime = False
)";

TEST(Config, ReadsAClassicFile) {
    auto loaded = parse_config(classic, "/etc/xen/f");
    ASSERT_TRUE(loaded) << loaded.failure().text;
    const auto& c = loaded->config;
    EXPECT_EQ(c.name, "ExampleDomain");
    EXPECT_EQ(c.kernel, "/boot/vmlinuz-2.6.10-xenU");
    EXPECT_EQ(c.memory_mib, 64U);
    EXPECT_EQ(c.vcpus, 2U);
    ASSERT_EQ(c.vifs.size(), 2U);
    EXPECT_EQ(c.vifs[0].mac, "aa:00:00:00:00:11");
    EXPECT_EQ(c.vifs[0].bridge, "xen-br0");
    EXPECT_EQ(c.vifs[1], config::Vif{});
    ASSERT_EQ(c.disks.size(), 2U);
    EXPECT_EQ(c.disks[0].target, "/dev/hda1");
    EXPECT_EQ(c.disks[0].devid, 0x301U);
    EXPECT_EQ(c.disks[1].target, "/srv/vm3.img");
    EXPECT_EQ(c.disks[1].devid, 51712U);
    EXPECT_EQ(c.disks[1].mode, config::DiskMode::read_only);
    EXPECT_EQ(c.cmdline(), "ip=10.0.0.4:1.2.3.4:10.0.0.1:255.255.255.0:vm3:eth0:off root=/dev/hda1 ro 4 usr=/dev/hda6");
    EXPECT_EQ(c.on_poweroff, config::ExitAction::destroy);
    EXPECT_EQ(c.on_crash, config::ExitAction::rename_restart);
    ASSERT_EQ(loaded->warnings.size(), 2U);
    EXPECT_EQ(loaded->warnings[0], "/etc/xen/f:7:8: unknown variable 'vmid'");
    EXPECT_EQ(loaded->warnings[1], "/etc/xen/f:21:13: the variable 'localtime' is not supported yet and has no effect");
    EXPECT_TRUE(config::validate(c));
}

TEST(Config, StringsAreThoseOfPython) {
    EXPECT_EQ(parsed(R"(extra = 'a\tb' "c\x41\101" r'\n')").extra, "a\tbcAA\\n");
    EXPECT_EQ(parsed("extra = '''one\ntwo'''").extra, "one\ntwo");
    EXPECT_EQ(parsed("extra = u\"\\q\"").extra, "\\q");
    EXPECT_EQ(parsed("extra = '%5.1f|%-4s|%03x|%%' % (1.25, 'ab', 255)").extra, "  1.2|ab  |0ff|%");
    EXPECT_EQ(parsed("extra = '%(a)s' % {'a': 7}").extra, "7");
    EXPECT_EQ(parsed("extra = 'ab' * 3").extra, "ababab");
    EXPECT_EQ(parsed("a = b = ['x', 'y']\nextra = b[-1] + a[0]").extra, "yx");
    EXPECT_EQ(parsed("extra = 'a'\nextra += 'b'").extra, "ab");
    EXPECT_EQ(parsed("memory = 0x40 + 2 * (7 - 3) // -3").memory_mib, 61U);
}

TEST(Config, ErrorsNameThePlace) {
    EXPECT_EQ(error_of("kernel = '/boot/x\nmemory = 1"), "f:1:10: the string that begins here is not closed on its line");
    EXPECT_EQ(error_of("disk = [ 'phy:a,xvda,w'\nmemory = 1"), "f:2:1: ',' or ']' expected, but here is 'memory'");
    EXPECT_EQ(error_of("disk = [ 'phy:a,xvda,w',"), "f:1:8: the bracket that opens here is never closed");
    EXPECT_EQ(error_of("memory 64"), "f:1:8: '=' after 'memory' expected, but here is '64'");
    EXPECT_EQ(error_of("memory = lots"), "f:1:10: 'lots' has no value; a text needs quotes");
    EXPECT_EQ(error_of("memory = 'lots'"), "f:1:10: memory: 'lots' is not a number");
    EXPECT_EQ(error_of("vcpus = 0"), "f:1:9: vcpus: 0 is out of range (1 to 128)");
    EXPECT_EQ(error_of("\n\ndisk = ['phy:a,xvda']"),
              "f:3:9: Invalid disk specifier: phy:a,xvda (BACK,DEV,MODE[,BACKDOM] is wanted)");
    EXPECT_EQ(error_of("vif = ['colour=red']"), "f:1:8: Invalid vif option: colour");
    EXPECT_EQ(error_of("on_reboot = 'perhaps'"), "f:1:13: on_reboot: invalid restart event: on_reboot = perhaps");
    EXPECT_EQ(error_of("  memory = 1"), "f:1:3: unexpected indentation");
    EXPECT_EQ(error_of("memory = 1 / 0"), "f:1:12: a division by zero");
    EXPECT_EQ(error_of("memory = 'a' + 1"), "f:1:14: '+' does not work between string and number");
    EXPECT_EQ(error_of("name = 'x' % 1"), "f:1:12: the format string does not use all its values");
    EXPECT_EQ(error_of("memory = 99999999999999999999"), "f:1:10: the number 99999999999999999999 is too large");
    EXPECT_EQ(error_of(std::string("memory = \x01", 10)), "f:1:10: byte 0x01 has no meaning here");
}

TEST(Config, APythonProgramIsToldSo) {
    const std::string tail = ": this file is a Python program, which is not supported yet; only plain assignments are";
    EXPECT_EQ(error_of("import os"), "f:1:1: 'import'" + tail);
    EXPECT_EQ(error_of("memory = 1\ndef f(x):\n  return x"), "f:2:1: 'def'" + tail);
    EXPECT_EQ(error_of("memory = int('64')"), "f:1:13: a call of 'int'" + tail);
    EXPECT_EQ(error_of("xm_vars.var('vmid')"), "f:1:8: a call or an attribute of 'xm_vars'" + tail);
    EXPECT_EQ(error_of("memory = 1 if True else 2"), "f:1:12: 'if'" + tail);
    EXPECT_EQ(parse_config("import os", "f").failure().code, base::Errc::nosys);
}

TEST(Config, LimitsHold) {
    EXPECT_NE(error_of("a = " + std::string(100, '[')).find("nested too deeply"), std::string::npos);
    EXPECT_NE(error_of("a = 'x' * 100000000").find("too long"), std::string::npos);
    EXPECT_NE(error_of("a = [0] * 40000\nb = a\nc = a").find("more values than is allowed"), std::string::npos);
    std::string doubling = "a = 'xxxxxxxxxxxxxxxx'\n";
    for (int i = 0; i < 40; ++i) doubling += "a = a + a\n";
    EXPECT_NE(error_of(doubling).find("more values than is allowed"), std::string::npos);
    EXPECT_NE(error_of(std::string(2U << 20U, '#')).find("more than"), std::string::npos);
    EXPECT_NE(error_of("a = '%9999999s' % 1").find("too wide"), std::string::npos);
    EXPECT_NE(error_of("a = " + std::string(100000, '-') + "1"), "");
}

TEST(Config, SettingsWin) {
    const auto c = parsed("name='a'\nmemory=1\ndisk=['phy:a,xvda,w']",
                          {{"memory", "256"}, {"disk", "phy:b,xvdb,r"}, {"disk", "phy:c,xvdc,w"}, {"extra", "single"}});
    EXPECT_EQ(c.memory_mib, 256U);
    ASSERT_EQ(c.disks.size(), 2U);
    EXPECT_EQ(c.disks[1].target, "/dev/c");
    EXPECT_EQ(c.extra, "single");
    EXPECT_EQ(parsed("name = 'vm' + vmid", {{"vmid", "7"}}).name, "vm7");
    EXPECT_EQ(parsed("", {{"vif", "['bridge=a', 'bridge=b']"}}).vifs.size(), 2U);
    EXPECT_EQ(parsed("").name, "f");  // the base name of the file
    EXPECT_EQ(parsed("nics=2\nvif=['bridge=x']").vifs.size(), 2U);
    EXPECT_EQ(parsed("restart='never'\non_crash='preserve'").on_crash, config::ExitAction::destroy);
}

TEST(Config, DeviceNumbers) {
    using config::device_number;
    EXPECT_EQ(device_number("xvda"), 51712U);
    EXPECT_EQ(device_number("xvda1"), 51713U);
    EXPECT_EQ(device_number("xvdp15"), 51967U);
    EXPECT_EQ(device_number("xvdq"), (1U << 28U) | (16U << 8U));
    EXPECT_EQ(device_number("sda"), 2048U);
    EXPECT_EQ(device_number("sdq1"), (65U << 8U) | 1U);
    EXPECT_EQ(device_number("hdc"), 5632U);
    EXPECT_EQ(device_number("hdb3"), 0x343U);
    EXPECT_EQ(device_number("/dev/xvdb"), 51728U);
    EXPECT_EQ(device_number("0xca00"), 51712U);
    EXPECT_EQ(device_number("51712"), 51712U);
    for (const char* bad : {"", "xvd", "xvda01", "xvda0", "vda", "sd1", "hdz", "xvda-", "99999999999"}) {
        EXPECT_FALSE(device_number(bad)) << bad;
    }
}

TEST(Config, MacAddressesAreStable) {
    const auto uuid = *config::Uuid::parse("f4bc2456-e4ce-11f1-a449-af95deeadde8");
    EXPECT_EQ(uuid.text(), "f4bc2456-e4ce-11f1-a449-af95deeadde8");
    // These must never change: neighbours remember them.
    EXPECT_EQ(config::derived_mac(uuid, 0), config::derived_mac(uuid, 0));
    EXPECT_NE(config::derived_mac(uuid, 0), config::derived_mac(uuid, 1));
    EXPECT_EQ(config::derived_mac(uuid, 0).substr(0, 9), "00:16:3e:");
    EXPECT_EQ(config::derived_mac(uuid, 0), "00:16:3e:4b:b1:ec");
    EXPECT_EQ(config::normal_mac("0:16:3E:1:2:3"), "00:16:3e:01:02:03");
    for (const char* bad : {"", "00:16:3e:00:00", "01:16:3e:00:00:00", "00:16:3e:00:00:00:00", "g0:0:0:0:0:0", "000:1:2:3:4:5"}) {
        EXPECT_FALSE(config::normal_mac(bad)) << bad;
    }
    EXPECT_FALSE(config::Uuid::parse("f4bc2456-e4ce-11f1-a449-af95deeadde"));
    EXPECT_NE(config::Uuid::random(), config::Uuid::random());
}

TEST(Config, ThroughSxpAndBack) {
    const auto c = parsed(classic);
    const auto sxp = config::to_sxp(c);
    EXPECT_EQ(proto::to_string(sxp),
              "(vm (name ExampleDomain) (memory 64) (vcpus 2) (on_poweroff destroy) (on_reboot restart) "
              "(on_crash rename-restart) (image (linux (kernel /boot/vmlinuz-2.6.10-xenU) (ramdisk /boot/initrd) "
              "(ip 10.0.0.4:1.2.3.4:10.0.0.1:255.255.255.0:vm3:eth0:off) (root '/dev/hda1 ro') "
              "(args '4 usr=/dev/hda6'))) (device (vbd (uname phy:/dev/hda1) (dev hda1) (mode w))) "
              "(device (vbd (uname file:/srv/vm3.img) (dev xvda) (mode r))) "
              "(device (vif (mac aa:00:00:00:00:11) (bridge xen-br0))) (device (vif)))");
    auto again = config::from_sxp(*proto::parse_sxp(proto::to_string(sxp)));
    ASSERT_TRUE(again) << again.failure().text;
    EXPECT_EQ(*again, c);
}

TEST(Config, BadSxpIsRefused) {
    const auto error = [](const char* text) {
        auto out = config::from_sxp(*proto::parse_sxp(text));
        return out ? std::string("no error") : out.failure().text;
    };
    EXPECT_EQ(error("(foo)"), "a domain configuration begins with (vm …");
    EXPECT_EQ(error("(vm (name a))"), "(image …) is missing");
    EXPECT_EQ(error("(vm (name a) (memory x) (image (linux)))"), "(memory …): 'x' is not a number in range");
    EXPECT_EQ(error("(vm (name a) (image (linux)))"), "No kernel specified");
    EXPECT_EQ(error("(vm (name 1a) (image (linux (kernel /k))))"),
              "Invalid VM Name: '1a' (letters, digits and _-.:/+, not starting with a digit)");
    EXPECT_EQ(error("(vm (name a) (image (hvm (kernel /k))))"),
              "builder: 'hvm' domains are not supported yet, only PV ones (builder='linux')");
    EXPECT_EQ(error("(vm (name a) (image (linux (kernel /k))) (device (foo)))"), "unknown device type: foo");
    EXPECT_EQ(error("(vm (name a) (image (linux (kernel /k))) (device (vbd (uname phy:a) (dev xvda) (mode w))) "
                    "(device (vbd (uname phy:b) (dev 51712) (mode w))))"),
              "disk: the device 51712 is given twice");
}

}  // namespace
