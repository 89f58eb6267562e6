// SPDX-License-Identifier: Apache-2.0
#pragma once

// Two machines whose xends move a domain between them, over sockets within this process.

#include <sys/socket.h>

#include <thread>

#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/xend/adapters/sqlite_transfers.hpp"
#include "toolstack/xend/adapters/tcp_lines.hpp"
#include "xend_checks.hpp"

namespace fakes {

using migration::Line;
using proto::relocation::Message;
using xend::Manager;
using xend::MoveOrder;

/// A line that can be told what to do with a message before it is said.
class WatchedLine final : public Line {
public:
    using Watch = std::function<Outcome<>(const Message&)>;
    WatchedLine(service::Fd fd, Watch watch, std::function<void()> before_hear = {})
        : line_(std::move(fd), "there"), watch_(std::move(watch)), before_hear_(std::move(before_hear)) {}
    Outcome<> say(const Message& message) override {
        if (watch_) OTRY(watch_(message));
        return line_.say(message);
    }
    Outcome<> say_unwatched(const Message& message) { return line_.say(message); }
    Outcome<Message> hear(std::chrono::milliseconds patience) override {
        if (before_hear_) before_hear_();
        return line_.hear(patience);
    }
    Outcome<bool> comes_within(std::chrono::milliseconds patience) override { return line_.comes_within(patience); }
    void hurry(const std::optional<migration::Haste>& haste) override { line_.hurry(haste); }
    std::string peer() const override { return line_.peer(); }

private:
    xend::SocketLine line_;
    Watch watch_;
    std::function<void()> before_hear_;
};

/// Connects to a manager in this process, which serves each connection in a thread.
class LocalLines final : public migration::Lines {
public:
    Manager* target = nullptr;
    std::string error;
    base::Errc code = base::Errc::io;  // of that
    std::vector<std::string> hosts;    // that were connected to
    WatchedLine::Watch from_source, from_target;
    std::function<void()> before_target_hears;

    Outcome<std::unique_ptr<Line>> connect(const std::string& host, uint16_t) override {
        hosts.push_back(host);
        if (!error.empty()) return base::fail(code, "can't connect: " + error);
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return service::system_failure("socketpair");
        threads_.emplace_back([this, fd = ends[1]] {
            auto line = std::make_unique<WatchedLine>(service::Fd(fd), from_target, before_target_hears);
            target_line_ = line.get();
            static_cast<void>(target->receive(std::move(line)));
        });
        return std::unique_ptr<Line>(new WatchedLine(service::Fd(ends[0]), from_source));
    }
    /// In from_target: this in place of the message, or in front of it.
    Outcome<> target_says(const Message& message) { return target_line_->say_unwatched(message); }
    void finish() {
        for (std::thread& thread : threads_) thread.join();
        threads_.clear();
    }
    ~LocalLines() override { finish(); }

private:
    std::vector<std::thread> threads_;
    WatchedLine* target_line_ = nullptr;
};

/// A machine whose xend sends and takes domains.
struct WithJournal {
    Folder journal_folder;
    xend::SqliteTransfers transfers{(journal_folder.path / "transfers.db").string()};
};
struct Host : WithJournal, Machine {
    explicit Host(migration::Lines& lines, const xend::Settings& with = settings())
        : Machine(with, nullptr, &transfers, &lines) {}

    xenctrl::DomainInfo* domain(const std::string& name) {
        const auto view = manager.find(name);
        return view ? hypervisor.at(view->info.id) : nullptr;
    }
    bool runs(const std::string& name) {
        const auto* info = domain(name);
        return info != nullptr && !info->paused && !info->shutdown;
    }
    bool shows_console() { return nodes().find("/console/port = \"") != std::string::npos; }
    size_t count() const { return hypervisor.all.size() - 1; }
};

struct Two {
    LocalLines lines;
    Host here, there{lines};
    MoveOrder order{"there", 8002, false, 0};
    explicit Two(const xend::Settings& with = Machine::settings()) : here(lines, with) {
        lines.target = &there.manager;
        EXPECT_TRUE(here.manager.create(here.demo(), xend::Run::now));
        here.stores.tree.write("/local/domain/1/control/feature-suspend", "1");
    }
    ~Two() { lines.finish(); }  // they serve these hosts
    Outcome<xend::MoveReport> migrate() {
        const SuspendingGuest guest(here);
        return migrate_without_suspend();
    }
    /// One that comes to its end before the guest is asked.
    Outcome<xend::MoveReport> migrate_without_suspend() { return here.manager.migrate("demo", order); }
    /// Nothing is left of the attempt, and the guest goes on.
    void expect_stayed() {
        lines.finish();
        EXPECT_TRUE(here.runs("demo"));
        EXPECT_FALSE(here.hypervisor.log.on);
        EXPECT_EQ(there.count(), 0U);
        EXPECT_TRUE(there.records.all.empty());
        EXPECT_TRUE(here.transfers.load()->empty());
        EXPECT_TRUE(there.transfers.load()->empty());
        EXPECT_FALSE(here.records.all.begin()->second.changes());
    }
    void expect_moved() {
        lines.finish();
        EXPECT_EQ(here.count(), 0U);
        EXPECT_TRUE(here.records.all.empty());
        EXPECT_TRUE(there.runs("demo"));
        EXPECT_TRUE(there.shows_console());
        EXPECT_EQ(there.manager.find("demo")->uuid, here.demo().uuid);
        EXPECT_FALSE(there.records.all.begin()->second.changes());
        EXPECT_TRUE(here.transfers.load()->empty());
        EXPECT_TRUE(there.transfers.load()->empty());
    }
};

}  // namespace fakes
