// SPDX-License-Identifier: Apache-2.0
// link: xend_fakes xendcore
// Saving a domain, and what becomes of it when something fails on the way.
#include <gtest/gtest.h>

#include <future>

#include "toolstack/service/log.hpp"
#include "xend_checks.hpp"

namespace {

using fakes::Machine;
using fakes::SuspendingGuest;
using fakes::text_of;
using xend::AfterSave;

const std::string request = "/local/domain/1/control/shutdown";

struct Saving {
    Machine m;
    std::string file = (m.folder.path / "demo.save").string();
    Saving() {
        EXPECT_TRUE(m.manager.create(m.demo(), xend::Run::now));
        m.stores.tree.write("/local/domain/1/control/feature-suspend", "1");
    }
    base::Outcome<> save(
        AfterSave after, std::function<void()> then = [] {}) {
        const SuspendingGuest guest(m, std::move(then));
        return m.manager.save("demo", file, after);
    }
};

TEST(Save, ItGoesOrGoesOn) {
    Saving s;
    ASSERT_TRUE(s.save(AfterSave::resume));
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->shutdown);
    ASSERT_TRUE(s.save(AfterSave::destroy));
    EXPECT_EQ(s.m.hypervisor.at(base::DomId{1}), nullptr);
    EXPECT_TRUE(s.m.records.all.empty());
}

TEST(Save, WhatCannotBeWrittenGoesOn) {
    Saving s;
    s.m.hypervisor.save_error = "the disk is full";
    EXPECT_EQ(text_of(s.save(AfterSave::destroy)), "the disk is full");
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->shutdown);
    EXPECT_FALSE(std::filesystem::exists(s.file));
}

/// Writing takes minutes, in which the store may be restarted. The domain must not stay suspended until xend is.
TEST(Save, WhoCannotGoOnAtOnceGoesOnLater) {
    Saving s;
    s.m.hypervisor.save_error = "the disk is full";
    EXPECT_FALSE(s.save(AfterSave::destroy, [&] { s.m.stores.tree.broken = request; }));
    EXPECT_TRUE(s.m.hypervisor.at(base::DomId{1})->shutdown) << "the store does not answer";
    s.m.stores.tree.broken.clear();
    ASSERT_TRUE(s.m.manager.reap());
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->shutdown);
    EXPECT_FALSE(s.m.records.all.begin()->second.saving);
}

/// Writing a core takes its time, with the domain paused.
TEST(Save, AKilledXendLeavesNoDomainPausedForItsCore) {
    Saving s;
    xend::Record before;
    s.m.hypervisor.before_dump = [&] { before = s.m.records.all.begin()->second; };
    ASSERT_TRUE(s.m.manager.dump_core("demo", s.file, xend::Manager::Dump::still));
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->paused);
    EXPECT_FALSE(s.m.records.all.begin()->second.dumping);
    s.m.records.all.begin()->second = before;  // as it was when xend was killed
    s.m.hypervisor.at(base::DomId{1})->paused = true;
    ASSERT_TRUE(s.m.manager.recover());
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->paused);
    EXPECT_FALSE(s.m.records.all.begin()->second.dumping);
}

/// A guest that was only asked, and has the disk mounted, keeps it whatever happens to who asked.
TEST(Save, AskingForADiskDoesNotBecomeTakingIt) {
    Saving s;
    s.m.stores.tree.guests_let_go = false;
    const std::string back = "/local/domain/0/backend/vbd/1/51712/state";
    s.m.stores.tree.write(back, "4");
    xend::Record before = s.m.records.all.begin()->second;
    xend::Record asked;
    s.m.records.saved = [&](const xend::Record& record) {
        if (asked.devices.empty()) asked = record;
    };
    const auto kept = s.m.manager.detach_device("demo", "vbd", "xvda", xend::Manager::Force::no);
    ASSERT_FALSE(kept);
    s.m.records.all.begin()->second = asked;  // as it was when xend was killed
    s.m.stores.tree.write(back, "5");
    ASSERT_TRUE(s.m.manager.recover());
    EXPECT_EQ(s.m.records.all.begin()->second.devices.size(), before.devices.size());
    EXPECT_FALSE(s.m.records.all.begin()->second.changes());
    EXPECT_EQ(s.m.stores.tree.nodes[back].value, "4");
}

/// xend is killed when the record says `step`: no handler, no destructor of it has run. What was on the disk is there again.
class Killed {
public:
    Killed(Saving& s, std::function<bool(const xend::Record&)> at) {
        s.m.records.after_save = [this, &s, at = std::move(at)](const xend::Record& record) {
            if (done || !at(record)) return;
            done = true;
            namespace fs = std::filesystem;
            before = record;
            if (fs::exists(s.file + ".part")) fs::rename(s.file + ".part", s.file + ".kept");
            throw std::runtime_error("killed");
        };
    }
    /// As the next xend finds it.
    void restart(Saving& s) const {
        if (std::filesystem::exists(s.file + ".kept")) std::filesystem::rename(s.file + ".kept", s.file + ".part");
        s.m.records.all[before.config.uuid] = before;
        s.m.hypervisor.at(base::DomId{1})->shutdown = true;
        s.m.hypervisor.at(base::DomId{1})->reason = xenctrl::ShutdownReason::suspend;
        ASSERT_TRUE(s.m.manager.recover());
    }
    xend::Record before;
    bool done = false;
};

auto at_step(xend::SaveIntent::Step step) {
    return [step](const xend::Record& record) { return record.saving && record.saving->step == step; };
}

bool there(const std::string& file) { return std::filesystem::exists(file); }

TEST(Save, KilledBeforeTheFileIsWholeTheGuestGoesOn) {
    Saving s;
    const Killed killed(s, at_step(xend::SaveIntent::Step::asking));
    EXPECT_THROW((void)s.m.manager.save("demo", s.file, AfterSave::destroy), std::runtime_error);
    std::ofstream(s.file + ".part") << "half";
    killed.restart(s);
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->shutdown);
    EXPECT_FALSE(there(s.file) || there(s.file + ".part"));
    EXPECT_FALSE(s.m.records.all.begin()->second.changes());
}

TEST(Save, KilledBehindTheWholeFileTheGuestEnds) {
    for (const bool named : {false, true}) {
        Saving s;
        const Killed killed(s, at_step(xend::SaveIntent::Step::whole));
        EXPECT_FALSE(s.save(AfterSave::destroy));
        if (named) std::filesystem::rename(s.file + ".kept", s.file);
        killed.restart(s);
        EXPECT_EQ(s.m.hypervisor.at(base::DomId{1}), nullptr);
        EXPECT_TRUE(there(s.file)) << named;
        EXPECT_FALSE(there(s.file + ".part"));
        EXPECT_TRUE(s.m.records.all.empty());
    }
}

TEST(Save, KilledBehindAWholeCheckpointBothAreThere) {
    Saving s;
    const Killed killed(s, at_step(xend::SaveIntent::Step::whole));
    EXPECT_FALSE(s.save(AfterSave::resume));
    killed.restart(s);
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->shutdown);
    EXPECT_TRUE(there(s.file));
    EXPECT_FALSE(s.m.records.all.begin()->second.changes());
}

/// What the log says, and who has to find out what became of it.
class Lines final : public service::LogTarget {
public:
    explicit Lines(std::string& out) : out_(out) {}
    void write(service::LogLevel, std::string_view text) override { out_.append(text).append("\n"); }

private:
    std::string& out_;
};

TEST(Save, TheLogSaysWhetherThereIsAFile) {
    const struct {
        AfterSave after;
        int asking;  // how often the record says so before xend is killed
        const char* said;
    } cases[] = {{AfterSave::destroy, 1, "goes on; it was not saved"},
                 {AfterSave::resume, 1, "goes on; it was not saved"},
                 {AfterSave::resume, 2, "is saved and goes on"}};  // behind the whole file
    for (const auto& [after, asking, said] : cases) {
        Saving s;
        int seen = 0;
        const Killed killed(s, [&s, &seen, last = asking](const xend::Record& record) {
            if (!record.saving || record.saving->step != xend::SaveIntent::Step::asking || ++seen != last) return false;
            if (last == 1) s.m.stores.tree.write(request, "suspend");  // not before: the guest would be gone before it is saved
            return true;
        });
        try {
            const SuspendingGuest guest(s.m);
            (void)s.m.manager.save("demo", s.file, after);
        } catch (const std::runtime_error&) {}
        ASSERT_TRUE(killed.done);
        std::string lines;
        service::set_log(std::make_unique<Lines>(lines));
        killed.restart(s);
        service::set_log(nullptr);
        EXPECT_NE(lines.find("domain 'demo', which was being saved to " + s.file + ", " + said), std::string::npos) << lines;
        EXPECT_EQ(there(s.file), asking == 2);
        EXPECT_FALSE(there(s.file + ".part"));
        EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->shutdown);
    }
}

/// Somebody took the file away, or put another one there: that one does not end the guest.
TEST(Save, AWholeFileThatIsGoneEndsNobody) {
    Saving s;
    const Killed killed(s, at_step(xend::SaveIntent::Step::whole));
    EXPECT_FALSE(s.save(AfterSave::destroy));
    std::filesystem::remove(s.file + ".kept");
    std::ofstream(s.file) << "another one";
    killed.restart(s);
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->shutdown);
    EXPECT_TRUE(there(s.file));
}

TEST(Save, NoMemoryForTheFileTheGuestGoesOn) {
    Saving s;
    s.m.hypervisor.before_save = [] { throw std::bad_alloc(); };
    EXPECT_TRUE(text_of(s.save(AfterSave::destroy)).starts_with("internal error"));
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->shutdown);
    EXPECT_FALSE(there(s.file) || there(s.file + ".part"));
}

/// One that has read the request stops when it has frozen its tasks, which takes as long as it takes.
TEST(Save, AGuestThatSuspendsItselfLateGoesOn) {
    Saving s;
    s.m.records.all.begin()->second.saving = xend::SaveIntent{xend::SaveIntent::Step::asking, s.file};
    s.m.stores.tree.write(request, "");  // it has read it
    ASSERT_TRUE(s.m.manager.recover());
    s.m.clock.now += 30;
    ASSERT_TRUE(s.m.manager.reap());
    s.m.hypervisor.stop("1", xenctrl::ShutdownReason::suspend);
    ASSERT_TRUE(s.m.manager.reap());
    EXPECT_FALSE(s.m.hypervisor.at(base::DomId{1})->shutdown);
    EXPECT_FALSE(s.m.records.all.begin()->second.changes());
}

/// For ever nobody waits: xl may suspend it, and is not to be disturbed.
TEST(Save, AGuestThatNeverSuspendsItselfIsForgottenInTheEnd) {
    Saving s;
    s.m.records.all.begin()->second.saving = xend::SaveIntent{xend::SaveIntent::Step::asking, s.file};
    s.m.stores.tree.write(request, "");
    ASSERT_TRUE(s.m.manager.recover());
    s.m.clock.now += 61;
    ASSERT_TRUE(s.m.manager.reap());
    EXPECT_FALSE(s.m.records.all.begin()->second.changes());
    s.m.hypervisor.stop("1", xenctrl::ShutdownReason::suspend);
    ASSERT_TRUE(s.m.manager.reap());
    EXPECT_TRUE(s.m.hypervisor.at(base::DomId{1})->shutdown);
}

/// A file that is saved replaces what had its name, which may be all that a domain has.
TEST(Save, NotOverWhatADomainNeeds) {
    Saving s;
    namespace fs = std::filesystem;
    const auto config = s.m.demo();
    const std::string link = (s.m.folder.path / "link").string(), hard = (s.m.folder.path / "hard").string(),
                      part = (s.m.folder.path / "more.part").string();
    fs::create_symlink(config.disks[0].target, link);
    fs::create_hard_link(config.disks[0].target, hard);
    std::ofstream(part) << "a disk of this name";
    ASSERT_TRUE(s.m.manager.attach_device("demo", "vbd", "file:" + part + ",xvdb,w"));
    const auto needs = [](const std::string& file, const std::string& what) {
        return "Unable to create file " + file + ": domain 'demo' needs " + what;
    };
    for (const auto& [file, what] : {std::pair{config.disks[0].target, config.disks[0].target},
                                     {link, config.disks[0].target},
                                     {hard, config.disks[0].target},
                                     {config.kernel, config.kernel},
                                     {(s.m.folder.path / "more").string(), part}}) {
        s.file = file;
        EXPECT_EQ(text_of(s.m.manager.save("demo", file, AfterSave::resume)), needs(file, what));
        EXPECT_EQ(text_of(s.m.manager.dump_core("demo", file, xend::Manager::Dump::live)), needs(file, what));
    }
    EXPECT_EQ(fs::file_size(part), 19U);
    EXPECT_FALSE(s.m.records.all.begin()->second.changes());
}

TEST(Save, OnlyWholePathsAreFiles) {
    Saving s;
    std::vector<std::string> warnings;
    EXPECT_EQ(text_of(s.m.manager.save("demo", "a", AfterSave::resume)), "Unable to create file a: a whole path is wanted");
    EXPECT_EQ(text_of(s.m.manager.restore("a", xend::Run::now, warnings)), "Unable to read file a: a whole path is wanted");
    EXPECT_EQ(text_of(s.m.manager.dump_core("demo", "a", xend::Manager::Dump::live)),
              "Unable to create file a: a whole path is wanted");
    EXPECT_TRUE(s.m.hypervisor.dumps.empty());
}

struct Restoring : Saving {
    std::vector<std::string> warnings;
    base::Outcome<xend::DomainView> restore() { return m.manager.restore(file, xend::Run::now, warnings); }
    /// As an operator would with an editor that keeps lengths.
    void change_text(const std::string& from, const std::string& to) const {
        std::ifstream in(file, std::ios::binary);
        std::string all((std::istreambuf_iterator<char>(in)), {});
        const size_t at = all.find(from);
        ASSERT_NE(at, std::string::npos);
        all.replace(at, to.size(), to);
        std::ofstream(file, std::ios::binary) << all;
    }
};

/// A file on a server that does not answer.
TEST(Restore, AFileThatHangsStopsNobodyElse) {
    Restoring s;
    ASSERT_TRUE(s.save(AfterSave::destroy));
    std::promise<void> reading, go;
    s.m.hypervisor.reading = [&] {
        reading.set_value();
        go.get_future().wait();
    };
    auto restored = std::async(std::launch::async, [&] { return s.restore(); });
    ASSERT_EQ(reading.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
    auto other = s.m.demo("other");
    other.uuid = config::Uuid::random();
    other.disks.clear();
    other.vifs.clear();
    auto made = std::async(std::launch::async, [&] { return s.m.manager.create(other, xend::Run::now); });
    EXPECT_EQ(made.wait_for(std::chrono::seconds(10)), std::future_status::ready) << "it waits for the image";
    other.name = "large";
    other.uuid = config::Uuid::random();
    other.memory_mib = s.m.hypervisor.free_pages / 256 - 16;
    EXPECT_TRUE(text_of(s.m.manager.create(other)).starts_with("Not enough free memory")) << "it has the one's that is read";
    other.name = "demo";
    EXPECT_TRUE(text_of(s.m.manager.create(other)).starts_with("Domain 'demo' already exists"));
    go.set_value();
    const auto done = restored.get();
    EXPECT_TRUE(done) << text_of(done);
    EXPECT_TRUE(made.get());
}

TEST(Restore, CardsKeepTheirNumbers) {
    Restoring s;
    ASSERT_TRUE(s.m.manager.attach_device("demo", "vif", "mac=00:16:3e:00:00:01"));
    ASSERT_TRUE(s.m.manager.detach_device("demo", "vif", "0", xend::Manager::Force::no));
    const auto before = s.m.nodes("/local/domain/1/device/vif/1/mac");
    ASSERT_NE(before, "");
    ASSERT_TRUE(s.save(AfterSave::destroy));
    ASSERT_TRUE(s.restore());
    EXPECT_EQ(s.warnings, std::vector<std::string>{});
    EXPECT_NE(s.m.nodes("/local/domain/2/device/vif/1/mac").find("00:16:3e:00:00:01"), std::string::npos);
    EXPECT_EQ(s.m.nodes("/local/domain/2/device/vif/0"), "");
    EXPECT_EQ(s.m.manager.attach_device("demo", "vif", "").value(), 0U) << "a free number is free";
}

TEST(Restore, TheTextInTheFileCounts) {
    Restoring s;
    ASSERT_TRUE(s.save(AfterSave::destroy));
    s.change_text("vcpus = 2", "vcpus = 1");
    const auto view = s.restore();
    ASSERT_TRUE(view) << text_of(view);
    EXPECT_EQ(view->record->config.vcpus, 1U) << "as xl would make it";
    ASSERT_EQ(s.warnings.size(), 1U);
    EXPECT_TRUE(s.warnings[0].ends_with("was changed since the domain was saved: the text in it counts")) << s.warnings[0];
}

/// No memory, at any step: what was begun is undone, at once or when the reaper looks.
TEST(Exceptions, LeaveNothingHalfMade) {
    Machine m;
    m.hypervisor.no_memory = true;
    EXPECT_EQ(text_of(m.manager.create(m.demo())), "internal error: std::bad_alloc");
    EXPECT_TRUE(m.records.all.empty());
    m.hypervisor.no_memory = false;
    for (int step = 0; step < 6; ++step) {
        int saves = 0;
        m.records.after_save = [&](const xend::Record&) {
            if (saves++ == step) throw std::bad_alloc();
        };
        try {
            (void)m.manager.create(m.demo(), xend::Run::now);
        } catch (const std::bad_alloc&) {}
        m.records.after_save = nullptr;
        ASSERT_TRUE(m.manager.reap());
        if (step >= 4) {  // the last word was written: it is there
            ASSERT_TRUE(m.manager.destroy("demo"));
        }
        EXPECT_TRUE(m.records.all.empty()) << step;
        EXPECT_EQ(m.hypervisor.all.size(), 1U) << step;
    }
    EXPECT_TRUE(m.manager.create(m.demo()));
}

/// Between two media the drive has none: a xend that is killed there must not lose it.
TEST(CdDrive, AKilledXendPutsTheOldMediumBack) {
    const auto has_one = [](Machine& m) {
        const auto& record = m.records.all.begin()->second;
        return record.config.disks.size() == 2 && record.config.disks[1].target.ends_with("one.iso") && !record.changes();
    };
    constexpr int connected = 5;  // the new one, which then stays
    for (int step = 0; step < 8; ++step) {
        Machine m;
        auto c = m.demo();
        const std::string one = m.folder.file("one.iso"), two = m.folder.file("two.iso");
        c.disks.push_back(*config::parse_disk("file:" + one + ",xvdc:cdrom,r"));
        ASSERT_TRUE(m.manager.create(c, xend::Run::now));
        ASSERT_TRUE(has_one(m));
        int saves = 0;
        m.records.after_save = [&](const xend::Record&) {
            if (saves++ == step) throw std::runtime_error("killed");
        };
        try {
            ASSERT_TRUE(m.manager.change_medium("demo", "file:" + two + ",xvdc:cdrom,r"));
        } catch (const std::runtime_error&) {}
        m.records.after_save = nullptr;
        ASSERT_TRUE(m.manager.recover());
        const auto& record = m.records.all.begin()->second;
        ASSERT_EQ(record.config.disks.size(), 2U) << step;
        EXPECT_FALSE(record.changes()) << step;
        EXPECT_EQ(record.config.disks[1].target, step < connected ? one : two) << step;
        if (saves <= step) return;
    }
    ADD_FAILURE() << "more steps than expected";
}

}  // namespace
