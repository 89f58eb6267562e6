// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/backend.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <deque>

#include "abi/xen/event_channel.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/memory.hpp"
#include "abi/xenolith/copy_pages.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "tests/machine/host.hpp"
#include "toolstack/builder/tables.hpp"
#include "toolstack/xencall/buffer.hpp"

namespace sim {

using base::DomId;
using base::Errc;
using base::fail;
using base::Outcome;
using base::page_size;
using base::Port;
using base::Unit;
using xencall::Access;
using Lock = std::lock_guard<std::recursive_mutex>;

void* map_frames(std::span<const uint64_t> frames) {
    void* at = ::mmap(nullptr, frames.size() * page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) std::abort();
    for (size_t i = 0; i < frames.size();) {
        size_t run = 1;
        while (i + run < frames.size() && frames[i + run] == frames[i] + run) ++run;
        // Old size 0 on shared memory: a second mapping of the same pages.
        void* from = hv::map_mfn(hv::Mfn{frames[i]});
        void* to = static_cast<std::byte*>(at) + i * page_size;
        if (::mremap(from, 0, run * page_size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) std::abort();
        i += run;
    }
    return at;
}

namespace {

base::Failure failure(int64_t value, const std::string& what) {
    const auto code = static_cast<Errc>(-value);
    return fail(code, what + ": error " + std::to_string(-value));
}

}  // namespace

/// dom0's event channels as Linux's evtchn device hands them out: a port that fires is masked until unmask().
class SimChannels final : public xencall::EventChannels {
public:
    explicit SimChannels(SimBackend& backend) : backend_(backend), fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        const Lock lock(backend_.machine_.lock());
        backend_.channels_.insert(this);
    }
    ~SimChannels() override {
        const Lock lock(backend_.machine_.lock());
        backend_.channels_.erase(this);
        for (const uint32_t port : ports_) close(port);
        ::close(fd_);
    }
    int fd() const override { return fd_; }

    Outcome<Port> bind_unbound(DomId remote) override {
        xen::EvtchnAllocUnbound op{xen::DOMID_SELF, remote.raw, 0};
        const int64_t r = call(xen::EVTCHNOP_alloc_unbound, &op);
        return opened(r, op.port, "Cannot open an event channel");
    }
    Outcome<Port> bind_interdomain(DomId remote, Port port) override {
        xen::EvtchnBindInterdomain op{remote.raw, 0, port.raw, 0};
        const int64_t r = call(xen::EVTCHNOP_bind_interdomain, &op);
        return opened(r, op.local_port, "Cannot bind an event channel");
    }
    Outcome<Port> bind_virq(uint32_t virq) override {
        xen::EvtchnBindVirq op{virq, 0, 0};
        const int64_t r = call(xen::EVTCHNOP_bind_virq, &op);
        return opened(r, op.port, "Cannot bind a virtual interrupt");
    }
    Outcome<> unbind(Port port) override {
        const Lock lock(backend_.machine_.lock());
        if (ports_.erase(port.raw) == 0) return fail(Errc::notconn, "Not bound");
        close(port.raw);
        return Unit{};
    }
    Outcome<> notify(Port port) override {
        const xen::EvtchnSend op{port.raw};
        const int64_t r = call(xen::EVTCHNOP_send, &op);
        if (r < 0) return failure(r, "Cannot notify");
        return Unit{};
    }
    Outcome<std::optional<Port>> pending() override {
        const Lock lock(backend_.machine_.lock());
        if (fired_.empty()) return std::optional<Port>();
        const uint32_t port = fired_.front();
        fired_.pop_front();
        if (fired_.empty()) {
            uint64_t count = 0;
            static_cast<void>(!::read(fd_, &count, sizeof count));
        }
        return std::optional(Port{port});
    }
    Outcome<> unmask(Port port) override {
        const xen::EvtchnUnmask op{port.raw};
        const int64_t r = call(xen::EVTCHNOP_unmask, &op);
        if (r < 0) return failure(r, "Cannot unmask");
        return Unit{};
    }

    /// Takes what is set and not masked from dom0's shared page. Under the machine's lock.
    void collect(xen::SharedInfo& shared) {
        for (const uint32_t port : ports_) {
            const uint64_t bit = uint64_t{1} << (port % 64);
            auto& pending = shared.evtchn_pending[port / 64];
            auto& mask = shared.evtchn_mask[port / 64];
            if ((pending & bit) == 0 || (mask & bit) != 0) continue;
            mask |= bit;
            pending &= ~bit;
            fired_.push_back(port);
            const uint64_t one = 1;
            static_cast<void>(!::write(fd_, &one, sizeof one));
        }
    }

private:
    template <class Op>
    int64_t call(uint64_t command, Op* op) {
        return backend_.machine_.hypercall(xen::HYPERVISOR_event_channel_op, {command, reinterpret_cast<uint64_t>(op)});
    }
    void close(uint32_t port) {
        const xen::EvtchnClose op{port};
        call(xen::EVTCHNOP_close, &op);
    }
    Outcome<Port> opened(int64_t r, uint32_t port, const char* what) {
        if (r < 0) return failure(r, what);
        const Lock lock(backend_.machine_.lock());
        ports_.insert(port);
        backend_.deliver();  // it may have fired before it was known here
        return Port{port};
    }

    SimBackend& backend_;
    int fd_;
    std::set<uint32_t> ports_;
    std::deque<uint32_t> fired_;
};

/// Grants are mapped for "device" use: the hypervisor pins the frame as for any mapping and says where it is; the page
/// tables of the simulator's dom0 are the host's.
class SimGrants final : public xencall::Grants {
public:
    explicit SimGrants(SimBackend& backend) : backend_(backend) {}

    Outcome<xencall::GrantMapping> map(DomId domain, std::span<const base::GrantRef> refs, Access access) override {
        const Lock lock(backend_.machine().lock());
        std::vector<uint64_t> frames;
        std::vector<Held> held;
        for (const base::GrantRef ref : refs) {
            xen::GnttabMapGrantRef op{};
            op.flags = xen::GNTMAP_device_map | (access == Access::read ? xen::GNTMAP_readonly : 0);
            op.ref = ref.raw;
            op.dom = domain.raw;
            const int64_t r = call(xen::GNTTABOP_map_grant_ref, &op);
            if (r < 0 || op.status != 0) {
                drop(held);
                return fail(Errc::inval,
                            "Cannot map grant " + std::to_string(ref.raw) + " of domain " + std::to_string(domain.raw));
            }
            held.push_back({op.handle, op.dev_bus_addr});
            frames.push_back(op.dev_bus_addr / page_size);
        }
        void* at = map_frames(frames);
        held_[at] = std::move(held);
        return xencall::GrantMapping(*this, at, refs.size(), 0);
    }
    void unmap(void* at, size_t pages, uint64_t) noexcept override {
        const Lock lock(backend_.machine().lock());
        ::munmap(at, pages * page_size);
        drop(held_[at]);
        held_.erase(at);
    }

private:
    struct Held {
        uint32_t handle;
        uint64_t bus;
    };
    template <class Op>
    int64_t call(uint64_t command, Op* op) {
        return backend_.machine().hypercall(xen::HYPERVISOR_grant_table_op, {command, reinterpret_cast<uint64_t>(op), 1});
    }
    void drop(const std::vector<Held>& held) {
        for (const Held& h : held) {
            xen::GnttabUnmapGrantRef op{};
            op.dev_bus_addr = h.bus;
            op.handle = h.handle;
            call(xen::GNTTABOP_unmap_grant_ref, &op);
        }
    }

    SimBackend& backend_;
    std::map<void*, std::vector<Held>> held_;
};

SimBackend::SimBackend(Machine& machine) : machine_(machine) {
    machine_.on_events = [this] { deliver(); };
}

SimBackend::~SimBackend() { machine_.on_events = nullptr; }

void SimBackend::deliver() {
    for (SimChannels* c : channels_) c->collect(*machine_.dom0().shared);
}

int64_t SimBackend::hypercall(uint64_t number, const std::array<uint64_t, 5>& a) {
    if (number == xenolith::HYPERVISOR_copy_pages && !copies_pages) return -static_cast<int64_t>(Errc::nosys);
    return machine_.hypercall(number, {a[0], a[1], a[2], a[3], a[4], 0});
}

Outcome<void*> SimBackend::allocate(size_t pages) {
    void* at = std::aligned_alloc(page_size, pages * page_size);
    if (at == nullptr) return fail(Errc::nomem, "no memory");
    std::memset(at, 0, pages * page_size);
    return at;
}

void SimBackend::release(void* at, size_t) noexcept { std::free(at); }

Outcome<xencall::ForeignMapping> SimBackend::map_foreign(DomId domain, std::span<const base::Gfn> frames, Access access) {
    const Lock lock(machine_.lock());
    hv::host::become(0);
    const bool xens = domain.raw == xen::DOMID_XEN;
    hv::DomainRef owner = xens ? hv::DomainRef::borrow(*hv::dom_xen) : hv::lookup_domain(domain);
    if (!owner) return fail(Errc::srch, "No domain " + std::to_string(domain.raw));
    std::vector<uint64_t> entries, numbers;
    for (const base::Gfn f : frames) {
        uint64_t entry = f.address() | builder::pte_present | builder::pte_user | builder::pte_accessed |
                         (access == Access::read_write ? builder::pte_write : 0);
        const auto got = hv::l1_entry_get(machine_.dom0(), *owner, entry);
        if (!got) {
            for (const uint64_t e : entries) hv::l1_entry_put(e);
            return fail(got.error(), "Cannot map frame " + std::to_string(f.raw) + " of domain " + std::to_string(domain.raw));
        }
        entries.push_back(entry);
        numbers.push_back(f.raw);
    }
    void* at = map_frames(numbers);
    entries_[at] = std::move(entries);
    return xencall::ForeignMapping(*this, at, frames.size());
}

Outcome<xencall::ForeignMapping> SimBackend::map_resource(DomId domain, uint32_t type, uint32_t id, uint64_t first,
                                                          size_t frames) {
    const Lock lock(machine_.lock());
    std::vector<uint64_t> list(frames);
    auto op = xen::zeroed<xen::MemAcquireResource>();
    op.domid = domain.raw;
    op.type = static_cast<uint16_t>(type);
    op.id = id;
    op.nr_frames = static_cast<uint32_t>(frames);
    op.frame = first;
    op.frame_list.addr = reinterpret_cast<uint64_t>(list.data());
    const int64_t r =
        machine_.hypercall(xen::HYPERVISOR_memory_op, {xen::XENMEM_acquire_resource, reinterpret_cast<uint64_t>(&op)});
    if (r < 0) return failure(r, "Cannot get a resource of domain " + std::to_string(domain.raw));
    std::vector<base::Gfn> gfns;
    for (const uint64_t frame : list) gfns.emplace_back(frame);
    return map_foreign(domain, gfns, Access::read_write);
}

void SimBackend::unmap(void* at, size_t pages) noexcept {
    const Lock lock(machine_.lock());
    hv::host::become(0);
    ::munmap(at, pages * page_size);
    for (const uint64_t e : entries_[at]) hv::l1_entry_put(e);
    entries_.erase(at);
}

Outcome<std::unique_ptr<xencall::EventChannels>> SimBackend::open_event_channels() {
    return std::unique_ptr<xencall::EventChannels>(std::make_unique<SimChannels>(*this));
}

Outcome<std::unique_ptr<xencall::Grants>> SimBackend::open_grants() {
    return std::unique_ptr<xencall::Grants>(std::make_unique<SimGrants>(*this));
}

}  // namespace sim
