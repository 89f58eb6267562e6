// link: bootmenu
// SPDX-License-Identifier: Apache-2.0
// What guests' disks would boot: each language of menus, where they are looked for, and real file systems.
#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "toolstack/pygrub/image.hpp"
#include "toolstack/pygrub/output.hpp"

namespace {

using pygrub::BootEntry;
using pygrub::BootMenu;
using pygrub::GrubEnvironment;
using testing::ElementsAre;
using Strings = std::vector<std::string>;

BootMenu menu_of(const std::string& script, GrubEnvironment environment = {}) {
    pygrub::GrubSurroundings beside;
    beside.environment = std::move(environment);
    beside.loader_entries = [] {
        return std::vector<pygrub::LoaderEntry>{
            {"f-5.9", "title Old\nlinux /vmlinuz-5.9\noptions $kernelopts quiet\n"},
            {"f-5.14", "title New\nlinux /vmlinuz-5.14\ninitrd /initrd-5.14 $more\noptions a\n"}};
    };
    auto menu = pygrub::parse_grub_script(script, beside);
    EXPECT_TRUE(menu) << (menu ? "" : menu.failure().text);
    return menu ? *menu : BootMenu{};
}

std::string error_of(const std::string& script) {
    const auto menu = pygrub::parse_grub_script(script, {});
    return menu ? "no error" : menu.failure().text;
}

Strings titles(const BootMenu& menu) {
    Strings out;
    for (const BootEntry& entry : menu.entries) out.push_back(entry.title);
    return out;
}

constexpr const char* debian = R"(
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
elif [ "${saved_entry}" ]; then
   set default="${saved_entry}"
else
   set default="0"
fi
if [ x"${feature_menuentry_id}" = xy ]; then menuentry_id_option="--id"; else menuentry_id_option=""; fi
function load_video {
  if [ x$feature_all_video_module = xy ]; then insmod all_video; fi
}
for i in a b; do menuentry 'not this' { linux /no; }; done
menuentry 'A "first" one' --class debian --class os $menuentry_id_option 'first-id' {
	load_video
	search --no-floppy --fs-uuid --set=root 1234
	echo 'Loading Linux ...'
	linux	($root)/boot/vmlinuz-6.1 root=UUID=12 ro  "quiet splash" \
	      more
	initrd	/boot/ucode.img /boot/initrd-6.1
}
submenu 'Others' --id others {
	menuentry "Re\"covery" $menuentry_id_option 'rec' { linux /boot/vmlinuz-6.1 single; }
	menuentry 'Xen' { multiboot2 /boot/xen.gz dom0_mem=1G; module2 /boot/vmlinuz placeholder root=/dev/a; module2 --nounzip /boot/initrd; }
}
menuentry 'Firmware' { fwsetup; }
)";

TEST(GrubScript, ReadsWhatDebianWrites) {
    const BootMenu menu = menu_of(debian);
    EXPECT_THAT(titles(menu), ElementsAre("A \"first\" one", "Re\"covery", "Xen", "Firmware"));
    EXPECT_EQ(menu.chosen, 0U);
    const BootEntry first{"A \"first\" one",
                          "first-id",
                          "/boot/vmlinuz-6.1",
                          {"/boot/ucode.img", "/boot/initrd-6.1"},
                          "root=UUID=12 ro \"quiet splash\" more"};
    EXPECT_EQ(menu.entries[0], first);
    EXPECT_EQ(menu.entries[1].args, "single");
    EXPECT_EQ(menu.entries[2], (BootEntry{"Xen", "", "/boot/vmlinuz", {"/boot/initrd"}, "root=/dev/a"}));
    EXPECT_EQ(menu.entries[3].kernel, "");
}

TEST(GrubScript, TheEnvironmentChooses) {
    EXPECT_EQ(menu_of(debian, {{"saved_entry", "others>rec"}}).chosen, 1U);
    EXPECT_EQ(menu_of(debian, {{"saved_entry", "1>1"}}).chosen, 2U);
    EXPECT_EQ(menu_of(debian, {{"saved_entry", "others"}}).chosen, 1U);
    EXPECT_EQ(menu_of(debian, {{"saved_entry", "2"}}).chosen, 3U);
    EXPECT_EQ(menu_of(debian, {{"saved_entry", "Firmware"}, {"next_entry", "first-id"}}).chosen, 0U);
    EXPECT_EQ(menu_of(debian, {{"saved_entry", "gone"}}).chosen, 0U);
    const auto block =
        pygrub::parse_grub_environment("# GRUB Environment Block\nsaved_entry=a b\nkernelopts=root=/x ro \n=x\n####");
    EXPECT_EQ(block, (GrubEnvironment{{"saved_entry", "a b"}, {"kernelopts", "root=/x ro "}}));
}

TEST(GrubScript, LoaderEntriesAreWhereItSaysSo) {
    const BootMenu menu = menu_of("load_env\nmenuentry a { linux /a; }\nblscfg\n", {{"kernelopts", "root=/dev/x"}});
    EXPECT_THAT(titles(menu), ElementsAre("a", "New", "Old"));
    EXPECT_EQ(menu.entries[1], (BootEntry{"New", "f-5.14", "/vmlinuz-5.14", {"/initrd-5.14"}, "a"}));
    EXPECT_EQ(menu.entries[2].args, "root=/dev/x quiet");
    EXPECT_THAT(titles(menu_of("menuentry a { linux /a; }")), ElementsAre("a"));
}

TEST(GrubScript, TestsAreEvaluated) {
    const auto chosen = [](const std::string& test) {
        return menu_of("set default=0\nif " + test + "; then set default=1; fi\nmenuentry a { true; }\nmenuentry b { true; }")
                   .chosen == 1;
    };
    for (const char* yes :
         {"[ a ]", "[ a = a ]", "[ a == a ]", "[ a != b ]", "[ ! a = b ]", "[ -n x ]", "[ -z \"\" ]", "test 3 -lt 5",
          "[ 5 -gt 3 ]", "[ 2 -eq 2 ]", "[ 2 -ne 3 ]", "true", "search --file /x", "false; true"}) {
        EXPECT_TRUE(chosen(yes)) << yes;
    }
    for (const char* no : {"[ ]", "[", "[ a = b", "[ \"\" ]", "[ $none ]", "[ a = b ]", "[ ! a ]", "[ -z x ]", "[ -d /x ]",
                           "[ -s /boot/grub/grubenv ]", "[ x -lt 5 ]", "false", "true; false", "[ a b c d ]"}) {
        EXPECT_FALSE(chosen(no)) << no;
    }
}

TEST(GrubScript, WhatIsWrongIsToldWithItsLine) {
    EXPECT_EQ(error_of("menuentry a {\nlinux /x\n"), "2: '}' is missing");
    EXPECT_EQ(error_of("menuentry a\n"), "1: '{' is missing");
    EXPECT_EQ(error_of("if true\nthen\nset a=b\n"), "3: 'fi' is missing");
    EXPECT_EQ(error_of("if true; fi"), "1: 'then' is missing");
    EXPECT_EQ(error_of("\nfi\n"), "2: 'fi' without its beginning");
    EXPECT_EQ(error_of("a\nset x='b\n"), "3: a quote is not closed");
    EXPECT_EQ(error_of("set x=\"b"), "1: a quote is not closed");
    EXPECT_EQ(error_of("set x=${b"), "1: '${' is not closed");
    EXPECT_THAT(error_of(std::string(2 << 20, ' ')), testing::HasSubstr("more than 1 MiB"));
    std::string deep, many;
    for (int i = 0; i < 100; ++i) deep += "if true; then\n";
    EXPECT_THAT(error_of(deep), testing::HasSubstr("nested too deeply"));
    for (int i = 0; i < 1001; ++i) many += "menuentry a { true; }\n";
    EXPECT_EQ(error_of(many), "it has too many entries");
}

TEST(GrubScript, WordsThatDoubleEachTimeHaveAnEnd) {
    std::string script = "set a=0123456789abcdef\n";
    for (int i = 0; i < 60; ++i) script += "set a=$a$a\n";
    const BootMenu menu = menu_of(script + "menuentry x { linux /k $a; }");
    EXPECT_LE(menu.entries[0].args.size(), 4096U);
    std::string line = script + "menuentry x { linux /k";
    for (int i = 0; i < 50'000; ++i) line += " $a";
    line += "; initrd";
    for (int i = 0; i < 1000; ++i) line += " /r";
    const BootMenu long_line = menu_of(line + "; }");
    EXPECT_LE(long_line.entries[0].args.size(), pygrub::most_args + 4096);
    EXPECT_EQ(long_line.entries[0].ramdisks.size(), pygrub::most_ramdisks);
}

TEST(MenuList, NothingTakesMoreThanItIsWorth) {
    std::string block = "a=" + std::string(100'000, 'x') + "\n", options = "options";
    const GrubEnvironment environment = pygrub::parse_grub_environment(block);
    for (int i = 0; i < 100'000; ++i) options += " $a";
    const auto entries = pygrub::parse_loader_entries(
        {{std::string(9000, 'i') + "\x1b[31m", "linux /" + std::string(9000, 'k') + "\n" + options}}, environment);
    ASSERT_EQ(entries.size(), 1U);
    EXPECT_LE(entries[0].args.size(), pygrub::most_args + pygrub::most_name + 1);
    EXPECT_LE(entries[0].kernel.size(), pygrub::most_name);
    EXPECT_LE(entries[0].title.size(), pygrub::most_name);
    EXPECT_EQ(
        pygrub::parse_loader_entries({{"a\x1b", "linux /k\noptions $v"}}, {{"v", std::string("x\0kernel /etc/shadow", 20)}})[0],
        (BootEntry{"a ", "a ", "/k", {}, "x kernel /etc/shadow"}));
    const BootMenu menu =
        menu_of("menuentry '" + std::string(20'000, 't') + "' --id '" + std::string(20'000, 'i') + "' { true; }");
    EXPECT_EQ(menu.entries[0].title.size(), pygrub::most_name);
    EXPECT_EQ(menu.entries[0].id.size(), pygrub::most_name);
}

TEST(MenuList, ReadsGrubLegacy) {
    const auto menu = pygrub::parse_menu_list(
        "# comment\ndefault=1\ntimeout 5\ntitle One\n root (hd0,0)\n kernel (hd0,0)/vmlinuz-2.6 ro root=/dev/xvda1\n initrd "
        "/initrd-2.6\n"
        "title Two\n\tkernel /boot/xen.gz dom0_mem=1\n\tmodule /boot/vmlinuz console=a\n\tmodule /boot/initrd\ntitle "
        "Three\nchainloader +1\n");
    ASSERT_TRUE(menu);
    EXPECT_EQ(menu->chosen, 1U);
    EXPECT_THAT(menu->entries, ElementsAre(BootEntry{"One", "", "/vmlinuz-2.6", {"/initrd-2.6"}, "ro root=/dev/xvda1"},
                                           BootEntry{"Two", "", "/boot/vmlinuz", {"/boot/initrd"}, "console=a"},
                                           BootEntry{"Three", "", "", {}, ""}));
}

TEST(MenuList, ReadsSyslinux) {
    const auto menu = pygrub::parse_syslinux(
        "DEFAULT live\nTIMEOUT 5\nLABEL first\n MENU LABEL The ^first\n KERNEL vmlinuz\n INITRD /i1\n APPEND root=/dev/a "
        "initrd=b.img,/c.img quiet\n"
        "label live\n linux /boot/k\nlabel menu\n kernel vesamenu.c32\n append x\n",
        "/boot/extlinux/");
    ASSERT_TRUE(menu);
    EXPECT_EQ(menu->chosen, 1U);
    EXPECT_THAT(
        menu->entries,
        ElementsAre(
            BootEntry{
                "The ^first", "first", "/boot/extlinux/vmlinuz", {"/i1", "/boot/extlinux/b.img", "/c.img"}, "root=/dev/a quiet"},
            BootEntry{"live", "live", "/boot/k", {}, ""}, BootEntry{"menu", "menu", "", {}, "x"}));
}

TEST(Output, HoldsWhatTheGuestWroteInItsPlace) {
    const pygrub::Boot boot{"/b/k", "/b/r", "a=\"b\" \\) (kernel /etc/shadow)"};
    EXPECT_EQ(pygrub::print_boot(boot, pygrub::OutputFormat::sxp),
              "linux (kernel /b/k)(ramdisk /b/r)(args \"a=\\\"b\\\" \\\\) (kernel /etc/shadow)\")\n");
    EXPECT_EQ(pygrub::print_boot({"/k", "", "x"}, pygrub::OutputFormat::simple), "kernel /k\nargs x\n");
    EXPECT_EQ(pygrub::print_boot({"/k", "/r", "x"}, pygrub::OutputFormat::simple0),
              std::string("kernel /k\0ramdisk /r\0args x\0", 28));
    const BootMenu menu = menu_of("menuentry 'a' { linux /k 'x\nkernel /etc/shadow'; }");
    EXPECT_EQ(menu.entries[0].args, "\"x kernel /etc/shadow\"");
    EXPECT_EQ(menu_of("menuentry a { linux '/k\nramdisk /etc/shadow'; }").entries[0].kernel, "/k ramdisk /etc/shadow");
}

/// A file system made of a folder of this machine, in an image; behind a partition table when it is to be in one.
class RealImage : public testing::Test {
protected:
    void SetUp() override {
        if (std::system("command -v mke2fs >/dev/null && test -x /usr/bin/grub-fstest") != 0)
            GTEST_FAIL() << "e2fsprogs and grub-common are wanted";
        std::string pattern = (std::filesystem::temp_directory_path() / "pygrub.XXXXXX").string();
        root = ::mkdtemp(pattern.data());
    }
    void TearDown() override { std::filesystem::remove_all(root); }
    void file(const std::string& path, const std::string& text) const {
        const std::filesystem::path at = root + "/tree" + path;
        std::filesystem::create_directories(at.parent_path());
        std::ofstream(at) << text;
    }
    std::string image(bool partitioned) const {
        const std::string path = root + "/fs.img", whole = root + "/disk.img";
        const std::string make = "truncate -s 4M " + path + " && mke2fs -q -F -d " + root + "/tree " + path + " 2>/dev/null";
        EXPECT_EQ(std::system(make.c_str()), 0);
        if (!partitioned) return path;
        std::string table(1 << 20, '\0');
        const unsigned char entry[16] = {0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0x20, 0, 0};  // from sector 2048, 8192 long
        std::copy(std::begin(entry), std::end(entry), table.begin() + 446);
        table[510] = '\x55';
        table[511] = '\xaa';
        std::ofstream out(whole, std::ios::binary);
        out << table << std::ifstream(path, std::ios::binary).rdbuf();
        return whole;
    }
    std::string root;
};

TEST_F(RealImage, IsReadThroughGrubsOwnDrivers) {
    file("/boot/grub/grub.cfg", debian);
    file("/boot/grub/grubenv", "# GRUB Environment Block\nsaved_entry=others>rec\n#####");
    file("/boot/vmlinuz-6.1", std::string(100'000, 'k'));
    for (const bool partitioned : {false, true}) {
        auto disk = pygrub::Image::open(image(partitioned));
        ASSERT_TRUE(disk) << disk.failure().text;
        const auto found = pygrub::find_menu(*disk);
        ASSERT_TRUE(found) << found.failure().text;
        EXPECT_EQ(found->device, partitioned ? "(loop0,msdos1)" : "(loop0)");
        EXPECT_EQ(found->file, "/boot/grub/grub.cfg");
        EXPECT_EQ(found->menu.chosen, 1U);
        const service::Fd out(::memfd_create("out", 0));
        ASSERT_TRUE(disk->extract(found->device, "/boot/vmlinuz-6.1", out.get(), 100'000));
        std::string got(200'000, '\0');
        got.resize(static_cast<size_t>(::pread(out.get(), got.data(), got.size(), 0)));
        EXPECT_EQ(got, std::string(100'000, 'k'));
        EXPECT_EQ(disk->extract(found->device, "/boot/vmlinuz-6.1", out.get(), 150'000).failure().code, base::Errc::toobig);
        const auto missing = disk->read(found->device, "/boot/none");
        ASSERT_FALSE(missing);
        EXPECT_THAT(missing.failure().text, testing::HasSubstr("not found"));
    }
}

TEST_F(RealImage, ShowsNothingOfTheMachineThatReadsIt) {
    file("/x", "y");
    auto disk = pygrub::Image::open(image(false));
    ASSERT_TRUE(disk);
    EXPECT_EQ(*disk->read("(loop0)", "/x"), "y");
    if (::geteuid() != 0) GTEST_SKIP() << "root alone can hide it";
    EXPECT_TRUE(disk->read("(host)", "/usr/lib/os-release")) << "what it may see is there: the system's libraries";
    std::ofstream(root + "/secret") << "secret";
    for (const std::string& path : {root + "/secret", std::string("/etc/passwd"), std::string("/proc/self/environ")}) {
        EXPECT_FALSE(disk->read("(host)", path)) << path;
    }
}

TEST_F(RealImage, DisksOfNoUseAreRefused) {
    file("/nothing", "");
    auto disk = pygrub::Image::open(image(true));
    ASSERT_TRUE(disk);
    EXPECT_EQ(pygrub::find_menu(*disk).failure().text, "no file system on it has a configuration of GRUB or syslinux");
    std::ofstream(root + "/noise") << std::string(100'000, '\xa5');
    auto noise = pygrub::Image::open(root + "/noise");
    ASSERT_TRUE(noise);
    EXPECT_FALSE(pygrub::find_menu(*noise));
    EXPECT_THAT(pygrub::Image::open("/dev/null").failure().text, testing::HasSubstr("neither a file nor a block device"));
    EXPECT_THAT(pygrub::Image::open(root + "/none").failure().text, testing::HasSubstr("No such file"));
}

}  // namespace
