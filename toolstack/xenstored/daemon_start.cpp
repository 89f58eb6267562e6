// SPDX-License-Identifier: Apache-2.0
/// Starting: recovery, the hypervisor's devices, taking up rings, the listening socket.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>

#include "abi/xen/basic.hpp"
#include "abi/xen/grant_table.hpp"
#include "lib/base/number.hpp"
#include "toolstack/service/listen.hpp"
#include "toolstack/xencall/devices_abi.hpp"
#include "toolstack/xenstored/daemon.hpp"

namespace xenstored {

using service::system_failure;

namespace {

constexpr base::GrantRef store_grant{xen::GNTTAB_RESERVED_XENSTORE};

/// Later starts must number changes beyond earlier ones; a nanosecond clock outruns any rate of changes.
Generation first_generation() {
    return static_cast<Generation>(std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}

struct LocalStorePage {
    std::shared_ptr<void> page;
    base::Port port;
};

base::Outcome<std::shared_ptr<void>> map_page(const char* path) {
    const service::Fd fd(::open(path, O_RDWR | O_CLOEXEC));
    if (!fd) return system_failure(std::string("Cannot open ") + path);
    void* at = ::mmap(nullptr, base::page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (at == MAP_FAILED) return system_failure(std::string("Cannot map ") + path);
    return std::shared_ptr<void>(at, [](void* p) { ::munmap(p, base::page_size); });
}

/// Domain 0's kernel shows its store page and port in /proc/xen, or else through /dev/xen/xenbus_backend.
base::Outcome<LocalStorePage> local_store_page() {
    if (const service::Fd port_file(::open("/proc/xen/xsd_port", O_RDONLY | O_CLOEXEC)); port_file) {
        char text[16] = {};
        if (::read(port_file.get(), text, sizeof text - 1) <= 0) return system_failure("Cannot read /proc/xen/xsd_port");
        std::string_view line = text;
        const auto port = base::take_number<uint32_t>(line);
        if (!port) return base::fail(base::Errc::inval, "/proc/xen/xsd_port holds no port number");
        return LocalStorePage{OTRY(map_page("/proc/xen/xsd_kva")), base::Port{*port}};
    }
    const char* device = "/dev/xen/xenbus_backend";
    const service::Fd fd(::open(device, O_RDWR | O_CLOEXEC));
    if (!fd) return system_failure("Neither /proc/xen/xsd_port (is xenfs mounted?) nor /dev/xen/xenbus_backend");
    const int port = ::ioctl(fd.get(), xencall::dev::xenbus_backend_port);
    if (port < 0) return system_failure("Cannot ask for the store's event channel");
    return LocalStorePage{OTRY(map_page(device)), base::Port{static_cast<uint32_t>(port)}};
}

}  // namespace

Daemon::Daemon(DaemonOptions options) : options_(std::move(options)), journal_(options_.directory + "/journal", read_boot_id()) {
    service::set_log(service::line_log(options_.log_file));
}

Daemon::~Daemon() = default;

base::Outcome<base::Unit> Daemon::start() {
    const rlimit files{65536, 65536};
    (void)::setrlimit(RLIMIT_NOFILE, &files);
    loop_ = OTRY(service::EventLoop::make());
    server_ = std::make_unique<Server>(options_.quota, *this, first_generation());

    server_->set_tracing(options_.trace);
    const std::string file = options_.recover ? journal_.load() : std::string();
    const bool recovered = server_->recover(file, journal_.boot_id()) > 0;
    if (!recovered) server_->create_initial_nodes();
    if (options_.serve_domains) {
        OTRY(open_hypervisor());
        const bool known = recovered && server_->domains().contains(0);
        take_up_known_rings();
        OTRY(take_up_domain_zero(known));
        check_all_domains();
    }
    compact();
    if (recovered) log("Recovered " + std::to_string(server_->domains().size()) + " domains");
    return listen();
}

base::Outcome<base::Unit> Daemon::open_hypervisor() {
    backend_ = OTRY(xencall::open_privcmd().context("The hypervisor is not there"));
    control_ = std::make_unique<xenctrl::Control>(*backend_);
    events_ = OTRY(backend_->open_event_channels());
    grants_ = OTRY(backend_->open_grants());
    OTRY(loop_->watch(events_->fd(), EPOLLIN, [this](uint32_t) { on_event_channels(); }));
    death_port_ = OTRY(events_->bind_virq(xen::VIRQ_DOM_EXC).context("Is another xenstored running?"));
    return base::ok;
}

base::Outcome<base::Unit> Daemon::take_up_domain_zero(bool known) {
    if (known && rings_.contains(0)) return base::ok;
    return server_->introduce_local(base::Gfn{0}, base::Port{0}, Attach::as_it_is).context("Domain 0 has no store connection");
}

/// Rings that were served before a restart go on where the journal says they were.
void Daemon::take_up_known_rings() {
    std::vector<DomId> lost;
    for (auto& [number, domain] : server_->domains()) {
        if (domain.ring == nullptr) continue;
        const DomId domid{number};
        const auto start = attach_ring(domid, domain.record.gfn, domain.record.port, Attach::as_it_is);
        if (!start) {
            log("Domain " + std::to_string(number) + " cannot be taken up again: " + start.failure().text);
            continue;
        }
        RingSession& session = rings_.at(number)->session;
        const RingResume resume = server_->resume_of(domid);
        session.resume(resume.consumed, resume.partial);
        if (!server_->resume_output(domid, start->response_producer)) {
            log("Domain " + std::to_string(number) + " has a response index that cannot be; its watches are dropped");
            server_->ring_failed(domid);
        }
        served_rings_.insert(number);
    }
}

base::Outcome<std::unique_ptr<RingLink>> Daemon::map_ring(DomId domid, base::Gfn gfn) {
    const base::GrantRef refs[] = {store_grant};
    auto granted = grants_->map(domid, refs, xencall::Access::read_write);
    if (granted) {
        auto link = std::make_unique<RingLink>(domid, granted->data());
        link->granted = std::move(*granted);
        return link;
    }
    // A builder that does not seed the grant table: the frame itself.
    const base::Gfn frames[] = {gfn};
    auto foreign = OTRY(backend_->map_foreign(domid, frames, xencall::Access::read_write).context(granted.failure().text));
    auto link = std::make_unique<RingLink>(domid, foreign.data());
    link->foreign = std::move(foreign);
    return link;
}

base::Outcome<RingStart> Daemon::attach_ring(DomId domid, base::Gfn gfn, base::Port port, Attach how) {
    if (!backend_) return base::fail(Errc::nosys, "This daemon serves sockets only");
    std::unique_ptr<RingLink> link;
    if (domid == DomId{0}) {
        LocalStorePage local = OTRY(local_store_page());
        link = std::make_unique<RingLink>(domid, local.page.get());
        link->local = std::move(local.page);
        port = local.port;
    } else {
        link = OTRY(map_ring(domid, gfn));
    }
    link->port = OTRY(events_->bind_interdomain(domid, port));
    StoreRing& ring = link->session.ring();
    if (how == Attach::fresh) {
        ring.start_fresh();
    } else {
        ring.adopt();
    }
    const RingStart start{ring.consumed(), ring.produced()};
    domain_of_port_[link->port.raw] = domid.raw;
    // Whatever was signalled while nobody listened: look once, and tell the guest that we are here.
    ready_rings_.insert(domid.raw);
    (void)events_->notify(link->port);
    rings_[domid.raw] = std::move(link);
    return start;
}

void Daemon::detach_ring(DomId domid) {
    const auto at = rings_.find(domid.raw);
    if (at == rings_.end()) return;
    domain_of_port_.erase(at->second->port.raw);
    (void)events_->unbind(at->second->port);
    rings_.erase(at);
}

base::Outcome<base::Unit> Daemon::listen() {
    OTRY(loop_->watch_signals({SIGTERM, SIGINT, SIGHUP}, [this](int signal) { on_signal(signal); }));
    listener_ = OTRY(service::listen_unix(options_.directory + "/socket"));
    return loop_->watch(listener_.get(), EPOLLIN, [this](uint32_t) { on_accept(); });
}

}  // namespace xenstored
