// SPDX-License-Identifier: Apache-2.0
// link: migration
// long
// A domain is handed over, and everything that can go wrong does: exactly one copy, never two running, none lost.
#include <gtest/gtest.h>

#include <algorithm>

#include "handover_sim.hpp"
#include "toolstack/migration/convergence.hpp"

namespace handover_sim {

namespace {

constexpr size_t images = 2;

wire::Hello hello_of(Journal& journal) {
    wire::Hello hello;
    hello.host = *journal.self();
    return hello;
}

}  // namespace

base::Outcome<> World::say(const std::shared_ptr<Line>& line, int to, wire::Message message) {
    if (!line || line->closed) return base::fail(base::Errc::io, "the line is lost");
    if (std::exchange(drop_[to], 0) != 0) return base::ok;
    if (std::exchange(late_[to], 0) != 0) {
        held_[to].emplace_back(line, std::move(message));
        return base::ok;
    }
    const int copies = 1 + std::exchange(twice_[to], 0);
    for (int i = 0; i < copies; ++i) line->to[to].push_back(message);
    for (auto& [held_line, held] : std::exchange(held_[to], {})) held_line->to[to].push_back(std::move(held));
    return base::ok;
}

template <class Side>
bool World::hear(Side& side, const std::shared_ptr<Line>& line, int at) {
    auto& queue = line->to[at];
    if (!queue.empty()) {
        const wire::Message message = std::move(queue.front());
        queue.pop_front();
        side.heard(message);
        return true;
    }
    if (line->closed) side.failed("the line is lost");
    return line->closed;
}

// -- the source ---------------------------------------------------------------------------------------------------------

void World::start_source() {
    const auto known = *source_journal.find(transfer_.id, Journal::Way::out);
    using From = SourceSide::From;
    From from = From::beginning;
    if (known) from = known->step == Transfer::Step::handed ? From::handed : From::offered;
    // Without a line in the journal there is nothing to do but the first time.
    if (!known && source_) from = From::offered;
    over_ = !known && here == Guest::none;
    source_ = std::make_unique<SourceSide>(from, known ? known->partner : wire::Id{});
    sent_ = 0;
}

void World::kill_source() {
    if (line_) line_->closed = true;
    line_.reset();
    start_source();
}

bool World::step_source() {
    if (over_ || source_->ended()) return false;
    if (std::exchange(cancels_, false)) source_->cancel();
    const auto before = source_->step();
    const bool did = act_source();
    if (did) trace += std::string(" ") + name_of(before);
    check();
    return did;
}

bool World::act_source() {
    SourceSide& s = *source_;
    using enum SourceStep;
    switch (s.step()) {
        case record_offered: tell(s, source_journal.save(row(Transfer::Step::offered))); break;
        case connect:
        case connect_again:
            if (!target_lives_) {
                s.failed("connection refused");
                break;
            }
            line_ = std::make_shared<Line>();
            targets_.push_back({line_, {}, 0, false, s.step() == connect_again && std::exchange(strangers_, 0) != 0});
            s.done();
            break;
        case say_hello:
        case say_hello_again: tell(s, say(line_, 1, hello_of(source_journal))); break;
        case say_offer: {
            wire::Offer offer;
            offer.transfer = transfer_.id;
            tell(s, say(line_, 1, offer));
            break;
        }
        case send_rounds: tell(s, say(line_, 1, wire::Image{sent_++, {}})); break;
        case suspend:
            here = Guest::stopped;
            s.done();
            break;
        case send_image:
            if (const auto sent = say(line_, 1, wire::Image{sent_, {}}); !sent) tell(s, sent);
            else if (++sent_ == images) s.done();
            break;
        case say_sum: tell(s, say(line_, 1, wire::Sum{images, 0})); break;
        case record_handed: tell(s, source_journal.save(row(Transfer::Step::handed))); break;
        case say_go: tell(s, say(line_, 1, wire::Go{})); break;
        case say_cancel:
            static_cast<void>(say(line_, 1, wire::Cancel{s.reason()}));
            if (line_) line_->closed = true;
            s.done();
            break;
        case go_on:
            if (here == Guest::none) wrong = "a copy that is gone goes on";
            here = Guest::runs;
            if (line_) line_->closed = true;
            s.done();
            break;
        case forget_stayed:
        case forget_moved: tell(s, source_journal.remove(transfer_.id, Journal::Way::out)); break;
        case wait:
            if (line_) line_->closed = true;
            if (defects_.silence_means_discarded) here = Guest::runs;
            if (!target_lives_) return false;  // until time passes
            s.done();
            break;
        case ask: tell(s, say(line_, 1, wire::Ask{transfer_.id})); break;
        case destroy:
            if (here == Guest::runs) wrong = "a copy that runs is destroyed";
            here = Guest::none;
            s.done();
            break;
        case say_done:
            tell(s, say(line_, 1, wire::Done{}));
            if (line_) line_->closed = true;
            break;
        default: return hear(s, line_, 0);
    }
    return true;
}

// -- the target ---------------------------------------------------------------------------------------------------------

/// As xend does: what the journal says is going runs, or is thrown away where it is no more; all else is thrown away.
void World::start_target() {
    target_lives_ = true;
    arrivals_ = std::make_unique<Arrivals>(target_journal);
    recover_target();
}

void World::recover_target() {
    const auto known = *target_journal.find(transfer_.id, Journal::Way::in);
    if (there == Guest::runs) {
        if (known) static_cast<void>(target_journal.save(row(Transfer::Step::running)));
    } else if (known && there == Guest::stopped) {
        there = Guest::runs;
        static_cast<void>(target_journal.save(row(Transfer::Step::running)));
    } else {
        if (known && known->step == Transfer::Step::going)
            static_cast<void>(target_journal.remove(transfer_.id, Journal::Way::in));
        there = Guest::none;
    }
    check();
}

void World::kill_target() {
    for (Connection& c : targets_) c.line->closed = true;
    targets_.clear();
    target_lives_ = false;
}

bool World::step_target(size_t first) {
    for (size_t n = 0; n < targets_.size(); ++n) {
        const size_t i = (n + first) % targets_.size();
        Connection c = std::move(targets_[i]);
        const auto before = c.side.step();
        const bool did = act_target(c);
        if (did) trace += std::string(" <") + name_of(before) + ">";
        if (c.side.ended()) {
            if (c.began) arrivals_->end(transfer_.id);
            c.line->closed = true;
        }
        targets_[i] = std::move(c);
        const bool over = targets_[i].side.ended();
        if (over) targets_.erase(targets_.begin() + static_cast<ptrdiff_t>(i));
        check();
        if (did || over) return true;
    }
    return false;
}

bool World::take_pieces(Connection& c) {
    auto& queue = c.line->to[1];
    if (queue.empty()) {
        if (c.line->closed) c.side.failed("the line is lost");
        return c.line->closed;
    }
    const wire::Message message = std::move(queue.front());
    queue.pop_front();
    const auto* image = std::get_if<wire::Image>(&message);
    const auto* sum = std::get_if<wire::Sum>(&message);
    if (image != nullptr && image->zeros == c.images) ++c.images;
    else if (sum == nullptr || sum->length != c.images) c.side.failed("the image is not what was sent");
    else c.side.done();
    return true;
}

bool World::act_target(Connection& c) {
    TargetSide& s = c.side;
    using enum TargetStep;
    switch (s.step()) {
        case say_hello:
            tell(s, say(c.line, 0, hello_of(c.stranger && !defects_.anybody_is_believed ? stranger_journal_ : target_journal)));
            break;
        case prepare: {
            auto began = arrivals_->begin(transfer_.id);
            c.began = bool(began);
            if (began) there = Guest::stopped;
            tell(s, began);
            break;
        }
        case say_accept: tell(s, say(c.line, 0, wire::Accept{})); break;
        case take_image: return take_pieces(c);
        case say_ready: tell(s, say(c.line, 0, wire::Ready{})); break;
        case record_going: {
            auto recorded = arrivals_->go(row(Transfer::Step::going));
            if (defects_.any_go_is_obeyed) recorded = base::ok;
            tell(s, recorded);
            break;
        }
        case start:
            if (there != Guest::stopped && wrong.empty()) wrong = "what is not there starts";
            there = Guest::runs;
            s.done();
            break;
        case record_running: tell(s, arrivals_->runs(row(Transfer::Step::running))); break;
        case say_running: tell(s, say(c.line, 0, wire::Running{})); break;
        case settle: tell(s, arrivals_->forget(transfer_.id)); break;
        case discard: {
            auto gone = arrivals_->discard(transfer_.id);
            if (gone) there = Guest::none;
            tell(s, gone);
            break;
        }
        case say_failed: tell(s, say(c.line, 0, wire::Failed{s.reason()})); break;
        case say_refuse: tell(s, say(c.line, 0, wire::Refuse{s.reason()})); break;
        case look_up: s.found((c.stranger ? stranger_arrivals_ : *arrivals_).answer(transfer_.id)); break;
        case say_outcome: tell(s, say(c.line, 0, wire::Outcome{s.found()})); break;
        default: return hear(s, c.line, 1);
    }
    return true;
}

// -- faults -------------------------------------------------------------------------------------------------------------

void World::inject(Fault fault) {
    trace += " !" + std::to_string(static_cast<int>(fault));
    using Next = Journal::Next;
    switch (fault) {
        case Fault::kill_source: return kill_source();
        case Fault::kill_target: return kill_target();
        case Fault::cut_line:
            if (!line_) return;
            line_->to[0].clear();
            line_->to[1].clear();
            line_->closed = true;
            return;
        case Fault::close_line:
            if (line_) line_->closed = true;
            return;
        case Fault::drop_to_source: drop_[0] = 1; return;
        case Fault::drop_to_target: drop_[1] = 1; return;
        case Fault::twice_to_source: twice_[0] = 1; return;
        case Fault::twice_to_target: twice_[1] = 1; return;
        case Fault::late_to_source: late_[0] = 1; return;
        case Fault::late_to_target: late_[1] = 1; return;
        case Fault::impatient_source:
            // It waits for messages alone.
            if (source_->hears()) source_->failed("nothing came");
            return;
        case Fault::impatient_target:
            for (Connection& c : targets_) {
                if (c.side.hears()) c.side.failed("nothing came");
            }
            return;
        case Fault::source_disk_full: source_journal.next = Next::fails; return;
        case Fault::source_disk_lies: source_journal.next = Next::fails_but_is_there; return;
        case Fault::target_disk_full: target_journal.next = Next::fails; return;
        case Fault::target_disk_lies: target_journal.next = Next::fails_but_is_there; return;
        case Fault::cancel: cancels_ = true; return;
        case Fault::another_host: strangers_ = 1; return;
    }
}

void World::time_passes() {
    bool came = false;
    for (int to : {0, 1}) {
        for (auto& [line, message] : std::exchange(held_[to], {})) {
            line->to[to].push_back(std::move(message));
            came = true;
        }
    }
    if (came) return;
    if (!target_lives_) return start_target();
    if (source_->step() == SourceStep::undecided) return start_source();
    if (source_->step() == SourceStep::wait) return source_->done();
    inject(Fault::impatient_source);
    inject(Fault::impatient_target);
    for (Connection& c : targets_) {
        if (c.side.step() == TargetStep::take_image && c.line->to[1].empty()) c.side.failed("nothing came");
    }
}

void World::reap() {
    const bool served = std::any_of(targets_.begin(), targets_.end(), [](const Connection& c) { return c.began; });
    if (!target_lives_ || served) return;
    const auto known = *target_journal.find(transfer_.id, Journal::Way::in);
    if (there == Guest::stopped || (known && known->step == Transfer::Step::going)) recover_target();
}

std::string World::end_state() const {
    if (!wrong.empty()) return wrong;
    if (here == Guest::runs && there == Guest::none) return "stayed";
    if (here == Guest::none && there == Guest::runs) return "moved";
    return "here " + std::to_string(static_cast<int>(here)) + ", there " + std::to_string(static_cast<int>(there));
}

namespace {

struct Injection {
    size_t at = 0;
    Fault fault = Fault::kill_source;
};

/// Who comes first when both could do something.
enum class Order : uint8_t { source_first, target_first, in_turn, random };

struct Life {
    std::string end;
    std::string trace;
    size_t steps = 0;
};

Life run(const Defects& defects, Order order, const std::vector<Injection>& injections, uint32_t seed = 0) {
    World world(defects);
    std::mt19937 random(seed);
    size_t step = 0, idle = 0;
    constexpr size_t most = 600;
    for (; step < most && world.wrong.empty() && idle < 12; ++step) {
        for (const Injection& i : injections) {
            if (i.at == step) world.inject(i.fault);
        }
        if (step % 16 == 15) world.reap();
        const bool target = order == Order::target_first || (order == Order::in_turn && step % 2 == 1) ||
                            (order == Order::random && random() % 2 == 0);
        const size_t first = order == Order::random ? random() % 4 : 0;
        const bool did =
            target ? world.step_target(first) || world.step_source() : world.step_source() || world.step_target(first);
        if (did) {
            idle = 0;
            continue;
        }
        const bool over = world.settled() && std::ranges::none_of(injections, [&](const Injection& i) { return i.at > step; });
        world.time_passes();
        idle = over ? idle + 1 : 0;
    }
    Life out{world.end_state(), world.trace, step};
    if (step == most) out.end = "it never ends: " + out.end;
    return out;
}

bool is_good(const Life& r) { return r.end == "stayed" || r.end == "moved"; }

const Order orders[] = {Order::source_first, Order::target_first, Order::in_turn};

TEST(Handover, WithoutFaultsItMoves) {
    for (const Order order : orders) {
        const Life r = run({}, order, {});
        EXPECT_EQ(r.end, "moved") << r.trace;
    }
}

/// Each fault in front of each step, and so before and behind each line of the journal.
std::set<std::string> all_single_faults(const Defects& defects, size_t& runs) {
    std::set<std::string> findings;
    for (const Order order : orders) {
        const size_t steps = run(defects, order, {}).steps;
        for (size_t at = 0; at < steps; ++at) {
            for (int fault = 0; fault < faults; ++fault) {
                const Life r = run(defects, order, {{at, static_cast<Fault>(fault)}});
                ++runs;
                if (!is_good(r)) findings.insert(r.end + ":" + r.trace);
            }
        }
    }
    return findings;
}

TEST(Handover, AnySingleFaultLeavesOneCopy) {
    size_t runs = 0;
    const auto findings = all_single_faults({}, runs);
    EXPECT_GT(runs, 1000U);
    EXPECT_TRUE(findings.empty()) << findings.size() << " of " << runs << ", the first: " << *findings.begin();
}

TEST(Handover, AnyTwoFaultsLeaveOneCopy) {
    size_t bad = 0;
    Life first;
    const size_t steps = run({}, Order::in_turn, {}).steps;
    for (size_t at = 0; at < steps; ++at) {
        for (int one = 0; one < faults; ++one) {
            for (size_t behind = 0; behind < 12; ++behind) {
                for (int other = 0; other < faults; ++other) {
                    const Life r =
                        run({}, Order::in_turn, {{at, static_cast<Fault>(one)}, {at + behind, static_cast<Fault>(other)}});
                    if (!is_good(r) && bad++ == 0) first = r;
                }
            }
        }
    }
    EXPECT_EQ(bad, 0U) << first.end << ":" << first.trace;
}

Life random_life(const Defects& defects, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<Injection> injections(1 + random() % 6);
    for (Injection& i : injections) i = {random() % 60, static_cast<Fault>(random() % faults)};
    return run(defects, Order::random, injections, seed);
}

TEST(Handover, ManyFaultsLeaveOneCopy) {
    std::set<std::string> ends;
    for (uint32_t seed = 1; seed <= 40'000; ++seed) {
        const Life r = random_life({}, seed);
        ends.insert(r.end);
        ASSERT_TRUE(is_good(r)) << "seed " << seed << ": " << r.end << ":" << r.trace;
    }
    EXPECT_EQ(ends.size(), 2U) << "both ends are seen";
}

/// The simulator finds what it is there to find.
TEST(Handover, WithoutItsRulesACopyIsLostOrTwoRun) {
    const std::pair<const char*, Defects> all[] = {
        {"handed is not recorded before Go", {true, false, false, false}},
        {"going is not recorded before it runs", {false, true, false, false}},
        {"silence is taken for an answer", {false, false, true, false}},
        {"a Go is obeyed that comes behind the answer", {false, false, false, true}},
        {"whoever answers at the address is believed", {false, false, false, false, true}},
    };
    for (const auto& [what, defects] : all) {
        size_t runs = 0;
        bool found = !all_single_faults(defects, runs).empty();
        for (uint32_t seed = 1; seed <= 5'000 && !found; ++seed) found = !is_good(random_life(defects, seed));
        EXPECT_TRUE(found) << what;
    }
}

}  // namespace

// -- rounds ---------------------------------------------------------------------------------------------------------------

using migration::Convergence;
using Next = Convergence::Next;
using std::chrono::milliseconds;

/// What a line makes of `left` pages of data, one round after the other, that takes `per_ms` of them.
std::string rounds_of(const migration::RoundLimits& limits, uint64_t pages, const std::vector<uint64_t>& left, uint64_t per_ms) {
    Convergence convergence(limits, pages);
    uint64_t sent = 0;
    std::string out;
    for (const uint64_t now : left) {
        const Next next = convergence.next(now, sent * 4096, milliseconds{sent / per_ms});
        constexpr const char* names[] = {"", " stops", " stops late", " gives up"};
        out = std::to_string(convergence.rounds()) + names[static_cast<size_t>(next)];
        if (next != Next::round) break;
        sent += now;
    }
    return out;
}

TEST(Handover, AnotherVersionIsRefusedBeforeAnythingIsOffered) {
    for (const uint32_t version : {wire::protocol_version - 1, wire::protocol_version + 1}) {
        SourceSide side(SourceSide::From::beginning, {});
        while (!side.hears()) side.done();
        EXPECT_STREQ(name_of(side.step()), "hear_hello");
        wire::Hello hello;
        hello.host = {1};
        hello.version = version;
        side.heard(hello);
        EXPECT_STRNE(name_of(side.step()), "say_offer");
        EXPECT_EQ(side.reason(),
                  "the other host moves domains by version " + std::to_string(version) + " of the protocol, this one by 3");
    }
}

TEST(Rounds, EndWhenTheRestIsSentInTimeOrWaitingDoesNotHelp) {
    const migration::RoundLimits limits;
    EXPECT_EQ(rounds_of(limits, 32768, {32768, 0}, 100), "1 stops") << "nothing was written";
    EXPECT_EQ(rounds_of(limits, 32768, {32768, 1000}, 100), "1 stops") << "10 ms";
    EXPECT_EQ(rounds_of(limits, 32768, {32768, 1010, 50}, 100), "2 stops");
    EXPECT_EQ(rounds_of(limits, 32768, {32768, 5000, 4000, 3000, 2000, 900}, 100), "5 stops");
    EXPECT_EQ(rounds_of(limits, 32768, {32768, 5000, 5000, 5000, 5000}, 100), "4 stops late") << "three in vain";
    EXPECT_EQ(rounds_of(limits, 32768, {32768, 5000, 6000, 4000, 5000, 5000, 4000}, 100), "6 stops late");
    EXPECT_EQ(rounds_of(limits, 32768, {32768, 30000, 29000, 28000, 27000}, 100), "4 stops late") << "three times what there is";
    EXPECT_EQ(rounds_of({milliseconds{10}, 30, true}, 32768, {32768, 5000, 5000, 5000, 5000}, 100), "4 gives up");
    EXPECT_EQ(rounds_of({milliseconds{10}, 30, true}, 32768, {32768, 1000}, 100), "1 stops");
    EXPECT_EQ(rounds_of({milliseconds{50}, 30, true}, 32768, {32768, 5000}, 100), "1 stops") << "50 ms";
    EXPECT_EQ(rounds_of({milliseconds{10}, 1, false}, 32768, {32768, 2000}, 100), "1 stops late");
    std::vector<uint64_t> slow{32768};
    for (uint64_t i = 0; i < 60; ++i) slow.push_back(2000 - i);
    EXPECT_EQ(rounds_of(limits, 32768, slow, 100), "30 stops late") << "so many rounds";
}

/// Before the guest is stopped it is asked once more: what it wrote meanwhile was not sent in vain.
TEST(Rounds, AskedAgainWithoutARoundBetween) {
    Convergence convergence({milliseconds{10}, 30, false}, 32768);
    const uint64_t bytes = uint64_t{32768} * 4096;
    EXPECT_EQ(convergence.next(32768, 0, {}), Next::round);
    EXPECT_EQ(convergence.next(900, bytes, milliseconds{327}), Next::stop);
    EXPECT_EQ(convergence.next(950, bytes, milliseconds{327}), Next::stop);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(convergence.next(1900, bytes, milliseconds{327}), Next::round) << i;
    EXPECT_EQ(convergence.next(1900, bytes, milliseconds{327}), Next::stop_late) << "three in vain";
}

/// Who has suspended itself has written meanwhile.
TEST(Rounds, WhoseOwnerIsStrictGoesInTimeOrNotAtAll) {
    for (const bool strict : {false, true}) {
        Convergence convergence({milliseconds{10}, 30, strict}, 32768);
        EXPECT_EQ(convergence.next(32768, 0, {}), Next::round);
        EXPECT_TRUE(convergence.may_go(1000, uint64_t{32768} * 4096, milliseconds{327}));
        EXPECT_EQ(convergence.may_go(1010, uint64_t{32768} * 4096, milliseconds{327}), !strict);
    }
}

/// As the rounds said, and some more; a line that never took anything says nothing.
TEST(Rounds, HowLongTheGuestMayStandStill) {
    Convergence convergence({}, 32768);
    EXPECT_EQ(convergence.longest_stop(5, 0, {}, milliseconds{1000}), std::chrono::seconds(1));
    EXPECT_EQ(convergence.next(32768, 0, {}), Next::round);
    const uint64_t bytes = uint64_t{32768} * 4096;
    EXPECT_EQ(convergence.longest_stop(0, bytes, milliseconds{328}, milliseconds{1000}), milliseconds{1041});
    EXPECT_EQ(convergence.longest_stop(4096, bytes, milliseconds{328}, milliseconds{1000}), milliseconds{1041 + 164});
    EXPECT_EQ(convergence.longest_stop(~uint64_t{0}, bytes, std::chrono::hours(100), milliseconds{1000}), std::chrono::hours(1));
}

/// A page of zeros says little about what one of data takes; and nothing overflows.
TEST(Rounds, ZerosAreNotData) {
    const migration::RoundLimits limits;
    Convergence zeros(limits, 32768);
    EXPECT_EQ(zeros.next(32768, 0, {}), Next::round);
    EXPECT_EQ(zeros.next(900, 300'000, milliseconds{100}), Next::round) << "8260 pages' worth in 100 ms";
    EXPECT_EQ(zeros.next(800, 300'000, milliseconds{100}), Next::stop);
    Convergence huge(limits, uint64_t{1} << 40U);
    EXPECT_EQ(huge.next(uint64_t{1} << 40U, 0, {}), Next::round);
    EXPECT_EQ(huge.next(uint64_t{1} << 39U, uint64_t{1} << 52U, std::chrono::hours(100)), Next::round);
}

}  // namespace handover_sim
