// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/store_pool.hpp"

#include <algorithm>

namespace xend {

using base::Outcome;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

StoreLease::~StoreLease() {
    if (!store_) return;
    const std::lock_guard guard(pool_->mutex_);
    if (pool_->idle_.size() < 8) pool_->idle_.push_back(std::move(store_));
}

Outcome<StoreLease> StorePool::lease() {
    {
        const std::lock_guard guard(mutex_);
        if (!idle_.empty()) {
            auto store = std::move(idle_.back());
            idle_.pop_back();
            return StoreLease(*this, std::move(store));
        }
    }
    auto store = stores_.open();
    if (!store) return std::move(store).take_failure().with("Unable to connect to the store");
    return StoreLease(*this, std::move(store).take());
}

Outcome<std::string> text_at(xenstore::Store& store, const std::string& path) {
    auto value = OTRY(xenstore::read_if_there(store, path));
    return value.value_or("");
}

Outcome<bool> wait_for(xenstore::Store& store, const std::string& path, milliseconds timeout,
                       const std::function<bool(const std::optional<std::string>&)>& done) {
    const std::string token = "xend-wait";
    const auto deadline = steady_clock::now() + timeout;
    OTRY(store.watch(path, token));
    bool reached = false;
    for (;;) {
        auto value = xenstore::read_if_there(store, path);
        if (!value) {
            auto ignored = store.unwatch(path, token);
            return std::move(value).take_failure();
        }
        if (done(*value)) {
            reached = true;
            break;
        }
        const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
        if (left.count() <= 0) break;
        // Re-read once a second too: an event lost with a restarted store must not cost the whole timeout.
        auto event = store.next_event(std::min(left, milliseconds{1000}));
        if (!event) {
            auto ignored = store.unwatch(path, token);
            return std::move(event).take_failure();
        }
    }
    OTRY(store.unwatch(path, token));
    return reached;
}

}  // namespace xend
