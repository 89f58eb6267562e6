// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenconsoled/discovery.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "lib/base/number.hpp"

namespace xenconsoled {

using base::Outcome;
using base::Unit;

namespace {

constexpr size_t smallest_limit = 4096;
constexpr size_t largest_limit = 16 * 1024 * 1024;
/// How soon what could not be written into the store is tried again.
constexpr int retry_ms = 1000;

std::string home_of(uint16_t domid) { return "/local/domain/" + std::to_string(domid); }

template <class T>
bool parse(const std::optional<std::string>& text, T& out) {
    const auto value = text ? base::parse_number<T>(*text) : std::nullopt;
    if (value) out = *value;
    return value.has_value();
}

/// The value, nothing when the node is not there; other failures stay failures.
Outcome<std::optional<std::string>> value_at(xenstore::Store& store, const std::string& path) {
    return xenstore::read_if_there(store, path);
}

std::optional<uint16_t> domain_of_token(std::string_view token) {
    if (!token.starts_with("console/")) return std::nullopt;
    token.remove_prefix(8);
    return base::take_number<uint16_t>(token);
}

void raise(const service::Fd& fd) {
    const uint64_t one = 1;
    (void)!::write(fd.get(), &one, sizeof one);
}

void lower(const service::Fd& fd) {
    uint64_t n = 0;
    (void)!::read(fd.get(), &n, sizeof n);
}

/// Nothing: there is no console that is ours. Errors: the store's.
Outcome<std::optional<Description>> describe(xenstore::Store& store, const Key& key) {
    std::optional<Description> none;
    const auto type = OTRY(value_at(store, key.path + "/type"));
    if (type && *type != "xenconsoled") return none;
    Description d;
    if (!parse(OTRY(value_at(store, key.path + "/ring-ref")), d.ring_ref)) return none;
    if (!parse(OTRY(value_at(store, key.path + "/port")), d.port)) return none;
    size_t limit = 0;
    if (parse(OTRY(value_at(store, key.path + "/limit")), limit)) d.limit = std::clamp(limit, smallest_limit, largest_limit);
    return std::optional<Description>(std::move(d));
}

}  // namespace

Discovery::~Discovery() {
    if (!thread_.joinable()) return;
    raise(stop_);
    raise(wake_);
    thread_.join();
}

Outcome<Unit> Discovery::start() {
    for (service::Fd* fd : {&changed_, &wake_, &stop_}) {
        *fd = service::Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        if (!*fd) return service::system_failure("eventfd");
    }
    backend_ = OTRY(xencall::open_privcmd().context("The hypervisor is not there"));
    control_ = std::make_unique<xenctrl::Control>(*backend_);
    xenstore::Location where;
    where.stop = stop_.get();
    store_ = OTRY(xenstore::open_store(where));
    OTRY(store_->watch("@introduceDomain", "domains"));
    OTRY(store_->watch("@releaseDomain", "domains"));
    thread_ = std::thread([this] { run(); });
    return base::ok;
}

Discovery::News Discovery::take_news() {
    lower(changed_);
    const std::lock_guard guard(mutex_);
    News news{news_.consoles, std::move(news_.log)};
    news_.log.clear();
    return news;
}

void Discovery::announce(const Key& key, std::string terminal) {
    const std::lock_guard guard(mutex_);
    announced_[key] = std::move(terminal);
    raise(wake_);
}

void Discovery::refresh() {
    const std::lock_guard guard(mutex_);
    refresh_ = true;
    raise(wake_);
}

void Discovery::run() {
    on_store_events();  // events may have come while we were asking other things
    for (;;) {
        std::array<pollfd, 3> fds{pollfd{store_->event_fd(), POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0},
                                  pollfd{stop_.get(), POLLIN, 0}};
        ::poll(fds.data(), fds.size(), unwritten_.empty() ? -1 : retry_ms);
        if (fds[2].revents != 0) return;
        if (fds[0].revents != 0) on_store_events();
        lower(wake_);
        bool again = false;
        {
            const std::lock_guard guard(mutex_);
            for (auto& [key, terminal] : announced_) unwritten_[key] = std::move(terminal);
            announced_.clear();
            again = std::exchange(refresh_, false);
        }
        if (again)
            for (const auto& [domid, seen] : std::map(domains_)) look_at_domain(DomId{domid});
        write_announcements();
        publish();
    }
}

void Discovery::publish() {
    const std::lock_guard guard(mutex_);
    news_.consoles = found_;
    for (std::string& line : lines_) news_.log.push_back(std::move(line));
    lines_.clear();
    raise(changed_);
}

void Discovery::on_store_events() {
    for (;;) {
        auto event = store_->poll_event();
        if (!event || !*event) break;
        if ((*event)->token == "domains") {
            look_at_domains();
        } else if (const auto domid = domain_of_token((*event)->token)) {
            look_at_domain(DomId{*domid});
        }
        publish();  // each at once: a domain may be gone with the next
    }
}

/// Compares the hypervisor's domains with those we know.
void Discovery::look_at_domains() {
    const auto all = control_->list();
    if (!all) return log("Cannot list domains: " + all.failure().text);
    for (auto& [domid, seen] : domains_) seen = false;
    for (const auto& d : *all) {
        if (d.id == DomId{0} || d.dying) continue;
        const bool fresh = !domains_.contains(d.id.raw);
        domains_[d.id.raw] = true;
        if (!fresh) continue;
        const std::string token = "console/" + std::to_string(d.id.raw);
        for (const char* below : {"/console", "/device/console"}) {
            const auto set = store_->watch(home_of(d.id.raw) + below, token);
            if (!set) log(set.failure().text);
        }
        // The watches' first events look at the domain.
    }
    std::vector<uint16_t> gone;
    for (const auto& [domid, seen] : domains_) {
        if (!seen) gone.push_back(domid);
    }
    for (const uint16_t domid : gone) forget_domain(domid);
}

void Discovery::forget_domain(uint16_t domid) {
    const std::string token = "console/" + std::to_string(domid);
    for (const char* below : {"/console", "/device/console"}) (void)store_->unwatch(home_of(domid) + below, token);
    domains_.erase(domid);
    std::erase_if(found_, [&](const auto& console) { return console.first.domid == domid; });
    std::erase_if(unwritten_, [&](const auto& console) { return console.first.domid == domid; });
}

void Discovery::look_at_domain(DomId domid) {
    if (!domains_.contains(domid.raw)) return;
    const auto name = value_at(*store_, home_of(domid.raw) + "/name");
    if (!name) return log(name.failure().text);
    std::string domain_name = (*name).value_or("");
    // One that comes from another host is called so until its old copy is gone; what it prints belongs with what it will print.
    constexpr std::string_view arriving = "--incoming";
    if (domain_name.ends_with(arriving)) domain_name.resize(domain_name.size() - arriving.size());
    look_at_console({domid.raw, home_of(domid.raw) + "/console"}, domain_name);
    const std::string others = home_of(domid.raw) + "/device/console";
    const auto names = store_->directory(others);
    if (!names && names.failure().code != base::Errc::noent) return log(names.failure().text);
    std::vector<Key> there;
    if (names)
        for (const std::string& one : *names) there.push_back({domid.raw, std::string(others).append("/").append(one)});
    for (const Key& key : there) look_at_console(key, domain_name);
    std::erase_if(found_, [&](const auto& console) {
        return console.first.path.starts_with(others + "/") && std::ranges::find(there, console.first) == there.end();
    });
}

void Discovery::look_at_console(const Key& key, const std::string& domain_name) {
    auto description = describe(*store_, key);
    if (!description) return log(description.failure().text);  // a store that is away says nothing about the console
    if (!*description) {
        found_.erase(key);
        return;
    }
    (*description)->domain_name = domain_name;
    found_[key] = std::move(**description);
}

void Discovery::write_announcements() {
    std::erase_if(unwritten_, [&](const auto& one) { return write_announcement(one.first, one.second); });
}

/// True when that is done with. Only a console that is still there gets its node: a domain that has gone must not leave one.
bool Discovery::write_announcement(const Key& key, const std::string& terminal) {
    const auto written = xenstore::in_transaction(*store_, [&](xenstore::Transaction& t) -> xenstore::Store::Status {
        if (!OTRY(t.read_if_there(key.path + "/ring-ref"))) return base::ok;
        return t.write(key.path + "/tty", terminal);
    });
    if (written) return true;
    const base::Errc why = written.failure().code;
    const bool away = why == base::Errc::notconn || why == base::Errc::timedout || why == base::Errc::intr;
    if (!away) log("Console of domain " + std::to_string(key.domid) + ": " + written.failure().text);
    return !away;
}

}  // namespace xenconsoled
