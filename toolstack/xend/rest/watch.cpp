// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/rest/watch.hpp"

#include <algorithm>

#include "toolstack/xend/rest/objects.hpp"

namespace xend::rest {

namespace {

constexpr int64_t may_come_back = 300;  // seconds

}  // namespace

void Watch::follow(Following one) {
    const std::lock_guard guard(mutex_);
    following_.push_back(std::move(one));
}

void Watch::follow(Moving one) {
    const std::lock_guard guard(mutex_);
    moving_.push_back(std::move(one));
}

void Watch::end(const std::string& job) {
    const std::lock_guard guard(mutex_);
    std::erase_if(moving_, [&](const Moving& one) { return one.job == job; });
}

bool Watch::wanted() {
    const std::lock_guard guard(mutex_);
    const int64_t now = clock_.unix_seconds();
    if (events_.readers() != 0) last_reader_ = now;
    const bool listened = last_reader_ != 0 && now - last_reader_ < may_come_back;
    if (!listened) fresh_ = false;
    return listened || !following_.empty() || !moving_.empty();
}

void Watch::listen() {
    {
        const std::lock_guard guard(mutex_);
        last_reader_ = clock_.unix_seconds();
        if (fresh_) return;  // what has happened by now is told, or will be
    }
    look();
}

Watch::Seen Watch::seen_of(const DomainGlance& view) {
    Seen out{view.name, state_of(view.info), {}, {}, false};
    out.brief = {{"id", view.info.id.raw}, {"uuid", view.uuid.text()}, {"name", view.name}, {"state", out.state}};
    if (view.info.shutdown) out.brief["shutdown_reason"] = xenctrl::shutdown_reason_name(view.info.reason);
    if (!view.record) return out;
    out.whole = view.record->state == RecordState::live;
    for (const DeviceIntent& device : view.record->devices)
        if (device.step == DeviceStep::none) out.devices.emplace(device.kind, device.devid);
    return out;
}

void Watch::look() {
    const std::lock_guard looking(looking_);
    look_held();
}

void Watch::glance() {
    do {
        const std::unique_lock looking(looking_, std::try_to_lock);
        if (!looking) {
            again_ = true;
            return;
        }
        again_ = false;
        look_held();
    } while (again_);
}

/// The caller has looking_.
void Watch::look_held() {
    const auto domains = manager_.domains();
    if (!domains) return;  // the next look finds what this one did not
    std::map<Key, Seen> now;
    for (const DomainGlance& view : *domains) now.emplace(Key{view.info.id.raw, view.uuid}, seen_of(view));
    bool fresh = true;
    {
        const std::lock_guard guard(mutex_);
        fresh = std::exchange(fresh_, true);
    }
    if (fresh) compare(now);
    else events_.restart();
    seen_ = std::move(now);
    see_to_jobs(*domains);
    see_to_moves();
}

void Watch::compare(const std::map<Key, Seen>& now) {
    for (const auto& [key, before] : seen_) {
        if (!now.contains(key)) events_.push("domain.gone", {{"domain", before.brief}});
    }
    for (const auto& [key, one] : now) {
        const auto at = seen_.find(key);
        if (at != seen_.end()) {
            tell(at->second, one);
            continue;
        }
        events_.push("domain.created", {{"domain", one.brief}});
        if (one.state == "running") events_.push("domain.started", {{"domain", one.brief}});
    }
}

void Watch::tell(const Seen& before, const Seen& now) {
    const Json domain{{"domain", now.brief}};
    if (before.name != now.name) events_.push("domain.renamed", domain);
    if (before.state != now.state) {
        const bool ran = now.state == "running", begins = !before.whole && now.whole;
        events_.push(ran                     ? begins ? "domain.started" : "domain.unpaused"
                     : now.state == "paused" ? "domain.paused"
                     : now.state == "dying"  ? "domain.dying"
                                             : "domain.shutdown",
                     domain);
    }
    if (!before.whole || !now.whole) return;
    const auto told = [&](const auto& from, const auto& other, const char* type) {
        for (const auto& [kind, id] : from) {
            if (other.contains({kind, id})) continue;
            Json data = domain;
            data["device"] = {{"kind", kind}, {"id", id}};
            events_.push(type, data);
        }
    };
    told(now.devices, before.devices, "device.attached");
    told(before.devices, now.devices, "device.detached");
}

void Watch::see_to_jobs(const std::vector<DomainGlance>& domains) {
    std::vector<Following> all;
    {
        const std::lock_guard guard(mutex_);
        all = following_;
    }
    std::set<std::string> done;
    for (const Following& one : all) {
        const auto is = [&](const DomainGlance& view) { return view.info.id == one.domain.id && view.uuid == one.domain.uuid; };
        const auto at = std::ranges::find_if(domains, is);
        const auto job = jobs_.find(one.job);
        if (!job || job->over()) {
            done.insert(one.job);
        } else if (at == domains.end() || at->info.dying || at->info.shutdown) {
            const bool tells = at != domains.end() && at->info.shutdown;
            jobs_.succeed(one.job, {{"ended", tells ? xenctrl::shutdown_reason_name(at->info.reason) : "gone"}});
            done.insert(one.job);
        } else if (clock_.unix_seconds() >= one.until) {
            jobs_.fail(one.job, {504, "The guest was asked and has not shut down in time"});
            done.insert(one.job);
        }
    }
    const std::lock_guard guard(mutex_);
    std::erase_if(following_, [&](const Following& one) { return done.contains(one.job); });
}

void Watch::see_to_moves() {
    std::vector<Moving> all;
    {
        const std::lock_guard guard(mutex_);
        all = moving_;
    }
    for (const Moving& one : all) {
        const auto move = manager_.move_of(one.domain);
        if (move && *move) jobs_.progress(one.job, (*move)->phase.load(), (*move)->sent, (*move)->total);
    }
}

}  // namespace xend::rest
