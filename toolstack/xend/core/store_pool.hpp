// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "toolstack/xend/core/ports.hpp"

namespace xend {

class StorePool;

/// A store connection borrowed for one job; goes back to the pool at the end.
class StoreLease {
    StorePool* pool_;
    std::unique_ptr<xenstore::Store> store_;

public:
    StoreLease(StorePool& pool, std::unique_ptr<xenstore::Store> store) : pool_(&pool), store_(std::move(store)) {}
    StoreLease(StoreLease&&) noexcept = default;
    StoreLease& operator=(StoreLease&&) = delete;
    ~StoreLease();
    xenstore::Store& operator*() const { return *store_; }
    xenstore::Store* operator->() const { return store_.get(); }
};

/// Connections to the store; a Store belongs to one thread at a time.
class StorePool {
    Stores& stores_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<xenstore::Store>> idle_;
    friend class StoreLease;

public:
    explicit StorePool(Stores& stores) : stores_(stores) {}
    base::Outcome<StoreLease> lease();
};

/// The value at `path`; empty when there is none.
base::Outcome<std::string> text_at(xenstore::Store& store, const std::string& path);

/// Waits until `done` holds for the value of `path` (nullopt: no such node). True in time, false at the timeout.
base::Outcome<bool> wait_for(xenstore::Store& store, const std::string& path, std::chrono::milliseconds timeout,
                             const std::function<bool(const std::optional<std::string>&)>& done);

}  // namespace xend
