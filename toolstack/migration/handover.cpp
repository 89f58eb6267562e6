// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/handover.hpp"

namespace migration {

namespace {

namespace wire = proto::relocation;

// What follows when a step was done, or the one message was heard that leads on, and what when not.

struct SourceRow {
    const char* name;
    SourceStep then, otherwise;
};
using S = SourceStep;
// clang-format off
constexpr std::array<SourceRow, static_cast<size_t>(S::undecided) + 1> source_rows = {{
    {"record_offered",   S::connect,          S::go_on},
    {"connect",          S::say_hello,        S::go_on},
    {"say_hello",        S::hear_hello,       S::go_on},
    {"hear_hello",       S::say_offer,        S::say_cancel},
    {"say_offer",        S::hear_accept,      S::go_on},
    {"hear_accept",      S::suspend,          S::say_cancel},
    {"suspend",          S::send_image,       S::say_cancel},
    {"send_image",       S::say_sum,          S::say_cancel},
    {"say_sum",          S::hear_ready,       S::go_on},
    {"hear_ready",       S::record_handed,    S::say_cancel},
    {"record_handed",    S::say_go,           S::say_cancel},
    {"say_go",           S::hear_running,     S::wait},
    {"hear_running",     S::destroy,          S::wait},
    {"say_cancel",       S::go_on,            S::go_on},
    {"go_on",            S::forget_stayed,    S::undecided},
    {"forget_stayed",    S::stayed,           S::stayed},
    {"stayed",           S::stayed,           S::stayed},
    {"wait",             S::connect_again,    S::undecided},
    {"connect_again",    S::say_hello_again,  S::wait},
    {"say_hello_again",  S::hear_hello_again, S::wait},
    {"hear_hello_again", S::ask,              S::wait},
    {"ask",              S::hear_outcome,     S::wait},
    {"hear_outcome",     S::destroy,          S::wait},
    {"destroy",          S::forget_moved,     S::undecided},
    {"forget_moved",     S::say_done,         S::moved},  // who was told that nobody will ask is not asked
    {"say_done",         S::moved,            S::moved},
    {"moved",            S::moved,            S::moved},
    {"undecided",        S::undecided,        S::undecided},
}};

struct TargetRow {
    const char* name;
    TargetStep then, otherwise;
};
using T = TargetStep;
constexpr std::array<TargetRow, static_cast<size_t>(T::ended) + 1> target_rows = {{
    {"hear_hello",     T::say_hello,      T::ended},
    {"say_hello",      T::hear_offer,     T::ended},
    {"hear_offer",     T::prepare,        T::ended},
    {"prepare",        T::say_accept,     T::say_refuse},
    {"say_accept",     T::take_image,     T::discard},
    {"take_image",     T::say_ready,      T::discard},
    {"say_ready",      T::hear_go,        T::discard},
    {"hear_go",        T::record_going,   T::discard},
    {"record_going",   T::start,          T::discard},
    {"start",          T::record_running, T::discard},
    {"record_running", T::say_running,    T::say_running},  // that it is going says enough: it is there
    {"say_running",    T::hear_done,      T::ended},
    {"hear_done",      T::settle,         T::ended},
    {"settle",         T::ended,          T::ended},
    {"discard",        T::say_failed,     T::ended},  // what could not be thrown away is not said to be
    {"say_failed",     T::ended,          T::ended},
    {"say_refuse",     T::ended,          T::ended},
    {"look_up",        T::say_outcome,    T::ended},
    {"say_outcome",    T::ended,          T::ended},
    {"ended",          T::ended,          T::ended},
}};
// clang-format on

const SourceRow& row_of(SourceStep step) { return source_rows[static_cast<size_t>(step)]; }
const TargetRow& row_of(TargetStep step) { return target_rows[static_cast<size_t>(step)]; }

template <class Message>
bool is(const wire::Message& message) {
    return std::holds_alternative<Message>(message);
}

/// The message that leads on.
bool leads_on(SourceStep step, const wire::Message& m) {
    switch (step) {
        case S::hear_hello:
        case S::hear_hello_again: return is<wire::Hello>(m);
        case S::hear_accept: return is<wire::Accept>(m);
        case S::hear_ready: return is<wire::Ready>(m);
        case S::hear_running: return is<wire::Running>(m);
        case S::hear_outcome: {
            const auto* outcome = std::get_if<wire::Outcome>(&m);
            return outcome != nullptr && outcome->what == wire::Outcome::What::running;
        }
        default: return false;
    }
}

/// The right comes back: the other side will never use it.
bool comes_back(SourceStep step, const wire::Message& m) {
    if (step == S::hear_running) return is<wire::Failed>(m);
    const auto* outcome = std::get_if<wire::Outcome>(&m);
    return step == S::hear_outcome && outcome != nullptr && outcome->what == wire::Outcome::What::discarded;
}

bool leads_on(TargetStep step, const wire::Message& m) {
    switch (step) {
        case T::hear_hello: return is<wire::Hello>(m);
        case T::hear_offer: return is<wire::Offer>(m);
        case T::hear_go: return is<wire::Go>(m);
        case T::hear_done: return is<wire::Done>(m);
        default: return false;
    }
}

/// What the other side says of why.
std::string words_of(const wire::Message& m) {
    if (const auto* refused = std::get_if<wire::Refuse>(&m)) return refused->reason;
    if (const auto* failed = std::get_if<wire::Failed>(&m)) return failed->reason;
    if (const auto* cancelled = std::get_if<wire::Cancel>(&m)) return cancelled->reason;
    return std::string("it said ") + name_of(m) + " out of turn";
}

}  // namespace

const char* name_of(SourceStep step) { return row_of(step).name; }
const char* name_of(TargetStep step) { return row_of(step).name; }

SourceSide::SourceSide(From from)
    : step_(from == From::beginning ? S::record_offered
            : from == From::offered ? S::go_on
                                    : S::connect_again) {}

bool SourceSide::ended() const { return step_ == S::stayed || step_ == S::moved || step_ == S::undecided; }

void SourceSide::done() { step_ = row_of(step_).then; }

void SourceSide::failed(const std::string& why) {
    if (reason_.empty()) reason_ = why;
    step_ = row_of(step_).otherwise;
}

void SourceSide::heard(const wire::Message& message) {
    if (leads_on(step_, message)) return done();
    if (!comes_back(step_, message)) return failed(words_of(message));
    if (reason_.empty()) reason_ = is<wire::Failed>(message) ? words_of(message) : "the other host had thrown it away";
    step_ = S::go_on;
}

void SourceSide::cancel() {
    if (!may_cancel()) return;
    if (reason_.empty()) reason_ = "it was cancelled";
    step_ = step_ <= S::connect ? S::go_on : S::say_cancel;
}

void TargetSide::done() {
    const bool runs = step_ == T::say_outcome && found_ == wire::Outcome::What::running;
    step_ = runs ? T::hear_done : row_of(step_).then;
}

void TargetSide::failed(const std::string& why) {
    if (reason_.empty()) reason_ = why;
    step_ = row_of(step_).otherwise;
}

void TargetSide::heard(const wire::Message& message) {
    if (step_ == T::hear_offer && is<wire::Ask>(message)) {
        step_ = T::look_up;
        return;
    }
    if (leads_on(step_, message)) return done();
    failed(words_of(message));
}

void TargetSide::found(wire::Outcome::What what) {
    found_ = what;
    done();
}

}  // namespace migration
