// SPDX-License-Identifier: Apache-2.0
/// From what was discovered to attached rings and terminals, and their end.
#include <fcntl.h>
#include <pty.h>
#include <sys/epoll.h>
#include <termios.h>
#include <unistd.h>

#include "abi/xen/grant_table.hpp"
#include "toolstack/xenconsoled/daemon.hpp"

namespace xenconsoled {

using base::fail;
using base::Outcome;
using base::Unit;
using service::system_failure;

namespace {

constexpr base::GrantRef console_grant{xen::GNTTAB_RESERVED_CONSOLE};

}  // namespace

void Daemon::on_news() {
    const Discovery::News news = discovery_.take_news();
    for (const std::string& line : news.log) log(line);
    std::vector<Key> gone;
    for (auto& [key, console] : consoles_) {
        const auto at = news.consoles.find(key);
        if (at == news.consoles.end() || !at->second.same_ring(console->described)) gone.push_back(key);
        else follow_name(key, *console, at->second.domain_name);
    }
    for (const Key& key : gone) detach(key);
    std::erase_if(refused_, [&](const auto& one) {
        const auto at = news.consoles.find(one.first);
        return at == news.consoles.end() || !at->second.same_ring(one.second);
    });
    for (const auto& [key, description] : news.consoles)
        if (!consoles_.contains(key)) take_up(key, description);
}

/// One that leaves for another host is called something else until it is gone, or stays after all: what it still says belongs with
/// what it said.
void Daemon::follow_name(const Key& key, Console& console, const std::string& name) {
    std::string& known = console.described.domain_name;
    if (name == known || name == "migrating-" + known) return;
    known = name;
    open_log(key, console);
}

void Daemon::take_up(const Key& key, const Description& description) {
    auto made = attach(key, description);
    if (!made) {
        if (refused_.insert_or_assign(key, description).second)
            log("Console of domain " + std::to_string(key.domid) + ": " + made.failure().text);
        return;
    }
    Console& console = **made;
    console.events = EPOLLIN;
    const auto watched = loop_->watch(console.terminal.get(), EPOLLIN, [this, &console](uint32_t) { on_terminal(console); });
    if (!watched) {
        (void)events_->unbind(console.port);
        return log(watched.failure().text);
    }
    by_port_[console.port.raw] = &console;
    consoles_[key] = std::move(*made);
    refused_.erase(key);
    if (options_.verbose) log("Console of domain " + std::to_string(key.domid) + " is on " + console.terminal_name);
    // Whoever waits for a console waits for this.
    discovery_.announce(key, console.terminal_name);
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
        console = std::make_unique<Console>(d, granted->data(), options_.log_limit);
        console->granted = std::move(*granted);
    } else {
        const base::Gfn frames[] = {base::Gfn{d.ring_ref}};
        auto foreign = OTRY(backend_->map_foreign(domid, frames, xencall::Access::read_write).context(granted.failure().text));
        console = std::make_unique<Console>(d, foreign.data(), options_.log_limit);
        console->foreign = std::move(foreign);
    }
    OTRY(open_terminal(key, *console));
    open_log(key, *console);
    console->port = OTRY(events_->bind_interdomain(domid, base::Port{d.port}));
    return console;
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
    return base::ok;
}

void Daemon::open_log(const Key& key, Console& console) {
    if (!options_.log_guests) return;
    const std::string& name = console.described.domain_name;
    std::string file = "guest-" + safe_file_name(!name.empty() ? name : std::to_string(key.domid));
    if (const size_t at = key.path.find("/device/console/"); at != std::string::npos) {
        file += "-" + safe_file_name(key.path.substr(key.path.rfind('/') + 1));
    }
    const auto opened = console.log.open(options_.log_directory + "/" + file + ".log");
    if (!opened) log(opened.failure().text);
}

/// The last words count: what is still in the ring goes to the log and the reader.
void Daemon::detach(const Key& key) {
    const auto at = consoles_.find(key);
    if (at == consoles_.end()) return;
    Console& console = *at->second;
    take_output(console);
    by_port_.erase(console.port.raw);
    loop_->forget(console.terminal.get());
    (void)events_->unbind(console.port);
    consoles_.erase(at);
}

}  // namespace xenconsoled
