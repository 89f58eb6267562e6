// SPDX-License-Identifier: Apache-2.0
#pragma once

// What those who look may know of a domain's way to another host, and say about it, while the job that moves it waits.

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "toolstack/config/uuid.hpp"

namespace xend {

/// What it took to move a domain.
struct MoveReport {
    using Time = std::chrono::microseconds;
    uint32_t rounds = 0;  // while it ran; none of one that did not move live
    uint64_t bytes = 0;   // of its image
    Time total{};
    // How long it stood still, at most: until it had suspended itself, until the rest was sent, until it ran there.
    Time suspending{}, sending{}, starting{};

    Time still() const { return suspending + sending + starting; }
    /// One line, for people.
    std::string text() const;
};

/// One domain's way. Its job writes it, others read it.
struct Move {
    std::atomic<const char*> phase = "asking the other host";
    std::atomic<uint64_t> sent = 0;   // bytes of its image
    std::atomic<uint64_t> total = 0;  // that it has at most
    std::atomic<uint32_t> round = 0;  // while the guest runs, counted from 1; 0: none, or none any more
    std::atomic<uint64_t> left = 0;   // pages that are to be sent in it

    /// Somebody wants it to stay. False: the right to run it is given away, or will be in this moment.
    bool cancel() { return settle(Right::stays); }
    /// False: somebody wants it to stay.
    bool give_away() { return settle(Right::given); }
    bool cancelled() const { return right_ == Right::stays; }

private:
    enum class Right : uint8_t { open, stays, given };
    bool settle(Right right) {
        Right before = Right::open;
        return right_.compare_exchange_strong(before, right) || before == right;
    }
    std::atomic<Right> right_ = Right::open;
};

/// All that are under way. Thread-safe.
class Moves {
public:
    std::shared_ptr<Move> begin(const config::Uuid& uuid) {
        const std::lock_guard guard(mutex_);
        return all_[uuid] = std::make_shared<Move>();
    }
    void end(const config::Uuid& uuid) {
        const std::lock_guard guard(mutex_);
        all_.erase(uuid);
    }
    /// Null: it is not on its way.
    std::shared_ptr<Move> find(const config::Uuid& uuid) {
        const std::lock_guard guard(mutex_);
        const auto at = all_.find(uuid);
        return at == all_.end() ? nullptr : at->second;
    }

private:
    std::mutex mutex_;
    std::map<config::Uuid, std::shared_ptr<Move>> all_;
};

}  // namespace xend
