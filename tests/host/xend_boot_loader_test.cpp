// link: xend_fakes xendcore
// SPDX-License-Identifier: Apache-2.0
// Domains whose kernel is on their own disk: how a boot loader is asked, what its answer may be, and that nothing of it stays.
#include <gmock/gmock-matchers.h>

#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/xend/core/boot_loader.hpp"
#include "xend_checks.hpp"

namespace {

using base::Errc;
using base::Outcome;
using fakes::Machine;
using fakes::text_of;
using testing::ElementsAre;
using testing::HasSubstr;

/// A machine with a boot loader that takes `vmlinuz` and `initrd` out, and answers as the test wants.
struct Bootable : Machine {
    std::vector<std::string> asked;
    std::string answer_with;  // instead of a good answer; KERNEL and FOLDER are replaced
    Outcome<> result = base::ok;
    std::string folder_then;

    Bootable() : Machine(where_loaders_are()) {
        folder_then = settings().boot_folder;
        loader = folder.file("loader");
        std::filesystem::permissions(loader, std::filesystem::perms::owner_all);
        scripts.boot_loader = [this](const xend::ScriptCall& call) { return run(call); };
    }
    static xend::Settings where_loaders_are() {
        xend::Settings out = settings();
        out.boot_loaders = {"/usr/bin"};
        return out;
    }
    config::DomainConfig from_disk() {
        config::DomainConfig c = demo();
        c.kernel.clear();
        c.bootloader = loader;
        return c;
    }
    std::string option(const std::string& name) const {
        for (const std::string& word : asked) {
            if (word.starts_with(name)) return word.substr(name.size());
        }
        return {};
    }
    Outcome<> run(const xend::ScriptCall& call) {
        asked = call.arguments;
        asked.insert(asked.begin(), call.path);
        const std::string out = option("--output-directory=");
        std::ofstream(out + "/k") << "kernel";
        std::ofstream(out + "/r") << "ramdisk";
        std::string text = answer_with.empty() ? "kernel FOLDER/k|ramdisk FOLDER/r|args root=/dev/xvda1 ro|" : answer_with;
        for (size_t at = 0; (at = text.find("FOLDER")) != std::string::npos;) text.replace(at, 6, out);
        std::ranges::replace(text, '|', '\0');
        std::ofstream(option("--output=")) << text;
        hypervisor.asked = {};
        return result;
    }
    bool something_stays() const { return std::filesystem::exists(folder_then) && !std::filesystem::is_empty(folder_then); }
    std::string loader;
};

TEST(BootLoader, GivesTheDomainItsKernel) {
    Bootable m;
    config::DomainConfig c = m.from_disk();
    c.bootargs = "--entry  2";
    c.ramdisk = "/boot/other";
    const auto made = m.manager.create(c);
    ASSERT_TRUE(made) << text_of(made);
    const std::string out = m.folder_then + "/" + c.uuid.text();
    EXPECT_THAT(m.asked,
                ElementsAre(m.loader, "--ramdisk=/boot/other", "--args=console=hvc0", "--output=" + out + "/answer",
                            "--output-format=simple0", "--output-directory=" + out, "-q", "--entry", "2", c.disks[0].target));
    EXPECT_EQ(m.hypervisor.asked.kernel, out + "/k");
    EXPECT_EQ(m.hypervisor.asked.ramdisk, out + "/r");
    EXPECT_EQ(m.hypervisor.asked.command_line, "root=/dev/xvda1 ro");
    EXPECT_FALSE(m.something_stays());
    EXPECT_TRUE(m.hypervisor.asked.from_guest);
    EXPECT_EQ(m.records.all.begin()->second.config.kernel, "");  // a restart asks again
}

TEST(BootLoader, AnswersInEachOfItsFormats) {
    for (const char* answer :
         {"kernel FOLDER/k\nramdisk FOLDER/r\nargs a b\n", "linux (kernel FOLDER/k)(ramdisk FOLDER/r)(args \"a b\")\n",
          "(linux (kernel FOLDER/k)(ramdisk FOLDER/r)(args 'a b'))", "kernel FOLDER/k|args a b|ramdisk FOLDER/r"}) {
        Bootable m;
        m.answer_with = answer;
        const auto made = m.manager.create(m.from_disk());
        ASSERT_TRUE(made) << answer << ": " << text_of(made);
        EXPECT_THAT(m.hypervisor.asked.ramdisk, testing::EndsWith("/r"));
        EXPECT_EQ(m.hypervisor.asked.command_line, "a b");
    }
}

TEST(BootLoader, ABadAnswerMakesNoDomain) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {" ", "bootloader: Boot loader didn't return any data!"},
        {"kernel /etc/passwd|", "bootloader: the boot loader names '/etc/passwd', which is no file of its own in "},
        {"kernel FOLDER/../../passwd|", "which is no file of its own in "},
        {"kernel FOLDER/k|ramdisk /etc/shadow|", "the boot loader names '/etc/shadow'"},
        {"kernel FOLDER/none|", "which is no file of its own in "},
        {"kernel FOLDER|", "which is no file of its own in "},
        {"linux (kernel FOLDER/k", "the boot loader's answer cannot be read"},
        {"kernel FOLDER/k|delete /etc/passwd|", "the boot loader says 'delete /etc/passwd'"},
        {"kernel FOLDER/k|args " + std::string(1100, 'x') + "|", "more than 1023 characters"},
        {"kernel FOLDER/k|" + std::string(70'000, 'x'), "more than 64 KiB"},
    };
    for (const auto& [answer, error] : cases) {
        Bootable m;
        m.answer_with = answer;
        const auto made = m.manager.create(m.from_disk());
        ASSERT_FALSE(made) << answer.substr(0, 60);
        EXPECT_THAT(made.failure().text, HasSubstr(error));
        EXPECT_EQ(m.hypervisor.all.size(), 1U);
        EXPECT_TRUE(m.records.all.empty());
        EXPECT_FALSE(m.something_stays());
    }
}

TEST(BootLoader, ASymbolicLinkIsNoFileOfItsOwn) {
    Bootable m;
    m.answer_with = "kernel FOLDER/link|";
    m.scripts.boot_loader = [&](const xend::ScriptCall& call) {
        auto done = m.run(call);
        std::filesystem::create_symlink("/etc/passwd", m.option("--output-directory=") + "/link");
        return done;
    };
    const auto made = m.manager.create(m.from_disk());
    ASSERT_FALSE(made);
    EXPECT_THAT(made.failure().text, HasSubstr("which is no file of its own"));
}

TEST(BootLoader, ItsFailureIsTold) {
    Bootable m;
    m.result = base::fail(Errc::io, "/usr/sbin/pygrub failed (exit status 1): pygrub: /d: no menu");
    const auto made = m.manager.create(m.from_disk());
    ASSERT_FALSE(made);
    EXPECT_EQ(made.failure().text, "bootloader: /usr/sbin/pygrub failed (exit status 1): pygrub: /d: no menu");
    EXPECT_TRUE(m.records.all.empty());
    EXPECT_FALSE(m.something_stays());
}

TEST(BootLoader, IsFoundByItsName) {
    Bootable m;
    config::DomainConfig c = m.from_disk();
    c.bootloader = "/usr/lib/xen/bin/true";  // not there: but /usr/bin has one of this name
    ASSERT_TRUE(m.manager.create(c));
    EXPECT_EQ(m.asked[0], "/usr/bin/true");
    Bootable other;
    c.bootloader = "no-such-loader";
    const auto made = other.manager.create(c);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.failure().text, "bootloader: Boot loader isn't executable: no-such-loader");
}

TEST(BootLoader, WhatAKilledXendsOneLeftGoes) {
    Bootable m;
    config::DomainConfig c = m.from_disk();
    const std::string left = m.folder_then + "/" + c.uuid.text();
    std::filesystem::create_directories(left);
    std::ofstream(left + "/boot_kernel.abc") << "x";
    xend::Record record;
    record.config = c;
    m.records.all[c.uuid] = record;
    ASSERT_TRUE(m.manager.recover());
    EXPECT_THAT(m.scripts.ended, ElementsAre("boot-" + c.uuid.text()));
    EXPECT_FALSE(std::filesystem::exists(left));
    EXPECT_TRUE(m.records.all.empty());
}

TEST(BootLoader, ADomainThatLostItsDiskIsKnownAndFailsToRestart) {
    Bootable m;
    config::DomainConfig c = m.from_disk();
    ASSERT_TRUE(m.manager.create(c, xend::Run::now));
    ASSERT_TRUE(m.manager.detach_device("demo", "vbd", "xvda", xend::Manager::Force::yes));
    const xend::Record left = m.records.all.begin()->second;
    EXPECT_TRUE(left.config.disks.empty());
    EXPECT_TRUE(config::from_sxp(config::to_sxp(left.config)));  // as the journal keeps it
    m.clock.now += 100;
    m.hypervisor.stop("1", xenctrl::ShutdownReason::reboot);
    ASSERT_TRUE(m.manager.reap());
    const xend::Record after = m.records.all.begin()->second;
    EXPECT_EQ(after.state, xend::RecordState::failed);
    EXPECT_EQ(after.reason, "bootloader: there is no disk to boot from");
}

TEST(BootLoader, ItsTimeDoesNotHideThatADomainEndsAtOnce) {
    Bootable m;
    config::DomainConfig c = m.from_disk();
    c.on_reboot = config::ExitAction::restart;
    ASSERT_TRUE(m.manager.create(c, xend::Run::now));
    m.scripts.boot_loader = [&](const xend::ScriptCall& call) {
        m.clock.now += 25;
        return m.run(call);
    };
    for (int i = 1; i <= 5 && m.records.all.contains(c.uuid); ++i) {
        m.clock.now += i == 1 ? 100 : 1;
        m.hypervisor.stop(std::to_string(m.hypervisor.next_id - 1), xenctrl::ShutdownReason::reboot);
        ASSERT_TRUE(m.manager.reap());
        ASSERT_LE(i, 2) << "it goes on";
    }
}

TEST(BootLoader, WantsADiskThatDom0CanRead) {
    Machine m;
    config::DomainConfig c = m.demo();
    c.bootloader = "pygrub";
    const auto error = [&] {
        const auto made = m.manager.create(c);
        return made ? "" : made.failure().text;
    };
    c.disks[0].backend = "storage";
    EXPECT_EQ(error(), "bootloader: the first disk must be phy: or file: of dom0's to boot from it");
    c.disks[0].backend.clear();
    c.disks[0].type = "nbd";
    EXPECT_EQ(error(), "bootloader: the first disk must be phy: or file: of dom0's to boot from it");
    c.disks.clear();
    EXPECT_EQ(error(), "bootloader: there is no disk to boot from");
}

}  // namespace
