// SPDX-License-Identifier: Apache-2.0
/// Which consoles there are: from the store's watches to attached rings and terminals, and their end.
#include <fcntl.h>
#include <pty.h>
#include <sys/epoll.h>
#include <termios.h>
#include <unistd.h>

#include "lib/base/number.hpp"
#include "toolstack/xenconsoled/daemon.hpp"

namespace xenconsoled {

using base::fail;
using base::Outcome;
using base::Unit;
using service::system_failure;

namespace {

constexpr base::GrantRef console_grant{0};  ///< Source: GNTTAB_RESERVED_CONSOLE, grant_table.h
constexpr size_t smallest_limit = 4096;
constexpr size_t largest_limit = 16 * 1024 * 1024;

std::string home_of(uint16_t domid) { return "/local/domain/" + std::to_string(domid); }

template <class T>
bool parse(const std::optional<std::string>& text, T& out) {
    const auto value = text ? base::parse_number<T>(*text) : std::nullopt;
    if (value) out = *value;
    return value.has_value();
}

std::optional<std::string> value_at(xenstore::Store& store, const std::string& path) {
    auto value = store.read(path);
    if (!value) return std::nullopt;
    return std::move(value).take();
}

std::optional<uint16_t> domain_of_token(std::string_view token) {
    if (!token.starts_with("console/")) return std::nullopt;
    token.remove_prefix(8);
    return base::take_number<uint16_t>(token);
}

}  // namespace

void Daemon::on_store_events() {
    for (;;) {
        auto event = store_->poll_event();
        if (!event || !*event) return;
        if ((*event)->token == "domains") {
            look_at_domains();
        } else if (const auto domid = domain_of_token((*event)->token)) {
            look_at_domain(DomId{*domid});
        }
    }
}

/// Compares the hypervisor's domains with those we serve.
void Daemon::look_at_domains() {
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

void Daemon::forget_domain(uint16_t domid) {
    const std::string token = "console/" + std::to_string(domid);
    for (const char* below : {"/console", "/device/console"}) (void)store_->unwatch(home_of(domid) + below, token);
    domains_.erase(domid);
    while (true) {
        const auto at = consoles_.lower_bound(Key{domid, ""});
        if (at == consoles_.end() || at->first.domid != domid) return;
        detach(Key(at->first));
    }
}

void Daemon::look_at_domain(DomId domid) {
    if (!domains_.contains(domid.raw)) return;
    look_at_console({domid.raw, home_of(domid.raw) + "/console"});
    const std::string others = home_of(domid.raw) + "/device/console";
    auto names = store_->directory(others);
    if (!names) return;
    for (const std::string& name : *names) {
        std::string path = others;
        path.append("/").append(name);
        look_at_console({domid.raw, std::move(path)});
    }
}

std::optional<Description> Daemon::describe(const Key& key) {
    const auto type = value_at(*store_, key.path + "/type");
    if (type && *type != "xenconsoled") return std::nullopt;
    Description d;
    if (!parse(value_at(*store_, key.path + "/ring-ref"), d.ring_ref)) return std::nullopt;
    if (!parse(value_at(*store_, key.path + "/port"), d.port)) return std::nullopt;
    size_t limit = 0;
    if (parse(value_at(*store_, key.path + "/limit"), limit)) d.limit = std::clamp(limit, smallest_limit, largest_limit);
    return d;
}

void Daemon::look_at_console(const Key& key) {
    const auto description = describe(key);
    const auto known = consoles_.find(key);
    if (known != consoles_.end()) {
        if (description && *description == known->second->described) return;
        detach(key);
    }
    if (!description) return;
    auto made = attach(key, *description);
    if (!made) return log("Console of domain " + std::to_string(key.domid) + ": " + made.failure().text);
    Console& console = **made;
    by_port_[console.port.raw] = &console;
    by_terminal_[console.terminal.get()] = &console;
    consoles_[key] = std::move(*made);
    if (options_.verbose) log("Console of domain " + std::to_string(key.domid) + " is on " + console.terminal_name);
    // Output may have been waiting since before we came.
    take_output(console);
    (void)events_->notify(console.port);
}

Outcome<std::unique_ptr<Console>> Daemon::attach(const Key& key, const Description& d) {
    const DomId domid{key.domid};
    const bool primary = key.path.ends_with("/console") && !key.path.ends_with("/device/console");
    const base::GrantRef refs[] = {console_grant};
    std::unique_ptr<Console> console;
    auto granted = primary ? grants_->map(domid, refs, xencall::Access::read_write)
                           : Outcome<xencall::GrantMapping>(fail(base::Errc::noent, "Only a first console has a reserved grant"));
    if (granted) {
        console = std::make_unique<Console>(d, granted->data());
        console->granted = std::move(*granted);
    } else {
        const base::Gfn frames[] = {base::Gfn{d.ring_ref}};
        auto foreign = OTRY(backend_->map_foreign(domid, frames, xencall::Access::read_write).context(granted.failure().text));
        console = std::make_unique<Console>(d, foreign.data());
        console->foreign = std::move(foreign);
    }
    OTRY(open_terminal(key, *console));
    open_log(key, *console);
    console->port = OTRY(events_->bind_interdomain(domid, base::Port{d.port}));
    // Last, since whoever waits for a console waits for this.
    auto told = store_->write(key.path + "/tty", console->terminal_name);
    if (told) return console;
    (void)events_->unbind(console->port);
    return std::move(told).take_failure();
}

Outcome<Unit> Daemon::open_terminal(const Key& key, Console& console) {
    int master = -1, slave = -1;
    if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0) return system_failure("Cannot make a pseudo terminal");
    console.terminal = service::Fd(master);
    console.slave = service::Fd(slave);
    termios modes{};
    if (::tcgetattr(slave, &modes) == 0) {
        ::cfmakeraw(&modes);
        ::tcsetattr(slave, TCSANOW, &modes);
    }
    for (const int fd : {master, slave}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(master, F_SETFL, ::fcntl(master, F_GETFL) | O_NONBLOCK);
    char name[64];
    if (::ttyname_r(slave, name, sizeof name) != 0) return system_failure("The pseudo terminal of " + key.path + " has no name");
    console.terminal_name = name;
    OTRY(watch_fd(master));
    console.events = EPOLLIN;
    return base::ok;
}

void Daemon::open_log(const Key& key, Console& console) {
    if (!options_.log_guests) return;
    const auto name = value_at(*store_, home_of(key.domid) + "/name");
    std::string file = "guest-" + safe_file_name(name && !name->empty() ? *name : std::to_string(key.domid));
    if (const size_t at = key.path.find("/device/console/"); at != std::string::npos) {
        file += "-" + safe_file_name(key.path.substr(key.path.rfind('/') + 1));
    }
    console.log_path = options_.log_directory + "/" + file + ".log";
    console.log = service::Fd(::open(console.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    if (!console.log) log(system_failure("Cannot open " + console.log_path).text);
}

/// The last words count: what is still in the ring goes to the log and the reader.
void Daemon::detach(const Key& key) {
    const auto at = consoles_.find(key);
    if (at == consoles_.end()) return;
    Console& console = *at->second;
    take_output(console);
    by_port_.erase(console.port.raw);
    by_terminal_.erase(console.terminal.get());
    (void)events_->unbind(console.port);
    consoles_.erase(at);
}

}  // namespace xenconsoled
