// SPDX-License-Identifier: Apache-2.0
#pragma once

// Everything outside that xend's core acts on, as interfaces: the simulator and the tests put their own behind them.

#include <chrono>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/outcome.hpp"
#include "lib/proto/saved/reader.hpp"
#include "toolstack/builder/builder.hpp"
#include "toolstack/migration/arrivals.hpp"
#include "toolstack/migration/line.hpp"
#include "toolstack/migration/live.hpp"
#include "toolstack/xenctrl/types.hpp"
#include "toolstack/xend/core/record.hpp"
#include "toolstack/xend/core/settings.hpp"
#include "toolstack/xend/core/vnet.hpp"
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
    xenctrl::NumaInfo numa;
};

/// A domain. Its number is given to another one when it is gone; number and handle together are not.
struct DomainRef {
    base::DomId id{0};
    config::Uuid uuid;
};

/// What is to be done with a pool of CPUs.
struct PoolChange {
    enum class What : uint8_t { create, destroy, add_cpu, remove_cpu, move_domain };
    What what = What::create;
    uint32_t pool = 0;
    xenctrl::Scheduler scheduler = xenctrl::Scheduler::credit2;
    uint32_t cpu = 0;
    base::DomId domain{0};
};

/// The hypervisor and the builder. Thread-safe.
class Hypervisor {
public:
    virtual ~Hypervisor() = default;
    virtual base::Outcome<std::vector<xenctrl::DomainInfo>> list() = 0;
    /// The domain of this number, if there is one.
    virtual base::Outcome<std::optional<xenctrl::DomainInfo>> domain(base::DomId id) = 0;
    virtual base::Outcome<std::vector<VcpuState>> vcpus(const xenctrl::DomainInfo& domain) = 0;
    virtual base::Outcome<HostState> host() = 0;
    virtual base::Outcome<std::vector<xenctrl::CpuPool>> pools() = 0;
    /// The number of the pool, which a new one gets here.
    virtual base::Outcome<uint32_t> change_pool(const PoolChange& change) = 0;
    virtual base::Outcome<std::string> console_ring(bool clear) = 0;
    virtual base::Outcome<> debug_keys(const std::string& keys) = 0;

    // Errors of these: srch, also when the number is another domain's by now, which is left alone.
    virtual base::Outcome<> pause(const DomainRef& domain) = 0;
    virtual base::Outcome<> unpause(const DomainRef& domain) = 0;
    virtual base::Outcome<> destroy(const DomainRef& domain) = 0;
    /// Lets a domain that has suspended itself go on where it stopped, as if nobody had asked for it.
    virtual base::Outcome<> resume(const DomainRef& domain) = 0;
    /// Writes a domain that has suspended itself. It is only looked at.
    virtual base::Outcome<> save(const DomainRef& domain, const proto::saved::FileConfig& config, proto::saved::Sink& sink) = 0;
    /// Whether a domain can be written while it runs. Errors: opnotsupp.
    virtual base::Outcome<> can_save_live(const DomainRef& domain) = 0;
    /// Begins to write a domain that runs.
    virtual base::Outcome<std::unique_ptr<migration::LiveImage>> save_live(const DomainRef& domain,
                                                                           const proto::saved::FileConfig& config,
                                                                           proto::saved::Sink& sink) = 0;
    /// Ends what a save_live() of an xend that was killed has left; nothing where there was none.
    virtual base::Outcome<> end_live(const DomainRef& domain) = 0;
    virtual base::Outcome<> set_handle(const DomainRef& domain, const config::Uuid& uuid) = 0;
    /// Writes the domain's memory and registers to a file. It is only looked at.
    virtual base::Outcome<> dump_core(const DomainRef& domain, const std::string& file) = 0;
    virtual base::Outcome<> set_affinity(const DomainRef& domain, base::VcpuId vcpu, const xenctrl::BitMap& cpus) = 0;
    virtual base::Outcome<> send_trigger(const DomainRef& domain, xenctrl::Trigger trigger, base::VcpuId vcpu) = 0;
    virtual base::Outcome<> set_max_memory(base::DomId domain, uint64_t kib) = 0;
    virtual base::Outcome<xenctrl::Sched> sched(base::DomId domain) = 0;
    virtual base::Outcome<> set_sched(base::DomId domain, const xenctrl::Sched& wanted) = 0;
    virtual base::Outcome<> set_pool_sched(uint32_t pool, const xenctrl::Sched& wanted) = 0;
    virtual base::Outcome<xenctrl::SchedParams> sched_params(base::DomId domain) = 0;
    virtual base::Outcome<> set_sched_params(base::DomId domain, const xenctrl::SchedParams& params) = 0;

    /// Reads the images and lays the domain out, creating nothing.
    virtual base::Outcome<builder::Plan> prepare(const builder::BuildInput& input) = 0;
    /// One build at a time; the domain is left paused.
    virtual base::Outcome<builder::BuiltDomain> build(const builder::Plan& plan, builder::StoreIntroduce& store,
                                                      builder::BuildObserver& observer) = 0;
    /// As build(), of what `image` holds behind its configuration.
    virtual base::Outcome<builder::BuiltDomain> restore(const builder::BuildInput& input, proto::saved::Reader& image,
                                                        builder::StoreIntroduce& store, builder::BuildObserver& observer) = 0;
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
    std::string tag{};              // marks every process of this call, for end()
    std::string* output = nullptr;  // gets what it says, up to 64 KiB, instead of the log

    /// "SCRIPT WORD …", as a setting names a script: its path, and the words behind the command.
    void take_script(const std::string& text, std::string command) {
        arguments = {std::move(command)};
        std::istringstream words(text);
        words >> path;
        for (std::string word; words >> word;) arguments.push_back(word);
    }
};

/// Runs hotplug scripts.
class Scripts {
public:
    virtual ~Scripts() = default;
    /// Waits for the script's end, not for that of what it leaves in the background.
    /// Errors: noent (no such script), timedout, io (exit status; the text has the last line of stderr).
    virtual base::Outcome<> run(const ScriptCall& call) = 0;
    /// Ends every process of calls with these tags, also of an earlier xend's, and waits until they are gone.
    virtual void end(const std::vector<std::string>& tags) = 0;
};

/// A block device for a back end to serve.
struct BlockDevice {
    std::string path;
    std::string numbers;         // "MAJOR:MINOR" in hexadecimal, as the back end reads it
    std::shared_ptr<void> held;  // a loop device that nobody holds vanishes
};

/// An image whose file holds more than the guest's bytes.
struct ImageFile {
    std::string path;
    std::string format;  // as a disk's type says: "qcow2", "vhd" …
    config::DiskMode mode = config::DiskMode::read_only;
    bool discard = true;
};

/// Block devices of dom0. Thread-safe.
class BlockDevices {
public:
    virtual ~BlockDevices() = default;
    /// Errors: noent, inval (no block device).
    virtual base::Outcome<BlockDevice> device(const std::string& path) = 0;
    /// Makes a loop device on the file; it goes by itself with its last holder. Errors: the system's.
    virtual base::Outcome<BlockDevice> loop(const std::string& file, config::DiskMode mode) = 0;
    /// Makes a device of the guest's bytes in an image, and a process that serves it. They stay until release(), whoever holds
    /// them; `tag` is theirs alone. The image is of the format that is claimed, whatever its bytes look like. Errors: inval: what is
    /// wrong with the image; noent: a file, program or driver is missing; the system's. What there is by then is to be released.
    virtual base::Outcome<BlockDevice> image(const ImageFile& image, const std::string& tag) = 0;
    /// Takes away whatever image() made for this tag, also for an earlier xend, and waits until all is in the image's file. Errors:
    /// io: a process does not end; the system's.
    virtual base::Outcome<> release(const std::string& tag) = 0;
    /// Has what waits for an image fail whose server died: Linux waits for ever. To be called now and then; it costs nothing where
    /// nothing died. Errors: the system's; it is tried again.
    virtual base::Outcome<> end_dead() = 0;
    /// True when the back end holds the device of this vbd by itself.
    virtual bool served(base::DomId front, uint32_t devid) = 0;
    /// Of a vbd whose guest has stopped: true when nothing is under way to its device any more, and all is on the disk. Errors: io.
    virtual base::Outcome<bool> settled(base::DomId front, uint32_t devid) = 0;
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
    /// All, in order of their uuids.
    virtual base::Outcome<std::vector<RecordPtr>> load() = 0;
    virtual base::Outcome<std::optional<Record>> find(const config::Uuid& uuid) = 0;
    virtual base::Outcome<> save(const Record& record) = 0;
    virtual base::Outcome<> remove(const config::Uuid& uuid) = 0;
    /// save(), before or behind a step that hangs on it. Errors: of save(), which say so.
    base::Outcome<> note(const Record& record) { return save(record).context("while writing the journal"); }
};

/// The configurations of domains that xend keeps, for good. Thread-safe.
class ManagedDomains {
public:
    virtual ~ManagedDomains() = default;
    /// In order of their names.
    virtual base::Outcome<std::vector<config::DomainConfig>> load() = 0;
    /// A new one, or the new state of one; `event` says in its history why.
    virtual base::Outcome<> save(const config::DomainConfig& config, const std::string& event) = 0;
    virtual base::Outcome<> remove(const config::Uuid& uuid) = 0;
};

/// The virtual networks that xend keeps, for good. Thread-safe.
class VnetTable {
public:
    virtual ~VnetTable() = default;
    /// In order of their ids.
    virtual base::Outcome<std::vector<KeptVnet>> load() = 0;
    /// A new one, or the new state of one.
    virtual base::Outcome<> save(const KeptVnet& vnet) = 0;
    virtual base::Outcome<> remove(const config::VnetId& id) = 0;
};

/// Who is on the same networks as domains are.
class Neighbours {
public:
    virtual ~Neighbours() = default;
    /// Tells them where this card of a domain is by now, which is connected. Does not wait. Errors: of the system.
    virtual base::Outcome<> announce(base::DomId front, uint32_t devid, const config::Vif& vif) = 0;
};

/// Another host, and what is known of its key.
struct KnownHost {
    enum class Standing : uint8_t {
        asks,   // it wants to be paired; nobody here has said so
        asked,  // it was asked for here; nobody has compared the words yet
        paired
    };
    std::string name;  // as it was asked for here, or its address
    std::string address;
    std::string words;  // that both sides show
    Standing standing = Standing::asks;
};

/// The hosts that domains may go to and come from. Thread-safe.
class Hosts {
public:
    virtual ~Hosts() = default;
    /// Exchanges keys with it. Errors: of the system; perm: it refuses.
    virtual base::Outcome<KnownHost> pair(const std::string& host, uint16_t port) = 0;
    /// Somebody has compared the words. Errors: noent.
    virtual base::Outcome<KnownHost> accept(const std::string& words) = 0;
    virtual base::Outcome<std::vector<KnownHost>> list() = 0;
    /// Errors: noent.
    virtual base::Outcome<> forget(const std::string& host) = 0;
};

struct Ports {
    Hypervisor& hypervisor;
    Stores& stores;
    Scripts& scripts;
    BlockDevices& blocks;
    Records& records;
    Clock& clock;
    Settings settings;
    ManagedDomains* managed = nullptr;                // null: none are kept
    migration::TransferJournal* transfers = nullptr;  // null: no domain comes or goes
    migration::Lines* lines = nullptr;                // null: none goes
    Neighbours* neighbours = nullptr;                 // null: there are none
    VnetTable* vnets = nullptr;                       // null: there are none
};

}  // namespace xend
