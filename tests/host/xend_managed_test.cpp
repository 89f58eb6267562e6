// link: xend_fakes xendcore xmverbs
// SPDX-License-Identifier: Apache-2.0
// Domains that xend keeps: new, start, delete, and what others may not do with their names.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <thread>

#include "toolstack/config/domain_file.hpp"
#include "toolstack/migration/file.hpp"
#include "toolstack/xend/adapters/sqlite_domains.hpp"
#include "toolstack/xend/core/saved_domain.hpp"
#include "toolstack/xend/server/router.hpp"
#include "toolstack/xm/app.hpp"
#include "xend_checks.hpp"

namespace {

using fakes::Machine;
using fakes::text_of;
using xend::Run;
using xend::SqliteDomains;

struct Kept {
    fakes::Folder folder;
    xend::Settings settings() const {
        xend::Settings out = Machine::settings();
        out.domains_folder = (folder.path / "state").string();
        return out;
    }
    std::string file = (folder.path / "state/managed.db").string();
    SqliteDomains database{file};
    Machine m{settings(), &database};
    xend::Router router{m.manager, ""};

    std::vector<std::string> halted() {
        std::vector<std::string> out;
        const auto all = m.manager.halted();
        if (!all) return {all.failure().text};
        for (const auto& config : *all) out.push_back(config.name);
        return out;
    }
    std::string error, shown;
    int xm(const std::vector<std::string>& words) {
        std::ostringstream out, err;
        xm::World world{router, out, err, true, [](unsigned) {}, {}};
        const int status = xm::run(world, words);
        error = err.str();
        shown = out.str();
        return status;
    }
};

using Names = std::vector<std::string>;

std::mutex synced_mutex;
Names synced;  // folders, with how many files were in them

}  // namespace

/// In place of the system's, for everybody in this program.
extern "C" int fsync(int fd) {
    std::error_code error;
    const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), error);
    if (!error && std::filesystem::is_directory(path, error)) {
        const auto files = std::distance(std::filesystem::directory_iterator(path), std::filesystem::directory_iterator());
        const std::lock_guard guard(synced_mutex);
        synced.push_back(path.string() + " " + std::to_string(files));
    }
    return static_cast<int>(::syscall(SYS_fsync, fd));
}

namespace {

TEST(Managed, ADomainIsKeptStartedAndForgotten) {
    Kept k;
    const auto config = k.m.demo();
    ASSERT_TRUE(k.m.manager.define(config));
    EXPECT_EQ(k.halted(), Names{"demo"});
    EXPECT_EQ(k.m.hypervisor.all.size(), 1U) << "nothing runs yet";
    const auto view = k.m.manager.start_managed("demo", Run::now);
    ASSERT_TRUE(view) << text_of(view);
    EXPECT_EQ(view->uuid, config.uuid);
    EXPECT_EQ(k.halted(), Names{});
    EXPECT_EQ(text_of(k.m.manager.start_managed("demo", Run::now)), "Domain 'demo' already exists with ID '1'");
    EXPECT_EQ(text_of(k.m.manager.forget("demo")), "Domain 'demo' is not halted; it cannot be deleted");
    ASSERT_TRUE(k.m.manager.destroy("demo"));
    EXPECT_EQ(k.halted(), Names{"demo"}) << "it is kept";
    ASSERT_TRUE(k.m.manager.start_managed("demo", Run::later)) << "as often as wanted";
    ASSERT_TRUE(k.m.manager.destroy("demo"));
    ASSERT_TRUE(k.m.manager.forget("demo"));
    EXPECT_EQ(text_of(k.m.manager.start_managed("demo", Run::now)), "Domain 'demo' is not managed by xend.");
    EXPECT_EQ(text_of(k.m.manager.forget("demo")), "Domain 'demo' is not managed by xend.");
}

TEST(Managed, NamesBelongToOne) {
    Kept k;
    ASSERT_TRUE(k.m.manager.define(k.m.demo()));
    EXPECT_EQ(text_of(k.m.manager.define(k.m.demo())), "Domain 'demo' already exists");
    auto other = k.m.demo();
    other.uuid = config::Uuid::random();
    EXPECT_EQ(text_of(k.m.manager.create(other)), "Domain 'demo' already exists; xend keeps it ('xm start', 'xm delete')");
    other.name = "other";
    other.disks.clear();
    ASSERT_TRUE(k.m.manager.create(other));
    EXPECT_EQ(text_of(k.m.manager.rename("other", "demo")),
              "Domain 'demo' already exists; xend keeps it ('xm start', 'xm delete')");
    EXPECT_EQ(text_of(k.m.manager.define(other)).substr(0, 40), "Domain 'other' already exists with ID '1");
    ASSERT_TRUE(k.m.manager.create(k.m.demo())) << "the same uuid is the same domain";
    ASSERT_TRUE(k.m.manager.rename("demo", "fresh"));
    ASSERT_TRUE(k.m.manager.destroy("fresh"));
    EXPECT_EQ(k.halted(), Names{"fresh"}) << "the new name is kept too";
}

TEST(Managed, ACopyWithTheSameUuidDoesNotReplaceTheOriginal) {
    Kept k;
    ASSERT_TRUE(k.m.manager.define(k.m.demo()));
    auto copy = k.m.demo("copy");
    copy.memory_mib = 32;
    EXPECT_EQ(text_of(k.m.manager.define(copy)), "The uuid " + copy.uuid.text() + " belongs to domain 'demo', which xend keeps");
    EXPECT_EQ(k.halted(), Names{"demo"});
}

TEST(Managed, ASavedDomainDoesNotTakeTheNameOfAKeptOne) {
    Kept k;
    auto other = k.m.demo();
    other.uuid = config::Uuid::random();
    const std::string file = (k.folder.path / "other.save").string();
    {
        auto part = migration::PartFile::create(file).take();
        ASSERT_TRUE(proto::saved::Writer(*part).file({false, config::to_file(other), ""}));
        ASSERT_TRUE(part->keep());
    }
    ASSERT_TRUE(k.m.manager.define(k.m.demo()));
    std::vector<std::string> warnings;
    EXPECT_EQ(text_of(k.m.manager.restore(file, Run::later, warnings)),
              "Domain 'demo' already exists; xend keeps it ('xm start', 'xm delete')");
    EXPECT_EQ(k.halted(), Names{"demo"});
    EXPECT_EQ(k.m.records.all.size(), 0U);
}

/// Kernel command lines have passwords in them; and whoever can read the file can lock it.
TEST(Managed, TheFileIsForRootAlone) {
    Kept k;
    const mode_t old = ::umask(022);
    ASSERT_TRUE(k.m.manager.define(k.m.demo()));
    ::umask(old);
    for (const char* suffix : {"", "-wal", "-shm"}) {
        struct stat s {};
        ASSERT_EQ(::stat((k.file + suffix).c_str(), &s), 0) << suffix;
        EXPECT_EQ(s.st_mode & 0777U, 0600U) << suffix;
    }
}

TEST(Managed, TheFileOutlivesXend) {
    Kept k;
    const auto config = k.m.demo();
    ASSERT_TRUE(k.m.manager.define(config));
    SqliteDomains again(k.file);
    const auto kept = again.load();
    ASSERT_TRUE(kept && kept->size() == 1U);
    auto wanted = config;
    wanted.vifs[0].mac = config::derived_mac(config.uuid, 0);
    EXPECT_EQ(kept->front(), wanted) << "with the address that it will always have";
}

TEST(Managed, AFolderThatCannotBeMadeIsToldAndStopsNothingElse) {
    fakes::Folder folder;
    SqliteDomains database(folder.file("plain") + "/managed.db");
    Machine m(Machine::settings(), &database);
    EXPECT_TRUE(text_of(m.manager.define(m.demo())).starts_with("Cannot open ")) << text_of(m.manager.define(m.demo()));
    EXPECT_TRUE(m.manager.create(m.demo())) << "what is not kept needs no file";
    Machine none;
    EXPECT_EQ(text_of(none.manager.define(none.demo())), "This xend keeps no domains");
}

TEST(Managed, XmHasTheVerbs) {
    Kept k;
    k.m.folder.file("vmlinuz");
    const std::string file = k.m.folder.file(
        "demo.cfg", "name = 'demo'\nkernel = '" + (k.m.folder.path / "vmlinuz").string() + "'\nmemory = 64\nvcpus = 2\n");
    EXPECT_EQ(k.xm({"new", file}), 0) << k.error;
    EXPECT_EQ(k.shown, "Using config file \"" + file + "\".\n");
    const std::string head = "Name                                        ID   Mem VCPUs      State   Time(s)\n";
    const std::string dom0 = "Domain-0                                     0   512     2     r-----      56.6\n";
    const std::string halted = "demo                                         -    64     0     ------       0.0\n";
    EXPECT_EQ(k.xm({"list"}), 0);
    EXPECT_EQ(k.shown, head + dom0) << "who parses this sees domains that are there";
    k.xm({"list", "--all"});
    EXPECT_EQ(k.shown, head + dom0 + halted);
    k.xm({"list", "--state=halted"});
    EXPECT_EQ(k.shown, head + halted);
    EXPECT_EQ(k.xm({"list", "demo"}), 1) << "nothing of that name runs";
    EXPECT_EQ(k.xm({"start", "demo"}), 0) << k.error;
    EXPECT_EQ(k.shown, "Started domain demo\n");
    EXPECT_FALSE(k.m.hypervisor.at(base::DomId{1})->paused);
    EXPECT_EQ(k.xm({"delete", "demo"}), 1);
    EXPECT_EQ(k.xm({"destroy", "demo"}), 0);
    EXPECT_EQ(k.xm({"start", "-p", "demo"}), 0) << k.error;
    EXPECT_TRUE(k.m.hypervisor.at(base::DomId{2})->paused);
    EXPECT_EQ(k.xm({"destroy", "demo"}), 0);
    EXPECT_EQ(k.xm({"delete", "demo"}), 0) << k.error;
    EXPECT_EQ(k.xm({"start", "demo"}), 1);
    EXPECT_EQ(k.error, "Error: Domain 'demo' is not managed by xend.\n");
}

/// What cannot be kept is not half renamed.
TEST(Managed, ARenameThatFailsOrIsCutShortLeavesTheOldNameEverywhere) {
    Kept k;
    ASSERT_TRUE(k.m.manager.define(k.m.demo()));
    ASSERT_TRUE(k.m.manager.start_managed("demo", Run::now));
    const auto names = [&] {
        return k.m.nodes("/local/domain/1/name") + k.m.nodes("/vm/" + k.m.demo().uuid.text() + "/name") +
               k.m.records.all.begin()->second.config.name + " " + k.database.load()->front().name;
    };
    const std::string before = names();
    k.m.stores.tree.broken = "/vm/";
    EXPECT_FALSE(k.m.manager.rename("demo", "fresh"));
    EXPECT_FALSE(k.m.manager.reap()) << "it cannot be undone yet";
    k.m.stores.tree.broken.clear();
    ASSERT_TRUE(k.m.manager.reap());
    EXPECT_EQ(names(), before);
    EXPECT_FALSE(k.m.records.all.begin()->second.changes());
    k.m.records.saved = [](const xend::Record& record) {
        if (record.config.name == "fresh") throw std::runtime_error("killed");
    };
    EXPECT_THROW((void)k.m.manager.rename("demo", "fresh"), std::runtime_error);
    k.m.records.saved = nullptr;
    EXPECT_NE(names(), before) << "everything but the last word";
    auto other = k.m.demo("fresh");
    other.uuid = config::Uuid::random();
    other.disks.clear();
    EXPECT_FALSE(k.m.manager.create(other)) << "both names are taken meanwhile";
    ASSERT_TRUE(k.m.manager.recover());
    EXPECT_EQ(names(), before);
    ASSERT_TRUE(k.m.manager.rename("demo", "fresh"));
    EXPECT_EQ(k.database.load()->front().name, "fresh");
}

/// A kept domain that has suspended itself.
struct Asleep : Kept {
    std::string file;
    Asleep() {
        EXPECT_TRUE(m.manager.define(m.demo()));
        EXPECT_TRUE(m.manager.start_managed("demo", Run::now));
        file = settings().domains_folder + "/" + m.demo().uuid.text() + "/checkpoint.chk";
        suspend("1");
    }
    void suspend(const std::string& id) {
        m.stores.tree.write("/local/domain/" + id + "/control/feature-suspend", "1");
        const fakes::SuspendingGuest guest(
            m, [] {}, id);
        EXPECT_EQ(xm({"suspend", "demo"}), 0) << error;
    }
    bool exists() const { return std::filesystem::exists(file); }
};

TEST(Suspended, ItGoesAndComesBackAsOftenAsWanted) {
    Asleep k;
    EXPECT_EQ(k.m.hypervisor.all.size(), 1U);
    EXPECT_TRUE(k.exists());
    const std::string head = "Name                                        ID   Mem VCPUs      State   Time(s)\n";
    const std::string line = "demo                                         -    64     0     ------       0.0\n";
    k.xm({"list", "--state=suspended"});
    EXPECT_EQ(k.shown, head + line);
    k.xm({"list", "--state=halted"});
    EXPECT_EQ(k.shown, head);
    for (const std::string id : {"2", "3"}) {
        EXPECT_EQ(k.xm({"resume", "demo"}), 0) << k.error;
        EXPECT_EQ(k.shown, "");
        EXPECT_FALSE(k.exists()) << "it is resumed once";
        EXPECT_FALSE(k.m.records.all.begin()->second.changes());
        EXPECT_FALSE(k.m.hypervisor.all.back().paused);
        k.suspend(id);
    }
    EXPECT_EQ(k.xm({"resume", "-p", "demo"}), 0) << k.error;
    EXPECT_TRUE(k.m.hypervisor.all.back().paused);
    EXPECT_EQ(k.xm({"resume", "demo"}), 1);
    EXPECT_EQ(k.error, "Error: Domain 'demo' already exists with ID '4'\n");
    ASSERT_EQ(k.xm({"destroy", "demo"}), 0);
    EXPECT_EQ(k.xm({"resume", "demo"}), 1);
    EXPECT_EQ(k.error, "Error: Domain 'demo' is not suspended.\n");
    EXPECT_EQ(k.halted(), Names{"demo"});
}

/// Its disks are as it left them: started anew it would change them under the one that is to go on.
TEST(Suspended, NothingElseBecomesOfIt) {
    Asleep k;
    const std::string why = "Domain 'demo' is suspended: 'xm resume' lets it go on, 'xm delete' forgets it";
    EXPECT_EQ(text_of(k.m.manager.start_managed("demo", Run::now)), why);
    EXPECT_EQ(text_of(k.m.manager.create(k.m.demo(), Run::now)), why);
    std::vector<std::string> warnings;
    EXPECT_EQ(text_of(k.m.manager.restore(k.file, Run::now, warnings)), why);
    EXPECT_TRUE(k.exists());
    ASSERT_TRUE(k.m.manager.forget("demo"));
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(k.file).parent_path()));
    EXPECT_TRUE(k.m.manager.create(k.m.demo(), Run::now));
}

TEST(Suspended, OnlyWhatIsKeptIsSuspended) {
    Kept k;
    ASSERT_TRUE(k.m.manager.create(k.m.demo(), Run::now));
    EXPECT_EQ(k.xm({"suspend", "demo"}), 1);
    EXPECT_TRUE(k.error.starts_with("Error: Domain 'demo' cannot be suspended: Domain '")) << k.error;
    EXPECT_EQ(k.xm({"suspend", "nobody"}), 1);
    EXPECT_EQ(k.error, "Error: Domain 'nobody' does not exist.\n");
    EXPECT_EQ(k.xm({"resume", "nobody"}), 1);
    EXPECT_EQ(k.error, "Error: Domain 'nobody' is not managed by xend.\n");
}

TEST(Suspended, WhatCannotBeResumedIsSuspendedStill) {
    Asleep k;
    k.m.hypervisor.build_error = "no memory";
    EXPECT_EQ(k.xm({"resume", "demo"}), 1);
    EXPECT_TRUE(k.exists());
    EXPECT_EQ(k.m.hypervisor.all.size(), 1U);
    k.m.hypervisor.build_error.clear();
    EXPECT_EQ(k.xm({"resume", "demo"}), 0) << k.error;
}

/// One asks by its name, one by its uuid, which are two lanes: the second one gets what is there when its turn comes.
TEST(Suspended, WhoWaitsToResumeItReadsTheFileThatIsThereThen) {
    Asleep k;
    std::promise<void> first_reads;
    auto second = std::async(std::launch::async, [&, begin = first_reads.get_future()] {
        begin.wait();
        return text_of(k.m.manager.resume_managed(k.m.demo().uuid.text(), Run::now));
    });
    int reads = 0;
    k.m.hypervisor.reading = [&] {
        k.m.hypervisor.build_error = ++reads == 1 ? "the first one comes to nothing" : "";
        if (reads != 1) return;
        first_reads.set_value();
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        // As when it has gone on meanwhile, and was suspended again.
        auto newer = k.m.demo();
        newer.memory_mib = 32;
        auto part = migration::PartFile::create(k.file).take();
        EXPECT_TRUE(proto::saved::Writer(*part).file(xend::file_config(newer)));
        EXPECT_TRUE(part->keep());
    };
    EXPECT_FALSE(k.m.manager.resume_managed("demo", Run::now));
    EXPECT_EQ(second.get(), "");
    EXPECT_EQ(k.m.hypervisor.all.back().pages, 32U * 256);
}

/// After a power cut it must not be there again: the disks have moved on.
TEST(Suspended, ItsFileIsGoneForGoodBeforeItRuns) {
    Asleep k;
    const Names gone = {std::filesystem::path(k.file).parent_path().string() + " 0"};
    synced.clear();
    bool ran = false;
    k.m.hypervisor.before_unpause = [&] {
        ran = true;
        EXPECT_EQ(synced, gone);
    };
    ASSERT_TRUE(k.m.manager.resume_managed("demo", Run::now));
    EXPECT_TRUE(ran);
    k.m.hypervisor.before_unpause = nullptr;
    k.suspend("2");
    synced.clear();
    ASSERT_TRUE(k.m.manager.forget("demo"));
    EXPECT_EQ(synced, gone);
}

TEST(Suspended, ItsDisksAreItsOwn) {
    Asleep k;
    auto other = k.m.demo("other");
    other.uuid = config::Uuid::random();
    const std::string why = "File " + other.disks[0].target +
                            " is in use: it is mounted read-write in suspended domain 'demo', and so cannot be mounted "
                            "read-write now.";
    EXPECT_EQ(text_of(k.m.manager.create(other, Run::now)), why);
    other.disks.clear();
    ASSERT_TRUE(k.m.manager.create(other, Run::now));
    EXPECT_EQ(text_of(k.m.manager.attach_device("other", "vbd", "file:" + k.m.demo().disks[0].target + ",xvdb,w")), why);
    ASSERT_TRUE(k.m.manager.resume_managed("demo", Run::now)) << "its own are not in its way";
}

/// What it has in the end counts, not what it was made with.
TEST(Suspended, ADiskThatCameLaterIsItsOwnToo) {
    Kept k;
    ASSERT_TRUE(k.m.manager.define(k.m.demo()));
    ASSERT_TRUE(k.m.manager.start_managed("demo", Run::now));
    const std::string more = "file:" + k.m.folder.file("more.img") + ",xvdb,w";
    ASSERT_TRUE(k.m.manager.attach_device("demo", "vbd", more));
    k.m.stores.tree.write("/local/domain/1/control/feature-suspend", "1");
    {
        const fakes::SuspendingGuest guest(k.m);
        ASSERT_TRUE(k.m.manager.suspend_managed("demo"));
    }
    auto other = k.m.demo("other");
    other.uuid = config::Uuid::random();
    other.disks = {*config::parse_disk(more)};
    EXPECT_NE(text_of(k.m.manager.create(other, Run::now)).find("suspended domain 'demo'"), std::string::npos);
    ASSERT_TRUE(k.m.manager.forget("demo"));
    EXPECT_TRUE(k.m.manager.create(other, Run::now));
}

/// Asked for by its name while it is suspended by its uuid: what the second one waits for is not what it is to delete.
TEST(Suspended, WhoDeletesItWhileItRunsDoesNotDeleteWhatItBecomes) {
    Kept k;
    ASSERT_TRUE(k.m.manager.define(k.m.demo()));
    ASSERT_TRUE(k.m.manager.start_managed("demo", Run::now));
    auto& tree = k.m.stores.tree;
    tree.write("/local/domain/1/control/feature-suspend", "1");
    const std::string uuid = k.m.demo().uuid.text();
    auto suspended = std::async(std::launch::async, [&] { return text_of(k.m.manager.suspend_managed(uuid)); });
    const auto asked = [&] {
        const std::lock_guard guard(tree.mutex);
        return tree.nodes["/local/domain/1/control/shutdown"].value == "suspend";
    };
    for (int i = 0; i < 2000 && !asked(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    auto deleted = std::async(std::launch::async, [&] { return text_of(k.m.manager.forget("demo")); });
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    { const fakes::SuspendingGuest guest(k.m); }
    EXPECT_EQ(suspended.get(), "");
    EXPECT_EQ(deleted.get(), "Domain 'demo' is not halted; it cannot be deleted");
    EXPECT_TRUE(k.m.manager.resume_managed("demo", Run::now));
}

TEST(Suspended, NobodyIsSavedOverIt) {
    Asleep k;
    auto other = k.m.demo("other");
    other.uuid = config::Uuid::random();
    other.disks.clear();
    ASSERT_TRUE(k.m.manager.create(other, Run::now));
    k.m.stores.tree.write("/local/domain/2/control/feature-suspend", "1");
    for (const std::string& file : {k.file, k.m.demo().disks[0].target}) {
        EXPECT_EQ(text_of(k.m.manager.save("other", file, xend::AfterSave::resume)),
                  "Unable to create file " + file + ": domain 'demo' needs " + file);
    }
}

/// Wherever xend is killed: it is suspended, or it is there and its file is not.
TEST(Suspended, AKilledXendResumesOnceOrNotAtAll) {
    bool resumed = false;
    for (int step = 0; !resumed; ++step) {
        ASSERT_LT(step, 20);
        Asleep k;
        int saves = 0;
        k.m.records.after_save = [&](const xend::Record&) {
            if (saves++ == step) throw std::runtime_error("killed");
        };
        try {
            resumed = bool(k.m.manager.resume_managed("demo", Run::now));
        } catch (const std::runtime_error&) {}
        k.m.records.after_save = nullptr;
        ASSERT_TRUE(k.m.manager.recover());
        const bool there = k.m.hypervisor.all.size() == 2;
        EXPECT_NE(there, k.exists()) << step;
        EXPECT_EQ(k.m.records.all.size(), there ? 1U : 0U) << step;
        if (!there) continue;
        EXPECT_FALSE(k.m.hypervisor.all.back().paused) << step;
        EXPECT_FALSE(k.m.records.all.begin()->second.changes()) << step;
    }
}

}  // namespace
