// SPDX-License-Identifier: Apache-2.0
#pragma once

// Looks at the host for those who listen and for jobs that wait for a guest: what is other than before is an event.

#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "toolstack/xend/core/manager.hpp"
#include "toolstack/xend/rest/events.hpp"
#include "toolstack/xend/rest/jobs.hpp"

namespace xend::rest {

/// A job that waits until a domain has ended.
struct Following {
    std::string job;
    DomainRef domain;
    int64_t until = 0;  // Unix seconds
};
/// A job that moves a domain.
struct Moving {
    std::string job;
    std::string domain;  // its uuid
};

/// Thread-safe.
class Watch {
public:
    Watch(Manager& manager, Clock& clock, Jobs& jobs, Events& events)
        : manager_(manager), clock_(clock), jobs_(jobs), events_(events) {}

    void follow(Following one);
    void follow(Moving one);
    void end(const std::string& job);
    /// Whether somebody needs a look(): a job, a reader, or one who may come back for what happens meanwhile.
    bool wanted();
    /// Somebody is about to subscribe: from here on nothing is missed. May block.
    void listen();
    /// look(), unless somebody is at it, who looks again then: so however long a look takes, it has one thread.
    void glance();
    /// May block. The first one after a time in which none was wanted() tells no events.
    void look();

private:
    struct Seen {
        std::string name;
        std::string_view state;
        Json brief;
        std::set<std::pair<std::string, uint32_t>> devices;
        bool whole = false;  // its devices are those that it was made with
    };
    using Key = std::pair<uint16_t, config::Uuid>;

    void look_held();
    static Seen seen_of(const DomainGlance& view);
    void compare(const std::map<Key, Seen>& now);
    void tell(const Seen& before, const Seen& now);
    void see_to_jobs(const std::vector<DomainGlance>& domains);
    void see_to_moves();

    Manager& manager_;
    Clock& clock_;
    Jobs& jobs_;
    Events& events_;
    std::mutex looking_;  // one at a time
    std::atomic<bool> again_ = false;
    std::map<Key, Seen> seen_;
    std::mutex mutex_;    // of these:
    bool fresh_ = false;  // seen_ is of a moment ago
    int64_t last_reader_ = 0;
    std::vector<Following> following_;
    std::vector<Moving> moving_;
};

}  // namespace xend::rest
