// SPDX-License-Identifier: Apache-2.0
// A domain that goes to another host: what the source is asked for, and what the next xend makes of one that was killed meanwhile.
#include <algorithm>
#include <utility>

#include "toolstack/service/log.hpp"
#include "toolstack/xend/core/departure.hpp"
#include "toolstack/xend/core/disk_check.hpp"
#include "toolstack/xend/core/job.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using migration::SourceSide;
using migration::Transfer;
using migration::TransferJournal;
using service::log;
using service::LogLevel;
using std::chrono::milliseconds;
namespace wire = proto::relocation;

// -- asked for ----------------------------------------------------------------------------------------------------------

Outcome<MoveReport> Manager::migrate(const std::string& who, const MoveOrder& order) {
    // Without the domain's lock it is waited for the other side: on this machine that wants the name and the uuid now.
    const auto moved = OTRY(move_away(who, order));
    constexpr milliseconds a_while{10'000};
    if (moved.line) static_cast<void>(moved.line->hear(a_while));
    return moved.report;
}

std::string MoveReport::text() const {
    const auto ms = [](Time time) {
        const auto tenths = (time.count() + 50) / 100;
        return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
    };
    const std::string how = rounds == 0 ? "" : std::to_string(rounds) + (rounds == 1 ? " round, " : " rounds, ");
    return how + std::to_string(bytes >> 20U) + " MiB, " + ms(total) + " ms; it stood still for " + ms(still()) +
           " ms at most (it suspended itself " + ms(suspending) + ", its memory " + ms(sending) + ", the other host " +
           ms(starting) + ")";
}

/// What an xend that was killed has left. Whoever comes later would be told that it is logged already.
void Manager::end_live(const DomainRef& domain) {
    const auto ended = ports_.hypervisor.end_live(domain);
    if (!ended && ended.failure().code != Errc::srch)
        log(LogLevel::error, "domain " + std::to_string(domain.id.raw) + ": " + ended.failure().text);
}

Outcome<Manager::MovedAway> Manager::move_away(const std::string& who, const MoveOrder& order) {
    std::optional<Job> job;
    DomainView view = OTRY(operate(who, Operation::migrate, job));
    auto store = OTRY(stores_.lease());
    OTRY(check_departure(*store, view, order));
    Transfer transfer;
    transfer.id = config::Uuid::random().bytes;
    transfer.domain = view.name;
    transfer.uuid = view.uuid.text();
    transfer.host = order.host;
    transfer.port = order.port;
    const std::string what = "domain '" + view.name + "' ";
    log(LogLevel::info, what + "leaves for " + order.host + ":" + std::to_string(order.port));
    Departure departure(*this, *store, view, transfer, order);
    constexpr unsigned tries = 3;
    const auto end = departure.run(SourceSide::From::beginning, tries);
    if (end == Departure::End::moved) {
        log(LogLevel::info, what + "has left for " + order.host + ": " + departure.report().text());
        return MovedAway{departure.take_line(), departure.report()};
    }
    const bool gave = end == Departure::End::undecided && departure.handed();
    const std::string why = gave ? undecided_text(*view.record, departure.reason()) : departure.reason();
    log(LogLevel::error, what + "was not moved: " + why);
    return base::fail(gave ? Errc::timedout : Errc::io, why);
}

/// Errors: what forbids it, with nothing touched.
Outcome<> Manager::check_departure(xenstore::Store& store, const DomainView& view, const MoveOrder& order) {
    if (ports_.lines == nullptr) return base::fail(Errc::opnotsupp, "This xend moves no domains");
    if (!view.record || view.record->state != RecordState::live)
        return base::fail(Errc::perm, "Domain '" + view.name + "' was not made by xend: its configuration is not known");
    if (view.record->arriving || view.record->changes())
        return base::fail(Errc::busy, "Domain '" + view.name + "' is being changed: try again");
    OTRY(check_can_move(view.record->config));
    if (order.live) {
        auto can = ports_.hypervisor.can_save_live(view.ref());
        if (!can && can.failure().code == Errc::opnotsupp)
            return base::fail(Errc::opnotsupp,
                              "live migration needs dirty logging, which this hypervisor does not offer: leave out -l");
        OTRY(std::move(can));
    }
    return offers_suspend(store, view);
}

Outcome<std::shared_ptr<const Move>> Manager::move_of(const std::string& who) {
    const DomainView view = OTRY(find(who));
    return std::shared_ptr<const Move>(moves_.find(view.uuid));
}

Outcome<> Manager::cancel_move(const std::string& who) {
    const DomainView view = OTRY(find(who));
    const auto move = moves_.find(view.uuid);
    if (!move) return base::fail(Errc::inval, "Domain '" + view.name + "' is not on its way to another host");
    return move->cancel() ? Outcome<>(base::ok) : base::fail(Errc::busy, "Domain '" + view.name + "' is handed over already");
}

std::string Manager::undecided_text(const Record& record, const std::string& why) {
    return why + ". The domain is suspended here as '" + record.renaming +
           "' until that is known; xend goes on asking. If that host is lost for good: 'xm migrate --reclaim " + record.renaming +
           "' lets it go on here";
}

// -- what a xend that was killed left, and what is undecided --------------------------------------------------------------

/// The record says that it leaves. The journal of transfers decides: given away, or not.
Outcome<> Manager::settle_departure(xenstore::Store& store, const DomainRef& domain, Record& record) {
    const auto id = config::Uuid::parse(record.saving->transfer);
    if (!id) return base::fail(Errc::badmsg, "not the name of a transfer: " + record.saving->transfer);
    const auto known = OTRY(ports_.transfers->find(id->bytes, TransferJournal::Way::out));
    DomainView view = view_of(domain.id, record);
    view.uuid = domain.uuid;
    const bool handed = known && known->step == Transfer::Step::handed;
    Transfer transfer = known.value_or(Transfer{});
    transfer.id = id->bytes;
    Departure departure(*this, store, view, transfer);
    const auto end = departure.run(handed ? SourceSide::From::handed : SourceSide::From::offered, 0);
    const std::string what = "domain '" + record.config.name + "', which was leaving for " + transfer.host + ", ";
    if (end == Departure::End::moved) log(LogLevel::warning, what + "runs there");
    if (end == Departure::End::stayed && !view.record->saving) log(LogLevel::warning, what + "goes on here");
    if (end != Departure::End::undecided) return base::ok;
    // Once, not every second.
    if (view.record->reason == departure.reason()) return base::ok;
    view.record->reason = departure.reason();
    log(LogLevel::error, what + undecided_text(*view.record, departure.reason()));
    return ports_.records.note(*view.record);
}

/// Who was handed it is asked first: what its owner believes may not be so.
Outcome<> Manager::decide_departure(const std::string& who, Decision decision) {
    const DomainView before = OTRY(find(who));
    const Job job(*this, before.uuid);
    DomainView view = OTRY(find(std::to_string(before.info.id.raw)));
    if (!view.record || !view.record->saving || view.record->saving->transfer.empty() || view.uuid != before.uuid)
        return base::fail(Errc::inval, "Domain '" + view.name + "' is not on its way to another host");
    auto store = OTRY(stores_.lease());
    const std::string name = view.record->config.name;
    const auto id = config::Uuid::parse(view.record->saving->transfer);
    const auto known = id ? OTRY(ports_.transfers->find(id->bytes, TransferJournal::Way::out)) : std::nullopt;
    const bool reclaim = decision == Decision::reclaim;
    if (known && known->step == Transfer::Step::handed) {
        Departure departure(*this, *store, view, *known);
        const auto end = departure.run(SourceSide::From::handed, 0);
        if (end == Departure::End::moved && !reclaim) return base::ok;
        if (end == Departure::End::moved)
            return base::fail(Errc::exist, "Domain '" + name + "' runs on " + known->host + ": the copy here was removed");
        if (end == Departure::End::stayed && reclaim) return base::ok;
        if (end == Departure::End::stayed)
            return base::fail(Errc::exist, known->host + " had thrown domain '" + name + "' away: it goes on here");
        if (departure.reached())
            return base::fail(Errc::busy, known->host + " is there, and does not say what became of domain '" + name + "' (" +
                                              departure.reason() +
                                              "): nothing was done. Try again, or shut that host down first");
    }
    log(LogLevel::warning,
        "domain '" + name + "' " + (reclaim ? "goes on here" : "is forgotten here") + ", as its owner decides");
    return carry_out(*store, view, decision);
}

Outcome<> Manager::carry_out(xenstore::Store& store, DomainView& view, Decision decision) {
    const auto id = config::Uuid::parse(view.record->saving->transfer);
    const auto forget = [&] { return id ? ports_.transfers->remove(id->bytes, TransferJournal::Way::out) : base::ok; };
    view.record->reason.clear();
    if (decision == Decision::forget) {
        view.record->saving.reset();
        view.record->renaming.clear();
        // First the record says that it goes: without either, whoever is killed now would let it go on.
        OTRY(finish(view));
        return forget();
    }
    // It is told first: whoever is killed now finds that nobody has the right but this side.
    OTRY(forget());
    end_live(view.ref());
    OTRY(go_on(store, view.ref(), *view.record));
    return settle_name(store, view.ref(), *view.record);
}

/// What this host says first of all.
Outcome<wire::Hello> Manager::hello() {
    wire::Hello hello;
    hello.host = OTRY(ports_.transfers->self());
    return hello;
}

/// Lines that say nothing to anybody: of domains that left, or stayed, while the journal could not be written, and of those that came
/// just when the machine went down. Who asks for one of these is told that it was thrown away. Before any connection is served.
Outcome<> Manager::sweep_transfers() {
    const auto transfers = OTRY(ports_.transfers->load());
    if (transfers.empty()) return base::ok;
    const auto records = OTRY(ports_.records.load());
    const auto domains = OTRY(ports_.hypervisor.list());
    for (const Transfer& transfer : transfers) {
        // Of one that ran here that stays: its source has a copy until it has heard of it.
        if (transfer.step == Transfer::Step::running) continue;
        const config::Uuid id{transfer.id};
        const bool goes =
            std::ranges::any_of(records, [&](const RecordPtr& r) { return r->saving && r->saving->transfer == id.text(); });
        // With its own uuid it may be the copy of a source that is this host too.
        const auto is = [&](const config::Uuid& uuid) { return uuid == id || (!goes && uuid.text() == transfer.uuid); };
        const bool comes =
            std::ranges::any_of(records, [&](const RecordPtr& r) { return is(r->config.uuid); }) ||
            std::ranges::any_of(domains, [&](const xenctrl::DomainInfo& info) { return is(config::Uuid{info.handle}); });
        if (transfer.goes_out() ? goes : comes) continue;
        log(LogLevel::warning, "domain '" + transfer.domain + "': nothing is left here of its way " +
                                   (transfer.goes_out() ? "to " : "from ") + transfer.host);
        OTRY(ports_.transfers->remove(transfer.id, transfer.goes_out() ? TransferJournal::Way::out : TransferJournal::Way::in));
    }
    return base::ok;
}

}  // namespace xend
