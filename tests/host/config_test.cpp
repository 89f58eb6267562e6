// link: xenconfig
// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/load.hpp"

#include <gtest/gtest.h>

#include <set>

#include "toolstack/config/device_kinds.hpp"
#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/config/fields.hpp"
#include "toolstack/config/vocabulary.hpp"

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
acpi = False
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
    ASSERT_EQ(loaded->warnings.size(), 1U);
    EXPECT_EQ(loaded->warnings[0], "/etc/xen/f:7:8: unknown variable 'vmid'");
    EXPECT_TRUE(config::validate(c));
}

TEST(Config, AWordWithASlipIsTold) {
    const auto loaded = config::parse_config("kernel = '/k'\nmemroy = 64\n", "f", {});
    ASSERT_TRUE(loaded);
    EXPECT_EQ(loaded->warnings, (std::vector<std::string>{"f:2:10: unknown variable 'memroy': did you mean 'memory'?"}));
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
    EXPECT_EQ(error_of("\n\ndisk = ['phy:a']"), "f:3:9: Invalid disk specifier: phy:a (the device is missing: vdev=xvda)");
    EXPECT_EQ(error_of("cpu_weight = 2.5"), "f:1:14: cpu_weight: 2.5 is not a whole number");
    EXPECT_EQ(error_of("memory = '2 TB'"), "f:1:10: memory: '2 TB' is not a number");
    EXPECT_EQ(error_of("memory = '99999999999999999G'"), "f:1:10: memory: '99999999999999999G' is not a number");
    EXPECT_EQ(error_of("cpus = '3-1'"), "f:1:8: cpus: '3-1' is not a list of CPUs like 0-3,^1");
    EXPECT_EQ(error_of("cpus = ['0', 'x']"), "f:1:8: cpus: 'x' is not a list of CPUs like 0-3,^1");
    EXPECT_EQ(error_of("tsc_mode = 'fast'"),
              "f:1:12: tsc_mode: 'fast' is none of: default, always_emulate, native, native_paravirt");
    EXPECT_EQ(error_of("features = 'writeable_page_tables'"),
              "f:1:12: features: 'writeable_page_tables' is no feature of a kernel");
    EXPECT_EQ(error_of("features = 'supervisor_mode_kernel'"), "f:1:12: features: 'supervisor_mode_kernel' is not supported");
    EXPECT_EQ(error_of("on_xend_stop = 'kill'"), "f:1:16: on_xend_stop: 'kill' is none of: ignore, shutdown, suspend");
    EXPECT_EQ(error_of("vif = ['rate=fast']"), "f:1:8: Invalid vif option: rate=fast is not a rate like 10Mb/s or 250KB/s@20ms");
    EXPECT_EQ(error_of("vif = ['policy=x']"), "f:1:8: Invalid vif option: policy is not supported");
    EXPECT_EQ(error_of("vif = ['mtu=9']"), "f:1:8: Invalid vif option: mtu=9 is not from 68 to 65535");
    EXPECT_EQ(error_of("maxvcpus = 2\nvcpus = 3"), "f:1:12: maxvcpus: 2 is less than vcpus (3)");
    EXPECT_EQ(error_of("type = 'xen'"), "f:1:8: type: 'xen' is none of: pv, hvm, pvh");
    // A name that a program would take for an option, or for two words.
    for (const std::string name : {"-x", "--", ".", "..", "a b", "a:b", "a/b", "a\"b", "a\tb", "\xc3\xa4"}) {
        EXPECT_EQ(error_of("vif = ['vifname=" + name + "']"),
                  "f:1:8: Invalid vif option: vifname=" + name + " is not a name of an interface");
    }
    EXPECT_TRUE(config::parse_vif("vifname=fifteen-letters"));
    EXPECT_EQ(error_of("vif = ['vifname=fifteen-letters1']"),
              "f:1:8: Invalid vif option: vifname=fifteen-letters1 has more than 15 characters");
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
    const std::string tail = ": this file is a Python program, which is not supported here; only plain assignments are";
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

TEST(Config, TakesWhatXlAndXenToolsWrite) {
    EXPECT_EQ(parsed("memory = '256M'").memory_mib, 256U);
    EXPECT_EQ(parsed("memory = '2 GiB'\nmaxmem = '3g'").maxmem_mib, 3072U);
    const auto some = parsed("vcpus = 2\nmaxvcpus = 4");
    EXPECT_EQ(some.vcpus, 4U);
    EXPECT_EQ(some.vcpu_avail, 3U);
    EXPECT_EQ(parsed("maxvcpus = 4").vcpus, 4U);
    EXPECT_EQ(parsed("maxvcpus = 4").vcpu_avail, 0U);
    EXPECT_EQ(parsed("cap = 50").cpu_cap, 50U);
    EXPECT_EQ(parsed("root = '/dev/xvda1'\nextra = 'ro'\ncmdline = 'root=/dev/xvda2'").cmdline(), "root=/dev/xvda2");
    EXPECT_EQ(parsed("type = 'pv'\ntsc_mode = 'native'").tsc_mode, 2U);
    for (const char* kind : {"hvm", "pvh"}) {
        const auto refused = config::validate(parsed("kernel = '/k'\ntype = '" + std::string(kind) + "'"));
        EXPECT_EQ(refused.failure().text,
                  "builder: '" + std::string(kind) + "' domains are not supported yet, only PV ones (builder='linux')");
    }
    EXPECT_EQ(parsed("vif = ['mac=0:16:3e:0:0:1,type=vif,untrusted,mtu=9000']").vifs[0].type, "netfront");
    EXPECT_EQ(parsed("vif = ['mac=0:16:3e:0:0:1,type=vif,untrusted,mtu=9000']").vifs[0].trusted, "0");
}

TEST(Config, EachVcpuMayHaveItsList) {
    const auto c = parsed("vcpus = 3\ncpus = ['0', '2-3,^2']");
    EXPECT_EQ(config::cpus_of_vcpu(c.cpus, 0), "0");
    EXPECT_EQ(config::cpus_of_vcpu(c.cpus, 1), "2-3,^2");
    EXPECT_EQ(config::cpus_of_vcpu(c.cpus, 2), "");
    EXPECT_EQ(config::cpus_of_vcpu(parsed("cpus = ['2']").cpus, 5), "2");
    EXPECT_EQ(config::cpus_of_vcpu(parsed("cpus = '0-3,^1'").cpus, 5), "0-3,^1");
    EXPECT_EQ(config::cpus_of_vcpu(parsed("cpus = [2, 3]").cpus, 1), "3");
    EXPECT_EQ(config::cpus_of_vcpu("", 0), "");
}

// No word is taken and forgotten: with a value that asks for something it is refused or named in a warning; with one that
// asks for nothing it is passed over.
TEST(Config, EveryWordIsRefusedOrNamed) {
    ASSERT_GT(config::words().size(), 100U);
    for (const config::Word& word : config::words()) {
        const std::string name(word.name);
        for (const char* nothing : {"0", "''", "[]", "None", "False", "'no'", "()", "['']"}) {
            auto out = parse_config(name + " = " + nothing, "f");
            ASSERT_TRUE(out) << name << nothing;
            EXPECT_TRUE(out->warnings.empty()) << name << nothing;
        }
        for (const char* something : {"1", "'x'", "['x']", "{'a': 1}", "'00:1f.2'"}) {
            auto out = parse_config(name + " = " + something, "f");
            if (word.standing == config::Standing::refused) {
                ASSERT_FALSE(out) << name;
                EXPECT_EQ(out.failure().text, "f:1:" + std::to_string(name.size() + 4) + ": " + name + ": " +
                                                  std::string(word.what) + " are not supported yet; take it out");
            } else {
                ASSERT_TRUE(out) << name;
                ASSERT_EQ(out->warnings.size(), 1U) << name;
                EXPECT_NE(out->warnings[0].find("'" + name + "'"), std::string::npos) << out->warnings[0];
            }
        }
    }
    EXPECT_TRUE(parse_config("pool = 'Pool-0'", "f"));
}

TEST(Config, NoWordHasTwoMeanings) {
    std::set<std::string_view> names;
    for (const config::Word& word : config::words()) EXPECT_TRUE(names.insert(word.name).second) << word.name;
    for (const config::Field& field : config::fields())
        EXPECT_TRUE(field.file.empty() || names.insert(field.file).second) << field.file;
    for (const config::DeviceKind& kind : config::device_kinds())
        EXPECT_TRUE(names.insert(kind.variable).second) << kind.variable;
}

TEST(Config, WhatWaitsForAnotherVariableIsSaid) {
    const auto warning = [](const std::string& text) {
        auto out = parse_config(text, "f");
        EXPECT_TRUE(out) << (out ? "" : out.failure().text);
        return out && out->warnings.size() == 1 ? out->warnings[0] : std::string("not one warning");
    };
    EXPECT_EQ(warning("gateway = '10.0.0.1'"), "f:1:11: the variable 'gateway' has no effect without ip, or dhcp");
    EXPECT_EQ(warning("hostname = 'a'"), "f:1:12: the variable 'hostname' has no effect without ip, or dhcp");
    EXPECT_EQ(warning("bootargs = '-q'"), "f:1:12: the variable 'bootargs' has no effect without bootloader");
    EXPECT_EQ(warning("vif = ['model=e1000']"), "f:1:7: vif: a PV domain's interface has no model");
    EXPECT_EQ(warning("root = '/dev/a'; cmdline = 'x'"), "f:1:28: cmdline: it is taken in place of root and extra");
    EXPECT_TRUE(parse_config("hostname = 'a'\ndhcp = 'dhcp'", "f")->warnings.empty());
}

struct DiskCase {
    const char* specifier;
    const char* uname;
    const char* vdev;
    const char* mode;
};

// The examples of xl-disk-configuration(5), xm's manual, and what tools write.
TEST(Config, DisksInEveryGrammar) {
    constexpr DiskCase cases[] = {
        {"phy:vg/a,xvda,w", "phy:/dev/vg/a", "xvda", "w"},
        {"phy:/dev/vg/a,sda1,r,store", "phy:/dev/vg/a", "sda1", "r"},
        {"file:/srv/a.img,hda1,w!", "file:/srv/a.img", "hda1", "w!"},
        {"tap:aio:/srv/a.img,xvda,w", "file:/srv/a.img", "xvda", "w"},
        {"tap2:tapdisk:aio:/srv/a.img,xvda,w", "file:/srv/a.img", "xvda", "w"},
        {"tap:qcow2:/srv/a.q,xvda,w", "qcow2:/srv/a.q", "xvda", "w"},
        {"drbd:r0,xvda,w", "drbd:r0", "xvda", "w"},
        {",hdc:cdrom,r", "", "hdc", "r"},
        {"/dev/vg/guest-volume,,hda", "phy:/dev/vg/guest-volume", "hda", "w"},
        {"/dev/vg/guest-volume,raw,hda,rw", "phy:/dev/vg/guest-volume", "hda", "w"},
        {"format=raw, vdev=hda, access=rw, target=/dev/vg/guest-volume", "phy:/dev/vg/guest-volume", "hda", "w"},
        {"raw:/dev/vg/guest-volume,hda,w", "phy:/dev/vg/guest-volume", "hda", "w"},
        {"/root/image.iso,,hdc,cdrom", "file:/root/image.iso", "hdc", "r"},
        {"/root/image.iso,,hdc,,cdrom", "file:/root/image.iso", "hdc", "r"},
        {"/root/image.iso,raw,hdc,devtype=cdrom", "file:/root/image.iso", "hdc", "r"},
        {"format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/root/image.iso", "file:/root/image.iso", "hdc", "r"},
        {"raw:/root/image.iso,hdc:cdrom,ro", "file:/root/image.iso", "hdc", "r"},
        {"vdev=hdc,access=ro,devtype=cdrom,target=", "", "hdc", "r"},
        {"/srv/a.qcow2,qcow2,xvda,w", "qcow2:/srv/a.qcow2", "xvda", "w"},
        {"qcow2:/srv/a.qcow2,xvda,w", "qcow2:/srv/a.qcow2", "xvda", "w"},
        {"vdev=xvda,format=raw,backendtype=qdisk,target=/srv/a,b.img", "file:/srv/a,b.img", "xvda", "w"},
        {"script=block-iscsi,vdev=xvda,target=iqn=i,portal=p", "iscsi:iqn=i,portal=p", "xvda", "w"},
        {"vg/a,,51712,rw,direct-io-safe,discard", "phy:/dev/vg/a", "51712", "w"},
        {"/srv/a.img,xvda,w", "file:/srv/a.img", "xvda", "w"},
        {"phy:/dev/a,ioemu:hda,w", "phy:/dev/a", "hda", "w"},
        {"dev=xvda,mode=w!,uname=file:/srv/a,b", "file:/srv/a,b", "xvda", "w!"},
    };
    for (const DiskCase& c : cases) {
        auto disk = config::parse_disk(c.specifier);
        ASSERT_TRUE(disk) << disk.failure().text;
        EXPECT_EQ(disk->uname(), c.uname) << c.specifier;
        EXPECT_EQ(disk->vdev, c.vdev) << c.specifier;
        EXPECT_EQ(config::name_of(disk->mode), c.mode) << c.specifier;
        EXPECT_EQ(disk->cdrom, std::string_view(c.vdev) == "hdc") << c.specifier;
    }
    EXPECT_EQ(config::parse_disk("phy:/dev/vg/a,sda1,r,store")->backend, "store");
    EXPECT_EQ(config::parse_disk("/dev/a,,xvda,backend=store")->backend, "store");
    EXPECT_TRUE(config::validate(parsed("kernel = '/k'\ndisk = ['/srv/a.qcow2,qcow2,xvda,w']")));
    const auto refused = config::validate(parsed("kernel = '/k'\ndisk = ['tap:qcow2:/srv/a.qcow2,xvda,w!']"));
    EXPECT_EQ(refused.failure().text,
              "disk: a qcow2 image has one writer, which knows alone where its blocks are: w! for xvda "
              "needs a raw image (qemu-img convert -O raw makes one)");
}

TEST(Config, BadDisksSayWhy) {
    const auto why = [](const std::string& specifier) {
        auto disk = config::parse_disk(specifier);
        if (disk) return std::string("no error");
        const std::string text = disk.failure().text, begin = "Invalid disk specifier: " + specifier + " (";
        return text.starts_with(begin) ? text.substr(begin.size(), text.size() - begin.size() - 1) : text;
    };
    EXPECT_EQ(why(""), "the device is missing: vdev=xvda");
    EXPECT_EQ(why("/dev/a,raw"), "the device is missing: vdev=xvda");
    EXPECT_EQ(why("phy:,xvda,w"), "there is nothing behind 'phy:'");
    EXPECT_EQ(why(":/a,xvda,w"), "no type like phy: or file:");
    EXPECT_EQ(why("file:a.img,xvda,w"), "the path of the file must be absolute");
    EXPECT_EQ(why("phy:a,vda,w"), "'vda' is not a device name like xvda");
    EXPECT_EQ(why("phy:a,xvda,x"), "the mode must be r, w or w!");
    EXPECT_EQ(why("/dev/a,,vda,w"), "'vda' is not a device name like xvda");
    EXPECT_EQ(why("/dev/a,,xvda,x"), "the mode must be r, w or w!");
    EXPECT_EQ(why("/dev/a,zip,xvda,w"), "'zip' is no format");
    EXPECT_EQ(why("/dev/a,,xvda,w,more"), "'more' is one word too many");
    EXPECT_TRUE(config::parse_disk("/dev/a,,xvda,,"));
    EXPECT_TRUE(config::parse_disk("/dev/a,raw,xvda,w,,"));
    EXPECT_EQ(why("/dev/a,,xvda,vdev=xvdb"), "vdev is given twice");
    EXPECT_EQ(why("/dev/a,,xvda,colour=red"), "'colour' is no key of a disk");
    EXPECT_EQ(why("/dev/a,,xvda,specification=virtio"), "disks are Xen's own, not virtio");
    EXPECT_EQ(why("/dev/a,,xvda,backendtype=standalone"), "'standalone' is no back end");
    EXPECT_EQ(why("vdev=xvda,target="), "only a cdrom may be without a medium");
    EXPECT_EQ(why("vdev=xvda,script=/bin/sh,target=x"), "script must name a script block-TYPE in the folder of scripts");
    EXPECT_EQ(why("phy:/dev/a,xvda:floppy,w"), "DEV may end in :cdrom or :disk");
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
