// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "toolstack/migration/convergence.hpp"
#include "toolstack/migration/file.hpp"
#include "toolstack/xend/core/devices.hpp"
#include "toolstack/xend/core/domain_names.hpp"
#include "toolstack/xend/core/lifecycle.hpp"
#include "toolstack/xend/core/moves.hpp"
#include "toolstack/xend/core/ports.hpp"
#include "toolstack/xend/core/store_pool.hpp"

namespace xend {

/// A domain as it is now: the hypervisor's view and its name.
struct DomainFacts {
    xenctrl::DomainInfo info;
    std::string name;
    config::Uuid uuid;  // its handle
    DomainRef ref() const { return {info.id, uuid}; }
};

/// One to be worked on, with its own copy of what xend remembers if xend made it.
struct DomainView : DomainFacts {
    std::optional<Record> record;
};

/// One of many that are only looked at. `record` is null if xend did not make it.
struct DomainGlance : DomainFacts {
    RecordPtr record;
};

/// What becomes of a domain that was saved.
enum class AfterSave : uint8_t { destroy, resume };

/// Whether a new domain is left paused, or runs when its owner hears of it.
enum class Run : uint8_t { later, now };

/// Where a domain is to go.
struct MoveOrder {
    std::string host;
    uint16_t port = 8002;
    bool live = false;
    uint32_t most_mbit = 0;           // a second; 0: as fast as it goes
    migration::RoundLimits rounds{};  // of one that moves live
    // What a guest that stands still waits for: without a byte, and beyond what the rest of its memory takes. A busy host is not gone.
    std::chrono::milliseconds silence{3'000}, least_stop{10'000};
};

/// A pool of CPUs with its name.
struct PoolView {
    xenctrl::CpuPool pool;
    std::string name;
};

/// xend's core: every operation on domains. Keeps no state of its own that it could lose: each call looks at the
/// hypervisor, the store and the journal. Thread-safe; one job at a time for each domain, one build at a time. Names, uuids and
/// disks belong to whoever has a record with them, from before anything is made.
class Manager {
public:
    explicit Manager(Ports ports);

    Hypervisor& hypervisor() { return ports_.hypervisor; }

    /// Writes what tools expect to find of dom0 in the store. Errors: of the store.
    base::Outcome<> announce_dom0();
    /// The records of domains that an earlier xend left half done: each wants finish_interrupted().
    base::Outcome<std::vector<Record>> interrupted();
    /// Takes out of the journal of transfers what nobody needs. Before the first connection. Errors: of the journals.
    base::Outcome<> sweep_transfers();
    /// Brings to its end what interrupted() named.
    base::Outcome<> finish_interrupted(const Record& record);
    /// All of the above, and reap(), one after the other.
    base::Outcome<> recover();
    /// The records of domains that stopped or vanished by themselves: each wants follow_up().
    base::Outcome<std::vector<Record>> ended();
    /// Does what the configuration says for one that ended() named. True: something was busy, look again soon.
    base::Outcome<bool> follow_up(const Record& record);
    /// Both of the above, one domain after the other.
    base::Outcome<bool> reap();
    /// Notes shutdown requests that nobody answered.
    void check_shutdown_timeouts();
    /// As BlockDevices::end_dead().
    base::Outcome<> end_dead_images() { return ports_.blocks.end_dead(); }

    /// All domains in order of id.
    base::Outcome<std::vector<DomainGlance>> domains();
    /// By name, id or uuid. Errors: noent "Domain 'X' does not exist."
    base::Outcome<DomainView> find(const std::string& who);

    /// The records of domains that are no more, because they could not be made again: their names are not taken.
    base::Outcome<std::vector<Record>> failed();

    /// Keeps the configuration; nothing runs yet. Errors: exist, and of the database.
    base::Outcome<> define(config::DomainConfig config);
    /// Makes the domain whose configuration is kept, as create() does.
    base::Outcome<DomainView> start_managed(const std::string& who, Run run);
    /// Has a domain that is kept suspend itself, to where resume_managed() finds it. Errors: noent; those of save().
    base::Outcome<> suspend_managed(const std::string& who);
    /// Makes it again, as restore() does; then it is suspended no more. Errors: noent: it is not suspended; those of restore(), and it
    /// still is.
    base::Outcome<DomainView> resume_managed(const std::string& who, Run run);
    /// Whether a domain that is kept and not there can be resumed.
    bool is_suspended(const config::Uuid& uuid) const;
    /// Forgets a configuration, and what was suspended of it. Errors: noent; busy: the domain is there, or was when this began.
    base::Outcome<> forget(const std::string& who);
    /// The configurations that are kept of domains that are not there.
    base::Outcome<std::vector<config::DomainConfig>> halted();

    /// Makes the domain with its devices. On failure nothing of it is left; nor when this xend is killed before the end.
    /// One that runs at once is watched for its first moments, as by unpause(). Errors: exist, noent, busy, nomem, …: one line.
    base::Outcome<DomainView> create(config::DomainConfig config, Run run = Run::later);
    /// Has the guest suspend itself and writes it to `path`. On failure it goes on, and there is no file; so it does when this xend
    /// is killed before the file is whole. Errors: perm, opnotsupp: the guest does not suspend itself; timedout; busy: a domain needs
    /// what is there; the file's.
    base::Outcome<> save(const std::string& who, const std::string& path, AfterSave after);
    /// Makes the domain that a file holds, as create() does of a configuration. `warnings` gets what its owner should know.
    base::Outcome<DomainView> restore(const std::string& path, Run run, std::vector<std::string>& warnings);
    /// Has the guest suspend itself and go on at another host; live: when most of its memory was sent while it ran. On failure it goes
    /// on here. Errors: of save() but the file's; why the other host does not take it; timedout: nothing is known of it, it stays
    /// suspended and is asked for.
    base::Outcome<MoveReport> migrate(const std::string& who, const MoveOrder& order);
    /// What is known of a domain's way to another host; null: it is not on its way. Errors: noent.
    base::Outcome<std::shared_ptr<const Move>> move_of(const std::string& who);
    /// Has it stay, if the right to run it was not given away yet. Errors: noent; inval: it is not on its way; busy: it was.
    base::Outcome<> cancel_move(const std::string& who);
    /// Takes what another host sends over this connection, or answers it.
    base::Outcome<> receive(std::unique_ptr<migration::Line> line);
    /// What becomes of a domain that was handed over to a host that never answers again: its owner knows. A host that is there is asked,
    /// and its answer counts. Errors: noent, inval; exist: it says otherwise, which was done; busy: it is there and does not say.
    enum class Decision : uint8_t { reclaim, forget };
    base::Outcome<> decide_departure(const std::string& who, Decision decision);
    base::Outcome<> pause(const std::string& who);
    /// The first time, it also watches the first moments: a kernel that dies at once is destroyed and reported.
    base::Outcome<> unpause(const std::string& who);
    /// Asks the guest; reason is poweroff, halt, reboot, suspend or crash.
    base::Outcome<> shutdown(const std::string& who, const std::string& reason);
    base::Outcome<> destroy(const std::string& who);
    base::Outcome<> rename(const std::string& who, const std::string& name);
    base::Outcome<> set_memory_target(const std::string& who, uint64_t mib);
    base::Outcome<> set_max_memory(const std::string& who, uint64_t mib);
    base::Outcome<> sysrq(const std::string& who, char key);
    /// Where `vcpu`, or each one, may run: a list of CPUs, "all" of them. The domain is made again with it.
    base::Outcome<> pin_vcpu(const std::string& who, std::optional<uint32_t> vcpu, const std::string& cpus);
    /// Asks the guest to go on with so many of its vCPUs. The domain is made again with them.
    base::Outcome<> set_vcpus(const std::string& who, uint32_t count);
    /// Writes the domain's memory and registers to `file`, or where dumps are kept when it is empty, and tells where. Unless it is live
    /// the domain stands still meanwhile.
    enum class Dump : uint8_t { still, live };
    base::Outcome<std::string> dump_core(const std::string& who, const std::string& file, Dump how);
    base::Outcome<> send_trigger(const std::string& who, xenctrl::Trigger trigger, uint32_t vcpu);
    base::Outcome<std::vector<DeviceView>> devices(const std::string& who, const std::string& kind);
    /// Connects one more device to a domain that runs, and tells its id. Errors: exist, busy, and those of attaching; nothing of it is
    /// left then, nor when this xend is killed before the end.
    base::Outcome<uint32_t> attach_device(const std::string& who, const std::string& kind, const std::string& specifier);
    /// Takes off the one that `device` names: its id, its name in the guest or its MAC address. Errors: noent; busy: the guest does
    /// not let go of it, and nobody forced it to.
    enum class Force : uint8_t { no, yes };
    base::Outcome<> detach_device(const std::string& who, const std::string& kind, const std::string& device, Force force);
    /// Puts another medium into a CD drive. On failure the old one is in it again.
    base::Outcome<> change_medium(const std::string& who, const std::string& specifier);
    base::Outcome<std::vector<PoolView>> pools();
    /// By name or number. Errors: noent "Pool 'X' does not exist."
    base::Outcome<PoolView> find_pool(const std::string& which);
    /// With the CPUs of the list, which no other pool may have. Errors: exist; those of the hypervisor, and it is gone again.
    base::Outcome<> create_pool(const std::string& name, xenctrl::Scheduler scheduler, const std::string& cpus);
    base::Outcome<> destroy_pool(const std::string& which);
    base::Outcome<> rename_pool(const std::string& which, const std::string& name);
    base::Outcome<> change_pool_cpus(const std::string& which, const std::string& cpus, PoolChange::What what);
    base::Outcome<> move_to_pool(const std::string& who, const std::string& which);
    /// The virtual networks that are there for domains.
    base::Outcome<std::vector<Vnet>> vnets();
    /// Errors: inval; noent "Vnet 'X' does not exist."
    base::Outcome<Vnet> find_vnet(const std::string& id);
    /// Makes one of (vnet (id ID) …), and keeps it. Errors: inval; exist; those of the script; nothing of it is left then, nor when
    /// this xend is killed before the end.
    base::Outcome<Vnet> create_vnet(const proto::Sxp& description);
    /// Errors: noent; busy: a domain has a card on it, or somebody else has; those of the script, and it is there still.
    base::Outcome<> delete_vnet(const std::string& id);
    /// Ends what an earlier xend has begun with them. Before anybody asks for one. Errors: of the table.
    base::Outcome<> end_vnet_scripts();
    /// Makes those again that are kept, and takes away what an earlier xend left half made. Errors: the first one; the others are done.
    base::Outcome<> settle_vnets();
    base::Outcome<xenctrl::Sched> sched(const std::string& who);
    base::Outcome<> set_sched(const std::string& who, const xenctrl::Sched& wanted);
    base::Outcome<> set_pool_sched(const std::string& pool, const xenctrl::Sched& wanted);
    base::Outcome<xenctrl::SchedParams> sched_params(const std::string& who);
    base::Outcome<> set_sched_params(const std::string& who, const xenctrl::SchedParams& params);
    base::Outcome<std::string> store_value(const std::string& path);

private:
    class Job;       // holds a domain's lock
    class Observer;  // writes the store and the journal while the builder works

    base::Outcome<DomainView> operate(const std::string& who, Operation operation);
    base::Outcome<DomainView> operate(const std::string& who, Operation operation, std::optional<Job>& job);

    base::Outcome<> check_name(const std::string& name, const config::Uuid& uuid, const config::Uuid& except = {});
    base::Outcome<std::vector<config::DomainConfig>> managed();
    base::Outcome<config::DomainConfig> find_managed(const std::string& who);
    base::Outcome<> check_managed_name(const std::string& name, const config::Uuid& uuid);
    base::Outcome<std::vector<RecordPtr>> holders();
    base::Outcome<> check_target(const std::string& path);
    base::Outcome<> rename_managed(const config::Uuid& uuid, const std::string& name);
    base::Outcome<> give_names(xenstore::Store& store, const DomainRef& domain, const std::string& name);
    base::Outcome<> settle_name(xenstore::Store& store, const DomainRef& domain, Record& record);
    base::Outcome<> check_drivers(xenstore::Store& store, const config::DomainConfig& config);
    base::Outcome<> claim(xenstore::Store& store, const Record& record);
    base::Outcome<> claim_held(xenstore::Store& store, const Record& record);
    base::Outcome<> find_memory(xenstore::Store& store, uint64_t pages);
    base::Outcome<> find_memory_now(xenstore::Store& store, uint64_t pages);
    base::Outcome<uint64_t> free_memory_kib();
    base::Outcome<> shrink_dom0(xenstore::Store& store, uint64_t need_kib);
    base::Outcome<> limit_dom0_cpus(xenstore::Store& store);
    base::Outcome<std::vector<KeptVnet>> kept_vnets();
    base::Outcome<> run_vnet_script(const Vnet& vnet, const char* command);
    void finish_vnets();
    base::Outcome<> undo_vnet(const Vnet& vnet);
    base::Outcome<> check_vnet_unused(const Vnet& vnet);
    base::Outcome<> check_vnets(const config::DomainConfig& config);
    base::Outcome<config::DomainConfig> on_bridges(config::DomainConfig config);
    std::string checkpoint_of(const config::Uuid& uuid) const;
    base::Outcome<DomainView> restore_as(Record record, const std::string& path, proto::saved::Reader& image, Run run);
    base::Outcome<> settle_resume(xenstore::Store& store, const DomainRef& domain, Record& record);
    void fill_in(config::DomainConfig& config) const;
    base::Outcome<base::DomId> start(xenstore::Store& store, Record& record, Run run, proto::saved::Reader* image = nullptr);
    base::Outcome<> let_run(xenstore::Store& store, const DomainRef& domain, Record& record);
    base::Outcome<builder::BuiltDomain> build(xenstore::Store& store, Record& record, const builder::Plan& plan);
    base::Outcome<> keep_failed(Record& record, const std::string& reason);
    base::Outcome<builder::BuildInput> build_input(const config::DomainConfig& config);
    base::Outcome<> build_domain(xenstore::Store& store, Record& record, proto::saved::Reader* image);
    base::Outcome<> show_rings(xenstore::Store& store, Record& record);
    base::Outcome<> connect_devices(xenstore::Store& store, Record& record);
    base::Outcome<builder::BuiltDomain> restore_image(xenstore::Store& store, Record& record, const builder::BuildInput& input,
                                                      proto::saved::Reader& image);
    DomainView view_of(base::DomId domain, const Record& record);

    /// Why what is under way is to end; good while it is to go on.
    using Wanted = std::function<base::Outcome<>()>;
    base::Outcome<> suspend(
        xenstore::Store& store, const DomainView& view, const Wanted& wanted = [] { return base::Outcome<>(base::ok); });
    base::Outcome<bool> suspends_within(xenstore::Store& store, const DomainView& view, std::chrono::milliseconds time,
                                        const Wanted& wanted);
    base::Outcome<bool> withdraw_suspend(xenstore::Store& store, base::DomId domain);
    base::Outcome<config::DomainConfig> config_now(const DomainView& view);
    void note_pool(config::DomainConfig& config, uint32_t pool);
    base::Outcome<> write_image(xenstore::Store& store, DomainView& view, migration::PartFile& file);
    base::Outcome<> go_on(xenstore::Store& store, const DomainRef& domain, Record& record);
    bool may_suspend_yet(Record& record);
    base::Outcome<> settle_save(xenstore::Store& store, const DomainRef& domain, Record& record);
    base::Outcome<std::vector<DeviceNodes>> device_nodes(base::DomId domain, const Record& record);
    base::Outcome<base::DomId> backend_domain(const std::string& who);
    base::Outcome<> watch_first_moments(xenstore::Store& store, const DomainView& view);
    bool lives(const xenctrl::DomainInfo& info) const;

    class Departure;
    base::Outcome<> offers_suspend(xenstore::Store& store, const DomainView& view);
    struct MovedAway {
        std::unique_ptr<migration::Line> line;
        MoveReport report;
    };
    base::Outcome<MovedAway> move_away(const std::string& who, const MoveOrder& order);
    void end_live(const DomainRef& domain);
    base::Outcome<> check_departure(xenstore::Store& store, const DomainView& view, const MoveOrder& order);
    static std::string undecided_text(const Record& record, const std::string& why);
    base::Outcome<> carry_out(xenstore::Store& store, DomainView& view, Decision decision);
    base::Outcome<proto::relocation::Hello> hello();
    base::Outcome<> settle_departure(xenstore::Store& store, const DomainRef& domain, Record& record);

    class Arrival;
    base::Outcome<> start_arrival(xenstore::Store& store, Record& record);
    void announce_cards(const Record& record);
    base::Outcome<> throw_away(xenstore::Store& store, Record& record);
    base::Outcome<bool> settle_arriving(xenstore::Store& store, Record& record);
    base::Outcome<> settle_arrived(xenstore::Store& store, Record& record);
    base::Outcome<> take_identity(xenstore::Store& store, Record& record);

    struct NewDevice;
    base::Outcome<NewDevice> new_device(const Record& record, const std::string& kind, const std::string& specifier);
    base::Outcome<> claim_device(xenstore::Store& store, Record& record, const NewDevice& device);
    base::Outcome<> connect(xenstore::Store& store, Record& record, const NewDevice& device);
    base::Outcome<bool> ask_for_device(xenstore::Store& store, Record& record, size_t intent);
    base::Outcome<> disconnect(xenstore::Store& store, Record& record, size_t intent, Force force);
    base::Outcome<> forget_device(Record& record, size_t intent);
    base::Outcome<> finish_device_changes(xenstore::Store& store, Record& record);
    base::Outcome<> put_medium_back(xenstore::Store& store, Record& record);
    void end_scripts(const Record& record);

    base::Outcome<> remove_domain(xenstore::Store& store, const DomainRef& domain, Record* record);
    void await_gone(base::DomId domain);
    base::Outcome<> finish(const DomainView& view);
    base::Outcome<> finish_held(Record record);
    void keep_trying(Record& record, const base::Failure& why);
    base::Outcome<> forget_failed(const std::string& who, const base::Failure& otherwise);
    base::Outcome<std::string> dump(const DomainView& view, const std::string& file, Dump how);
    base::Outcome<> begin_dump(const DomainRef& domain, Record& record);
    base::Outcome<> end_dump(const DomainRef& domain, Record& record);
    bool asked_for(const DomainView& view);
    void follow_stop(const DomainView& view);
    void restart(const DomainView& view, Follow how);
    void start_again(xenstore::Store& store, Record& record);
    void preserve(const DomainView& view);
    base::Outcome<> set_aside(xenstore::Store& store, const DomainView& view, const Record& record);

    std::shared_ptr<std::mutex> lock_of(const config::Uuid& uuid);

    Ports ports_;
    StorePool stores_;
    DomainNames names_;
    Devices devices_;
    migration::Arrivals arrivals_;
    Moves moves_;
    std::mutex vnets_mutex_;   // one change of virtual networks at a time; taken before claims_mutex_
    std::mutex claims_mutex_;  // of names, uuids and disks; taken after a domain's own lock
    std::mutex build_mutex_;   // free memory is counted and taken; taken after a domain's own lock
    std::mutex locks_mutex_;
    std::map<config::Uuid, std::weak_ptr<std::mutex>> locks_;
};

/// What the owner of a failed domain can do about it.
std::string failed_remedy(const Record& record);

}  // namespace xend
