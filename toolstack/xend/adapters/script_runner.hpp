// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// Runs hotplug scripts as child processes with a clean environment, no terminal and a time limit.
class ScriptRunner final : public Scripts {
    std::string log_file_;  // stdout and stderr of the scripts are appended here

public:
    explicit ScriptRunner(std::string log_file = "/var/log/xen/xen-hotplug.log") : log_file_(std::move(log_file)) {}
    base::Outcome<> run(const ScriptCall& call) override;
    void end(const std::vector<std::string>& tags) override;
};

/// Time as the machine has it.
class SystemClock final : public Clock {
public:
    int64_t unix_seconds() override;
    int64_t local_offset() override;
    void sleep(std::chrono::milliseconds time) override;
};

/// Connections to the running xenstored.
class RealStores final : public Stores {
public:
    base::Outcome<std::unique_ptr<xenstore::Store>> open() override { return xenstore::open_store(); }
};

}  // namespace xend
