// SPDX-License-Identifier: Apache-2.0
#pragma once

// Internal to the core: the lock that makes jobs of one domain follow each other.

#include "toolstack/xend/core/manager.hpp"

namespace xend {

class Manager::Job {
    std::shared_ptr<std::mutex> mutex_;
    std::unique_lock<std::mutex> lock_;

public:
    enum class Wait : uint8_t { until_free, not_at_all };

    Job(Manager& manager, const config::Uuid& uuid, Wait wait = Wait::until_free)
        : mutex_(manager.lock_of(uuid)), lock_(*mutex_, std::defer_lock) {
        if (wait == Wait::until_free) {
            lock_.lock();
        } else {
            lock_.try_lock();
        }
    }
    bool held() const { return lock_.owns_lock(); }
};

}  // namespace xend
