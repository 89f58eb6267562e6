// SPDX-License-Identifier: Apache-2.0
#pragma once

// Everything outside that xend's core acts on, as interfaces: the simulator and the tests put their own behind them.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/outcome.hpp"
#include "toolstack/builder/builder.hpp"
#include "toolstack/xenctrl/types.hpp"
#include "toolstack/xend/core/record.hpp"
#include "toolstack/xend/core/settings.hpp"
#include "toolstack/xenstore/client.hpp"

namespace xend {

struct VcpuState {
    xenctrl::VcpuInfo info;
    xenctrl::BitMap affinity;  // hard; empty: any
};

struct HostState {
    xenctrl::PhysInfo phys;
    xenctrl::VersionInfo version;
    xenctrl::Scheduler scheduler = xenctrl::Scheduler::credit2;
    std::vector<xenctrl::CpuTopology> cpus;
};

/// The hypervisor and the builder. Thread-safe.
class Hypervisor {
public:
    virtual ~Hypervisor() = default;
    virtual base::Outcome<std::vector<xenctrl::DomainInfo>> list() = 0;
    virtual base::Outcome<std::vector<VcpuState>> vcpus(const xenctrl::DomainInfo& domain) = 0;
    virtual base::Outcome<HostState> host() = 0;
    virtual base::Outcome<std::string> console_ring(bool clear) = 0;
    virtual base::Outcome<> debug_keys(const std::string& keys) = 0;

    virtual base::Outcome<> pause(base::DomId domain) = 0;
    virtual base::Outcome<> unpause(base::DomId domain) = 0;
    virtual base::Outcome<> destroy(base::DomId domain) = 0;
    virtual base::Outcome<> set_handle(base::DomId domain, const config::Uuid& uuid) = 0;
    virtual base::Outcome<> set_max_memory(base::DomId domain, uint64_t kib) = 0;
    virtual base::Outcome<xenctrl::SchedParams> sched_params(base::DomId domain) = 0;
    virtual base::Outcome<> set_sched_params(base::DomId domain, const xenctrl::SchedParams& params) = 0;

    /// Reads the images and lays the domain out, creating nothing.
    virtual base::Outcome<builder::Plan> prepare(const builder::BuildInput& input) = 0;
    /// One build at a time; the domain is left paused.
    virtual base::Outcome<builder::BuiltDomain> build(const builder::Plan& plan, builder::StoreIntroduce& store,
                                                      builder::BuildObserver& observer) = 0;
};

/// Opens connections to the store, one for each thread that needs one.
class Stores {
public:
    virtual ~Stores() = default;
    virtual base::Outcome<std::unique_ptr<xenstore::Store>> open() = 0;
};

struct ScriptCall {
    std::string path;
    std::vector<std::string> arguments;
    std::vector<std::pair<std::string, std::string>> environment;  // added to a clean one
    std::chrono::seconds timeout{60};
};

/// Runs hotplug scripts.
class Scripts {
public:
    virtual ~Scripts() = default;
    /// Waits for the end. Errors: noent (no such script), timedout, io (exit status; the text has the last line of stderr).
    virtual base::Outcome<> run(const ScriptCall& call) = 0;
};

class Clock {
public:
    virtual ~Clock() = default;
    virtual int64_t unix_seconds() = 0;
    /// Seconds that the local time is ahead of UTC now.
    virtual int64_t local_offset() = 0;
    virtual void sleep(std::chrono::milliseconds time) = 0;
};

/// The journal: one record for each domain. Thread-safe; a save is atomic and durable against xend's death.
class Records {
public:
    virtual ~Records() = default;
    virtual base::Outcome<std::vector<Record>> load() = 0;
    virtual base::Outcome<std::optional<Record>> find(const config::Uuid& uuid) = 0;
    virtual base::Outcome<> save(const Record& record) = 0;
    virtual base::Outcome<> remove(const config::Uuid& uuid) = 0;
};

struct Ports {
    Hypervisor& hypervisor;
    Stores& stores;
    Scripts& scripts;
    Records& records;
    Clock& clock;
    Settings settings;
};

}  // namespace xend
