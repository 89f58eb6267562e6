// SPDX-License-Identifier: Apache-2.0
/// Which consoles there are, by what the store says. It is found out in a thread of its own: while the store is away, or hangs, the
/// consoles that are served go on.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "toolstack/service/fd.hpp"
#include "toolstack/xencall/privcmd.hpp"
#include "toolstack/xenconsoled/console.hpp"
#include "toolstack/xenctrl/control.hpp"
#include "toolstack/xenstore/client.hpp"

namespace xenconsoled {

using base::DomId;

/// Where a console's nodes are: "/local/domain/N/console" or "/local/domain/N/device/console/I".
struct Key {
    uint16_t domid;
    std::string path;
    auto operator<=>(const Key&) const = default;
};

/// A console as the store describes it.
struct Description {
    uint64_t ring_ref = 0;
    uint32_t port = 0;
    size_t limit = default_backlog;
    std::string domain_name;
    /// Whether it is still the same console.
    bool same_ring(const Description& o) const { return ring_ref == o.ring_ref && port == o.port && limit == o.limit; }
};

class Discovery {
public:
    Discovery() = default;
    ~Discovery();
    /// Connects to store and hypervisor, and begins. Errors: what is missing.
    base::Outcome<base::Unit> start();
    /// Readable when there is something new.
    int fd() const { return changed_.get(); }

    struct News {
        std::map<Key, Description> consoles;  ///< all there are
        std::vector<std::string> log;         ///< lines since the last time
    };
    News take_news();
    /// The console at `key` is on this terminal: it is written to its `tty` node as soon as that can be done.
    void announce(const Key& key, std::string terminal);
    /// Looks at everything again: names of domains may have changed.
    void refresh();

private:
    // The thread's.
    void run();
    void on_store_events();
    void look_at_domains();
    void look_at_domain(DomId domid);
    void look_at_console(const Key& key, const std::string& domain_name);
    void forget_domain(uint16_t domid);
    void write_announcements();
    bool write_announcement(const Key& key, const std::string& terminal);
    void publish();
    void log(std::string line) { lines_.push_back(std::move(line)); }

    std::unique_ptr<xencall::Backend> backend_;
    std::unique_ptr<xenctrl::Control> control_;
    std::unique_ptr<xenstore::Store> store_;
    std::map<uint16_t, bool> domains_;  ///< those whose consoles are watched; the value: seen in the present listing
    std::map<Key, Description> found_;
    std::vector<std::string> lines_;
    std::map<Key, std::string> unwritten_;

    service::Fd changed_;  ///< eventfd for the loop
    service::Fd wake_;     ///< eventfd for the thread
    service::Fd stop_;     ///< eventfd: the thread ends, also out of a request
    std::mutex mutex_;     ///< of what follows
    News news_;
    std::map<Key, std::string> announced_;
    bool refresh_ = false;
    std::thread thread_;
};

}  // namespace xenconsoled
