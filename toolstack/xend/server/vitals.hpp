// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "lib/base/outcome.hpp"

namespace xend {

/// What xend knows of itself: what it has answered, and what it could not bring to its end yet. Thread-safe.
class Vitals {
    mutable std::mutex mutex_;
    std::map<int, uint64_t> replies_;                // by status
    std::map<std::string, std::string> unfinished_;  // what, and why
    const int64_t start_ =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();

public:
    void replied(int status) {
        const std::lock_guard guard(mutex_);
        ++replies_[status];
    }
    std::map<int, uint64_t> replies() const {
        const std::lock_guard guard(mutex_);
        return replies_;
    }
    /// What has come of `what`, which is tried until it succeeds.
    void tried(const std::string& what, const base::Outcome<>& result) {
        const std::lock_guard guard(mutex_);
        if (result) unfinished_.erase(what);
        else unfinished_[what] = result.failure().text;
    }
    /// Of what begins with `kind`, nothing but `left` is to be done any more: nobody will try the others again.
    void only(const std::string& kind, const std::set<std::string>& left) {
        const std::lock_guard guard(mutex_);
        std::erase_if(unfinished_, [&](const auto& one) { return one.first.starts_with(kind) && !left.contains(one.first); });
    }
    std::map<std::string, std::string> unfinished() const {
        const std::lock_guard guard(mutex_);
        return unfinished_;
    }
    /// Unix seconds.
    int64_t start_time() const { return start_; }
};

}  // namespace xend
