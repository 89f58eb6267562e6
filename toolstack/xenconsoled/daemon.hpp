// SPDX-License-Identifier: Apache-2.0
/// The event loop of xenconsoled: discovery tells which consoles there are, event channels when they have output, pseudo terminals
/// carry it to people. The loop itself asks the store nothing, so that consoles do not stand still with it. Everything it knows is in
/// the store and in the rings: killed and started again it makes new terminals and goes on.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "toolstack/service/event_loop.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/xencall/privcmd.hpp"
#include "toolstack/xenconsoled/capped_log.hpp"
#include "toolstack/xenconsoled/console.hpp"
#include "toolstack/xenconsoled/discovery.hpp"
#include "toolstack/xenctrl/control.hpp"

namespace xenconsoled {

struct Options {
    std::string log_directory = "/var/log/xen/console";
    std::string daemon_log;                   ///< empty: standard error
    uint64_t log_limit = uint64_t{8} << 20U;  ///< bytes of each log, of which one older is kept; 0: none
    bool log_guests = false;
    bool log_hypervisor = false;
    bool verbose = false;
};

/// A console that is being served.
struct Console {
    Console(Description d, void* page, uint64_t log_limit)
        : described(std::move(d)), ring(page), backlog(described.limit), log(log_limit) {}
    Description described;
    ConsoleRing ring;
    Backlog backlog;
    RateLimit rate;
    xencall::GrantMapping granted;
    xencall::ForeignMapping foreign;
    base::Port port;
    service::Fd terminal;  ///< our end of the pseudo terminal
    service::Fd slave;     ///< the other end, kept open so that readers may come and go
    std::string terminal_name;
    CappedLog log;
    bool masked = false;  ///< told to wait by the rate limit
    bool told_broken = false;
    uint32_t events = 0;  ///< what epoll was told about the terminal
};

class Daemon {
public:
    explicit Daemon(Options options);
    ~Daemon();
    /// Errors: what is missing (hypervisor, store), in one line.
    base::Outcome<base::Unit> start();
    base::Outcome<base::Unit> run();

private:
    void on_news();
    void on_event_channels();
    void on_signal(int signal);
    void on_terminal(Console& console);
    void on_timer();
    void arm_timer();
    base::Outcome<base::Unit> open_hypervisor_log();
    void read_hypervisor_log();

    void follow_name(const Key& key, Console& console, const std::string& name);
    void take_up(const Key& key, const Description& description);
    base::Outcome<std::unique_ptr<Console>> attach(const Key& key, const Description& description);
    base::Outcome<base::Unit> open_terminal(const Key& key, Console& console);
    void open_log(const Key& key, Console& console);
    void detach(const Key& key);

    void take_output(Console& console);
    void move_to_terminal(Console& console);
    void move_from_terminal(Console& console);
    void update_events(Console& console);
    void log(const std::string& line) { service::log(service::LogLevel::info, line); }

    Options options_;
    std::unique_ptr<xencall::Backend> backend_;
    std::unique_ptr<xenctrl::Control> control_;
    std::unique_ptr<xencall::EventChannels> events_;
    std::unique_ptr<xencall::Grants> grants_;
    Discovery discovery_;
    std::unique_ptr<service::EventLoop> loop_;
    service::EventLoop::Timer timer_ = 0;  ///< of the first masked console

    std::map<Key, std::unique_ptr<Console>> consoles_;
    std::map<uint32_t, Console*> by_port_;
    std::map<Key, Description> refused_;  ///< could not be attached, which was said once
    std::optional<base::Port> hypervisor_port_;
    CappedLog hypervisor_log_;
    uint32_t hypervisor_position_ = 0;
};

}  // namespace xenconsoled
