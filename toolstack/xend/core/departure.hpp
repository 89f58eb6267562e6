// SPDX-License-Identifier: Apache-2.0
#pragma once

// Internal to the core: a domain on its way to another host.

#include "toolstack/migration/handover.hpp"
#include "toolstack/migration/line.hpp"
#include "toolstack/xend/core/manager.hpp"

namespace xend {

/// Does what the source's machine says, with one connection after the other. The domain's lock is the caller's.
class Manager::Departure {
public:
    Departure(Manager& manager, xenstore::Store& store, DomainView& view, migration::Transfer transfer, MoveOrder order = {})
        : manager_(manager),
          store_(store),
          view_(view),
          transfer_(std::move(transfer)),
          order_(std::move(order)),
          move_(manager.moves_.begin(view.uuid)) {}
    ~Departure() { manager_.moves_.end(view_.uuid); }
    Departure(const Departure&) = delete;
    Departure& operator=(const Departure&) = delete;

    enum class End : uint8_t { moved, stayed, undecided };
    /// Until there is nothing more to do now. `tries`: how often it is asked what became of it, if Go was sent in vain.
    End run(migration::SourceSide::From from, unsigned tries);
    /// Why it stayed, or is undecided.
    const std::string& reason() const { return reason_; }
    /// Whether the other host is there, as far as that can be told, whatever it says.
    bool reached() const { return reached_; }
    /// Whether the journal says that the right to run was given away.
    bool handed() const { return transfer_.step == migration::Transfer::Step::handed; }
    std::unique_ptr<migration::Line> take_line() { return std::move(line_); }
    /// Of one that moved.
    const MoveReport& report() const { return report_; }

private:
    base::Outcome<> act(migration::SourceStep step);
    void hear(migration::SourceSide& side);
    base::Outcome<proto::relocation::Message> hear_for(std::chrono::milliseconds patience, const std::function<bool()>& enough);
    base::Outcome<> hear_taken(uint32_t round);
    bool cancels(migration::SourceSide& side) const;
    base::Outcome<> stays_wanted() const;
    base::Outcome<> record(migration::Transfer::Step step);
    base::Outcome<> begin();
    base::Outcome<> connect();
    base::Outcome<> say(const proto::relocation::Message& message);
    base::Outcome<> offer();
    base::Outcome<> suspend();
    bool suspended() const;
    base::Outcome<> send_rounds();
    base::Failure too_fast(uint64_t left, const char* when) const;
    base::Outcome<> send_rest();
    base::Outcome<> send_image();
    base::Outcome<> say_sum();
    base::Outcome<> hand_over();
    /// Whether rounds have shown how long the guest will stand still.
    bool promised() const { return convergence_ && convergence_->rounds() != 0; }
    void stand_still(std::chrono::steady_clock::time_point end);
    base::Outcome<> in_time() const;
    std::string why(const base::Failure& failure) const;
    void open_sender();
    base::Outcome<> settle_disks();
    base::Outcome<> ask_tool(unsigned step);
    void take_back_tool();
    base::Outcome<> run_tool(const std::string& kind, const std::vector<std::string>& words);
    base::Outcome<> pace(uint64_t bytes);
    base::Outcome<> stay();
    base::Outcome<> before_asking();

    Manager& manager_;
    xenstore::Store& store_;
    DomainView& view_;
    migration::Transfer transfer_;
    const MoveOrder order_;
    unsigned tries_ = 0;
    unsigned tool_steps_ = 0;  // that the migration tool was asked for
    bool reached_ = false;
    bool inherited_ = false;  // from an xend that was killed, or from a job that left it undecided
    using Clock = std::chrono::steady_clock;
    void lap(MoveReport::Time& time);

    const Clock::time_point begun_ = Clock::now();
    Clock::time_point lap_{};                                // when what takes part of the downtime began
    Clock::time_point stopped_{};                            // when the guest had suspended itself
    Clock::time_point stop_end_ = Clock::time_point::max();  // when it has stood still for long enough
    Clock::time_point sending_since_{};                      // for the rate
    Clock::duration waited_{};                               // to keep to it
    MoveReport report_;
    const std::shared_ptr<Move> move_;
    std::unique_ptr<migration::Line> line_;
    std::optional<migration::ImageSender> sender_;
    std::unique_ptr<migration::LiveImage> live_;         // writes to it
    std::optional<migration::Convergence> convergence_;  // of one that moves live
    Clock::duration busy_{};                             // its rounds, without what was waited for on purpose
    proto::relocation::Sum sum_;
    std::string reason_;
};

}  // namespace xend
