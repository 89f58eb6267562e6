// SPDX-License-Identifier: Apache-2.0
// How the right to run a domain goes from one xend to another: two machines that say what is to be done next and are told what came of
// it. No sockets, no clock, no hypervisor: what drives them is xend, or a simulator that loses messages and kills either side anywhere.
//
// Exactly one side has the right. The source has it until its journal says `handed`, which is written, and on the disk, before Go
// is sent; from then on it never resumes the guest by itself, but asks. The target has it from when its journal says `going`, which is
// written before the guest runs; one that has no such line has thrown away what it had, or will, and a Go that comes later is not
// obeyed (arrivals.hpp). A live migration sends rounds of the image before `suspend`; nothing else of this differs.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "lib/proto/relocation/message.hpp"

namespace migration {

using TransferId = proto::relocation::Id;

/// What the source is to do. "say" and "hear" are messages; a line that is lost, or silent for too long, is a failure of these.
enum class SourceStep : uint8_t {
    record_offered,
    connect,
    say_hello,
    hear_hello,
    say_offer,
    hear_accept,
    send_rounds,  // of one that moves live: what it can be sent while the guest runs
    suspend,
    send_image,  // and wait until nothing of the guest's is under way to its disks
    say_sum,
    hear_ready,
    record_handed,
    say_go,
    hear_running,
    // The guest stays here.
    say_cancel,
    go_on,
    forget_stayed,
    stayed,
    // Go may have arrived, or not.
    wait,
    connect_again,
    say_hello_again,
    hear_hello_again,
    ask,
    hear_outcome,
    // It runs there.
    destroy,
    forget_moved,
    say_done,
    moved,
    // Something here failed that is tried again later, from the journal.
    undecided
};

/// Why a message that does not lead on was said, as the other side has it.
std::string words_of(const proto::relocation::Message& message);

class SourceSide {
public:
    /// What an earlier xend's journal says: nothing, that it was begun, or that the right was given away.
    enum class From : uint8_t { beginning, offered, handed };
    /// `partner`: of a transfer that was handed over, who has it, as far as the journal knows.
    explicit SourceSide(From from, const proto::relocation::Id& partner = {});

    SourceStep step() const { return step_; }
    bool ended() const;
    /// Whether the step is to hear something: what, heard() decides.
    bool hears() const;
    /// Whether the guest may still be kept here by decision of this side alone.
    bool may_cancel() const { return step_ <= SourceStep::record_handed; }
    /// Why it stays; empty while nothing went wrong.
    const std::string& reason() const { return reason_; }
    /// Who was offered the domain. Its address may be another host's by now, which knows nothing of it, and would say so.
    const proto::relocation::Id& partner() const { return partner_; }
    /// Whether it is: who was handed the domain is not there any more.
    bool met_another() const { return met_another_; }

    /// The step was done.
    void done();
    /// The step failed: why, in one line.
    void failed(const std::string& why);
    /// For a step that hears: what was heard.
    void heard(const proto::relocation::Message& message);
    /// The user wants the guest back. Without effect when may_cancel() is false.
    void cancel();

private:
    void meet(const proto::relocation::Hello& hello);

    SourceStep step_;
    proto::relocation::Id partner_;
    bool met_another_ = false;
    std::string reason_;
};

/// What the target is to do, for each connection that it takes.
enum class TargetStep : uint8_t {
    hear_hello,
    say_hello,
    hear_offer,  // or a question
    prepare,
    say_accept,
    take_image,  // up to its sum, which must be right
    say_ready,
    hear_go,
    record_going,
    start,
    record_running,
    say_running,
    hear_done,
    settle,  // the source's copy is gone: name and uuid are free, and nobody will ask
    // It will not run here.
    discard,
    say_failed,
    say_refuse,
    // A question.
    look_up,
    say_outcome,
    ended
};

class TargetSide {
public:
    TargetStep step() const { return step_; }
    bool ended() const { return step_ == TargetStep::ended; }
    bool hears() const;
    const std::string& reason() const { return reason_; }
    /// What was found when it was asked.
    proto::relocation::Outcome::What found() const { return found_; }

    void done();
    void failed(const std::string& why);
    void heard(const proto::relocation::Message& message);
    /// For look_up.
    void found(proto::relocation::Outcome::What what);

private:
    TargetStep step_ = TargetStep::hear_hello;
    std::string reason_;
    proto::relocation::Outcome::What found_ = proto::relocation::Outcome::What::not_known_yet;
};

/// "hear_ready", for logs and tests.
const char* name_of(SourceStep step);
const char* name_of(TargetStep step);

}  // namespace migration
