// SPDX-License-Identifier: Apache-2.0
// link: x86
// The hypervisor's command line: each option with good values and bad ones, and what is said of those.
#include "lib/x86/boot_options.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using namespace x86;
using base::LogLevels;
using base::Timestamps;

constexpr unsigned dom0_most_vcpus = 64;

struct Read : BootOptions {
    std::string line;
    std::vector<std::string> complaints;  ///< as the log has them

    /// The first word of a command line is the image's own name.
    explicit Read(const std::string& words) : line("/boot/xenolith " + words) {
        OptionComplaints found;
        parse_boot_options(line, dom0_most_vcpus, *this, found);
        for (const OptionComplaint& c : found) complaints.push_back(std::string(c.option) + " " + c.why);
    }
};

/// The options that the words give; they are good.
Read good(const std::string& words) {
    const Read r(words);
    EXPECT_TRUE(r.complaints.empty()) << r.complaints[0];
    return r;
}

TEST(BootOptions, WithoutAWord) {
    const Read o = good("");
    EXPECT_FALSE(o.console_serial || o.vga_keep || o.noreboot || o.sync_console || o.console_to_ring);
    EXPECT_TRUE(o.console_vga);
    EXPECT_EQ(o.com1.baud, 115200u);
    EXPECT_FALSE(o.dom0_mem.given || o.dom0_min.given || o.dom0_max.given);
    EXPECT_EQ(o.dom0_max_vcpus, 0u);
    EXPECT_EQ(o.max_cpus, x86::max_cpus);
    EXPECT_EQ(o.mem_limit, 0u);
    EXPECT_EQ(o.own_levels, base::default_own_levels);
    EXPECT_EQ(o.guest_levels, base::default_guest_levels);
    EXPECT_EQ(o.timestamps, Timestamps::none);
    EXPECT_EQ(o.ring_size, 65536u);
    EXPECT_STREQ(o.scheduler, "credit2");
}

TEST(BootOptions, Consoles) {
    EXPECT_TRUE(good("console=com1").console_serial);
    EXPECT_FALSE(good("console=com1").console_vga);
    EXPECT_TRUE(good("console=com1,vga").console_vga);
    EXPECT_FALSE(good("console=none").console_vga);
    EXPECT_TRUE(good("vga=text-80x25,keep").vga_keep);
    EXPECT_FALSE(good("vga=current").vga_keep);
    EXPECT_TRUE(good("").efi_services);
    EXPECT_FALSE(good("efi=no-rs").efi_services);
    EXPECT_FALSE(good("efi=rs=no").efi_services);
    EXPECT_TRUE(good("efi=no-rs,rs").efi_services);
    EXPECT_TRUE(good("sync_console").sync_console);
    EXPECT_FALSE(good("sync_console no-sync_console").sync_console);
    EXPECT_TRUE(good("console_to_ring=on").console_to_ring);
    const Read o = good("com1=9600,8e1,0x2f8,3");
    EXPECT_EQ(o.com1.baud, 9600u);
    EXPECT_EQ(o.com1.port, 0x2f8);
    EXPECT_EQ(o.com1.irq, 3);
    EXPECT_EQ(good("com1=auto").com1.baud, 0u);
    EXPECT_EQ(good("com1=9600 com1=,7n1").com1.baud, 9600u) << "what is left out stays";
}

TEST(BootOptions, TheImagesNameIsNoOption) {
    const auto behind = [](const std::string& line) { return line.substr(image_name_length(line)); };
    EXPECT_EQ(behind("/boot/xenolith loglvl=all x=y/z"), "loglvl=all x=y/z");
    EXPECT_EQ(behind("  boot/xenolith   a b"), "a b");
    EXPECT_EQ(behind("/boot/xenolith"), "");
    EXPECT_EQ(behind("/boot/xenolith  "), "");
    for (const char* none : {"", "loglvl=all", "noreboot loglvl=all", "com1=/dev/null a"}) EXPECT_EQ(behind(none), none);
}

TEST(BootOptions, TheRateLimit) {
    EXPECT_EQ(good("").ratelimit_us, 100u);
    EXPECT_EQ(good("").tslice_ms, 30u);
    EXPECT_EQ(good("sched_credit_tslice_ms=1").tslice_ms, 1u);
    EXPECT_EQ(good("sched_credit_tslice_ms=1000").tslice_ms, 1000u);
    for (const char* bad : {"0", "1001", "", "ten", "-1"})
        EXPECT_EQ(Read("sched_credit_tslice_ms=7 sched_credit_tslice_ms=" + std::string(bad)).tslice_ms, 7u) << bad;
    EXPECT_EQ(good("sched_ratelimit_us=1000").ratelimit_us, 1000u);
    EXPECT_EQ(good("sched_ratelimit_us=500000").ratelimit_us, 500000u);
    EXPECT_EQ(good("sched_ratelimit_us=0").ratelimit_us, 0u);
    for (const char* bad : {"99", "500001", "", "fast"}) {
        const Read o("sched_ratelimit_us=500 sched_ratelimit_us=" + std::string(bad));
        EXPECT_EQ(o.ratelimit_us, 500u) << bad;
        EXPECT_EQ(o.complaints.size(), 1u) << bad;
    }
}

TEST(BootOptions, TheLog) {
    EXPECT_EQ(good("loglvl=all").own_levels, (LogLevels{4, 4}));
    EXPECT_EQ(good("loglvl=none").own_levels, (LogLevels{0, 0}));
    EXPECT_EQ(good("loglvl=error/info").own_levels, (LogLevels{1, 3}));
    EXPECT_EQ(good("guest_loglvl=warning/debug").guest_levels, (LogLevels{2, 4}));
    EXPECT_EQ(good("console_timestamps").timestamps, Timestamps::date);
    EXPECT_EQ(good("console_timestamps=date").timestamps, Timestamps::date);
    EXPECT_EQ(good("console_timestamps=datems").timestamps, Timestamps::date_ms);
    EXPECT_EQ(good("console_timestamps=boot").timestamps, Timestamps::boot);
    EXPECT_EQ(good("console_timestamps=raw").timestamps, Timestamps::raw);
    EXPECT_EQ(good("console_timestamps=raw console_timestamps=none").timestamps, Timestamps::none);
    EXPECT_EQ(good("console_timestamps no-console_timestamps").timestamps, Timestamps::none);
    EXPECT_EQ(good("conring_size=4").ring_size, 4096u);
    EXPECT_EQ(good("conring_size=100k").ring_size, 65536u);
    EXPECT_EQ(good("conring_size=4M").ring_size, 4u << 20);
}

TEST(BootOptions, Memory) {
    const Read o = good("dom0_mem=min:128M,max:-64M,1G mem=2G");
    EXPECT_TRUE(o.dom0_mem.given && o.dom0_min.given && o.dom0_max.given);
    EXPECT_EQ(o.dom0_mem.bytes, 1u << 30);
    EXPECT_EQ(o.dom0_min.bytes, 128u << 20);
    EXPECT_EQ(o.dom0_max.bytes, 64u << 20);
    EXPECT_TRUE(o.dom0_max.negative);
    EXPECT_FALSE(o.dom0_mem.negative || o.dom0_min.negative);
    EXPECT_EQ(o.mem_limit, uint64_t{2} << 30);
    EXPECT_EQ(good("dom0_mem=1024").dom0_mem.bytes, 1u << 20) << "a bare number counts KiB";
    EXPECT_FALSE(good("dom0_mem=-1G dom0_mem=2G").dom0_mem.negative) << "the last one counts";
}

TEST(BootOptions, Cpus) {
    EXPECT_EQ(good("dom0_max_vcpus=64").dom0_max_vcpus, 64u);
    EXPECT_EQ(good("maxcpus=512").max_cpus, 512u);
    EXPECT_EQ(good("maxcpus=4 nosmp").max_cpus, 1u);
    EXPECT_EQ(good("maxcpus=4 nosmp=no").max_cpus, 4u);
    EXPECT_STREQ(good("sched=credit").scheduler, "credit");
    EXPECT_STREQ(good("sched=fifteen-letters").scheduler, "fifteen-letters");
    (void)good("sched-gran=cpu");
}

TEST(BootOptions, TraceBuffers) {
    EXPECT_EQ(good("tbuf_size=32").trace_pages, 32u);
    EXPECT_EQ(good("tevt_mask=0x0002f000 tbuf_size=65535").trace_events, 0x2f000u);
    EXPECT_EQ(good("").trace_pages, 0u);
    for (const char* bad : {"tbuf_size=65536", "tbuf_size=-1", "tbuf_size=many", "tevt_mask=0x100000000", "tevt_mask="})
        EXPECT_EQ(Read("noreboot " + std::string(bad)).complaints.size(), 1u) << bad;
}

TEST(BootOptions, TheEnd) {
    EXPECT_TRUE(good("noreboot").noreboot);
    EXPECT_TRUE(good("no-reboot").noreboot);
    EXPECT_FALSE(good("noreboot=no").noreboot);
}

TEST(BootOptions, WhatGrubSaysOnUefi) {
    EXPECT_FALSE(good("no-real-mode edd=off").noreboot);
    good("edd=skip edid=no");
    for (const char* bad : {"edd=on", "edd", "edid=force", "real-mode", "no-real-mode=yes", "edid"}) {
        const Read o("noreboot " + std::string(bad));
        EXPECT_EQ(o.complaints.size(), 1u) << bad;
    }
}

TEST(BootOptions, Speculation) {
    const SpeculationOptions s = good("spec-ctrl=ibpb=no,bti-thunk=lfence xpti=dom0 pv-l1tf=no tsx=no smt").speculation;
    EXPECT_EQ(s.ibpb, Choice::no);
    EXPECT_EQ(s.thunk, Thunk::lfence);
    EXPECT_EQ(s.xpti_dom0, Choice::yes);
    EXPECT_EQ(s.pv_l1tf_dom0, Choice::no);
    EXPECT_EQ(s.tsx, Choice::no);
    EXPECT_EQ(s.smt, Choice::yes);
    EXPECT_EQ(good("no-xpti").speculation.xpti_domu, Choice::no);
    EXPECT_EQ(good("no-spec-ctrl").speculation.ibpb, good("spec-ctrl=no").speculation.ibpb);
    const Read partly("spec-ctrl=ibpb=no,nonsense,stibp");
    EXPECT_EQ(partly.complaints.size(), 1u);
    EXPECT_EQ(partly.speculation.ibpb, Choice::no) << "what is known counts";
    EXPECT_EQ(partly.speculation.stibp, Choice::yes);
}

// Each changes nothing, and one line says so.
TEST(BootOptions, ValuesThatMakeNoSense) {
    const Read none("");
    for (const std::string bad : {"console=com9",
                                  "console=com1,com9",
                                  "console",
                                  "com1=fast",
                                  "com1=115200,9n1",
                                  "vga=keep,gfx",
                                  "efi=attr",
                                  "efi=rs=maybe",
                                  "sync_console=maybe",
                                  "console_to_ring=2",
                                  "loglvl=loud",
                                  "loglvl=all/loud",
                                  "loglvl",
                                  "guest_loglvl=",
                                  "console_timestamps=soon",
                                  "conring_size=1",
                                  "conring_size=8M",
                                  "conring_size=big",
                                  "dom0_mem=lots",
                                  "dom0_mem=1G,min:few",
                                  "dom0_mem=-",
                                  "mem=x",
                                  "mem",
                                  "dom0_max_vcpus=0",
                                  "dom0_max_vcpus=65",
                                  "maxcpus=0",
                                  "maxcpus=513",
                                  "nosmp=perhaps",
                                  "noreboot=perhaps",
                                  "sched=sixteen--letters",
                                  "sched",
                                  "sched=",
                                  "tsx=some",
                                  "smt=2",
                                  "xpti=dom7",
                                  "pv-l1tf=dom7",
                                  "spec-ctrl=nonsense",
                                  "sched-gran=thread"}) {
        const Read o(bad);
        ASSERT_EQ(o.complaints.size(), 1u) << bad;
        EXPECT_EQ(o.complaints[0], bad + " has a value that is not understood");
        EXPECT_EQ(o.console_serial, none.console_serial) << bad;
        EXPECT_EQ(o.console_vga, none.console_vga) << bad;
        EXPECT_EQ(o.com1.baud, none.com1.baud) << bad;
        EXPECT_EQ(o.vga_keep, none.vga_keep) << bad;
        EXPECT_EQ(o.own_levels, none.own_levels) << bad;
        EXPECT_EQ(o.guest_levels, none.guest_levels) << bad;
        EXPECT_EQ(o.timestamps, none.timestamps) << bad;
        EXPECT_EQ(o.ring_size, none.ring_size) << bad;
        EXPECT_FALSE(o.dom0_mem.given || o.dom0_min.given || o.sync_console || o.console_to_ring || o.noreboot) << bad;
        EXPECT_EQ(o.dom0_max_vcpus, 0u) << bad;
        EXPECT_EQ(o.max_cpus, none.max_cpus) << bad;
        EXPECT_EQ(o.mem_limit, 0u) << bad;
        EXPECT_STREQ(o.scheduler, none.scheduler) << bad;
    }
}

TEST(BootOptions, WhatIsSaidOfOthers) {
    using Lines = std::vector<std::string>;
    EXPECT_EQ(Read("iommu=1 quux reboot").complaints,
              (Lines{"iommu=1 is not an option of this hypervisor", "quux is not an option of this hypervisor",
                     "reboot is not an option of this hypervisor"}));
    for (const std::string gran : {"sched-gran=core", "sched-gran=socket"})
        EXPECT_EQ(Read(gran).complaints,
                  Lines{gran + " is not offered: each CPU is scheduled by itself. smt=no keeps domains from sharing a core"});
    EXPECT_EQ(Read("spec-ctrl=no-eager-fpu").complaints,
              Lines{"spec-ctrl=no-eager-fpu wants eager-fpu or branch-harden off, which are always on; that part of it is"});
}

TEST(BootOptions, TheImagesName) {
    BootOptions o;
    OptionComplaints said;
    for (const char* line : {"", "xenolith", "/boot/xen=1 noreboot", "noreboot"}) parse_boot_options(line, 1, o, said);
    EXPECT_TRUE(said.empty());
    EXPECT_TRUE(o.noreboot);
    parse_boot_options("xen=1", 1, o, said);
    EXPECT_EQ(said.size(), 1u) << "no loader passes such a name";
}

TEST(BootOptions, ThereIsRoomForSoManyComplaints) {
    std::string words;
    for (unsigned i = 0; i < 100; ++i) words += "x=1 ";
    EXPECT_EQ(Read(words + "noreboot").complaints.size(), 32u);
    EXPECT_TRUE(Read(words + "noreboot").noreboot) << "reading goes on";
}

}  // namespace
