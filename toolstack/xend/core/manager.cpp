// SPDX-License-Identifier: Apache-2.0
// Looking at domains, and the operations that change one value.
#include "toolstack/xend/core/manager.hpp"

#include <algorithm>

#include "lib/base/number.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/xend/core/domain_nodes.hpp"
#include "toolstack/xend/core/job.hpp"

namespace xend {

using base::DomId;
using base::Errc;
using base::Outcome;
using service::log;
using service::LogLevel;
using std::chrono::milliseconds;

namespace {

/// Of a xend that neither sends nor takes domains.
struct NoTransfers final : migration::TransferJournal {
    Outcome<std::vector<migration::Transfer>> load() override { return std::vector<migration::Transfer>{}; }
    Outcome<proto::relocation::Id> self() override { return base::fail(Errc::opnotsupp, "This xend moves no domains"); }
    Outcome<> save(const migration::Transfer&) override { return base::fail(Errc::opnotsupp, "This xend moves no domains"); }
    Outcome<> remove(const migration::TransferId&, Way) override { return base::ok; }
};

Ports complete(Ports ports) {
    static NoTransfers none;
    if (ports.transfers == nullptr) ports.transfers = &none;
    return ports;
}

}  // namespace

Manager::Manager(Ports ports)
    : ports_(complete(std::move(ports))),
      stores_(ports_.stores),
      names_(ports_.stores),
      devices_(ports_),
      arrivals_(*ports_.transfers) {}

std::shared_ptr<std::mutex> Manager::lock_of(const config::Uuid& uuid) {
    const std::lock_guard guard(locks_mutex_);
    std::erase_if(locks_, [](const auto& entry) { return entry.second.expired(); });
    auto lock = locks_[uuid].lock();
    if (!lock) {
        lock = std::make_shared<std::mutex>();
        locks_[uuid] = lock;
    }
    return lock;
}

Outcome<std::vector<DomainGlance>> Manager::domains() {
    const auto infos = OTRY(ports_.hypervisor.list());
    const auto names = OTRY(names_.of(infos));
    const auto records = OTRY(ports_.records.load());
    std::vector<DomainGlance> out;
    out.reserve(infos.size());
    for (size_t i = 0; i < infos.size(); ++i) {
        DomainGlance view;
        view.info = infos[i];
        view.uuid.bytes = view.info.handle;
        const uint32_t id = view.info.id.raw;
        const auto uuid_of = [](const RecordPtr& record) -> const config::Uuid& { return record->config.uuid; };
        const auto at = std::ranges::lower_bound(records, view.uuid, {}, uuid_of);
        if (at != records.end() && uuid_of(*at) == view.uuid && (*at)->domid == id) view.record = *at;
        if (!names[i].empty()) {
            view.name = names[i];
        } else if (id == 0) {
            view.name = "Domain-0";
        } else if (view.info.dying) {
            view.name = "Zombie-" + (view.record ? view.record->config.name : std::to_string(id));
        } else {
            view.name = view.record ? view.record->config.name : "Domain-" + std::to_string(id);
        }
        out.push_back(std::move(view));
    }
    return out;
}

Outcome<std::vector<Record>> Manager::failed() {
    std::vector<Record> out;
    for (const RecordPtr& record : OTRY(ports_.records.load()))
        if (record->state == RecordState::failed) out.push_back(*record);
    return out;
}

Outcome<DomainView> Manager::find(const std::string& who) {
    auto all = OTRY(domains());
    const bool number = !who.empty() && std::all_of(who.begin(), who.end(), [](char c) { return c >= '0' && c <= '9'; });
    const DomainGlance* found = nullptr;
    for (const DomainGlance& view : all) {
        const bool same = number ? std::to_string(view.info.id.raw) == who
                                 : view.name == who || (!view.uuid.is_nil() && view.uuid.text() == who);
        // A dying domain may share its uuid with its successor.
        if (same && (found == nullptr || found->info.dying)) found = &view;
    }
    if (found == nullptr) return base::fail(Errc::noent, "Domain '" + who.substr(0, 128) + "' does not exist.");
    DomainView out{{*found}, std::nullopt};
    if (found->record) out.record = *found->record;
    return out;
}

/// Finds the domain and checks that the operation is one for its state.
Outcome<DomainView> Manager::operate(const std::string& who, Operation operation) {
    DomainView view = OTRY(find(who));
    if (const std::string why = view.record ? refusal(operation, *view.record) : ""; !why.empty())
        return base::fail(Errc::busy, why);
    if (const std::string why = refusal(operation, view.info); !why.empty()) return base::fail(Errc::perm, why);
    return view;
}

/// The same with the domain's lock in `job`: as it is when the lock is there, not as it was before, while another job had it.
Outcome<DomainView> Manager::operate(const std::string& who, Operation operation, std::optional<Job>& job) {
    const DomainView before = OTRY(operate(who, operation));
    job.emplace(*this, before.uuid);
    auto view = operate(std::to_string(before.info.id.raw), operation);
    const bool gone = view ? view->uuid != before.uuid : view.failure().code == Errc::noent;
    if (gone) return base::fail(Errc::noent, "Domain '" + who.substr(0, 128) + "' does not exist.");
    return view;
}

Outcome<> Manager::pause(const std::string& who) {
    std::optional<Job> job;
    const DomainView view = OTRY(operate(who, Operation::pause, job));
    return ports_.hypervisor.pause(view.ref());
}

Outcome<> Manager::unpause(const std::string& who) {
    std::optional<Job> job;
    DomainView view = OTRY(operate(who, Operation::unpause, job));
    const bool first = view.record && view.record->start_time == 0;
    if (!first) return ports_.hypervisor.unpause(view.ref());
    auto store = OTRY(stores_.lease());
    OTRY(let_run(*store, view.ref(), *view.record));
    OTRY(ports_.records.save(*view.record));
    return watch_first_moments(*store, view);
}

/// Whether the guest has come so far that it did not die at once: it waits for something, or has computed for a while.
bool Manager::lives(const xenctrl::DomainInfo& info) const {
    constexpr int64_t a_while = 150'000'000;  // ns
    return info.blocked || info.cpu_time.n >= a_while;
}

/// A kernel that dies in its first instructions should fail `xm create`, not a log that nobody reads. The store tells of a death at
/// once; of life there is no event.
Outcome<> Manager::watch_first_moments(xenstore::Store& store, const DomainView& view) {
    const std::string deaths = "@releaseDomain", token = "first-moments";
    constexpr milliseconds long_enough{500}, longest_pause{100};
    const auto begin = std::chrono::steady_clock::now();
    // The domain runs: that nobody can look at it now is no failure of its creation.
    auto watched = store.watch(deaths, token);
    std::optional<xenctrl::DomainInfo> now;
    for (milliseconds pause{1}; watched; pause = std::min(2 * pause, longest_pause)) {
        auto looked = ports_.hypervisor.domain(view.info.id);
        if (!looked) break;
        now = *looked;
        const bool enough = std::chrono::steady_clock::now() - begin >= long_enough;
        if (!now || now->handle != view.uuid.bytes || now->shutdown || lives(*now) || enough) break;
        auto event = store.next_event(pause);
        if (!event) break;
    }
    auto ignored = store.unwatch(deaths, token);
    const bool crashed = now && now->shutdown && now->reason == xenctrl::ShutdownReason::crash;
    if (!crashed || now->handle != view.uuid.bytes) return base::ok;
    log(LogLevel::error, "domain '" + view.name + "' crashed at once after its start");
    if (view.record->config.on_crash == config::ExitAction::preserve) {
        return base::fail(Errc::noexec,
                          "Domain '" + view.name + "' crashed at once after its start and is preserved; see 'xm dmesg'");
    }
    OTRY(finish(view));
    return base::fail(Errc::noexec,
                      "Domain '" + view.name + "' crashed at once after its start; see 'xm dmesg'. It was destroyed.");
}

Outcome<> Manager::shutdown(const std::string& who, const std::string& reason) {
    if (reason != "poweroff" && reason != "halt" && reason != "reboot" && reason != "suspend" && reason != "crash") {
        return base::fail(Errc::inval, "Invalid reason: " + reason.substr(0, 40));
    }
    std::optional<Job> job;
    const DomainView view = OTRY(operate(who, Operation::shutdown, job));
    auto store = OTRY(stores_.lease());
    log(LogLevel::info, "asking domain '" + view.name + "' for " + reason);
    return xenstore::in_transaction(*store, [&](xenstore::Transaction& tx) -> Outcome<> {
        OTRY(tx.write(domain_path(view.info.id) + "/control/shutdown", reason));
        if (view.record) {
            // A shutdown somebody wanted clears the record of fast restarts.
            OTRY(tx.write(vm_path(view.uuid) + "/xend/shutdown_start_time", std::to_string(ports_.clock.unix_seconds())));
        }
        return base::ok;
    });
}

void Manager::check_shutdown_timeouts() {
    auto views = domains();
    auto store = stores_.lease();
    if (!views || !store) return;
    for (const DomainGlance& view : *views) {
        if (!view.record || view.info.shutdown || view.info.dying) continue;
        const std::string path = vm_path(view.uuid) + "/xend/";
        auto since = xenstore::read_if_there(**store, path + "shutdown_start_time");
        auto told = xenstore::read_if_there(**store, path + "unresponsive");
        if (!since || !*since || !told || *told) continue;
        const int64_t start = base::parse_number<int64_t>(**since).value_or(0);
        if (ports_.clock.unix_seconds() - start < ports_.settings.shutdown_timeout.count()) continue;
        log(LogLevel::warning, "Domain shutdown timeout expired: name=" + view.name + " id=" + std::to_string(view.info.id.raw));
        auto ignored = (*store)->write(path + "unresponsive", "True");
    }
}

Outcome<> Manager::rename(const std::string& who, const std::string& name) {
    if (!config::is_valid_name(name)) return base::fail(Errc::inval, "Invalid VM Name: '" + name.substr(0, 128) + "'");
    std::optional<Job> job;
    DomainView view = OTRY(operate(who, Operation::rename, job));
    if (view.record && view.record->saving)
        return base::fail(Errc::busy, "Domain '" + view.name + "' is on its way to another host, or to a file");
    const std::lock_guard claiming(claims_mutex_);
    auto store = OTRY(stores_.lease());
    for (const DomainGlance& other : OTRY(domains())) {
        if (other.name == name && other.info.id != view.info.id)
            return base::fail(Errc::exist, "VM name '" + name + "' already exists");
    }
    for (const RecordPtr& other : OTRY(ports_.records.load())) {
        const bool has = other->config.name == name || other->renaming == name;
        if (has && other->config.uuid != view.uuid && other->state != RecordState::failed)
            return base::fail(Errc::exist, "VM name '" + name + "' already exists");
    }
    OTRY(check_managed_name(name, {}));
    if (!view.record) return store->write(domain_path(view.info.id) + "/name", name);
    Record& record = *view.record;
    record.renaming = name;
    OTRY(ports_.records.note(record));
    auto done = give_names(*store, view.ref(), name);
    if (done) {
        Record renamed = record;
        renamed.config.name = name;
        renamed.renaming.clear();
        done = ports_.records.note(renamed);
    }
    // What does not come back at once does when the reaper looks.
    if (!done && !settle_name(*store, view.ref(), record)) log(LogLevel::error, "'" + view.name + "': " + done.failure().text);
    return done;
}

/// Everywhere but in the record, which decides.
Outcome<> Manager::give_names(xenstore::Store& store, const DomainRef& domain, const std::string& name) {
    OTRY(rename_managed(domain.uuid, name));
    return xenstore::in_transaction(store, [&](xenstore::Transaction& tx) -> Outcome<> {
        OTRY(tx.write(domain_path(domain.id) + "/name", name));
        return tx.write(vm_path(domain.uuid) + "/name", name);
    });
}

/// A domain that was not renamed to the end has its old name.
Outcome<> Manager::settle_name(xenstore::Store& store, const DomainRef& domain, Record& record) {
    OTRY(give_names(store, domain, record.config.name));
    record.renaming.clear();
    return ports_.records.note(record);
}

Outcome<> Manager::set_memory_target(const std::string& who, uint64_t mib) {
    std::optional<Job> job;
    const DomainView view = OTRY(operate(who, Operation::set_memory, job));
    const uint64_t most = view.info.max_memory_kib();
    if (mib == 0 || mib > (1U << 24U) || (view.record && mib > view.record->config.max_memory_mib()) ||
        (!view.record && mib * 1024 > most)) {
        return base::fail(Errc::inval, "Invalid memory size");
    }
    auto store = OTRY(stores_.lease());
    return store->write(domain_path(view.info.id) + "/memory/target", std::to_string(mib * 1024));
}

Outcome<> Manager::set_max_memory(const std::string& who, uint64_t mib) {
    std::optional<Job> job;
    DomainView view = OTRY(operate(who, Operation::set_memory, job));
    if (mib == 0 || mib > (1U << 24U) || mib * 256 < view.info.pages) return base::fail(Errc::inval, "Invalid memory size");
    OTRY(ports_.hypervisor.set_max_memory(view.info.id, mib * 1024 + 1024));  // 1 MiB of slack, as everybody gives
    if (!view.record) return base::ok;
    view.record->config.maxmem_mib = mib;
    view.record->config.memory_mib = std::min(view.record->config.memory_mib, mib);
    OTRY(ports_.records.note(*view.record));
    auto store = OTRY(stores_.lease());
    OTRY(store->write(vm_path(view.uuid) + "/maxmem", std::to_string(mib)));
    return store->write(domain_path(view.info.id) + "/memory/static-max", std::to_string(mib * 1024));
}

Outcome<> Manager::sysrq(const std::string& who, char key) {
    const DomainView view = OTRY(operate(who, Operation::shutdown));
    auto store = OTRY(stores_.lease());
    return store->write(domain_path(view.info.id) + "/control/sysrq", std::string(1, key));
}

Outcome<std::vector<DeviceView>> Manager::devices(const std::string& who, const std::string& kind) {
    const DomainView view = OTRY(find(who));
    auto store = OTRY(stores_.lease());
    return Devices::list(*store, view.info.id, kind);
}

Outcome<xenctrl::Sched> Manager::sched(const std::string& who) {
    const DomainView view = OTRY(find(who));
    return ports_.hypervisor.sched(view.info.id);
}

Outcome<> Manager::set_sched(const std::string& who, const xenctrl::Sched& wanted) {
    const DomainView view = OTRY(find(who));
    return ports_.hypervisor.set_sched(view.info.id, wanted);
}

Outcome<> Manager::set_pool_sched(const std::string& pool, const xenctrl::Sched& wanted) {
    const PoolView view = OTRY(find_pool(pool));
    return ports_.hypervisor.set_pool_sched(view.pool.id, wanted);
}

Outcome<xenctrl::SchedParams> Manager::sched_params(const std::string& who) {
    const DomainView view = OTRY(find(who));
    return ports_.hypervisor.sched_params(view.info.id);
}

Outcome<> Manager::set_sched_params(const std::string& who, const xenctrl::SchedParams& params) {
    const DomainView view = OTRY(find(who));
    if (params.weight == 0) return base::fail(Errc::inval, "weight is out of range");
    if (params.cap > view.info.vcpus * 100) return base::fail(Errc::inval, "cap is out of range");
    return ports_.hypervisor.set_sched_params(view.info.id, params);
}

Outcome<std::string> Manager::store_value(const std::string& path) {
    auto store = OTRY(stores_.lease());
    auto value = OTRY(xenstore::read_if_there(*store, path));
    return value.value_or("");
}

}  // namespace xend
