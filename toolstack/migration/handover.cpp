// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/handover.hpp"

#include <algorithm>
#include <optional>
#include <type_traits>

namespace migration {

namespace {

namespace wire = proto::relocation;
using What = wire::Outcome::What;

/// The place of a type among messages, as index() of one tells it.
template <class Message, class... All>
constexpr size_t place_in(std::type_identity<std::variant<All...>>) {
    const bool same[] = {std::is_same_v<Message, All>...};
    return static_cast<size_t>(std::ranges::find(same, true) - same);
}
template <class Message>
constexpr size_t one = place_in<Message>(std::type_identity<wire::Message>{});
constexpr size_t none = std::variant_npos;

template <class Step>
struct Row {
    const char* name;
    Step then, otherwise;  // when it was done, or the message was heard that leads on; and when not
    size_t hears = none;   // the type of that message; none: it does something itself
};
using S = SourceStep;
// clang-format off
constexpr std::array<Row<S>, static_cast<size_t>(S::undecided) + 1> source_rows = {{
    {"record_offered",   S::connect,          S::go_on},
    {"connect",          S::say_hello,        S::go_on},
    {"say_hello",        S::hear_hello,       S::go_on},
    {"hear_hello",       S::say_offer,        S::say_cancel, one<wire::Hello>},
    {"say_offer",        S::hear_accept,      S::go_on},
    {"hear_accept",      S::send_rounds,      S::say_cancel, one<wire::Accept>},
    {"send_rounds",      S::suspend,          S::say_cancel},
    {"suspend",          S::send_image,       S::say_cancel},
    {"send_image",       S::say_sum,          S::say_cancel},
    {"say_sum",          S::hear_ready,       S::go_on},
    {"hear_ready",       S::record_handed,    S::say_cancel, one<wire::Ready>},
    {"record_handed",    S::say_go,           S::say_cancel},
    {"say_go",           S::hear_running,     S::wait},
    {"hear_running",     S::destroy,          S::wait, one<wire::Running>},
    {"say_cancel",       S::go_on,            S::go_on},
    {"go_on",            S::forget_stayed,    S::undecided},
    {"forget_stayed",    S::stayed,           S::stayed},
    {"stayed",           S::stayed,           S::stayed},
    {"wait",             S::connect_again,    S::undecided},
    {"connect_again",    S::say_hello_again,  S::wait},
    {"say_hello_again",  S::hear_hello_again, S::wait},
    {"hear_hello_again", S::ask,              S::wait, one<wire::Hello>},
    {"ask",              S::hear_outcome,     S::wait},
    {"hear_outcome",     S::destroy,          S::wait, one<wire::Outcome>},
    {"destroy",          S::forget_moved,     S::undecided},
    {"forget_moved",     S::say_done,         S::moved},  // who was told that nobody will ask is not asked
    {"say_done",         S::moved,            S::moved},
    {"moved",            S::moved,            S::moved},
    {"undecided",        S::undecided,        S::undecided},
}};

using T = TargetStep;
constexpr std::array<Row<T>, static_cast<size_t>(T::ended) + 1> target_rows = {{
    {"hear_hello",     T::say_hello,      T::ended, one<wire::Hello>},
    {"say_hello",      T::hear_offer,     T::ended},
    {"hear_offer",     T::prepare,        T::ended, one<wire::Offer>},
    {"prepare",        T::say_accept,     T::say_refuse},
    {"say_accept",     T::take_image,     T::discard},
    {"take_image",     T::say_ready,      T::discard},
    {"say_ready",      T::hear_go,        T::discard},
    {"hear_go",        T::record_going,   T::discard, one<wire::Go>},
    {"record_going",   T::start,          T::discard},
    {"start",          T::record_running, T::discard},
    {"record_running", T::say_running,    T::say_running},  // that it is going says enough: it is there
    {"say_running",    T::hear_done,      T::ended},
    {"hear_done",      T::settle,         T::ended, one<wire::Done>},
    {"settle",         T::ended,          T::ended},
    {"discard",        T::say_failed,     T::ended},  // what could not be thrown away is not said to be
    {"say_failed",     T::ended,          T::ended},
    {"say_refuse",     T::ended,          T::ended},
    {"look_up",        T::say_outcome,    T::ended},
    {"say_outcome",    T::ended,          T::ended},
    {"ended",          T::ended,          T::ended},
}};
// clang-format on

const Row<S>& row_of(SourceStep step) { return source_rows[static_cast<size_t>(step)]; }
const Row<T>& row_of(TargetStep step) { return target_rows[static_cast<size_t>(step)]; }

/// What became of it, as the other side says; nothing when the message does not say that.
std::optional<wire::Outcome::What> outcome_in(const wire::Message& message) {
    const auto* outcome = std::get_if<wire::Outcome>(&message);
    return outcome != nullptr ? std::optional(outcome->what) : std::nullopt;
}

}  // namespace

std::string words_of(const wire::Message& m) {
    if (const auto* refused = std::get_if<wire::Refuse>(&m)) return refused->reason;
    if (const auto* failed = std::get_if<wire::Failed>(&m)) return failed->reason;
    if (const auto* cancelled = std::get_if<wire::Cancel>(&m)) return cancelled->reason;
    if (outcome_in(m) == What::not_known_yet) return "the other host is at it still";
    return std::string("it said ") + name_of(m) + " out of turn";
}

const char* name_of(SourceStep step) { return row_of(step).name; }
const char* name_of(TargetStep step) { return row_of(step).name; }

SourceSide::SourceSide(From from, const wire::Id& partner)
    : step_(from == From::beginning ? S::record_offered
            : from == From::offered ? S::go_on
                                    : S::connect_again),
      partner_(partner) {}

bool SourceSide::ended() const { return step_ == S::stayed || step_ == S::moved || step_ == S::undecided; }

void SourceSide::done() { step_ = row_of(step_).then; }

void SourceSide::failed(const std::string& why) {
    if (reason_.empty()) reason_ = why;
    step_ = row_of(step_).otherwise;
}

bool SourceSide::hears() const { return row_of(step_).hears != none; }

/// It says who it is, and that is the same each time. What became of a domain any version may be asked.
void SourceSide::meet(const wire::Hello& hello) {
    if (step_ == S::hear_hello && hello.version != wire::protocol_version)
        return failed("the other host moves domains by version " + std::to_string(hello.version) +
                      " of the protocol, this one by " + std::to_string(wire::protocol_version));
    if (hello.host == wire::Id{}) return failed("the other host does not say who it is");
    if (partner_ == wire::Id{}) partner_ = hello.host;
    met_another_ = partner_ != hello.host;
    if (met_another_) return failed("another host answers at its address");
    done();
}

void SourceSide::heard(const wire::Message& message) {
    const bool leads_on = row_of(step_).hears == message.index();
    if (const auto* hello = std::get_if<wire::Hello>(&message); hello != nullptr && leads_on) return meet(*hello);
    const auto outcome = leads_on ? outcome_in(message) : std::nullopt;
    if (leads_on && outcome.value_or(What::running) == What::running) return done();
    // It will never run there: the right comes back.
    const bool failed_there = step_ == S::hear_running && std::holds_alternative<wire::Failed>(message);
    if (!failed_there && outcome != What::discarded) return failed(words_of(message));
    if (reason_.empty()) reason_ = failed_there ? words_of(message) : "the other host had thrown it away";
    step_ = S::go_on;
}

void SourceSide::cancel() {
    if (!may_cancel()) return;
    if (reason_.empty()) reason_ = "it was cancelled";
    step_ = step_ <= S::connect ? S::go_on : S::say_cancel;
}

bool TargetSide::hears() const { return row_of(step_).hears != none; }

void TargetSide::done() {
    const bool runs = step_ == T::say_outcome && found_ == What::running;
    step_ = runs ? T::hear_done : row_of(step_).then;
}

void TargetSide::failed(const std::string& why) {
    if (reason_.empty()) reason_ = why;
    step_ = row_of(step_).otherwise;
}

void TargetSide::heard(const wire::Message& message) {
    if (row_of(step_).hears == message.index()) return done();
    if (step_ == T::hear_offer && std::holds_alternative<wire::Ask>(message)) step_ = T::look_up;
    else failed(words_of(message));
}

void TargetSide::found(What what) {
    found_ = what;
    done();
}

}  // namespace migration
