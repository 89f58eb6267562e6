// link: xenconfig
// SPDX-License-Identifier: Apache-2.0
// Every field of a configuration, through every format: a row of the table without a value here fails.
#include "toolstack/config/fields.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "toolstack/config/device_kinds.hpp"
#include "toolstack/config/domain_json.hpp"
#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/config/load.hpp"

namespace {

using config::DomainConfig;

/// One value of a field or of a list of devices, other than its default, as each format writes it.
struct Sample {
    std::string json_name;
    std::string file, sxp, json;
};

const std::vector<Sample> samples = {
    {"name", "name = 'demo'", "(name demo)", R"("name":"demo")"},
    {"memory", "memory = '0x40'", "(memory 64)", R"("memory":64)"},
    {"maxmem", "maxmem = 16777216", "(maxmem 16777216)", R"("maxmem":16777216)"},
    {"vcpus", "vcpus = 2.0", "(vcpus 2)", R"("vcpus":2)"},
    {"vcpu_avail", "vcpu_avail = 0x7fffffffffffffff", "(vcpu_avail 9223372036854775807)", R"("vcpu_avail":9223372036854775807)"},
    {"uuid", "uuid = 'F4BC2456e4ce11f1a449af95deeadde8'", "(uuid f4bc2456-e4ce-11f1-a449-af95deeadde8)",
     R"("uuid":"f4bc2456-e4ce-11f1-a449-af95deeadde8")"},
    {"cpus", "cpus = ['0-3,^1', '2']", "(cpus ", R"("cpus":"0-3,^1;2")"},
    {"cpu_weight", "cpu_weight = 512", "(cpu_weight 512)", R"("cpu_weight":512)"},
    {"cpu_cap", "cpu_cap = 0", "(cpu_cap 0)", R"("cpu_cap":0)"},
    {"pool", "pool = 'fast'", "(pool fast)", R"("pool":"fast")"},
    {"on_poweroff", "on_poweroff = 'preserve'", "(on_poweroff preserve)", R"("on_poweroff":"preserve")"},
    {"on_reboot", "on_reboot = 'never'", "(on_reboot destroy)", R"("on_reboot":"destroy")"},
    {"on_crash", "on_crash = 'coredump-destroy'", "(on_crash coredump-destroy)", R"("on_crash":"coredump-destroy")"},
    {"on_watchdog", "on_watchdog = 'rename_restart'", "(on_watchdog rename-restart)", R"("on_watchdog":"rename-restart")"},
    {"tsc_mode", "tsc_mode = 'native'", "(tsc_mode 2)", R"("tsc_mode":"2")"},
    {"localtime", "localtime = True", "(localtime 1)", R"("localtime":1)"},
    {"rtc_timeoffset", "rtc_timeoffset = -3600", "(rtc_timeoffset -3600)", R"("rtc_timeoffset":"-3600")"},
    {"max_event_channels", "max_event_channels = 127", "(max_event_channels 127)", R"("max_event_channels":127)"},
    {"max_grant_frames", "max_grant_frames = 8", "(max_grant_frames 8)", R"("max_grant_frames":8)"},
    {"max_maptrack_frames", "max_maptrack_frames = 0", "(max_maptrack_frames 0)", R"("max_maptrack_frames":0)"},
    {"max_grant_version", "max_grant_version = 1", "(max_grant_version 1)", R"("max_grant_version":1)"},
    {"on_xend_start", "on_xend_start = 'start'", "(on_xend_start start)", R"("on_xend_start":"start")"},
    {"on_xend_stop", "on_xend_stop = 'shutdown'", "(on_xend_stop shutdown)", R"("on_xend_stop":"shutdown")"},
    {"bootloader", "bootloader = '/usr/bin/pygrub'", "(bootloader /usr/bin/pygrub)", R"("bootloader":"/usr/bin/pygrub")"},
    {"bootargs", "bootargs = '-q  x'", "(bootloader_args '-q  x')", R"("bootargs":"-q  x")"},
    {"builder", "builder = 'generic'", "(image (generic (kernel ", R"("builder":"generic")"},
    {"kernel", "kernel = '/boot/vm linuz'", "(kernel '/boot/vm linuz')", R"("kernel":"/boot/vm linuz")"},
    {"ramdisk", "ramdisk = '/boot/initrd'", "(ramdisk /boot/initrd)", R"("ramdisk":"/boot/initrd")"},
    {"ip", "ip = '10.0.0.2'; netmask = '255.0.0.0'", "(ip 10.0.0.2:1.2.3.4::255.0.0.0::eth0:off)",
     R"("ip":"10.0.0.2:1.2.3.4::255.0.0.0::eth0:off")"},
    {"root", "root = '/dev/xvda1 ro'", "(root '/dev/xvda1 ro')", R"("root":"/dev/xvda1 ro")"},
    {"nfs_server", "nfs_server = '1.2.3.4'", "(nfs_server 1.2.3.4)", R"("nfs_server":"1.2.3.4")"},
    {"nfs_root", "nfs_root = '/srv'; nfs_server = '1.2.3.4'", "(nfs_root /srv)", R"("nfs_root":"/srv")"},
    {"extra", "extra = 'a=\"b\" (c) \\'d\\''", R"((args 'a="b" (c) \'d\''))", R"("extra":"a=\"b\" (c) 'd'")"},
    {"features", "features = '!writable_page_tables|pae_pgdir_above_4gb'",
     "(features '!writable_page_tables|pae_pgdir_above_4gb')", R"("features":"!writable_page_tables|pae_pgdir_above_4gb")"},
    {"disks", "disk = ['phy:vg/a,xvda,w!', ',hdc:cdrom,r,store', 'vdev=xvdb,no-discard,untrusted,target=/a,b']",
     "(device (vbd (uname phy:/dev/vg/a) (dev xvda) (mode 'w!'))) "
     "(device (vbd (uname '') (dev hdc:cdrom) (mode r) (backend store))) "
     "(device (vbd (uname 'file:/a,b') (dev xvdb) (mode w) (discard 0) (trusted 0)))",
     R"("disks":[{"uname":"phy:/dev/vg/a","dev":"xvda","mode":"w!"},{"uname":"","dev":"hdc:cdrom","mode":"r","backend":"store"},)"
     R"({"uname":"file:/a,b","dev":"xvdb","mode":"w","discard":"0","trusted":"0"}])"},
    {"vifs",
     "vif = ['', 'type=netfront,mac=0:16:3E:1:2:3,bridge=b,script=s,vifname=v,ip=1.2.3.4 5.6.7.8,rate=1Mb/s@50ms,model=ne2k,"
     "mtu=1400,gatewaydev=g,untrusted,backend=net', 'vnet=0097']",
     "(device (vif)) (device (vif (type netfront) (mac 00:16:3e:01:02:03) (bridge b) (script s) (vifname v) "
     "(ip '1.2.3.4 5.6.7.8') (rate '1Mb/s@50ms') (model ne2k) (mtu 1400) (gatewaydev g) (trusted 0) (backend net))) (device (vif "
     "(vnet 97)))",
     R"("vifs":[{},{"type":"netfront","mac":"00:16:3e:01:02:03","bridge":"b","script":"s","vifname":"v",)"
     R"("ip":"1.2.3.4 5.6.7.8","rate":"1Mb/s@50ms","model":"ne2k","mtu":"1400","gatewaydev":"g","trusted":"0","backend":"net"},{"vnet":"97"}])"},
};

/// What can be said and shown, and is not made yet.
const std::set<std::string> refused = {"on_xend_start", "on_xend_stop"};

const Sample* sample_of(std::string_view json_name) {
    for (const Sample& sample : samples) {
        if (sample.json_name == json_name) return &sample;
    }
    return nullptr;
}

DomainConfig from_file(const std::string& text) {
    auto loaded = config::parse_config(text, "f");
    EXPECT_TRUE(loaded) << (loaded ? "" : loaded.failure().text);
    return loaded ? loaded->config : DomainConfig{};
}

/// file -> config -> sxp -> config -> JSON -> config. What is not supported is shown all the same, but not read back.
void expect_round_trip(const std::string& file) {
    const DomainConfig first = from_file(file);
    const std::string sxp = proto::to_string(config::to_sxp(first));
    if (!config::validate(first)) return;
    const auto second = config::from_sxp(*proto::parse_sxp(sxp));
    ASSERT_TRUE(second) << second.failure().text << "\n" << sxp;
    EXPECT_EQ(*second, first) << sxp;
    const std::string json = config::to_json(*second);
    const auto third = config::from_json(json);
    ASSERT_TRUE(third) << third.failure().text << "\n" << json;
    EXPECT_EQ(*third, first) << json;
    EXPECT_EQ(config::to_json(*third), json);
}

const std::string needed = "name = 'n'\nkernel = '/k'\n";

TEST(ConfigFields, EveryRowHasASample) {
    size_t rows = 0;
    for (const config::Field& field : config::fields()) {
        EXPECT_NE(sample_of(field.json), nullptr) << field.json;
        ++rows;
    }
    for (const config::DeviceKind& kind : config::device_kinds()) {
        EXPECT_NE(sample_of(kind.json), nullptr) << kind.json;
        ++rows;
    }
    EXPECT_EQ(samples.size(), rows);
}

TEST(ConfigFields, NamesAreTakenOnce) {
    std::set<std::string_view> file, sxp, json;
    for (const config::Field& field : config::fields()) {
        EXPECT_TRUE(field.file.empty() || file.insert(field.file).second) << field.file;
        EXPECT_TRUE(sxp.insert(field.sxp).second) << field.sxp;
        EXPECT_TRUE(json.insert(field.json).second) << field.json;
    }
    for (const config::DeviceKind& kind : config::device_kinds()) {
        EXPECT_TRUE(file.insert(kind.variable).second && json.insert(kind.json).second) << kind.name;
        EXPECT_EQ(config::device_kind(kind.name), &kind);
    }
}

TEST(ConfigFields, EachIsPrintedAsItAlwaysWas) {
    const DomainConfig plain = from_file(needed);
    for (const Sample& sample : samples) {
        const DomainConfig c = from_file(needed + sample.file);
        EXPECT_NE(c, plain) << sample.file << " is the default: it proves nothing";
        const std::string sxp = proto::to_string(config::to_sxp(c));
        EXPECT_NE(sxp.find(sample.sxp), std::string::npos) << sample.sxp << " is not in " << sxp;
        const std::string json = config::to_json(c);
        EXPECT_NE(json.find(sample.json), std::string::npos) << sample.json << " is not in " << json;
        expect_round_trip(needed + sample.file);
    }
}

TEST(ConfigFields, ManyTogether) {
    std::mt19937 random(7);
    for (int round = 0; round < 300; ++round) {
        std::string file = needed;
        for (const Sample& sample : samples) {
            if (!refused.contains(sample.json_name) && random() % 2 == 0) file += sample.file + "\n";
        }
        expect_round_trip(file);
    }
}

TEST(ConfigFields, NumbersHaveTheirRangeInEveryFormat) {
    for (const config::Field& field : config::fields()) {
        if (!field.is_number()) continue;
        const auto error = [&](const std::string& number) {
            const std::string file = "kernel = '/k'\n" + std::string(field.file) + " = '" + number + "'";
            const std::string sxp = "(vm (name n) (" + std::string(field.sxp) + " " + number + ") (image (linux (kernel /k))))";
            const std::string json = R"({"name":"n","kernel":"/k",")" + std::string(field.json) + "\":" + number + "}";
            const bool in_file = !config::parse_config(file, "f");
            EXPECT_EQ(!config::from_sxp(*proto::parse_sxp(sxp)), in_file) << sxp;
            EXPECT_EQ(!config::from_json(json), in_file) << json;
            return in_file;
        };
        EXPECT_TRUE(error("-1")) << field.file;
        EXPECT_TRUE(field.low == 0 || error(std::to_string(field.low - 1))) << field.file;
        EXPECT_TRUE(field.high > INT64_MAX || error(std::to_string(field.high + 1))) << field.file;
    }
}

TEST(ConfigFields, ErrorsNameTheMember) {
    const auto error = [](const std::string& text) {
        auto out = config::from_json(text);
        return out ? std::string("no error") : out.failure().text;
    };
    EXPECT_EQ(error(""), "a domain configuration is one JSON object");
    EXPECT_EQ(error("[1]"), "a domain configuration is one JSON object");
    EXPECT_EQ(error(std::string(100000, '[')), "a domain configuration is one JSON object");
    EXPECT_EQ(error(R"({"nmae":"x"})"), "unknown member 'nmae'");
    EXPECT_EQ(error(R"({"memory":"lots"})"), "memory: 'lots' is not a number");
    EXPECT_EQ(error(R"({"memory":0})"), "memory: 0 is out of range (1 to 16777216)");
    EXPECT_EQ(error(R"({"memory":1.5})"), "memory: a text or a whole number is wanted, not number");
    EXPECT_EQ(error(R"({"kernel":"k"})"), "kernel: 'k' is not an absolute path");
    EXPECT_EQ(error(R"({"builder":"hvm","features":"x"})"), "features: a domain of this type has no such field");
    EXPECT_EQ(error(R"({"name":"a","builder":"pvh","kernel":"/k"})"),
              "builder: 'pvh' domains are not supported yet, only PV ones (builder='linux')");
    EXPECT_EQ(error(R"({"disks":{}})"), "disks: a list is wanted, not object");
    EXPECT_EQ(error(R"({"disks":[{"dev":"vda"}]})"),
              "Invalid disk specifier: dev=vda,uname= ('vda' is not a device name like xvda)");
    EXPECT_EQ(error(R"({"vifs":[{"bridge":"a,b"}]})"), "vif: a comma in bridge");
    EXPECT_EQ(error("{\"name\":\"\xff\"}"), "a domain configuration is one JSON object");
}

TEST(ConfigFields, AFileSaysWhereAValueIsWrong) {
    const auto error = [](const std::string& text) {
        auto out = config::parse_config(text, "f");
        return out ? std::string("no error") : out.failure().text;
    };
    EXPECT_EQ(error("name = '1a'"), "f:1:8: name: Invalid VM Name: '1a' (letters, digits and _-.:/+, not starting with a digit)");
    EXPECT_EQ(error("\nkernel = 'k'"), "f:2:10: kernel: 'k' is not an absolute path");
    EXPECT_EQ(error("builder = 'vmware'"),
              "f:1:11: builder: 'vmware' domains are not supported yet, only PV ones (builder='linux')");
    EXPECT_EQ(error("uuid = 'x'"), "f:1:8: uuid: 'x' is not a uuid");
    EXPECT_EQ(config::parse_config("", "/etc/xen/1a").failure().text,
              "/etc/xen/1a: Invalid VM Name: '1a' (letters, digits and _-.:/+, not starting with a digit)");
}

}  // namespace
