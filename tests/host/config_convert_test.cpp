// link: xenconfig_convert
// SPDX-License-Identifier: Apache-2.0
// One configuration in every form: what comes back, what is said to be lost, and what is refused.
#include <gtest/gtest.h>

#include "toolstack/config/convert.hpp"
#include "toolstack/config/libvirt_xml.hpp"

namespace {

using config::DomainConfig;
using config::FileForm;

constexpr FileForm forms[] = {FileForm::file, FileForm::sxp, FileForm::json, FileForm::libxl, FileForm::libvirt};

DomainConfig loaded(const std::string& text) {
    auto out = config::read_form(config::guess_form(text), text, "test", {}, {});
    EXPECT_TRUE(out) << out.failure().text << "\n" << text;
    return out ? out->config : DomainConfig{};
}

std::string failure(const std::string& text) {
    const auto out = config::read_form(config::guess_form(text), text, "f", {}, {});
    EXPECT_FALSE(out);
    return out ? "" : out.failure().text;
}

/// What is lost on the way through a form.
std::vector<std::string> lost(const DomainConfig& config, FileForm form) {
    const auto text = config::write_form(form, config);
    EXPECT_TRUE(text) << text.failure().text;
    if (!text) return {};
    EXPECT_EQ(config::guess_form(*text), form) << *text;
    EXPECT_TRUE(text->ends_with('\n'));
    return config::differences(config, loaded(*text));
}

constexpr const char* common = R"(
name = 'demo'
uuid = 'f4bc2456-e4ce-11f1-a449-af95deeadde8'
kernel = '/boot/vm <linuz> & "co"'
ramdisk = '/boot/initrd'
root = '/dev/xvda1 ro'
extra = 'console=hvc0 a="b c" <&>'
ip = '10.0.0.1'
memory = 200
maxmem = 300
vcpus = 3
cpus = ['0-1', '2', '0-3,^1']
cpu_weight = 300
tsc_mode = 'native'
max_grant_frames = 20
max_event_channels = 200
on_poweroff = 'preserve'
on_reboot = 'rename-restart'
on_crash = 'coredump-destroy'
disk = ['phy:/dev/vg/a,xvda,w', 'format=raw,vdev=xvdb,access=ro,target=/a,b.img', 'file:/c.img,sda1,w!', 'vdev=hdc,devtype=cdrom,access=ro,target=']
vif = ['mac=00:16:3e:01:02:03,bridge=b', '']
)";

TEST(ConfigConvert, NothingIsLostThatEveryFormCanSay) {
    const DomainConfig config =
        loaded(std::string(common) +
               "cpus = '0-3,^1'\ndisk = ['phy:/dev/vg/a,xvda,w', "
               "'vdev=hdc,devtype=cdrom,access=ro,no-discard,target=']\nmax_event_channels = None\nmax_grant_frames = None");
    for (const FileForm form : forms) EXPECT_EQ(lost(config, form), std::vector<std::string>{}) << config::name_of(form);
}

TEST(ConfigConvert, FromEachToEach) {
    const DomainConfig config =
        loaded("name='x'\nkernel='/k'\nmemory=64\nvcpus=2\ndisk=['file:/d.img,xvda,w']\nvif=['bridge=b']\nextra='a b'");
    for (const FileForm from : forms) {
        for (const FileForm to : forms) {
            const DomainConfig first = loaded(*config::write_form(from, config));
            EXPECT_EQ(lost(first, to), std::vector<std::string>{}) << config::name_of(from) << " to " << config::name_of(to);
        }
    }
}

TEST(ConfigConvert, WhatAFormHasNoWordForIsSaid) {
    const DomainConfig config = loaded(std::string(common) + R"(
cap = 50
pool = 'fast'
localtime = 1
rtc_timeoffset = -60
on_watchdog = 'destroy'
features = 'writable_page_tables'
max_maptrack_frames = 30
vif = ['mac=00:16:3e:01:02:03,bridge=b,rate=10Mb/s@50ms,ip=1.2.3.4/24 2000::1,vifname=v,mtu=1400,script=vif-route,gatewaydev=g']
)");
    EXPECT_EQ(lost(config, FileForm::sxp), std::vector<std::string>{});
    EXPECT_EQ(lost(config, FileForm::json), std::vector<std::string>{});
    EXPECT_EQ(lost(config, FileForm::file),
              (std::vector<std::string>{"features: 'writable_page_tables' is lost", "disk 3, mode: 'w!' becomes 'w'"}));
    EXPECT_EQ(lost(config, FileForm::libvirt),
              (std::vector<std::string>{"cpu_cap: '50' is lost", "pool: 'fast' is lost", "max_maptrack_frames: '30' is lost",
                                        "on_watchdog: 'destroy' is lost", "features: 'writable_page_tables' is lost",
                                        "vif 1, rate: '1250000B/s@50000us' becomes '1250300B/s@50000us'",
                                        "vif 1, gatewaydev: 'g' is lost"}));
}

TEST(ConfigConvert, OfSeveralDevicesEachIsNamed) {
    DomainConfig one = loaded(common), other = one;
    EXPECT_EQ(config::differences(one, other), std::vector<std::string>{});
    other.disks.pop_back();
    other.disks[1].mode = config::DiskMode::read_write;
    other.vifs[1].bridge = "c";
    EXPECT_EQ(
        config::differences(one, other),
        (std::vector<std::string>{"disks: '4' becomes '3'", "disk 2, mode: 'r' becomes 'w'", "vif 2, bridge: '' becomes 'c'"}));
}

/// As libvirt's own driver writes the domain of a file.
constexpr const char* golden = R"(<domain type='xen'>
  <name>guest1</name>
  <uuid>c7a5fdb2-cdaf-9455-926a-d65c16db1809</uuid>
  <memory unit='KiB'>592896</memory>
  <currentMemory unit='KiB'>403456</currentMemory>
  <vcpu placement='static' cpuset='0-3' current='2'>4</vcpu>
  <cputune><vcpupin vcpu='1' cpuset='2'/></cputune>
  <os>
    <type arch='x86_64' machine='xenpv'>linux</type>
    <kernel>/tmp/vmlinuz</kernel>
    <initrd>/tmp/initrd</initrd>
    <cmdline>root=/dev/xvda1 console=hvc0</cmdline>
  </os>
  <clock offset='utc' adjustment='reset'><timer name='tsc' mode='paravirt'/></clock>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>restart</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/images/a,b'/>
      <target dev='xvda' bus='xen'/>
    </disk>
    <disk type='block' device='cdrom'>
      <target dev='hdc' bus='ide'/>
      <readonly/>
    </disk>
    <controller type='xenbus' index='0' maxGrantFrames='64'/>
    <interface type='bridge'>
      <mac address='00:16:3e:66:92:9c'/>
      <source bridge='xenbr1'/>
      <ip address='10.0.0.1' family='ipv4'/>
      <ip address='2000::1' family='ipv6' prefix='64'/>
      <script path='vif-bridge'/>
      <bandwidth><outbound average='10240'/></bandwidth>
    </interface>
    <console type='pty'><target type='xen' port='0'/></console>
    <input type='mouse' bus='xen'/>
    <memballoon model='xen'/>
  </devices>
</domain>
)";

TEST(LibvirtXml, AsLibvirtWritesIt) {
    const auto got = config::from_libvirt_xml(golden, "f");
    ASSERT_TRUE(got) << got.failure().text;
    EXPECT_TRUE(got->warnings.empty()) << got->warnings[0];
    const DomainConfig expected = loaded(R"(
name = 'guest1'
uuid = 'c7a5fdb2-cdaf-9455-926a-d65c16db1809'
kernel = '/tmp/vmlinuz'
ramdisk = '/tmp/initrd'
cmdline = 'root=/dev/xvda1 console=hvc0'
memory = 394
maxmem = 579
vcpus = 4
vcpu_avail = 3
cpus = ['0-3', '2', '0-3', '0-3']
tsc_mode = 'native_paravirt'
max_grant_frames = 64
disk = ['format=raw,vdev=xvda,access=rw,target=/images/a,b', 'vdev=hdc,devtype=cdrom,access=ro,format=raw,target=']
vif = ['mac=00:16:3e:66:92:9c,bridge=xenbr1,script=vif-bridge,ip=10.0.0.1 2000::1/64,rate=10485760B/s']
)");
    EXPECT_EQ(config::differences(expected, got->config), std::vector<std::string>{});
    EXPECT_EQ(got->config, expected);
}

std::string with(const std::string& from, const std::string& to) {
    std::string text = golden;
    EXPECT_NE(text.find(from), std::string::npos) << from;
    return text.replace(text.find(from), from.size(), to);
}

TEST(LibvirtXml, WhatIsNotForUs) {
    const auto refused = [](const std::string& from, const std::string& to, const std::string& why) {
        EXPECT_NE(failure(with(from, to)).find(why), std::string::npos) << failure(with(from, to));
    };
    refused("type='xen'", "type='kvm'", "f: <domain>: its type is 'kvm'");
    refused(">linux<", ">hvm<", "f: <type>: 'hvm': only PV domains");
    refused("'xenpv'", "'xenpvh'", "f: <type>: the machine 'xenpvh' is no PV domain");
    refused("unit='KiB'", "unit='pages'", "f: <memory>: 'pages' is no unit of memory");
    refused(">592896<", ">much<", "f: <memory>: 'much' is not a number");
    refused("unit='KiB'>592896", "unit='TiB'>99999999999999999", "f: <memory>: '99999999999999999' is not a number");
    refused(">592896<", ">1<", "memory");
    refused("current='2'", "current='5'", "f: <vcpu>: current='5' is out of range");
    refused("current='2'", "current='0'", "out of range");
    refused("cpuset='2'", "", "f: <vcpupin>: vcpu='N' and cpuset='CPUS' are wanted");
    refused("cpuset='0-3'", "cpuset='some'", "some");
    refused("type='file'", "type='network'", "f: <disk>: disks of type 'network' are not known here");
    refused("device='cdrom'", "device='floppy'", "f: <disk>: 'floppy' is no device here");
    refused("type='raw'", "type='ram'", "disks of memory (ram) are not supported");
    refused("dev='xvda'", "dev='xvda,access=w!'", "f: <disk>: a comma in the vdev");
    refused("type='bridge'", "type='user'", "f: <interface>: 'user': only cards on a bridge");
    refused("<source bridge='xenbr1'/>", "<source bridge='a,rate=1B/s'/>", "a comma in the bridge");
    refused("'10240'", "'fast'", "f: <interface>: the average 'fast' is not a number");
    refused("<console", "<hostdev/><console", "f: <hostdev>: devices of the host are not supported");
    refused(">restart<", ">explode<", "explode");
    refused("</name>", "", "f:41: ");
    EXPECT_EQ(failure("<domain type='xen'/>"), "f: <os> is missing");
    EXPECT_EQ(failure("<domains/>"), "f: a <domain> is wanted, not <domains>");
    EXPECT_NE(failure("<").find("f:1: "), std::string::npos);
}

TEST(LibvirtXml, WhatIsNotKnownIsNamed) {
    const auto warned = [](const std::string& from, const std::string& to, const std::string& what) {
        const auto got = config::from_libvirt_xml(with(from, to), "f");
        ASSERT_TRUE(got) << got.failure().text;
        ASSERT_EQ(got->warnings.size(), 1U) << what;
        EXPECT_EQ(got->warnings[0], "f: " + what + " is not known here and left out");
    };
    warned("<os>", "<cpu mode='host-passthrough'/><os>", "<cpu>");
    warned("<os>", "<features><acpi/><xen><e820_host state='on'/></xen></features><os>", "<features/xen>");
    warned("<console", "<graphics type='vnc'/><console", "<devices/graphics>");
    warned("<console", "<watchdog/><console", "<devices/watchdog>");
    warned("'tsc'", "'hpet'", "<timer name='hpet'>");
    warned("'utc'", "'timezone'", "<clock offset='timezone'>");
}

/// Entities of a document are not followed, and depth is no danger.
TEST(LibvirtXml, AHostileDocumentIsNoMore) {
    EXPECT_NE(failure("<!DOCTYPE d [<!ENTITY a SYSTEM \"/etc/passwd\">]><domain type='xen'><name>&a;</name><os/></domain>"), "");
    std::string deep = "<domain type='xen'><os><type>linux</type><kernel>/k</kernel></os><name>x</name>";
    for (int i = 0; i < 100'000; ++i) deep += "<a>";
    EXPECT_NE(failure(deep).find("f:1: "), std::string::npos);
    for (int i = 0; i < 40'000; ++i) deep += "</a>";
    EXPECT_NE(failure(deep).find("f:1: "), std::string::npos);
    EXPECT_NE(failure("<" + std::string(2U << 20U, ' ')).find("more than"), std::string::npos);
    for (size_t cut = 0; cut < std::string(golden).size() - 2; ++cut) {
        EXPECT_FALSE(config::from_libvirt_xml(std::string(golden).substr(0, cut), "f")) << cut;
    }
}

/// What would come back as another machine is not written.
TEST(ConfigConvert, ADiskByAScriptHasNoWordThere) {
    DomainConfig config = loaded("name='x'\nkernel='/k'\ndisk=['drbd:web,xvda,w']");
    EXPECT_EQ(config::write_form(FileForm::libvirt, config).failure().text,
              "disk: libvirt has no word for the script of 'drbd:web'");
}

TEST(ConfigConvert, FormsByNameAndBeginning) {
    for (const FileForm form : forms) EXPECT_EQ(config::file_form(config::name_of(form)), form);
    EXPECT_EQ(config::file_form("xml"), FileForm::libvirt);
    EXPECT_EQ(config::file_form("xl"), FileForm::file);
    EXPECT_EQ(config::file_form("yaml"), std::nullopt);
    EXPECT_EQ(config::guess_form(""), FileForm::file);
    EXPECT_EQ(config::guess_form(" \n(vm"), FileForm::sxp);
    EXPECT_EQ(config::guess_form("{}"), FileForm::json);
}

}  // namespace
