// SPDX-License-Identifier: Apache-2.0
#pragma once

// Two hosts and a line that can do anything to messages, for the machines that hand a domain over. Time is steps: each does one thing of
// one side. Whatever a side does can be its last: what its xend had in memory is gone then; its journal and its domains are not.

#include <deque>
#include <memory>
#include <random>
#include <set>

#include "toolstack/migration/arrivals.hpp"
#include "toolstack/migration/handover.hpp"

namespace handover_sim {

namespace wire = proto::relocation;
using migration::Arrivals;
using migration::SourceSide;
using migration::SourceStep;
using migration::TargetSide;
using migration::TargetStep;
using migration::Transfer;

/// What the simulated xends do wrong, to see that it is found.
struct Defects {
    bool handed_is_not_recorded = false;   // before Go
    bool going_is_not_recorded = false;    // before it runs
    bool silence_means_discarded = false;  // a source that hears nothing resumes the guest
    bool any_go_is_obeyed = false;         // also one that comes when it was said that it will not run
    bool anybody_is_believed = false;      // who answers at the address may be another host
};

/// The journal of one host. A write can fail, and then have been done or not.
struct Journal final : migration::TransferJournal {
    std::vector<Transfer> rows;
    enum class Next : uint8_t { works, fails, fails_but_is_there } next = Next::works;
    bool loses_handed = false, loses_going = false;

    wire::Id host{};
    base::Outcome<std::vector<Transfer>> load() override { return rows; }
    base::Outcome<wire::Id> self() override { return host; }
    base::Outcome<> save(const Transfer& t) override {
        const bool lost = (loses_handed && t.step == Transfer::Step::handed) || (loses_going && t.step == Transfer::Step::going);
        return write([&] {
            if (lost) return;
            std::erase_if(rows, [&](const Transfer& r) { return r.id == t.id && r.goes_out() == t.goes_out(); });
            rows.push_back(t);
        });
    }
    base::Outcome<> remove(const migration::TransferId& id, Way way) override {
        return write(
            [&] { std::erase_if(rows, [&](const Transfer& r) { return r.id == id && r.goes_out() == (way == Way::out); }); });
    }
    template <class Change>
    base::Outcome<> write(const Change& change) {
        const Next how = std::exchange(next, Next::works);
        if (how != Next::fails) change();
        if (how == Next::works) return base::ok;
        return base::fail(base::Errc::nospc, "the disk is full");
    }
};

enum class Guest : uint8_t { none, stopped, runs };

/// One connection; `to[0]` goes to the source.
struct Line {
    std::deque<wire::Message> to[2];
    bool closed = false;  // nothing more is sent; what is under way arrives
};

enum class Fault : uint8_t {
    kill_source,
    kill_target,
    cut_line,        // nothing that is under way arrives
    close_line,      // that does
    drop_to_source,  // the next message
    drop_to_target,
    twice_to_source,
    twice_to_target,
    late_to_source,  // the next message comes behind the one after it, or when nothing else happens
    late_to_target,
    impatient_source,  // it gives up what it waits for
    impatient_target,
    source_disk_full,
    source_disk_lies,  // says that a write failed, which did not
    target_disk_full,
    target_disk_lies,
    cancel,
    another_host,  // the address leads to one that never heard of it, for the next question
    last = another_host
};
inline constexpr int faults = static_cast<int>(Fault::last) + 1;

class World {
public:
    explicit World(const Defects& defects) : defects_(defects) {
        source_journal.loses_handed = defects.handed_is_not_recorded;
        target_journal.loses_going = defects.going_is_not_recorded;
        transfer_.id[0] = 7;
        source_journal.host = {1};
        target_journal.host = {2};
        stranger_journal_.host = {3};
        start_source();
        start_target();
    }

    Guest here = Guest::runs, there = Guest::none;
    Journal source_journal, target_journal;
    std::string wrong;  // what must never be and was
    std::string trace;

    /// One thing of the source, or of a connection of the target's. False: it can only wait.
    bool step_source();
    /// `first`: whose turn it is, of several connections.
    bool step_target(size_t first);
    void inject(Fault fault);
    /// What waits gives up waiting; late messages arrive; who died is started again.
    void time_passes();
    /// As xend's reaper: what a connection of the target's left behind that could not write its journal.
    void reap();
    bool settled() const {
        const bool source = over_ || (source_->ended() && source_->step() != SourceStep::undecided);
        return source && targets_.empty() && target_lives_;
    }
    /// Exactly one copy, which runs, and nobody remembers anything.
    std::string end_state() const;

private:
    struct Connection {
        std::shared_ptr<Line> line;
        TargetSide side;
        size_t images = 0;
        bool began = false;  // its transfer is known to arrivals_
        bool stranger = false;
    };

    void check() {
        if (here == Guest::runs && there == Guest::runs && wrong.empty()) wrong = "two copies run";
        if (here == Guest::none && there == Guest::none && wrong.empty()) wrong = "no copy is left";
    }
    void start_source();
    void start_target();
    void recover_target();
    void kill_source();
    void kill_target();
    Transfer row(Transfer::Step step) const {
        Transfer out = transfer_;
        out.step = step;
        if (out.goes_out() && source_) out.partner = source_->partner();
        return out;
    }
    template <class Side>
    void tell(Side& side, const base::Outcome<>& outcome) {
        if (outcome) side.done();
        else side.failed(outcome.failure().text);
    }
    base::Outcome<> say(const std::shared_ptr<Line>& line, int to, wire::Message message);
    template <class Side>
    bool hear(Side& side, const std::shared_ptr<Line>& line, int at);
    bool act_source();
    bool act_target(Connection& c);
    bool take_pieces(Connection& c);
    base::Outcome<> start_guest();

    const Defects defects_;
    Transfer transfer_;
    std::unique_ptr<SourceSide> source_;
    std::shared_ptr<Line> line_;  // the source's
    size_t sent_ = 0;
    bool over_ = false;  // a source that starts again finds nothing to do
    bool target_lives_ = false;
    std::unique_ptr<Arrivals> arrivals_;
    Journal stranger_journal_;
    Arrivals stranger_arrivals_{stranger_journal_};
    int strangers_ = 0;  // who answers next
    std::deque<Connection> targets_;
    int drop_[2] = {}, twice_[2] = {}, late_[2] = {};
    std::deque<std::pair<std::shared_ptr<Line>, wire::Message>> held_[2];
    bool cancels_ = false;
};

}  // namespace handover_sim
