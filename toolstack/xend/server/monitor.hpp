// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "toolstack/service/job_queues.hpp"
#include "toolstack/xend/api.hpp"
#include "toolstack/xend/core/manager.hpp"
#include "toolstack/xend/server/vitals.hpp"

namespace xend {

/// Answers those who watch over this host: GET /healthz and GET /metrics. It takes no domain's lane and no lock of the core's.
/// Thread-safe.
class Monitor {
public:
    using Load = std::function<service::JobQueues::Load()>;

    /// `load`: of the queues that change domains. `sys`: where sysfs is.
    Monitor(Manager& manager, Clock& clock, const Vitals& vitals, Load load, std::string sys = "/sys")
        : manager_(manager), clock_(clock), vitals_(vitals), load_(std::move(load)), sys_(std::move(sys)) {}

    static bool is_for(const Request& request) { return request.path == "/healthz" || request.path == "/metrics"; }
    Reply handle(const Request& request);

private:
    Reply health();
    base::Outcome<std::string> metrics();
    base::Outcome<> ask_store();

    Manager& manager_;
    Clock& clock_;
    const Vitals& vitals_;
    Load load_;
    std::string sys_;
    std::mutex asking_;  // the store: one asks, whoever comes meanwhile does not wait for it
    std::mutex asked_mutex_;
    std::optional<std::chrono::steady_clock::time_point> since_;  // somebody asks
    base::Outcome<> answer_ = base::ok;                           // the last one
};

}  // namespace xend
