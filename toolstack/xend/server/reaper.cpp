// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/reaper.hpp"

#include <sys/epoll.h>

#include "toolstack/service/caught.hpp"
#include "toolstack/service/log.hpp"

namespace xend {

using service::log;
using service::LogLevel;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds between_looks{1000};
constexpr milliseconds when_busy{100};
constexpr int looks_between_timeouts = 30;

constexpr const char* stopped = "stopped domain ";
std::string label_of(const Record& record) { return std::string(stopped) + "'" + record.config.name + "'"; }

}  // namespace

void Reaper::look_in(milliseconds time) {
    loop_.cancel(timer_);
    timer_ = loop_.after(time, [this] { look(); });
}

void Reaper::look() {
    if (looking_) return;
    looking_ = true;
    loop_.cancel(timer_);
    if (watched_ >= 0) loop_.forget(std::exchange(watched_, -1));  // the job reads its events, or makes a new connection
    dispatcher_.post("reaper", [this] { loop_.post([this, ended = find_ended()] { looked(ended); }); });
}

/// In a job: the store or the hypervisor may take their time.
std::vector<Record> Reaper::find_ended() {
    if (!store_) {
        auto store = stores_.open();
        if (store && (*store)->watch("@releaseDomain", "reap")) store_ = std::move(store).take();
    }
    while (store_) {
        auto event = store_->poll_event();
        if (!event) store_.reset();
        if (!event || !*event) break;
    }
    if (++looks_ % looks_between_timeouts == 0) manager_.check_shutdown_timeouts();
    vitals_.tried("disks whose server died", service::caught([&] { return manager_.end_dead_images(); }));
    auto ended = service::caught([&] { return manager_.ended(); });
    vitals_.tried("stopped domains", ended ? base::Outcome<>(base::ok) : base::Outcome<>(ended.failure()));
    if (ended) return std::move(ended).take();
    log(LogLevel::warning, "while looking for stopped domains: " + ended.failure().text);
    return {};
}

void Reaper::looked(const std::vector<Record>& ended) {
    looking_ = false;
    std::set<std::string> left;
    for (const Record& record : ended) left.insert(label_of(record));
    vitals_.only(stopped, left);
    for (const Record& record : ended) follow(record);
    look_in(between_looks);
    if (!store_) return;
    const int fd = store_->event_fd();
    if (loop_.watch(fd, EPOLLIN, [this](uint32_t) { look(); })) watched_ = fd;
}

void Reaper::follow(const Record& record) {
    if (!followed_.insert(record.config.uuid).second) return;
    dispatcher_.post(Dispatcher::lane_of_domain(record.config.name), [this, record] {
        auto busy = service::caught([&] { return manager_.follow_up(record); });
        vitals_.tried(label_of(record), busy ? base::Outcome<>(base::ok) : base::Outcome<>(busy.failure()));
        if (!busy) log(LogLevel::warning, "while looking for stopped domains: " + busy.failure().text);
        loop_.post([this, uuid = record.config.uuid, again = busy && *busy] {
            followed_.erase(uuid);
            if (again) look_in(when_busy);
        });
    });
}

}  // namespace xend
