// SPDX-License-Identifier: Apache-2.0
#pragma once

// A machine for xend's tests: a store in memory whose back ends answer as Linux' do, a hypervisor that counts pages,
// scripts that succeed unless told otherwise.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <utility>

#include "lib/proto/saved/writer.hpp"
#include "toolstack/xend/core/manager.hpp"

namespace fakes {

using base::DomId;
using base::Errc;
using base::Outcome;

/// The tree all connections share.
struct Tree {
    struct Node {
        std::string value;
        xenstore::Permissions permissions;
    };
    std::map<std::string, Node> nodes{{"/", {"", {{DomId{0}, xenstore::Access::none}}}}};
    std::set<uint16_t> introduced;
    bool back_ends = true;             // they answer
    bool guests_let_go = true;         // of devices that they are asked for
    std::string broken;                // requests for paths below this fail
    std::vector<std::string> changes;  // paths, for watches
    size_t requests = 0;
    mutable std::recursive_mutex mutex;

    static std::string parent(const std::string& path) {
        const size_t slash = path.find_last_of('/');
        return slash == 0 ? "/" : path.substr(0, slash);
    }
    void make(const std::string& path) {
        if (nodes.contains(path)) return;
        make(parent(path));
        nodes[path] = {"", nodes[parent(path)].permissions};
    }
    void remove(const std::string& path) {
        const std::lock_guard guard(mutex);
        changes.push_back(path);
        std::erase_if(nodes, [&](const auto& n) { return n.first == path || n.first.starts_with(path + "/"); });
    }
    void write(const std::string& path, const std::string& value);
    Outcome<> fails(std::string_view path) const {
        if (broken.empty() || !path.starts_with(broken)) return base::ok;
        return base::fail(Errc::io, "the store has failed");
    }
    /// "path = value (permissions)" for each node, without the root.
    std::string dump(const std::string& below = "/") const;
};

class FakeStore final : public xenstore::Store {
    Tree& tree_;
    using Tx = xenstore::TransactionId;
    std::vector<std::pair<std::string, std::string>> watches_;
    std::deque<xenstore::Event> events_;
    size_t seen_ = 0;  // of the tree's changes

    std::unique_lock<std::recursive_mutex> request() {
        std::unique_lock guard(tree_.mutex);
        ++tree_.requests;
        return guard;
    }

public:
    explicit FakeStore(Tree& tree) : tree_(tree) {}
    Outcome<std::string> read(std::string_view path, Tx) override;
    Status write(std::string_view path, std::string_view value, Tx) override {
        const auto guard = request();
        OTRY(tree_.fails(path));
        tree_.write(std::string(path), std::string(value));
        return base::ok;
    }
    Status mkdir(std::string_view path, Tx) override {
        const auto guard = request();
        tree_.make(std::string(path));
        return base::ok;
    }
    Status remove(std::string_view path, Tx) override {
        const auto guard = request();
        OTRY(tree_.fails(path));
        if (!tree_.nodes.contains(Tree::parent(std::string(path)))) return base::fail(Errc::noent, "no parent");
        tree_.remove(std::string(path));
        return base::ok;
    }
    Outcome<std::vector<std::string>> directory(std::string_view path, Tx) override {
        const auto guard = request();
        OTRY(tree_.fails(path));
        if (!tree_.nodes.contains(std::string(path))) return base::fail(Errc::noent, "no node");
        std::vector<std::string> out;
        for (const auto& [name, node] : tree_.nodes) {
            if (name != "/" && Tree::parent(name) == path) out.push_back(name.substr(name.find_last_of('/') + 1));
        }
        return out;
    }
    Outcome<xenstore::Permissions> permissions(std::string_view path, Tx) override {
        const auto guard = request();
        return tree_.nodes[std::string(path)].permissions;
    }
    Status set_permissions(std::string_view path, const xenstore::Permissions& p, Tx) override {
        const auto guard = request();
        tree_.nodes[std::string(path)].permissions = p;
        return base::ok;
    }
    Outcome<Tx> start_transaction() override { return Tx{1}; }
    Status end_transaction(Tx, xenstore::Ending) override { return base::ok; }
    Status watch(std::string_view path, std::string_view token) override {
        const auto guard = request();
        if (watches_.empty()) seen_ = tree_.changes.size();
        watches_.emplace_back(path, token);
        events_.push_back({std::string(path), std::string(token)});
        return base::ok;
    }
    Status unwatch(std::string_view path, std::string_view token) override {
        const auto guard = request();
        std::erase_if(watches_, [&](const auto& w) { return w.first == path && w.second == token; });
        std::erase_if(events_, [&](const auto& e) { return e.token == token; });
        return base::ok;
    }
    int event_fd() const override { return -1; }
    Outcome<std::optional<xenstore::Event>> poll_event() override {
        const std::lock_guard guard(tree_.mutex);
        for (; seen_ < tree_.changes.size(); ++seen_) {
            const std::string& path = tree_.changes[seen_];
            for (const auto& [watched, token] : watches_) {
                if (path == watched || path.starts_with(watched + "/") || watched.starts_with(path + "/"))
                    events_.push_back({path, token});
            }
        }
        if (events_.empty()) return std::optional<xenstore::Event>{};
        std::optional<xenstore::Event> first(std::move(events_.front()));
        events_.pop_front();
        return first;
    }
    Outcome<std::optional<xenstore::Event>> next_event(std::chrono::milliseconds timeout) override {
        if (auto event = poll_event(); *event) return event;
        ::usleep(static_cast<useconds_t>(std::min<int64_t>(timeout.count(), 5) * 1000));
        return poll_event();
    }
    Status introduce(DomId domid, base::Gfn, base::Port) override {
        const auto guard = request();
        tree_.introduced.insert(domid.raw);
        return base::ok;
    }
    Status release(DomId domid) override {
        const auto guard = request();
        tree_.introduced.erase(domid.raw);
        return base::ok;
    }
    Outcome<bool> is_introduced(DomId domid) override {
        const auto guard = request();
        return tree_.introduced.contains(domid.raw);
    }
    Status set_target(DomId, DomId) override { return base::ok; }
    Status resume(DomId) override { return base::ok; }
    Outcome<std::string> domain_path(DomId domid) override { return "/local/domain/" + std::to_string(domid.raw); }
    Status reset_watches() override { return base::ok; }
    Outcome<std::string> control(const std::vector<std::string>&) override { return std::string(); }
};

struct FakeStores final : xend::Stores {
    Tree tree;
    Outcome<std::unique_ptr<xenstore::Store>> open() override;
};

/// What a domain that moves live writes, and what goes wrong with it.
struct FakeLog {
    bool offered = true, on = false;
    std::deque<uint64_t> left{1000, 100};         // pages to be sent, in each round; then none
    uint64_t rest = 0;                            // in the end
    size_t rest_bytes = 0;                        // of these, on the line
    std::string start_error, round_error, error;  // the first two: when it starts, in the second round; and in the end
    std::function<void(unsigned)> in_round;       // counted from 1
    unsigned rounds = 0;
    bool sticks = false;  // its end fails once
};

class FakeLiveImage final : public migration::LiveImage {
public:
    FakeLiveImage(FakeLog& log, proto::saved::Sink& sink, std::function<bool()> stopped)
        : log_(log), sink_(sink), stopped_(std::move(stopped)) {
        log_.on = true;
    }
    ~FakeLiveImage() override { log_.on = log_.sticks; }
    Outcome<uint64_t> left() override {
        if (stopped_()) return base::fail(Errc::io, "it ended");
        if (!log_.left.empty()) {
            left_ = log_.left.front();
            log_.left.pop_front();
        }
        return std::exchange(left_, 0);
    }
    Outcome<> send() override {
        ++log_.rounds;
        if (log_.in_round) log_.in_round(log_.rounds);
        if (log_.rounds == 2 && !log_.round_error.empty()) return base::fail(Errc::io, log_.round_error);
        return sink_.write(std::vector<std::byte>(1U << 20U));
    }
    Outcome<uint64_t> rest() override { return log_.rest; }
    Outcome<> finish() override {
        if (!log_.error.empty()) return base::fail(Errc::io, log_.error);
        return sink_.write(std::vector<std::byte>(log_.rest_bytes));
    }

private:
    FakeLog& log_;
    proto::saved::Sink& sink_;
    std::function<bool()> stopped_;
    uint64_t left_ = 0;
};

struct FakeHypervisor final : xend::Hypervisor {
    std::vector<xenctrl::DomainInfo> all;
    uint64_t free_pages = 100'000;
    uint16_t next_id = 1;
    std::string build_error;    // a build fails late with this
    std::string save_error;     // no image can be written
    size_t image_bytes = 0;     // that it has beside its head
    std::string destroy_error;  // no domain can be destroyed
    bool no_memory = false;     // a build throws
    uint64_t promised_pages = 0;
    std::function<void()> reading;  // while an image is read; the domain's memory is promised
    builder::BuildInput asked;      // of the last domain planned
    bool crash_at_once = false;     // a new domain crashes as soon as it runs
    bool busy = false;              // a new domain neither waits nor computes for long
    std::function<void()> before_unpause, before_save;
    size_t looks = 0;  // at one domain
    std::recursive_mutex mutex;
    std::map<uint16_t, xenctrl::SchedParams> params;

    FakeHypervisor();
    xenctrl::DomainInfo* at(DomId id) {
        for (auto& info : all) {
            if (info.id == id) return &info;
        }
        return nullptr;
    }
    Outcome<> with(const xend::DomainRef& ref, const std::function<void(xenctrl::DomainInfo&)>& change) {
        const std::lock_guard guard(mutex);
        auto* info = at(ref.id);
        if (info == nullptr || !same(ref)) return base::fail(Errc::srch, "No such domain");
        change(*info);
        return base::ok;
    }
    /// The guest stops by itself.
    void stop(const std::string& id, xenctrl::ShutdownReason reason) {
        auto* info = at(DomId{static_cast<uint16_t>(std::stoi(id))});
        info->shutdown = true;
        info->running = info->blocked = false;
        info->reason = reason;
    }

    Outcome<std::vector<xenctrl::DomainInfo>> list() override;
    Outcome<std::optional<xenctrl::DomainInfo>> domain(DomId id) override {
        const std::lock_guard guard(mutex);
        ++looks;
        const auto* info = at(id);
        return info == nullptr ? std::optional<xenctrl::DomainInfo>{} : std::optional(*info);
    }
    /// Whoever names a domain by number and another one's handle has confused two.
    bool same(const xend::DomainRef& ref) {
        const auto* info = at(ref.id);
        return info != nullptr && info->handle == ref.uuid.bytes;
    }
    Outcome<std::vector<xend::VcpuState>> vcpus(const xenctrl::DomainInfo& domain) override {
        std::vector<xend::VcpuState> out;
        for (uint32_t i = 0; i < domain.vcpus; ++i) {
            xend::VcpuState state;
            state.info = {base::VcpuId{i}, i == 0, !domain.running, domain.running, base::Nanos::ms(1500), i};
            state.affinity = i == 0 ? xenctrl::BitMap{} : xenctrl::BitMap{0x0d};
            out.push_back(state);
        }
        return out;
    }
    Outcome<xend::HostState> host() override {
        xend::HostState out;
        out.phys.cpus = 4;
        out.phys.nodes = 1;
        out.phys.cores_per_socket = 4;
        out.phys.threads_per_core = 1;
        out.phys.cpu_khz = 2'400'000;
        out.phys.total_pages = 262144;
        out.phys.free_pages = free_pages;
        out.phys.outstanding_pages = promised_pages;
        out.scheduler = all_pools[0].scheduler;
        out.version = {4, 17, ".5", "xen-3.0-x86_64", "", "g++", "me", "here", "today", "", 0xffff800000000000, 4096};
        out.cpus = {{0, 0, 0}, {1, 0, 0}, {2, 0, 0}, {3, 0, 0}};
        out.numa = {{{1U << 30U, 400U << 20U}}, {10}};
        return out;
    }
    std::vector<xenctrl::CpuPool> all_pools = {{0, xenctrl::Scheduler::credit2, 1, {0x0f}}};
    std::string pool_error;  // CPUs cannot be added
    Outcome<std::vector<xenctrl::CpuPool>> pools() override { return all_pools; }
    Outcome<uint32_t> change_pool(const xend::PoolChange& change) override {
        using What = xend::PoolChange::What;
        if (change.what == What::create) {
            all_pools.push_back({static_cast<uint32_t>(all_pools.size()), change.scheduler, 0, {0}});
            return all_pools.back().id;
        }
        const auto at = std::find_if(all_pools.begin(), all_pools.end(), [&](const auto& p) { return p.id == change.pool; });
        if (at == all_pools.end()) return base::fail(Errc::noent, "no pool");
        const auto bit = static_cast<uint8_t>(1U << change.cpu);
        if (change.what == What::destroy) all_pools.erase(at);
        if (change.what == What::add_cpu && !pool_error.empty()) return base::fail(Errc::busy, pool_error);
        if (change.what == What::add_cpu) at->cpus[0] = static_cast<uint8_t>(at->cpus[0] | bit);
        if (change.what == What::remove_cpu) at->cpus[0] = static_cast<uint8_t>(at->cpus[0] & ~bit);
        if (change.what == What::move_domain) {
            ++at->domains;
            if (auto* info = this->at(change.domain)) info->cpupool = change.pool;
        }
        return change.pool;
    }
    Outcome<std::string> console_ring(bool) override { return std::string("(XEN) hello\n"); }
    Outcome<> debug_keys(const std::string&) override { return base::ok; }
    Outcome<> pause(const xend::DomainRef& ref) override {
        return with(ref, [](auto& info) { info.paused = true; });
    }
    Outcome<> unpause(const xend::DomainRef& ref) override {
        if (before_unpause) before_unpause();
        return with(ref, [this](auto& info) {
            info.paused = false;
            info.blocked = !busy;
            info.cpu_time = base::Nanos::ms(busy ? 1 : 300);
            if (!crash_at_once) return;
            info.cpu_time = base::Nanos::ms(1);
            info.blocked = false;
            info.shutdown = true;
            info.reason = xenctrl::ShutdownReason::crash;
        });
    }
    Outcome<> destroy(const xend::DomainRef& ref) override {
        const std::lock_guard guard(mutex);
        if (!same(ref)) return base::fail(Errc::srch, "No such domain");
        if (!destroy_error.empty()) return base::fail(Errc::busy, destroy_error);
        free_pages += at(ref.id)->pages;
        std::erase_if(all, [&](const auto& i) { return i.id == ref.id; });
        return base::ok;
    }
    Outcome<> resume(const xend::DomainRef& ref) override {
        return with(ref, [](auto& info) { info.shutdown = false; });
    }
    Outcome<> save(const xend::DomainRef& ref, const proto::saved::FileConfig& config, proto::saved::Sink& sink) override {
        const std::lock_guard guard(mutex);
        if (!same(ref)) return base::fail(Errc::srch, "No such domain");
        if (before_save) before_save();
        if (!save_error.empty()) return base::fail(Errc::io, save_error);
        OTRY(proto::saved::Writer(sink).file(config));
        return sink.write(std::vector<std::byte>(image_bytes));
    }
    FakeLog log;
    Outcome<> can_save_live(const xend::DomainRef&) override {
        return log.offered ? Outcome<>(base::ok) : base::fail(Errc::opnotsupp, "not supported");
    }
    Outcome<std::unique_ptr<migration::LiveImage>> save_live(const xend::DomainRef& ref, const proto::saved::FileConfig& config,
                                                             proto::saved::Sink& sink) override {
        if (!same(ref)) return base::fail(Errc::srch, "No such domain");
        if (log.on) return base::fail(Errc::busy, "logged already");
        if (!log.start_error.empty()) return base::fail(Errc::nomem, log.start_error);
        OTRY(proto::saved::Writer(sink).file(config));
        return std::unique_ptr<migration::LiveImage>(new FakeLiveImage(log, sink, [this, id = ref.id] {
            const std::lock_guard guard(mutex);
            return at(id)->shutdown;
        }));
    }
    Outcome<> end_live(const xend::DomainRef&) override {
        log.on = false;
        return base::ok;
    }
    Outcome<builder::BuiltDomain> restore(const builder::BuildInput& input, proto::saved::Reader&, builder::StoreIntroduce& store,
                                          builder::BuildObserver& observer) override {
        builder::Plan plan;
        plan.input = input;
        plan.pages = input.memory_kib / 4;
        plan.max_pages = input.max_memory_kib / 4;
        promised_pages += plan.pages;
        observer.claimed();
        if (reading) reading();
        promised_pages -= plan.pages;
        return build(plan, store, observer);
    }
    Outcome<> set_handle(const xend::DomainRef& ref, const config::Uuid& uuid) override {
        return with(ref, [&](auto& info) { info.handle = uuid.bytes; });
    }
    std::vector<std::string> dumps;  // "FILE paused"
    std::string dump_error;
    std::function<void()> before_dump;
    Outcome<> dump_core(const xend::DomainRef& ref, const std::string& file) override {
        if (before_dump) before_dump();
        if (!dump_error.empty()) return base::fail(Errc::io, dump_error);
        return with(ref, [&](auto& info) { dumps.push_back(file + (info.paused ? " paused" : " running")); });
    }
    std::map<std::pair<uint16_t, uint32_t>, xenctrl::BitMap> affinity;
    Outcome<> set_affinity(const xend::DomainRef& ref, base::VcpuId vcpu, const xenctrl::BitMap& cpus) override {
        return with(ref, [&](auto& info) { affinity[{info.id.raw, vcpu.raw}] = cpus; });
    }
    std::vector<std::string> triggers;
    Outcome<> send_trigger(const xend::DomainRef& ref, xenctrl::Trigger trigger, base::VcpuId vcpu) override {
        return with(
            ref, [&](auto&) { triggers.push_back(std::to_string(static_cast<int>(trigger)) + " " + std::to_string(vcpu.raw)); });
    }
    Outcome<> set_max_memory(DomId id, uint64_t kib) override {
        at(id)->max_pages = kib / 4;
        return base::ok;
    }
    std::map<uint16_t, xenctrl::Sched> scheds;  // of domains that have not what their pool's scheduler begins with
    xenctrl::Sched pool_sched;                  // as it was set last
    Outcome<xenctrl::Sched> sched(DomId id) override {
        if (scheds.contains(id.raw)) return scheds[id.raw];
        const auto* domain = at(id);
        for (const auto& pool : all_pools) {
            if (!domain || pool.id != domain->cpupool) continue;
            if (pool.scheduler == xenctrl::Scheduler::credit || pool.scheduler == xenctrl::Scheduler::credit2)
                return xenctrl::Sched{pool.scheduler, {{"weight", params[id.raw].weight}, {"cap", params[id.raw].cap}}};
            return xenctrl::Sched{pool.scheduler, {}};
        }
        return base::fail(Errc::srch, "no domain");
    }
    Outcome<> set_sched(DomId id, const xenctrl::Sched& wanted) override {
        auto now = sched(id);
        if (!now) return std::move(now).take_failure();
        if (now->policy != wanted.policy)
            return base::fail(Errc::opnotsupp,
                              std::string("Xen is running with the ") + xenctrl::scheduler_name(now->policy) + " scheduler");
        if (wanted.values.contains("slice") && wanted.values.at("slice") == 13) return base::fail(Errc::inval, "no such slice");
        for (const auto& [name, value] : wanted.values) now->values[name] = value;
        scheds[id.raw] = *now;
        return base::ok;
    }
    Outcome<> set_pool_sched(uint32_t, const xenctrl::Sched& wanted) override {
        if (all_pools[0].scheduler != wanted.policy)
            return base::fail(Errc::opnotsupp, std::string("Xen is running with the ") +
                                                   xenctrl::scheduler_name(all_pools[0].scheduler) + " scheduler");
        pool_sched = wanted;
        return base::ok;
    }
    Outcome<xenctrl::SchedParams> sched_params(DomId id) override { return params[id.raw]; }
    Outcome<> set_sched_params(DomId id, const xenctrl::SchedParams& p) override {
        params[id.raw] = p;
        return base::ok;
    }
    Outcome<builder::Plan> prepare(const builder::BuildInput& input) override {
        builder::Plan plan;
        plan.input = input;
        const std::lock_guard guard(mutex);
        asked = input;
        plan.pages = input.memory_kib / 4;
        return plan;
    }
    Outcome<builder::BuiltDomain> build(const builder::Plan& plan, builder::StoreIntroduce& store,
                                        builder::BuildObserver& observer) override {
        const std::lock_guard guard(mutex);
        if (no_memory) throw std::bad_alloc();
        xenctrl::DomainInfo info{};
        info.id = DomId{next_id++};
        info.paused = true;
        info.handle = plan.input.uuid;
        info.cpupool = plan.input.cpupool;
        info.vcpus = plan.input.vcpus;
        info.online_vcpus = 1;
        info.pages = plan.pages;
        info.max_pages = plan.input.max_memory_kib / 4;
        free_pages -= info.pages;
        all.push_back(info);
        auto told = observer.created(info.id);
        if (told && !build_error.empty()) told = base::fail(Errc::nomem, build_error);
        if (told) told = store.introduce(info.id, base::Mfn{1000}, base::Port{1});
        if (!told) {
            auto ignored = destroy({info.id, config::Uuid{plan.input.uuid}});
            return std::move(told).take_failure();
        }
        return builder::BuiltDomain{info.id, base::Mfn{1000}, base::Port{1}, base::Mfn{1001}, base::Port{2}};
    }
};

struct FakeScripts final : xend::Scripts {
    Tree& tree;
    std::vector<std::string> calls;  // "vif-bridge online vif1.0"
    std::vector<std::string> words;  // all arguments of the last call
    std::vector<std::vector<std::string>> all_words;
    std::string error;               // hotplug-error of the next `add` or `online`
    std::function<void()> before;    // called when a script starts
    std::vector<std::string> tags;   // of all calls
    std::vector<std::string> ended;  // what end() was told
    std::function<Outcome<>(const xend::ScriptCall&)> boot_loader;

    explicit FakeScripts(Tree& t) : tree(t) {}
    Outcome<> run(const xend::ScriptCall& call) override;
    void end(const std::vector<std::string>& names) override { ended.insert(ended.end(), names.begin(), names.end()); }
};

/// Loop devices that are there for as long as somebody holds them: xend, or the back end from its third look on.
struct FakeBlocks final : xend::BlockDevices {
    std::vector<std::weak_ptr<void>> loops;
    std::string error;
    std::atomic<int> looks = 0;
    std::mutex mutex;

    Outcome<xend::BlockDevice> device(const std::string& path) override;
    Outcome<xend::BlockDevice> loop(const std::string&, config::DiskMode) override {
        if (!error.empty()) return base::fail(Errc::io, error);
        const std::lock_guard guard(mutex);
        std::shared_ptr<void> held = std::make_shared<int>();
        loops.emplace_back(held);
        return xend::BlockDevice{"/dev/loop0", "7:0", held};
    }
    std::map<std::string, xend::ImageFile> images;  // that are served, by their tags
    std::string image_error;                        // of the next image(), which has begun by then
    std::string release_error;
    std::function<void(const std::string&)> before_image;
    Outcome<xend::BlockDevice> image(const xend::ImageFile& image, const std::string& tag) override {
        if (before_image) before_image(tag);
        const std::lock_guard guard(mutex);
        images[tag] = image;
        if (!image_error.empty()) return base::fail(Errc::inval, image_error);
        return xend::BlockDevice{"/dev/nbd" + std::to_string(images.size() - 1), "2b:" + std::to_string(images.size() - 1),
                                 nullptr};
    }
    Outcome<> end_dead() override { return base::ok; }
    Outcome<> release(const std::string& tag) override {
        if (!release_error.empty()) return base::fail(Errc::io, release_error);
        const std::lock_guard guard(mutex);
        images.erase(tag);
        return base::ok;
    }
    bool served(DomId, uint32_t) override { return ++looks % 3 == 0; }
    std::string settle_error;
    std::chrono::milliseconds busy{};  // always; so long a look takes
    Outcome<bool> settled(DomId, uint32_t) override {
        if (busy.count() != 0) {
            ::usleep(static_cast<useconds_t>(busy.count() * 1000));
            return false;
        }
        if (!settle_error.empty()) return base::fail(Errc::io, settle_error);
        return ++looks % 3 == 0;
    }
};

struct FakeRecords final : xend::Records {
    std::map<config::Uuid, xend::Record> all;
    std::mutex mutex;
    Outcome<std::vector<xend::RecordPtr>> load() override;
    Outcome<std::optional<xend::Record>> find(const config::Uuid& uuid) override {
        const std::lock_guard guard(mutex);
        const auto at = all.find(uuid);
        return at == all.end() ? std::optional<xend::Record>{} : std::optional(at->second);
    }
    std::function<void(const xend::Record&)> saved;
    std::function<void(const xend::Record&)> after_save;
    std::function<Outcome<>(const xend::Record&)> refuse;
    Outcome<> save(const xend::Record& record) override {
        const std::lock_guard guard(mutex);
        if (refuse) OTRY(refuse(record));
        if (saved) saved(record);
        all[record.config.uuid] = record;
        if (after_save) after_save(record);
        return base::ok;
    }
    Outcome<> remove(const config::Uuid& uuid) override {
        const std::lock_guard guard(mutex);
        all.erase(uuid);
        return base::ok;
    }
};

struct FakeClock final : xend::Clock {
    int64_t now = 1'000'000;
    int64_t unix_seconds() override;
    int64_t local_offset() override { return 7200; }
    std::function<void()> slept;
    void sleep(std::chrono::milliseconds) override {
        if (slept) slept();
    }
};

/// Domains start on several threads; `told` is read when they have ended.
struct FakeNeighbours final : xend::Neighbours {
    std::mutex mutex;
    std::vector<std::string> told;
    Outcome<> announce(DomId front, uint32_t devid, const config::Vif& vif) override;
};

/// A folder that vanishes with the test.
struct Folder {
    std::filesystem::path path;
    Folder();
    ~Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    std::string file(const std::string& name, const std::string& text = "x") const {
        std::ofstream(path / name) << text;
        return (path / name).string();
    }
};

/// All of it together.
struct Machine {
    Folder folder;
    FakeStores stores;
    FakeHypervisor hypervisor;
    FakeScripts scripts{stores.tree};
    FakeBlocks blocks;
    FakeRecords records;
    FakeClock clock;
    FakeNeighbours neighbours;
    xend::Manager manager;

    static xend::Settings settings();
    explicit Machine(const xend::Settings& with = settings(), xend::ManagedDomains* kept = nullptr,
                     migration::TransferJournal* transfers = nullptr, migration::Lines* lines = nullptr);
    ~Machine();

    /// A domain with a kernel file, a disk file and a card.
    config::DomainConfig demo(const std::string& name = "demo");
    std::string nodes(const std::string& below = "/") const { return stores.tree.dump(below); }
};

}  // namespace fakes
