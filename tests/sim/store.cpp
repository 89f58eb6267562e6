// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/store.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace sim {

using base::DomId;
using base::Outcome;
using base::Port;

namespace {

int listen_on(const std::string& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) std::abort();
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(fd, 64) != 0) std::abort();
    return fd;
}

}  // namespace

StoreService::StoreService(SimBackend& backend, std::string socket_path) : backend_(backend), path_(std::move(socket_path)) {
    events_ = backend_.open_event_channels().take();
    grants_ = backend_.open_grants().take();
    death_ = events_->bind_virq(xen::VIRQ_DOM_EXC).take();
    server_ = std::make_unique<xenstored::Server>(xenstored::Quota{}, *this, 1000);
    server_->create_initial_nodes();
    listener_ = listen_on(path_);
    stop_ = ::eventfd(0, EFD_CLOEXEC);
    thread_ = std::thread([this] { loop(); });
}

StoreService::~StoreService() {
    const uint64_t one = 1;
    static_cast<void>(!::write(stop_, &one, sizeof one));
    thread_.join();
    rings_.clear();
    ::close(listener_);
    ::close(stop_);
    ::unlink(path_.c_str());
}

xenstore::Location StoreService::location() const {
    xenstore::Location l;
    l.sockets = {path_};
    l.device = "none";
    return l;
}

Outcome<xenstored::RingStart> StoreService::attach_ring(DomId domid, base::Gfn, Port port, xenstored::Attach) {
    const base::GrantRef ref{1};  // GNTTAB_RESERVED_XENSTORE
    auto page = OTRY(grants_->map(domid, {&ref, 1}, xencall::Access::read_write));
    auto link = std::make_unique<Link>(domid, std::move(page));
    link->port = OTRY(events_->bind_interdomain(domid, port));
    link->session.ring().start_fresh();
    domain_of_port_[link->port.raw] = domid.raw;
    ready_rings_.insert(domid.raw);
    rings_[domid.raw] = std::move(link);
    return xenstored::RingStart{};
}

void StoreService::detach_ring(DomId domid) {
    const auto at = rings_.find(domid.raw);
    if (at == rings_.end()) return;
    domain_of_port_.erase(at->second->port.raw);
    static_cast<void>(events_->unbind(at->second->port));
    rings_.erase(at);
}

xenstored::DomainState StoreService::domain_state(DomId domid) {
    const auto info = control_.info(domid);
    if (!info) return {};
    return {true, info->dying, info->shutdown};
}

void StoreService::log(const std::string& line) {
    if (std::getenv("SIM_LOG") != nullptr) std::fprintf(stderr, "xenstored: %s\n", line.c_str());
}

void StoreService::loop() {
    for (;;) {
        uint64_t stopped = 0;
        pollfd stop{stop_, POLLIN, 0};
        if (::poll(&stop, 1, 0) > 0 && ::read(stop_, &stopped, sizeof stopped) > 0) return;
        if (ready_sockets_.empty() && ready_rings_.empty()) wait();
        turn();
    }
}

void StoreService::wait() {
    std::vector<pollfd> fds{{stop_, POLLIN, 0}, {listener_, POLLIN, 0}, {events_->fd(), POLLIN, 0}};
    std::vector<uint64_t> numbers;
    for (const auto& [number, client] : sockets_) {
        const xenstored::Connection* c = server_->find(number);
        const uint32_t wanted = c != nullptr ? client->wanted_events(*c) : uint32_t{EPOLLIN};
        fds.push_back({client->fd(),
                       static_cast<short>(((wanted & EPOLLIN) != 0 ? POLLIN : 0) | ((wanted & EPOLLOUT) != 0 ? POLLOUT : 0)), 0});
        numbers.push_back(number);
    }
    ::poll(fds.data(), fds.size(), -1);
    if (fds[1].revents != 0) accept();
    if (fds[2].revents != 0) take_events();
    for (size_t i = 0; i < numbers.size(); ++i)
        if (fds[i + 3].revents != 0) ready_sockets_.insert(numbers[i]);
}

void StoreService::accept() {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    xenstored::Connection& connection = server_->add_socket();
    sockets_.emplace(connection.number, std::make_unique<xenstored::SocketClient>(service::Fd(fd), connection.number));
}

void StoreService::take_events() {
    bool died = false;
    while (auto port = events_->pending().take()) {
        static_cast<void>(events_->unmask(*port));
        if (*port == death_) died = true;
        const auto at = domain_of_port_.find(port->raw);
        if (at != domain_of_port_.end()) ready_rings_.insert(at->second);
    }
    if (died) server_->check_domains();
}

void StoreService::turn() {
    std::set<uint64_t> served_sockets = std::exchange(ready_sockets_, {});
    std::set<uint16_t> served_rings = std::exchange(ready_rings_, {});
    for (const uint64_t number : served_sockets) {
        xenstored::Connection* c = server_->find(number);
        if (c != nullptr) sockets_.at(number)->serve(*server_, *c);
    }
    for (const uint16_t domid : served_rings) {
        const auto at = rings_.find(domid);
        const auto domain = server_->domains().find(domid);
        if (at != rings_.end() && domain != server_->domains().end() && domain->second.ring != nullptr)
            at->second->session.serve(*server_, *domain->second.ring);
    }
    static_cast<void>(server_->journal().take_group());  // nothing is recovered here
    for (const uint64_t number : server_->take_touched()) {
        const xenstored::Connection* c = server_->find(number);
        if (c == nullptr) continue;
        if (c->kind == xenstored::ConnectionKind::ring) {
            served_rings.insert(c->caller.domid.raw);
        } else {
            served_sockets.insert(number);
        }
    }
    for (const uint64_t number : served_sockets) send_socket(number);
    for (const uint16_t domid : served_rings) send_ring(domid);
}

void StoreService::send_socket(uint64_t number) {
    const auto at = sockets_.find(number);
    xenstored::Connection* c = server_->find(number);
    if (at == sockets_.end() || c == nullptr) return;
    at->second->send(*c);
    server_->catch_up(*c);
    if (at->second->dead()) {
        server_->remove(*c);
        sockets_.erase(at);
    } else if (at->second->has_work(*c)) {
        ready_sockets_.insert(number);
    }
}

void StoreService::send_ring(uint16_t domid) {
    const auto at = rings_.find(domid);
    const auto domain = server_->domains().find(domid);
    if (at == rings_.end() || domain == server_->domains().end() || domain->second.ring == nullptr) return;
    Link& link = *at->second;
    xenstored::Connection& c = *domain->second.ring;
    link.session.publish();
    link.session.transmit(*server_, c);
    if (link.session.take_notification()) static_cast<void>(events_->notify(link.port));
    if (c.out.empty()) server_->catch_up(c);
    if (link.session.has_work(c) || (c.out.bytes() > 0 && server_->has_touched(c))) ready_rings_.insert(domid);
}

BackendDrivers::BackendDrivers(const xenstore::Location& location) : store_(xenstore::open_store(location).take()) {
    static_cast<void>(store_->watch("/local/domain/0/backend", "drivers"));
    thread_ = std::thread([this] { loop(); });
}

BackendDrivers::~BackendDrivers() {
    ending_ = true;
    thread_.join();
}

void BackendDrivers::loop() {
    while (!ending_) {
        auto event = store_->next_event(std::chrono::milliseconds(20));
        if (!event || !*event || !(**event).path.ends_with("/state")) continue;
        const auto state = store_->read((**event).path);
        if (!state) continue;
        if (*state == "1") static_cast<void>(store_->write((**event).path, "2"));
        if (*state == "5") static_cast<void>(store_->write((**event).path, "6"));
    }
}

}  // namespace sim
