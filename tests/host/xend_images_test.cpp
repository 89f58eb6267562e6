// link: xend_fakes xendcore
// SPDX-License-Identifier: Apache-2.0
// Disks that are images of other formats than raw: what xend does for them, and the parts that serve them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "toolstack/xend/adapters/file_records.hpp"
#include "toolstack/xend/adapters/image_facts.hpp"
#include "toolstack/xend/adapters/image_server.hpp"
#include "toolstack/xend/adapters/script_runner.hpp"
#include "toolstack/xend/adapters/tagged.hpp"
#include "toolstack/xend/core/disk_check.hpp"
#include "xend_checks.hpp"

namespace {

using base::Errc;
using fakes::Running;
using fakes::text_of;
using Force = xend::Manager::Force;

TEST(Images, AreServedForAsLongAsTheyAreConnected) {
    Running m;
    const std::string nodes = m.nodes();
    const std::pair<std::string, std::string> cases[] = {
        {"tap:qcow2:" + m.image + ",xvdb,w", "qcow2"},
        {"tap:tapdisk:vmdk:" + m.image + ",xvdb,w", "vmdk"},
        {"vhd:" + m.image + ",xvdb,w", "vhd"},
        {"vpc:" + m.image + ",xvdb,w", "vhd"},
        {m.image + ",vdi,xvdb,rw", "vdi"},
        {"format=qcow2,vdev=xvdb,access=rw,backendtype=qdisk,target=" + m.image, "qcow2"}};
    for (const auto& [specifier, format] : cases) {
        ASSERT_EQ(m.attach(specifier), "") << specifier;
        ASSERT_EQ(m.blocks.images.size(), 1U);
        EXPECT_EQ(m.blocks.images.begin()->second.format, format);
        EXPECT_EQ(m.blocks.images.begin()->second.path, m.image);
        EXPECT_EQ(*m.manager.store_value(fakes::second_disk + "/physical-device"), "2b:0");
        EXPECT_EQ(m.record().devices.back().server, m.blocks.images.begin()->first) << "what a later xend releases it by";
        EXPECT_EQ(m.detach(), "");
        EXPECT_TRUE(m.blocks.images.empty()) << specifier;
        EXPECT_EQ(m.nodes(), nodes);
    }
    ASSERT_EQ(m.attach("qcow2:" + m.image + ",xvdb,r"), "");
    EXPECT_EQ(m.blocks.images.begin()->second.mode, config::DiskMode::read_only);
    ASSERT_TRUE(m.manager.destroy("demo"));
    EXPECT_TRUE(m.blocks.images.empty());
}

TEST(Images, RawIsNeverReadByQemu) {
    Running m;
    for (const std::string& specifier : {m.image + ",raw,xvdb,rw", "format=raw,backendtype=qdisk,vdev=xvdb,target=" + m.image,
                                         "tap:aio:" + m.image + ",xvdb,w"}) {
        EXPECT_EQ(m.attach(specifier), "");
        EXPECT_TRUE(m.blocks.images.empty()) << specifier;
        EXPECT_EQ(m.detach(), "");
    }
}

TEST(Images, WhatCannotBeServedLeavesNothing) {
    Running m;
    const std::string nodes = m.nodes();
    m.blocks.image_error = "it is damaged";
    EXPECT_EQ(m.attach("qcow2:" + m.image + ",xvdb,w"), "Device 51728 (vbd) could not be connected. it is damaged");
    EXPECT_TRUE(m.blocks.images.empty()) << "what was begun is released";
    m.blocks.image_error.clear();
    m.stores.tree.back_ends = false;
    EXPECT_NE(m.attach("qcow2:" + m.image + ",xvdb,w"), "");
    m.stores.tree.back_ends = true;
    EXPECT_TRUE(m.blocks.images.empty());
    EXPECT_EQ(m.nodes(), nodes);
    EXPECT_EQ(m.record().devices.size(), 2U);
    auto config = m.demo("other");
    config.uuid = config::Uuid::random();
    config.disks = {*config::parse_disk("qcow2:" + m.image + ",xvda,w")};
    m.blocks.image_error = "it is damaged";
    const std::string why = fakes::create_error(m, config, "a damaged image");
    EXPECT_NE(why.find("it is damaged"), std::string::npos) << why;
    EXPECT_TRUE(m.blocks.images.empty());
}

TEST(Images, ASecondUserIsSeenUnderAnyName) {
    Running m;
    const std::string other = (m.folder.path / "link").string();
    std::filesystem::create_symlink(m.image, other);
    ASSERT_EQ(m.attach("qcow2:" + m.image + ",xvdb,w"), "");
    for (const std::string& specifier : {"qcow2:" + other + ",xvda,r", "file:" + other + ",xvda,w"}) {
        auto config = m.demo("other");
        config.uuid = config::Uuid::random();
        config.uuid = config::Uuid::random();
        config.disks = {*config::parse_disk(specifier)};
        const std::string why = text_of(m.manager.create(config));
        EXPECT_NE(why.find("is in use: it is mounted read-write in guest domain 'demo'"), std::string::npos) << why;
    }
    EXPECT_EQ(m.detach(), "");
    EXPECT_NE(m.attach("qcow2:" + m.image + ",xvdb,w!").find("has one writer"), std::string::npos);
    EXPECT_NE(m.attach("tap:ram:" + m.image + ",xvdb,w"), "");
    EXPECT_NE(m.attach("qcow2:here.img,xvdb,w").find("must be absolute"), std::string::npos);
    EXPECT_TRUE(m.blocks.images.empty());
}

TEST(Images, AXendThatIsKilledLeavesNoServer) {
    Running m;
    const std::string nodes = m.nodes();
    xend::Record at_kill;
    m.blocks.before_image = [&](const std::string& tag) {
        at_kill = m.record();
        EXPECT_EQ(at_kill.devices.back().server, tag) << "noted before there is one";
    };
    ASSERT_EQ(m.attach("qcow2:" + m.image + ",xvdb,w"), "");
    m.records.all.begin()->second = at_kill;  // killed somewhere between that and the end
    auto next = m.next();
    ASSERT_EQ(text_of(next.finish_interrupted(at_kill)), "");
    EXPECT_TRUE(m.blocks.images.empty());
    EXPECT_EQ(m.nodes(), nodes);
    // One that cannot be released is not forgotten.
    ASSERT_EQ(text_of(next.attach_device("demo", "vbd", "qcow2:" + m.image + ",xvdb,w")), "");
    m.blocks.release_error = "it does not end";
    EXPECT_NE(text_of(next.detach_device("demo", "vbd", "xvdb", Force::no)), "");
    ASSERT_EQ(m.blocks.images.size(), 1U);
    EXPECT_EQ(m.record().devices.back().server, m.blocks.images.begin()->first);
    m.blocks.release_error.clear();
    auto third = m.next();
    ASSERT_EQ(text_of(third.finish_interrupted(m.record())), "");
    EXPECT_TRUE(m.blocks.images.empty());
}

TEST(Images, TheJournalKeepsTheServersName) {
    Running m;
    ASSERT_EQ(m.attach("qcow2:" + m.image + ",xvdb,w"), "");
    const auto again = xend::record_from_sxp(xend::to_sxp(m.record()));
    ASSERT_TRUE(again);
    EXPECT_EQ(again->devices, m.record().devices);
    EXPECT_FALSE(again->devices.back().server.empty());
    EXPECT_EQ(text_of(xend::check_can_move(m.record().config)),
              "Domain 'demo' cannot move: its disk xvdb is a qcow2 image, which one host alone can have open; xm save and xm "
              "restore move it");
}

// What qemu-img says of an image.

TEST(ImageFacts, OnlyImagesWhoseDataIsWhereItSeems) {
    EXPECT_EQ(xend::read_image_facts("/a", R"({"format": "qcow2"})")->path, "");
    const auto chained = xend::read_image_facts("/d/a",
                                                "warning: x\n"
                                                R"({"format": "qcow2", "backing-filename": "b",
        "full-backing-filename": "/d/b", "backing-filename-format": "raw"})");
    ASSERT_TRUE(chained);
    EXPECT_EQ(chained->path, "/d/b");
    EXPECT_EQ(chained->format, "raw");
    const std::string_view hostile[] = {
        "",
        "{",
        "[]",
        "null",
        R"({"backing-filename": "b", "full-backing-filename": "/d/b"})",
        R"({"backing-filename": "nbd://host/x", "full-backing-filename": "nbd://host/x", "backing-filename-format": "raw"})",
        R"({"backing-filename": "json:{}", "full-backing-filename": "json:{}", "backing-filename-format": "qcow2"})",
        R"({"backing-filename": "b", "full-backing-filename": "/d/b", "backing-filename-format": "blkdebug"})",
        R"({"format-specific": {"type": "qcow2", "data": {"data-file": "/dev/sda", "data-file-raw": true}}})",
        R"({"format-specific": {"type": "vmdk", "data": {"create-type": "monolithicFlat"}}})"};
    for (const std::string_view json : hostile) {
        const auto facts = xend::read_image_facts("/d/a", std::string(json));
        ASSERT_FALSE(facts) << json;
        EXPECT_TRUE(facts.failure().text.starts_with("/d/a: ")) << facts.failure().text;
    }
    EXPECT_TRUE(xend::read_image_facts("/a", R"({"format-specific": {"data": {"create-type": "monolithicSparse"}}})"));
    EXPECT_TRUE(xend::read_image_facts("/a", R"({"format-specific": 7, "backing-filename": 5})")) << "no types that it has not";
}

TEST(ImageFacts, AVhdOfDifferencesIsNone) {
    std::vector<char> footer(512), none(512);
    std::string_view("conectix").copy(footer.data(), 8);
    footer[63] = 3;
    EXPECT_TRUE(xend::check_vhd("/a", footer, footer));
    footer[63] = 4;
    EXPECT_FALSE(xend::check_vhd("/a", footer, none));
    EXPECT_FALSE(xend::check_vhd("/a", none, footer));
    EXPECT_TRUE(xend::check_vhd("/a", none, {}));
}

// The servers themselves.

/// For as long as it lives, this process can open but so many files more.
class NoMoreFiles {
    rlimit before_{};

public:
    explicit NoMoreFiles(rlim_t more = 0) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        const service::Fd next(::open("/", O_RDONLY | O_CLOEXEC));
        const rlimit now{static_cast<rlim_t>(next.get()) + more, before_.rlim_max};
        EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &now), 0);
    }
    ~NoMoreFiles() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    NoMoreFiles(const NoMoreFiles&) = delete;
    NoMoreFiles& operator=(const NoMoreFiles&) = delete;
};

/// Programs of QEMU's as they may behave.
struct Tools : testing::Test {
    fakes::Folder folder;
    xend::ScriptRunner scripts{(folder.path / "log").string()};
    xend::ImageSettings settings;
    std::string image = folder.file("image");
    Tools() {
        settings.folder = (folder.path / "run").string();
        settings.qemu_img = program("qemu-img", "echo '{\"format\": \"qcow2\"}'");
        settings.qemu_nbd = program("qemu-nbd", "exit 1");
        settings.patience = std::chrono::milliseconds{300};
    }
    std::string program(const std::string& name, const std::string& text) {
        const std::string path = folder.file(name, "#!/bin/sh\n" + text + "\n");
        std::filesystem::permissions(path, std::filesystem::perms::owner_all);
        return path;
    }
    xend::ImageFile file() const { return {image, "qcow2", config::DiskMode::read_write, true}; }
    /// A process that carries the tag, and lives until it is told.
    void start_server(const std::string& tag, const std::string& first) {
        xend::ScriptCall call;
        const std::filesystem::path up = folder.path / "up";
        std::filesystem::remove(up);
        call.path = program("server",
                            "(" + first + " : >" + up.string() + "; while :; do sleep 0.05; done) </dev/null >/dev/null 2>&1 &");
        call.tag = tag;
        ASSERT_EQ(text_of(scripts.run(call)), "");
        for (int i = 0; i < 2000 && !std::filesystem::exists(up); ++i) std::this_thread::sleep_for(std::chrono::milliseconds{5});
        ASSERT_TRUE(std::filesystem::exists(up));
    }
    static size_t servers(const std::string& tag) {
        const auto groups = xend::marked_groups({xend::tag_mark(tag)});
        EXPECT_TRUE(groups) << text_of(groups);
        return groups ? groups->size() : 0;
    }
    std::string inspected() { return text_of(xend::ImageServer(scripts, settings).inspect(file())); }
    std::string started(const std::string& tag) {
        xend::NbdExport what;
        return text_of(xend::ImageServer(scripts, settings).start(file(), tag, what));
    }
};

TEST_F(Tools, SayWhatIsWrongInOneLine) {
    EXPECT_EQ(inspected(), "");
    program("qemu-img", "echo \"qemu-img: Could not open '/x': Image is not in qcow2 format\" >&2; exit 1");
    EXPECT_EQ(inspected(), "Could not open '/x': Image is not in qcow2 format");
    program("qemu-img",
            "echo '{\"backing-filename\": \"b\", \"full-backing-filename\": \"/nowhere/b\", "
            "\"backing-filename-format\": \"qcow2\"}'");
    EXPECT_EQ(inspected(), image + " has a backing file that does not exist: /nowhere/b");
    program("qemu-img", "echo '{\"backing-filename\": \"image\", \"full-backing-filename\": \"" + image +
                            "\", \"backing-filename-format\": \"qcow2\"}'");
    EXPECT_EQ(inspected(), image + " has too many backing files, or is its own");
    EXPECT_EQ(started("t"), settings.qemu_nbd + " failed (exit status 1)");
    program("qemu-nbd",
            "echo \"qemu-nbd: Failed to blk_new_open '/x': Failed to get \\\"write\\\" lock\" >&2; "
            "echo 'Is another process using the image [/x]?' >&2; exit 1");
    EXPECT_EQ(started("t"), "Failed to blk_new_open '/x': Failed to get \"write\" lock Is another process using the image [/x]?");
    program("qemu-nbd", "exit 0");
    EXPECT_NE(started("t").find("Cannot reach the image's server"), std::string::npos) << "it ended at once";
    settings.qemu_img = (folder.path / "none").string();
    EXPECT_EQ(inspected(), "A qcow2 image needs " + settings.qemu_img + ", which is not there (package qemu-utils)");
    std::filesystem::remove(image);
    EXPECT_EQ(inspected(), image + " does not exist.");
}

TEST_F(Tools, ThatCannotBeSeenAreNotTakenForGone) {
    const std::string tag = "images-test-" + std::to_string(::getpid()) + "u";
    start_server(tag, "");
    ASSERT_EQ(servers(tag), 1U);
    { const std::filesystem::directory_iterator one("/proc"); }  // a sanitizer's first look at a type takes descriptors
    {
        const NoMoreFiles none;
        EXPECT_NE(text_of(xend::ImageServer(scripts, settings).release(tag)).find("Cannot see what runs: /proc"),
                  std::string::npos);
        EXPECT_FALSE(xend::marked_groups({xend::tag_mark(tag)}));
    }
    {
        const NoMoreFiles but_one(1);  // /proc itself is seen, and no process
        EXPECT_FALSE(xend::marked_groups({xend::tag_mark(tag)}));
    }
    EXPECT_EQ(servers(tag), 1U);
    EXPECT_EQ(text_of(xend::ImageServer(scripts, settings).release(tag)), "");
    EXPECT_EQ(servers(tag), 0U);
}

TEST_F(Tools, AreEndedByTheirTagWhoeverStartedThem) {
    for (const bool stubborn : {false, true}) {
        const std::string tag = "images-test-" + std::to_string(::getpid()) + (stubborn ? "s" : "p");
        start_server(tag, stubborn ? "trap '' TERM;" : "");
        ASSERT_EQ(servers(tag), 1U);
        EXPECT_EQ(text_of(xend::ImageServer(scripts, settings).release(tag)), "");
        EXPECT_EQ(servers(tag), 0U);
        EXPECT_EQ(text_of(xend::ImageServer(scripts, settings).release(tag)), "") << "twice is as once";
    }
}

/// As qemu-nbd, which takes no notice of a SIGTERM while it starts.
TEST_F(Tools, ThatForgetToEndAreAskedAgain) {
    settings.patience = std::chrono::seconds{60};
    settings.pause = std::chrono::milliseconds{50};
    const std::string tag = "images-test-" + std::to_string(::getpid()) + "f";
    start_server(tag, "n=0; trap 'n=$((n + 1)); [ $n -lt 3 ] || exit' TERM;");
    ASSERT_EQ(servers(tag), 1U);
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_EQ(text_of(xend::ImageServer(scripts, settings).release(tag)), "");
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds{50}) << "not by force";
    EXPECT_EQ(servers(tag), 0U);
}

/// What the server of `said` is taken for.
base::Outcome<xend::NbdExport> greeted(const std::string& said, std::string* heard = nullptr) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const service::Fd ours(ends[0]), theirs(ends[1]);
    EXPECT_EQ(::write(theirs.get(), said.data(), said.size()), static_cast<ssize_t>(said.size()));
    ::shutdown(theirs.get(), SHUT_WR);
    auto out = xend::negotiate_nbd(ours.get(), "");
    char buffer[64];
    const ssize_t got = ::recv(theirs.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (heard != nullptr && got > 0) heard->assign(buffer, static_cast<size_t>(got));
    return out;
}

TEST(NbdProtocol, GreetsAsItIsWritten) {
    const std::string head("NBDMAGICIHAVEOPT\0\3", 18), facts("\0\0\0\0\1\0\0\0\0\5", 10);
    std::string heard;
    const auto export_ = greeted(head + facts, &heard);
    ASSERT_TRUE(export_) << export_.failure().text;
    EXPECT_EQ(export_->bytes, uint64_t{1} << 24U);
    EXPECT_EQ(export_->flags, 5);
    EXPECT_EQ(heard, std::string("\0\0\0\3IHAVEOPT\0\0\0\1\0\0\0\0", 20));
    const std::string old("NBDMAGICIHAVEOPT\0\1", 18);
    EXPECT_TRUE(greeted(old + facts + std::string(124, '\0')));
    EXPECT_EQ(greeted(head).failure().code, Errc::noent) << "no such export";
    EXPECT_FALSE(greeted(std::string("NBDMAGICIHAVEOPT\0\0", 18) + facts));
    EXPECT_FALSE(greeted("SSH-2.0-OpenSSH_9.2p1 Debian\r\n"));
    const std::string whole = old + facts + std::string(124, '\0');
    for (size_t i = 0; i < whole.size(); ++i) EXPECT_FALSE(greeted(whole.substr(0, i))) << i;
}

TEST(NbdLink, DevicesAreKnownByTheirOwner) {
    const fakes::Folder sys;
    for (const char* name : {"nbd0", "nbd7", "nbdx", "sda"}) std::filesystem::create_directory(sys.path / name);
    for (const char* name : {"nbd7", "nbdx", "sda"}) std::ofstream(sys.path / name / "backend") << "mine\n";
    std::ofstream(sys.path / "nbd0" / "backend") << "mine-not\n";
    for (const auto& device : xend::nbd_devices(sys.path.string()))
        EXPECT_EQ(device.owner, device.number == 7 ? "mine" : "mine-not") << device.number;
    EXPECT_EQ(xend::nbd_devices(sys.path.string()).size(), 2U);
    EXPECT_TRUE(xend::nbd_devices("/nowhere").empty());
}

}  // namespace
