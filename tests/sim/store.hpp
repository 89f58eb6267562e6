// SPDX-License-Identifier: Apache-2.0
// The store daemon's own state machine, socket clients and rings, in a thread of this process; and a stand-in for the
// back-end drivers of dom0's kernel.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "tests/sim/backend.hpp"
#include "toolstack/xenctrl/control.hpp"
#include "toolstack/xend/core/ports.hpp"
#include "toolstack/xenstored/ring_session.hpp"
#include "toolstack/xenstored/socket_client.hpp"

namespace sim {

/// Serves from construction to destruction.
class StoreService final : public xenstored::Effects {
public:
    StoreService(SimBackend& backend, std::string socket_path);
    ~StoreService() override;

    xenstore::Location location() const;

    base::Outcome<xenstored::RingStart> attach_ring(base::DomId domid, base::Gfn gfn, base::Port port,
                                                    xenstored::Attach how) override;
    void detach_ring(base::DomId domid) override;
    xenstored::DomainState domain_state(base::DomId domid) override;
    void log(const std::string& line) override;

private:
    struct Link {
        Link(base::DomId domid, xencall::GrantMapping page_) : page(std::move(page_)), session(domid, page.data()) {}
        xencall::GrantMapping page;
        xenstored::RingSession session;
        base::Port port;
    };

    void loop();
    void wait();
    void accept();
    void take_events();
    void turn();
    void send_socket(uint64_t number);
    void send_ring(uint16_t domid);

    SimBackend& backend_;
    xenctrl::Control control_{backend_};
    std::string path_;
    std::unique_ptr<xencall::EventChannels> events_;
    std::unique_ptr<xencall::Grants> grants_;
    base::Port death_;
    std::unique_ptr<xenstored::Server> server_;
    int listener_ = -1;
    int stop_ = -1;
    std::map<uint64_t, std::unique_ptr<xenstored::SocketClient>> sockets_;
    std::map<uint16_t, std::unique_ptr<Link>> rings_;
    std::map<uint32_t, uint16_t> domain_of_port_;
    std::set<uint64_t> ready_sockets_;
    std::set<uint16_t> ready_rings_;
    std::thread thread_;
};

/// Moves the back ends of devices through their states, as blkback and netback do.
class BackendDrivers {
public:
    explicit BackendDrivers(const xenstore::Location& location);
    ~BackendDrivers();

private:
    void loop();
    std::unique_ptr<xenstore::Store> store_;
    std::atomic<bool> ending_{false};
    std::thread thread_;
};

}  // namespace sim
