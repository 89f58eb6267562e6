// SPDX-License-Identifier: Apache-2.0
// What the source of a move does, one step after the other.
#include <algorithm>
#include <utility>

#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/service/caught.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/xend/core/departure.hpp"
#include "toolstack/xend/core/domain_nodes.hpp"
#include "toolstack/xend/core/saved_domain.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using migration::SourceSide;
using migration::SourceStep;
using migration::Transfer;
using migration::TransferJournal;
using service::log;
using service::LogLevel;
using std::chrono::milliseconds;
namespace wire = proto::relocation;

namespace {

/// How long each answer may take. What comes before ready: all of the memory. Before running: disks and scripts.
milliseconds patience_for(SourceStep step) {
    switch (step) {
        case SourceStep::hear_ready:
        case SourceStep::hear_running: return milliseconds{150'000};
        case SourceStep::hear_accept: return milliseconds{60'000};
        default: return milliseconds{20'000};
    }
}

/// For people; `otherwise`: what went before goes on.
const char* words_for(SourceStep step, const char* otherwise) {
    switch (step) {
        case SourceStep::send_rounds: return "its memory is sent";
        case SourceStep::suspend: return "the guest suspends itself";
        case SourceStep::send_image: return "its memory is sent";
        case SourceStep::say_sum: return "the other host makes it ready";
        case SourceStep::say_go: return "it begins to run there";
        case SourceStep::wait: return "the other host is asked what became of it";
        case SourceStep::destroy: return "the copy here is removed";
        case SourceStep::go_on: return "it goes on here";
        default: return otherwise;
    }
}

}  // namespace

Manager::Departure::End Manager::Departure::run(SourceSide::From from, unsigned tries) {
    SourceSide side(from, transfer_.partner);
    tries_ = tries;
    inherited_ = from != SourceSide::From::beginning;
    if (from == SourceSide::From::handed) move_->give_away();
    while (!side.ended()) {
        const SourceStep step = side.step();
        if (cancels(side)) {
            side.cancel();
            continue;
        }
        if (side.hears()) {
            hear(side);
            continue;
        }
        move_->phase = words_for(step, move_->phase);
        const auto done = service::caught([&] { return act(step); });
        if (done) side.done();
        else side.failed(why(done.failure()));
    }
    reason_ = side.reason();
    reached_ = reached_ && !side.met_another();
    report_.total = std::chrono::duration_cast<MoveReport::Time>(Clock::now() - begun_);
    if (side.step() == SourceStep::undecided) return End::undecided;
    return side.step() == SourceStep::moved ? End::moved : End::stayed;
}

bool Manager::Departure::cancels(SourceSide& side) const { return move_->cancelled() && side.may_cancel(); }

/// Errors: intr: somebody wants it back.
Outcome<> Manager::Departure::stays_wanted() const {
    return move_->cancelled() ? base::fail(Errc::intr, "it was cancelled") : Outcome<>(base::ok);
}

/// In pieces: who wants it back does not wait for the other side. Errors: intr: `enough`; the line's.
Outcome<wire::Message> Manager::Departure::hear_for(milliseconds patience, const std::function<bool()>& enough) {
    constexpr milliseconds piece{200}, none{0};
    const auto until = std::min(Clock::now() + patience, stop_end_);
    const auto left = [&] { return std::max(std::chrono::ceil<milliseconds>(until - Clock::now()), none); };
    Outcome<bool> came = false;
    while (came && !*came && !enough() && left() != none) came = line_->comes_within(std::min(piece, left()));
    if (enough()) return base::fail(Errc::intr, "it was cancelled");
    return line_->hear(came && *came ? left() : none);
}

void Manager::Departure::hear(SourceSide& side) {
    const auto message = hear_for(patience_for(side.step()), [&] { return cancels(side); });
    if (cancels(side)) return;
    if (message) side.heard(*message);
    else side.failed(why(message.failure()));
    transfer_.partner = side.partner();
}

Outcome<> Manager::Departure::act(SourceStep step) {
    TransferJournal& journal = *manager_.ports_.transfers;
    switch (step) {
        case SourceStep::record_offered: return begin();
        case SourceStep::connect:
        case SourceStep::connect_again: return connect();
        case SourceStep::say_hello:
        case SourceStep::say_hello_again: return say(OTRY(manager_.hello()));
        case SourceStep::say_offer: return offer();
        case SourceStep::send_rounds: return send_rounds();
        case SourceStep::suspend: return suspend();
        case SourceStep::send_image: return send_image();
        case SourceStep::say_sum: return say_sum();
        case SourceStep::record_handed: return hand_over();
        case SourceStep::say_go: return say(wire::Go{});
        case SourceStep::ask: return say(wire::Ask{transfer_.id});
        case SourceStep::say_cancel:
            // Only if it goes at once: the guest waits, and the end of the connection says it too.
            if (line_ && stopped_ != Clock::time_point{}) line_->hurry(migration::Haste{milliseconds{0}, Clock::now()});
            return say(wire::Cancel{"the other host keeps the domain"});
        case SourceStep::say_done: return say(wire::Done{});
        case SourceStep::go_on: return stay();
        case SourceStep::forget_stayed:
        case SourceStep::forget_moved: return journal.remove(transfer_.id, TransferJournal::Way::out);
        case SourceStep::wait: return before_asking();
        case SourceStep::destroy: {
            lap(report_.starting);
            live_.reset();
            view_.record->saving.reset();
            view_.record->renaming.clear();
            // Its record says that it goes, and nothing lets it run again, however long that takes.
            const auto gone = manager_.finish(view_);
            if (!gone) log(LogLevel::warning, "domain '" + view_.name + "': " + gone.failure().text);
            return base::ok;
        }
        default: return base::fail(Errc::inval, "no step of a departure");
    }
}

Outcome<> Manager::Departure::record(Transfer::Step step) {
    transfer_.step = step;
    return manager_.ports_.transfers->save(transfer_).context("Cannot note that the domain leaves");
}

/// The journals say that it leaves; the domain shows it in its name.
Outcome<> Manager::Departure::begin() {
    OTRY(ask_tool(0));
    Record& record = *view_.record;
    record.saving = SaveIntent{};
    record.saving->step = SaveIntent::Step::offered;
    record.saving->transfer = config::Uuid{transfer_.id}.text();
    record.renaming = "migrating-" + record.config.name;
    OTRY(manager_.ports_.records.note(record));
    OTRY(this->record(Transfer::Step::offered));
    return store_.write(domain_path(view_.info.id) + "/name", record.renaming);
}

Outcome<> Manager::Departure::connect() {
    line_.reset();
    auto line = manager_.ports_.lines->connect(transfer_.host, transfer_.port);
    reached_ = line || line.failure().code == Errc::perm;
    line_ = OTRY(std::move(line));
    return base::ok;
}

Outcome<> Manager::Departure::say(const wire::Message& message) {
    if (!line_) return base::fail(Errc::notconn, "there is no connection");
    return line_->say(message);
}

Outcome<> Manager::Departure::offer() {
    const config::DomainConfig config = OTRY(manager_.config_now(view_));
    wire::Offer offer;
    offer.transfer = transfer_.id;
    offer.live = order_.live ? 1 : 0;
    offer.memory_kib = config.memory_mib * 1024;
    move_->total = offer.memory_kib * 1024;
    offer.vcpus = config.vcpus;
    offer.config = proto::to_string(config::to_sxp(config));
    return say(offer);
}

Outcome<> Manager::Departure::suspend() {
    OTRY(ask_tool(1));
    view_.record->saving->step = SaveIntent::Step::asking;
    OTRY(manager_.ports_.records.note(*view_.record));
    lap_ = Clock::now();
    if (!suspended()) OTRY(manager_.suspend(store_, view_, [this] { return stays_wanted(); }));
    lap(report_.suspending);
    stopped_ = lap_;
    OTRY(ask_tool(2));
    stand_still(stop_end_);
    return base::ok;
}

/// Whether the guest has suspended itself, asked or not.
bool Manager::Departure::suspended() const {
    const auto now = manager_.ports_.hypervisor.domain(view_.info.id);
    return now && *now && (*now)->handle == view_.uuid.bytes && (*now)->shutdown &&
           (*now)->reason == xenctrl::ShutdownReason::suspend;
}

/// The guest waits until `end` at most, and meanwhile for nobody who is silent.
void Manager::Departure::stand_still(Clock::time_point end) {
    stop_end_ = end;
    if (line_) line_->hurry(migration::Haste{order_.silence, end});
}

/// Errors: timedout: it stood still for long enough.
Outcome<> Manager::Departure::in_time() const {
    if (Clock::now() < stop_end_) return base::ok;
    const auto longest = std::chrono::ceil<milliseconds>(stop_end_ - stopped_);
    return base::fail(Errc::timedout, "it would stand still for longer than " + std::to_string(longest.count()) + " ms");
}

/// For who is told why it stays.
std::string Manager::Departure::why(const base::Failure& failure) const {
    const auto still = in_time();
    const bool late = failure.code == Errc::timedout && !still && failure.text != still.failure().text;
    return late ? still.failure().text + ": " + failure.text : failure.text;
}

/// (external-migration-tool): 0 whether each kind of devices can go, 1 before the guest suspends itself, 2 behind it, 3 when all was sent.
Outcome<> Manager::Departure::ask_tool(unsigned step) {
    if (manager_.ports_.settings.migration_tool.empty()) return base::ok;
    tool_steps_ = step + 1;
    for (const char* kind : {"vbd", "vif"}) OTRY(run_tool(kind, {"-step", std::to_string(step)}));
    return base::ok;
}

/// In reverse, what was asked for, also when it failed.
void Manager::Departure::take_back_tool() {
    while (tool_steps_ != 0) {
        --tool_steps_;
        for (const char* kind : {"vif", "vbd"}) {
            const auto ran = run_tool(kind, {"-recover", "-step", std::to_string(tool_steps_)});
            if (!ran) log(LogLevel::error, "domain '" + view_.record->config.name + "': " + ran.failure().text);
        }
    }
}

Outcome<> Manager::Departure::run_tool(const std::string& kind, const std::vector<std::string>& words) {
    const auto& devices = view_.record->devices;
    if (std::ranges::none_of(devices, [&](const DeviceIntent& device) { return device.kind == kind; })) return base::ok;
    ScriptCall call;
    call.take_script(manager_.ports_.settings.migration_tool, "-type");
    call.arguments.insert(call.arguments.begin() + 1, kind);
    call.arguments.insert(call.arguments.end(), words.begin(), words.end());
    call.arguments.insert(call.arguments.end(), {"-host", transfer_.host, "-domname", view_.record->config.name});
    call.timeout = manager_.ports_.settings.hotplug_timeout;
    return manager_.ports_.scripts.run(call).context("external-migration-tool for " + kind);
}

/// Since the last part of the downtime ended.
void Manager::Departure::lap(MoveReport::Time& time) {
    const auto now = Clock::now();
    time = std::chrono::duration_cast<MoveReport::Time>(now - std::exchange(lap_, now));
}

void Manager::Departure::open_sender() {
    sending_since_ = Clock::now();
    sender_.emplace(*line_, [this](uint64_t bytes) { return pace(bytes); });
}

/// Waits until nothing of the image is under way: the guest would stand still for that, too.
Outcome<> Manager::Departure::hear_taken(uint32_t round) {
    constexpr milliseconds patience{60'000};
    const auto message = OTRY(hear_for(patience, [this] { return move_->cancelled(); }));
    const auto* taken = std::get_if<wire::Taken>(&message);
    if (taken != nullptr && taken->number == round) return base::ok;
    return base::fail(Errc::badmsg, migration::words_of(message));
}

/// What is written while it is sent is sent again, until so little is left that the guest may stand still for it.
Outcome<> Manager::Departure::send_rounds() {
    if (!order_.live) return base::ok;
    open_sender();
    const auto config = file_config(OTRY(manager_.config_now(view_)));
    live_ = OTRY(manager_.ports_.hypervisor.save_live(view_.ref(), config, *sender_));
    migration::Convergence& convergence = convergence_.emplace(order_.rounds, move_->total / base::page_size);
    bool taken = false;  // by the other host, all that was sent
    for (uint32_t number = 1;; ++number) {
        auto looked = live_->left();
        // Unasked, but it is what was to come next: all that is left is sent in the end.
        if (!looked && suspended()) return base::ok;
        const uint64_t left = OTRY(std::move(looked));
        using Next = migration::Convergence::Next;
        const Next next = convergence.next(left, move_->sent, busy_);
        if (next == Next::give_up) return too_fast(left, "");
        move_->left = left;
        move_->round = next == Next::round ? convergence.rounds() : 0;
        report_.rounds = convergence.rounds();
        if (next != Next::round && taken) return base::ok;
        taken = next != Next::round;
        const auto start = Clock::now() - waited_;
        // Behind the last one it has as long as before to suspend itself.
        OTRY(sender_->round({number, left, taken}));
        OTRY(taken ? hear_taken(number) : live_->send());
        busy_ += Clock::now() - waited_ - start;
    }
}

base::Failure Manager::Departure::too_fast(uint64_t left, const char* when) const {
    return base::fail(Errc::again, "its memory changes too fast for " + std::to_string(order_.rounds.downtime.count()) +
                                       " ms of downtime: " + std::to_string(left) + " pages are left " + when + "after " +
                                       std::to_string(convergence_->rounds()) + " rounds");
}

/// Between the last look and the end the guest has written on: what its owner wants is asked of what there is now.
Outcome<> Manager::Departure::send_rest() {
    const uint64_t left = OTRY(live_->rest());
    move_->left = left;
    if (!convergence_->may_go(left, move_->sent, busy_)) return too_fast(left, "when it has suspended itself, ");
    if (promised()) stand_still(Clock::now() + convergence_->longest_stop(left, move_->sent, busy_, order_.least_stop));
    return live_->finish();
}

/// The image, or the rest of it, and nothing of the guest's is under way to its disks.
Outcome<> Manager::Departure::send_image() {
    if (live_) {
        OTRY(send_rest());
    } else {
        open_sender();
        const auto config = file_config(OTRY(manager_.config_now(view_)));
        OTRY(manager_.ports_.hypervisor.save(view_.ref(), config, *sender_));
    }
    sum_ = OTRY(sender_->finish());
    report_.bytes = move_->sent;
    return settle_disks();
}

/// The other host has all of it. Of a guest that stood still for all of its memory it may take as long again.
Outcome<> Manager::Departure::say_sum() {
    const auto before = Clock::now();
    OTRY(ask_tool(3));
    const auto now = Clock::now();
    stand_still(promised() ? stop_end_ + (now - before) : now + order_.least_stop + (before - sending_since_ - waited_));
    lap(report_.sending);
    return say(sum_);
}

/// From here on it goes on where the other host says, however long that takes.
Outcome<> Manager::Departure::hand_over() {
    // A name may lead to another host next time, which knows nothing of it: that would say that it has thrown it away.
    transfer_.host = line_->peer();
    if (!move_->give_away()) return stays_wanted();
    OTRY(record(Transfer::Step::handed));
    stop_end_ = Clock::time_point::max();
    line_->hurry(std::nullopt);
    return base::ok;
}

/// The guest has stopped: nothing is added to what its back ends have taken.
Outcome<> Manager::Departure::settle_disks() {
    for (const DeviceIntent& device : view_.record->devices) {
        if (device.kind != "vbd" || device.back != 0) continue;
        milliseconds waited{0};
        for (milliseconds pause{1}; !OTRY(manager_.ports_.blocks.settled(view_.info.id, device.devid)); waited += pause) {
            if (waited > manager_.ports_.settings.close_timeout + milliseconds{1000})
                return base::fail(Errc::timedout, device_label(device.kind, device.devid) + " still has something to write");
            OTRY(stays_wanted());
            OTRY(in_time());
            manager_.ports_.clock.sleep(pause);
        }
    }
    return base::ok;
}

/// A rate does not hold for the rest of one that moves live: the guest stands still for it.
Outcome<> Manager::Departure::pace(uint64_t bytes) {
    move_->sent = bytes;
    OTRY(stays_wanted());
    OTRY(in_time());
    if (order_.most_mbit == 0 || (live_ && lap_ != Clock::time_point{})) return base::ok;
    const milliseconds due{bytes * 8 / (uint64_t{order_.most_mbit} * 1000)};
    const auto before = Clock::now();
    const auto passed = std::chrono::floor<milliseconds>(before - sending_since_);
    constexpr milliseconds piece{200};
    for (milliseconds left = due - passed; left > milliseconds{0}; left -= piece) {
        manager_.ports_.clock.sleep(std::min(left, piece));
        OTRY(stays_wanted());
    }
    waited_ += Clock::now() - before;
    return base::ok;
}

/// As if nobody had asked it to leave.
Outcome<> Manager::Departure::stay() {
    line_.reset();
    // Whose end failed without a word is ended aloud.
    const bool logged = live_ != nullptr;
    live_.reset();
    if (inherited_ || logged) manager_.end_live(view_.ref());
    take_back_tool();
    Record& record = *view_.record;
    // One that was not asked did so on its way: it ran when that began.
    const bool stopped = record.saving && (record.saving->step != SaveIntent::Step::offered || suspended());
    if (stopped) OTRY(manager_.go_on(store_, view_.ref(), record));
    else record.saving.reset();
    return manager_.settle_name(store_, view_.ref(), record);
}

/// Go was sent, and nothing is known of it.
Outcome<> Manager::Departure::before_asking() {
    line_.reset();
    if (tries_ == 0) return base::fail(Errc::timedout, transfer_.host + " does not say what became of it");
    --tries_;
    constexpr milliseconds before_next_try{1000};
    manager_.ports_.clock.sleep(before_next_try);
    return base::ok;
}

}  // namespace xend
