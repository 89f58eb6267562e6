// link: xenconfig
// SPDX-License-Identifier: Apache-2.0
// The two forms of a configuration in a saved domain's file: the one that we write for xl, and the one that libxl writes.
#include <gtest/gtest.h>

#include "toolstack/config/domain_file.hpp"
#include "toolstack/config/libxl_json.hpp"
#include "toolstack/config/load.hpp"

namespace {

using config::DomainConfig;

DomainConfig loaded(const std::string& text) {
    auto out = config::parse_config(text, "test");
    EXPECT_TRUE(out) << out.failure().text;
    return out ? out->config : DomainConfig{};
}

TEST(ConfigFile, ReadAsItWasWritten) {
    const DomainConfig config = loaded(R"(
name = 'demo'
uuid = 'f4bc2456-e4ce-11f1-a449-af95deeadde8'
kernel = '/boot/vm "linuz"'
ramdisk = '/boot/initrd'
extra = 'console=hvc0 a="b c" \\n'
memory = 200
maxmem = 300
vcpus = 3
cpus = ['0-1', '2']
cpu_weight = 300
cap = 50
tsc_mode = 'native'
localtime = 1
rtc_timeoffset = -60
max_event_channels = 200
max_grant_frames = 20
max_maptrack_frames = 30
max_grant_version = 1
on_poweroff = 'preserve'
on_reboot = 'rename-restart'
on_crash = 'coredump-destroy'
on_watchdog = 'destroy'
disk = ['phy:/dev/vg/a,xvda,w', 'format=raw,vdev=xvdb,access=ro,target=/a,b.img', 'vdev=hdc,devtype=cdrom,access=ro,no-discard,target=/c.iso']
vif = ['type=netfront,mac=00:16:3e:01:02:03,bridge=b,rate=10Mb/s@50ms,ip=1.2.3.4 5.6.7.8,vifname=v,mtu=1400', '']
)");
    const std::string text = config::to_file(config);
    EXPECT_NE(text.find("type = \"pv\"\n"), std::string::npos);
    EXPECT_NE(text.find("type=vif"), std::string::npos) << "xl knows no netfront";
    const DomainConfig again = loaded(text);
    EXPECT_EQ(again, config) << text;
}

TEST(ConfigFile, NothingInItEndsAString) {
    DomainConfig config;
    config.name = "x";
    config.kernel = "/k";
    config.extra = "a\"\nname = \"y";
    const std::string text = config::to_file(config);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), std::count(text.begin(), text.end(), '=') - 1)
        << "each line has a name, and the command line an equals sign of its own";
    EXPECT_EQ(loaded(text).name, "x");
}

/// As xl 4.17 wrote it.
constexpr const char* golden = R"({
    "c_info": { "type": "pv", "name": "demo", "uuid": "69e2547d-bcc7-45a6-8f9b-a5d24f2e2531", "run_hotplug_scripts": "True" },
    "b_info": {
        "max_vcpus": 2, "avail_vcpus": [ 0, 1 ], "vcpu_hard_affinity": [ [ 0, 1 ], [ 0, 1 ] ],
        "max_memkb": 163840, "target_memkb": 131072, "video_memkb": 0, "max_grant_frames": 20, "max_maptrack_frames": 30,
        "sched_params": { "sched": "credit2", "weight": 300, "cap": 0 }, "claim_mode": "True",
        "kernel": "/xen/guest/vmlinuz", "cmdline": "console=hvc0", "ramdisk": "/xen/guest/initrd.img",
        "type.pv": { }, "arch_arm": { }, "arch_x86": { "msr_relaxed": "False" }
    },
    "disks": [
        { "pdev_path": "/xen/images/a.img", "vdev": "xvda", "format": "raw", "readwrite": 1, "colo_restore_enable": "False" },
        { "pdev_path": "/xen/images/b.img", "vdev": "xvdb", "format": "raw", "colo_restore_enable": "False" }
    ],
    "nics": [ { "devid": 0, "mac": "00:16:3e:01:02:03", "bridge": "xenbr0", "nictype": "vif",
                "rate_bytes_per_interval": 62500, "rate_interval_usecs": 50000 } ],
    "on_reboot": "restart", "on_soft_reset": "soft_reset"
})";

TEST(LibxlJson, AsXlWritesIt) {
    const auto got = config::from_libxl_json(golden, "the file");
    ASSERT_TRUE(got) << got.failure().text;
    EXPECT_TRUE(got->warnings.empty()) << got->warnings[0];
    const DomainConfig expected = loaded(R"(
name = 'demo'
uuid = '69e2547d-bcc7-45a6-8f9b-a5d24f2e2531'
kernel = '/xen/guest/vmlinuz'
ramdisk = '/xen/guest/initrd.img'
cmdline = 'console=hvc0'
memory = 128
maxmem = 160
vcpus = 2
cpus = '0,1'
cpu_weight = 300
max_grant_frames = 20
max_maptrack_frames = 30
disk = ['format=raw,vdev=xvda,access=rw,target=/xen/images/a.img', 'format=raw,vdev=xvdb,access=ro,target=/xen/images/b.img']
vif = ['mac=00:16:3e:01:02:03,bridge=xenbr0,rate=1250000B/s@50000us']
)");
    EXPECT_EQ(got->config, expected);
    EXPECT_TRUE(config::validate(got->config));
}

TEST(LibxlJson, WhatIsNotForUs) {
    const auto changed = [](const std::string& from, const std::string& to) {
        std::string text = golden;
        text.replace(text.find(from), from.size(), to);
        return config::from_libxl_json(text, "f");
    };
    EXPECT_NE(changed("\"pv\"", "\"hvm\"").failure().text.find("only PV"), std::string::npos);
    EXPECT_NE(changed("\"on_reboot\"", "\"pcidevs\": [ {} ], \"on_reboot\"").failure().text.find("pcidevs"), std::string::npos);
    const auto odd = changed("\"on_reboot\"", "\"vfbs\": [ {\"devid\": 0} ], \"on_reboot\"");
    ASSERT_TRUE(odd);
    ASSERT_EQ(odd->warnings.size(), 1U);
    EXPECT_EQ(odd->warnings[0], "f: 'vfbs' is not known here and left out");
    EXPECT_FALSE(changed("163840", "\"lots\""));
    EXPECT_FALSE(changed("\"xvda\"", "\"a,b\""));
    EXPECT_FALSE(changed("[ 0, 1 ],", "[ [], {} ],"));
    EXPECT_EQ(changed("\"avail_vcpus\": [ 0, 1 ]", "\"avail_vcpus\": [ 1 ]")->config.vcpu_avail, 2U);
    EXPECT_FALSE(config::from_libxl_json("[]", "f"));
    EXPECT_FALSE(config::from_libxl_json("{", "f"));
    const std::string text = golden;
    for (size_t length = 0; length < text.size(); length += 7) EXPECT_FALSE(config::from_libxl_json(text.substr(0, length), "f"));
}

}  // namespace
