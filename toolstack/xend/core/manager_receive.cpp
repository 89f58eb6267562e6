// SPDX-License-Identifier: Apache-2.0
// A domain that comes from another host: what the target does, and what the next xend makes of one that was killed meanwhile. Nothing
// that the other side says is believed: the image is read as a file of unknown origin is.
#include <algorithm>

#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/service/caught.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/xend/core/arrival.hpp"
#include "toolstack/xend/core/disk_check.hpp"
#include "toolstack/xend/core/domain_nodes.hpp"

namespace xend {

using base::DomId;
using base::Errc;
using base::Outcome;
using migration::TargetStep;
using migration::Transfer;
using migration::TransferJournal;
using service::log;
using service::LogLevel;
using std::chrono::milliseconds;
namespace wire = proto::relocation;

namespace {

constexpr const char* name_suffix = "--incoming";

milliseconds patience_for(TargetStep step) {
    switch (step) {
        case TargetStep::hear_go: return milliseconds{60'000};
        case TargetStep::hear_done: return milliseconds{30'000};
        default: return milliseconds{10'000};  // the other side has nothing else to do
    }
}

/// Between two pieces of an image: until the first one the guest must suspend itself, which it may take two minutes for.
constexpr milliseconds image_patience{150'000};

Outcome<> noted_to_run(const Record& record) {
    if (record.state == RecordState::live) return base::ok;
    return base::fail(Errc::io, "domain '" + record.config.name + "' runs, and its record cannot be written");
}

bool has_cards(const Record& record) {
    return std::ranges::any_of(record.devices, [](const DeviceIntent& device) { return device.kind == "vif"; });
}

}  // namespace

Outcome<> Manager::receive(std::unique_ptr<migration::Line> line) {
    std::optional<Record> running;
    {
        auto store = OTRY(stores_.lease());
        Arrival arrival(*this, *store, *line);
        arrival.run();
        running = arrival.running();
    }
    // The source waits for the end of the line: the name is here then.
    line.reset();
    if (!running || !has_cards(*running)) return base::ok;
    // Who missed where its cards are is told again.
    for (const milliseconds pause : {milliseconds{50}, milliseconds{150}}) {
        ports_.clock.sleep(pause);
        announce_cards(*running);
    }
    return base::ok;
}

Manager::Arrival::~Arrival() {
    if (known_) manager_.arrivals_.end(id_);
}

void Manager::Arrival::run() {
    while (!side_.ended()) {
        const TargetStep step = side_.step();
        if (side_.hears()) {
            hear();
        } else if (step == TargetStep::look_up) {
            side_.found(manager_.arrivals_.answer(id_));
        } else {
            const auto done = service::caught([&] { return act(step); });
            if (done) side_.done();
            else side_.failed(done.failure().text);
        }
    }
    const std::string who = offer_.config.empty() ? "a domain" : "domain '" + record_.config.name + "'";
    if (!side_.reason().empty()) log(LogLevel::warning, who + " from " + line_.peer() + ": " + side_.reason());
}

void Manager::Arrival::hear() {
    auto message = line_.hear(patience_for(side_.step()));
    if (!message) return side_.failed(message.failure().text);
    if (auto* offer = std::get_if<wire::Offer>(&*message); offer != nullptr && side_.step() == TargetStep::hear_offer) {
        offer_ = *offer;
        id_ = offer->transfer;
    }
    if (const auto* ask = std::get_if<wire::Ask>(&*message); ask != nullptr && side_.step() == TargetStep::hear_offer)
        id_ = ask->transfer;
    side_.heard(*message);
}

Outcome<> Manager::Arrival::act(TargetStep step) {
    Manager& m = manager_;
    switch (step) {
        case TargetStep::say_hello: return line_.say(OTRY(m.hello()));
        case TargetStep::prepare: return prepare();
        case TargetStep::say_accept: return line_.say(wire::Accept{});
        case TargetStep::take_image: return take_image();
        case TargetStep::say_ready: return line_.say(wire::Ready{});
        case TargetStep::record_going: return m.arrivals_.go(transfer(Transfer::Step::going));
        case TargetStep::start: return m.start_arrival(store_, record_);
        case TargetStep::record_running: OTRY(noted_to_run(record_)); return m.arrivals_.runs(transfer(Transfer::Step::running));
        case TargetStep::say_running: runs_ = true; return line_.say(wire::Running{});
        case TargetStep::settle: return settle();
        case TargetStep::discard: return discard();
        case TargetStep::say_failed: return line_.say(wire::Failed{side_.reason()});
        case TargetStep::say_refuse: return line_.say(wire::Refuse{side_.reason()});
        case TargetStep::say_outcome: return line_.say(wire::Outcome{side_.found()});
        default: return base::fail(Errc::inval, "no step of an arrival");
    }
}

Transfer Manager::Arrival::transfer(Transfer::Step step) const {
    return {id_, step, record_.arriving->name, record_.arriving->uuid.text(), line_.peer(), 0};
}

/// Errors: why it cannot come here; nothing is left of it then.
Outcome<> Manager::Arrival::prepare() {
    if (offer_.live > 1) return base::fail(Errc::opnotsupp, "it is not understood here how it is to move");
    const proto::Sxp sxp = OTRY(proto::parse_sxp(offer_.config).context("the configuration"));
    const config::DomainConfig config = OTRY(config::from_sxp(sxp).context("the configuration"));
    if (config.uuid.is_nil() || id().is_nil() || id() == config.uuid || !config::is_valid_name(config.name + name_suffix))
        return base::fail(Errc::badmsg, "the configuration has no uuid or no name");
    if (config.memory_mib != offer_.memory_kib / 1024 || config.vcpus != offer_.vcpus)
        return base::fail(Errc::badmsg, "the offer contradicts itself");
    job_.emplace(manager_, id());
    OTRY(manager_.arrivals_.begin(id_));
    known_ = true;
    log(LogLevel::info, "domain '" + config.name + "' comes from " + line_.peer());
    record_.arriving = ArriveIntent{config.name, config.uuid};
    record_.config = config;
    record_.config.uuid = id();
    record_.config.name += name_suffix;
    OTRY(check(config));
    auto memory = service::caught([&] { return manager_.find_memory_now(store_, config.memory_mib * 256); });
    if (!memory) static_cast<void>(manager_.ports_.records.remove(id()));
    return memory;
}

/// With its record, its names and disks are the domain's.
Outcome<> Manager::Arrival::check(const config::DomainConfig& config) {
    Manager& m = manager_;
    OTRY(check_can_move(config));
    const std::lock_guard claiming(m.claims_mutex_);
    // One that comes from this machine has its name and uuid here already.
    const auto own = OTRY(m.ports_.transfers->find(id_, TransferJournal::Way::out));
    if (!own || own->uuid != config.uuid.text()) OTRY(m.check_name(config.name, config.uuid));
    OTRY(m.check_managed_name(config.name, config.uuid));
    OTRY(m.check_name(record_.config.name, id()));
    OTRY(m.check_managed_name(record_.config.name, id()));
    // check_name() passes over domains that could not be made again: their records stay, too.
    if (OTRY(m.ports_.records.find(id()))) return base::fail(Errc::exist, "The transfer's id is the uuid of a domain here");
    if (m.is_suspended(config.uuid)) return base::fail(Errc::exist, "Domain '" + config.name + "' is suspended here");
    OTRY(m.check_drivers(store_, config));
    OTRY(m.check_vnets(config));
    return m.ports_.records.note(record_);
}

Outcome<> Manager::Arrival::take_image() {
    // What stands around the pages is a small part of them.
    constexpr uint64_t around = 256U << 20U;
    // Of one that moves live, each page comes again and again.
    const bool live = offer_.live != 0;
    constexpr uint64_t times = 2, times_live = 2 + migration::Convergence::most_times + 1;
    migration::ImageReceiver image(line_, image_patience, offer_.memory_kib * 1024 * (live ? times_live : times) + around,
                                   live ? migration::RoundLimits::most_messages : 0);
    proto::saved::Reader reader(image);
    OTRY(reader.file().context("the image"));  // the offer has said it
    OTRY(manager_.build_domain(store_, record_, &reader));
    OTRY(manager_.ports_.records.note(record_));
    return image.finish();
}

/// First it is noted that it has no right to run, then it goes. Errors: it may have that right; the next look decides.
Outcome<> Manager::Arrival::discard() {
    OTRY(manager_.arrivals_.discard(id_));
    return manager_.throw_away(store_, record_);
}

Outcome<> Manager::Arrival::settle() {
    // Of one whose record does not say so, only the journal knows that it has the right to run.
    if (known_) OTRY(noted_to_run(record_));
    // Nobody asks any more. Where its name or uuid is somebody's still, the reaper tries again.
    auto forgotten = manager_.arrivals_.forget(id_);
    if (!known_) return forgotten;  // it was asked about: the domain came over another connection
    OTRY(manager_.take_identity(store_, record_));
    return forgotten;
}

// -- for connections and for the next xend ------------------------------------------------------------------------------

/// Connects its devices and lets it run, unless it does already.
Outcome<> Manager::start_arrival(xenstore::Store& store, Record& record) {
    const DomainRef domain{record.id(), record.config.uuid};
    const auto info = OTRY(ports_.hypervisor.domain(domain.id));
    if (!info || info->handle != domain.uuid.bytes) return base::fail(Errc::srch, "the domain is gone");
    if (info->paused) {
        // What an earlier xend had begun.
        if (!record.devices.empty()) OTRY(devices_.detach_all(store, domain.id, &record));
        OTRY(connect_devices(store, record));
        OTRY(let_run(store, domain, record));
    }
    // Only now: the console's daemon works on a CPU that the guest may want.
    if (const auto shown = service::caught([&] { return show_rings(store, record); }); !shown)
        log(LogLevel::error, "domain '" + record.config.name + "': " + shown.failure().text);
    Record live = record;
    OTRY(advance(live, RecordEvent::built));
    // It runs: a journal that cannot be written now is, when the reaper looks.
    const auto saved = ports_.records.save(live);
    if (!saved) log(LogLevel::error, "domain '" + record.config.name + "': " + saved.failure().text);
    if (saved) record = live;
    return base::ok;
}

/// The front ends say so too, but only when they have come to life: until then switches send to the other host.
void Manager::announce_cards(const Record& record) {
    if (ports_.neighbours == nullptr) return;
    size_t card = 0;
    for (const DeviceIntent& device : record.devices) {
        if (device.kind != "vif" || card >= record.config.vifs.size()) continue;
        const config::Vif& vif = record.config.vifs[card++];
        const auto told = device.back == 0 ? ports_.neighbours->announce(record.id(), device.devid, vif) : Outcome<>(base::ok);
        if (!told) log(LogLevel::warning, "domain '" + record.config.name + "': " + told.failure().text);
    }
}

Outcome<> Manager::throw_away(xenstore::Store& store, Record& record) {
    const auto removed = record.domid ? remove_domain(store, {record.id(), record.config.uuid}, &record) : Outcome<>(base::ok);
    if (removed) return ports_.records.remove(record.config.uuid);
    auto leaving = advance(record, RecordEvent::take_away);
    keep_trying(record, removed.failure());
    return base::ok;  // it never runs
}

/// It was being made when xend was killed, or its journal could not be written. The journal of transfers decides. True: it is
/// brought to its end; false: it has no right to run.
Outcome<bool> Manager::settle_arriving(xenstore::Store& store, Record& record) {
    const auto known = OTRY(ports_.transfers->find(record.config.uuid.bytes, TransferJournal::Way::in));
    if (!known) return false;
    auto started = service::caught([&] { return start_arrival(store, record); });
    Transfer transfer = *known;
    transfer.step = Transfer::Step::running;
    if (started) {
        OTRY(noted_to_run(record));
        log(LogLevel::warning, "domain '" + record.arriving->name + "', which had come from " + known->host + ", runs");
        OTRY(arrivals_.runs(transfer));
        return true;
    }
    log(LogLevel::error, "domain '" + record.arriving->name + "', which had come from " + known->host +
                             ", does not run: " + started.failure().text);
    OTRY(arrivals_.discard(transfer.id));
    return false;
}

/// It runs. When its source's copy is gone, name and uuid are free.
Outcome<> Manager::settle_arrived(xenstore::Store& store, Record& record) {
    auto known = OTRY(ports_.transfers->find(record.config.uuid.bytes, TransferJournal::Way::in));
    if (known && known->step == Transfer::Step::going) {
        known->step = Transfer::Step::running;
        OTRY(arrivals_.runs(*known));
    }
    const auto taken = take_identity(store, record);
    return taken || taken.failure().code == Errc::exist ? Outcome<>(base::ok) : taken;
}

/// From here on it is who it was. Errors: exist: somebody else has name or uuid still.
Outcome<> Manager::take_identity(xenstore::Store& store, Record& record) {
    OTRY(show_rings(store, record));
    const ArriveIntent who = *record.arriving;
    const Job job(*this, who.uuid);
    const std::lock_guard claiming(claims_mutex_);
    OTRY(check_name(who.name, who.uuid, record.config.uuid));
    OTRY(check_managed_name(who.name, who.uuid));
    const DomainRef before{record.id(), record.config.uuid};
    Record named = record;
    named.config.name = who.name;
    named.config.uuid = who.uuid;
    named.arriving.reset();
    auto shown = xenstore::in_transaction(store, [&](xenstore::Transaction& tx) -> Outcome<> {
        OTRY(write_nodes(tx, vm_nodes(before.id, named)));
        OTRY(tx.write(domain_path(before.id) + "/name", who.name));
        return tx.write(domain_path(before.id) + "/vm", vm_path(who.uuid));
    });
    if (!shown) return shown;
    // Whoever is killed in between leaves two records, of which the one whose uuid the domain has not is nobody's.
    OTRY(ports_.records.note(named));
    if (auto set = ports_.hypervisor.set_handle(before, who.uuid); !set) {
        static_cast<void>(ports_.records.remove(who.uuid));
        return set;
    }
    record = named;
    OTRY(ports_.records.remove(before.uuid));
    log(LogLevel::info, "domain '" + who.name + "' has come, with ID " + std::to_string(before.id.raw));
    return xenstore::remove_if_there(store, vm_path(before.uuid));
}

}  // namespace xend
