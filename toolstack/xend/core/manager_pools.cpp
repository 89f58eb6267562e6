// SPDX-License-Identifier: Apache-2.0
// Pools of CPUs. Their names stand in the store, where other tools keep them too.
#include <algorithm>

#include "toolstack/xend/core/job.hpp"

namespace xend {

using base::Errc;
using base::Outcome;

namespace {

std::string name_path(uint32_t pool) { return "/local/pool/" + std::to_string(pool) + "/name"; }

std::vector<uint32_t> members(const xenctrl::BitMap& map) {
    std::vector<uint32_t> out;
    for (uint32_t i = 0; i < map.size() * 8; ++i) {
        if (((map[i / 8] >> (i % 8)) & 1U) != 0) out.push_back(i);
    }
    return out;
}

}  // namespace

Outcome<std::vector<PoolView>> Manager::pools() {
    std::vector<PoolView> out;
    auto store = OTRY(stores_.lease());
    for (xenctrl::CpuPool& pool : OTRY(ports_.hypervisor.pools())) {
        std::string name = OTRY(text_at(*store, name_path(pool.id)));
        if (name.empty()) name = "Pool-" + std::to_string(pool.id);
        out.push_back({std::move(pool), std::move(name)});
    }
    return out;
}

Outcome<PoolView> Manager::find_pool(const std::string& which) {
    for (PoolView& view : OTRY(pools())) {
        if (view.name == which || std::to_string(view.pool.id) == which) return std::move(view);
    }
    return base::fail(Errc::noent, "Pool '" + which.substr(0, 64) + "' does not exist.");
}

Outcome<> Manager::create_pool(const std::string& name, xenctrl::Scheduler scheduler, const std::string& cpus) {
    if (!config::is_valid_name(name)) return base::fail(Errc::inval, "Invalid pool name: '" + name.substr(0, 64) + "'");
    const std::lock_guard claiming(claims_mutex_);
    if (find_pool(name)) return base::fail(Errc::exist, "Pool '" + name + "' already exists.");
    const HostState host = OTRY(ports_.hypervisor.host());
    std::vector<uint32_t> wanted;
    if (!cpus.empty()) wanted = members(OTRY(config::parse_cpu_list(cpus, host.phys.cpus)));
    PoolChange change;
    change.scheduler = scheduler;
    change.pool = OTRY(ports_.hypervisor.change_pool(change));
    const auto fill = [&]() -> Outcome<> {
        change.what = PoolChange::What::add_cpu;
        for (const uint32_t cpu : wanted) {
            change.cpu = cpu;
            OTRY(ports_.hypervisor.change_pool(change));
        }
        auto store = OTRY(stores_.lease());
        return store->write(name_path(change.pool), name);
    };
    auto filled = fill();
    if (filled) return base::ok;
    for (const uint32_t cpu : wanted) {
        change.what = PoolChange::What::remove_cpu;
        change.cpu = cpu;
        auto ignored = ports_.hypervisor.change_pool(change);
    }
    change.what = PoolChange::What::destroy;
    auto ignored = ports_.hypervisor.change_pool(change);
    return filled;
}

Outcome<> Manager::destroy_pool(const std::string& which) {
    const std::lock_guard claiming(claims_mutex_);  // a new pool gets its number, and a name that is to stay
    const PoolView view = OTRY(find_pool(which));
    if (view.pool.id == 0) return base::fail(Errc::perm, "Pool-0 cannot be destroyed");
    PoolChange change;
    change.pool = view.pool.id;
    if (view.pool.domains == 0) {
        change.what = PoolChange::What::remove_cpu;
        for (const uint32_t cpu : members(view.pool.cpus)) {
            change.cpu = cpu;
            OTRY(ports_.hypervisor.change_pool(change));
        }
    }
    change.what = PoolChange::What::destroy;
    OTRY(ports_.hypervisor.change_pool(change));
    auto store = OTRY(stores_.lease());
    return xenstore::remove_if_there(*store, "/local/pool/" + std::to_string(view.pool.id));
}

Outcome<> Manager::rename_pool(const std::string& which, const std::string& name) {
    if (!config::is_valid_name(name)) return base::fail(Errc::inval, "Invalid pool name: '" + name.substr(0, 64) + "'");
    const std::lock_guard claiming(claims_mutex_);
    const PoolView view = OTRY(find_pool(which));
    if (find_pool(name)) return base::fail(Errc::exist, "Pool '" + name + "' already exists.");
    auto store = OTRY(stores_.lease());
    return store->write(name_path(view.pool.id), name);
}

Outcome<> Manager::change_pool_cpus(const std::string& which, const std::string& cpus, PoolChange::What what) {
    PoolChange change;
    change.what = what;
    change.pool = OTRY(find_pool(which)).pool.id;
    const HostState host = OTRY(ports_.hypervisor.host());
    for (const uint32_t cpu : members(OTRY(config::parse_cpu_list(cpus, host.phys.cpus)))) {
        change.cpu = cpu;
        OTRY(ports_.hypervisor.change_pool(change));
    }
    return base::ok;
}

Outcome<> Manager::move_to_pool(const std::string& who, const std::string& which) {
    std::optional<Job> job;
    DomainView view = OTRY(operate(who, Operation::change_vcpus, job));
    const PoolView to = OTRY(find_pool(which));
    PoolChange change;
    change.what = PoolChange::What::move_domain;
    change.pool = to.pool.id;
    change.domain = view.info.id;
    OTRY(ports_.hypervisor.change_pool(change));
    if (!view.record) return base::ok;
    // When it restarts it is made there; its pins are gone with the CPUs that it had.
    view.record->config.pool = to.pool.id == 0 ? "" : to.name;
    if (view.info.cpupool != to.pool.id) view.record->config.cpus.clear();
    return ports_.records.note(*view.record);
}

/// Puts down that a domain runs in `pool`: it may have got another name since that was last done, and other tools move domains too. What is
/// there stays when nobody can tell the name.
void Manager::note_pool(config::DomainConfig& config, uint32_t pool) {
    if (pool == 0) return config.pool.clear();
    const auto all = pools();
    if (!all) return;
    for (const PoolView& view : *all) {
        if (view.pool.id == pool) config.pool = view.name;
    }
}

}  // namespace xend
