// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "toolstack/service/event_loop.hpp"
#include "toolstack/xend/core/manager.hpp"
#include "toolstack/xend/server/dispatcher.hpp"
#include "toolstack/xend/server/vitals.hpp"

namespace xend {

/// Watches for domains that stop. It looks when the store tells of a death, and once a second all the same: an event can be
/// lost, a domain must not be. Looking is a job; what follows for a domain is a job in that domain's lane.
class Reaper {
    service::EventLoop& loop_;
    Manager& manager_;
    Stores& stores_;
    Dispatcher& dispatcher_;
    Vitals& vitals_;
    // Of the loop's thread.
    std::set<config::Uuid> followed_;  // those whose job is under way
    service::EventLoop::Timer timer_ = 0;
    int watched_ = -1;
    bool looking_ = false;
    // Of the job that looks, and of the loop's thread while there is none.
    std::unique_ptr<xenstore::Store> store_;
    int looks_ = 0;

    void look_in(std::chrono::milliseconds time);
    void look();
    std::vector<Record> find_ended();
    void looked(const std::vector<Record>& ended);
    void follow(const Record& record);

public:
    Reaper(service::EventLoop& loop, Manager& manager, Stores& stores, Dispatcher& dispatcher, Vitals& vitals)
        : loop_(loop), manager_(manager), stores_(stores), dispatcher_(dispatcher), vitals_(vitals) {}
    /// Looks from now on, as long as the loop turns. It must outlive the dispatcher's jobs.
    void start() { look(); }
};

}  // namespace xend
