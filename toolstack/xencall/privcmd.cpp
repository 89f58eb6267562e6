// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xencall/privcmd.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <mutex>
#include <vector>

#include "toolstack/service/fd.hpp"
#include "toolstack/xencall/devices_abi.hpp"

namespace xencall {
namespace {

using base::DomId;
using base::Errc;
using base::fail;
using base::Gfn;
using base::Outcome;
using service::Fd;
using service::system_failure;

/// Opens a /dev/xen device; the text says what to do when it is not there.
Outcome<Fd> open_device(const char* path, const char* module, int flags) {
    Fd fd(::open(path, O_RDWR | O_CLOEXEC | flags));
    if (fd) return fd;
    if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
        return fail(Errc::noent,
                    std::string("Cannot open ") + path + ": not running as a Xen dom0, or module " + module + " is not loaded");
    return system_failure(std::string("Cannot open ") + path);
}

/// Memory the hypervisor may use while the kernel moves nothing under it. /dev/xen/hypercall guarantees that; older
/// kernels lack it, there locked memory kept out of forks is the best there is.
class BufferMemory {
public:
    BufferMemory() : fd_(::open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC)) {}
    ~BufferMemory() {
        for (void* page : spare_) ::munmap(page, page_size);
    }
    BufferMemory(const BufferMemory&) = delete;
    BufferMemory& operator=(const BufferMemory&) = delete;

    Outcome<void*> allocate(size_t pages) {
        if (pages == 1) {
            if (void* page = take_spare()) return page;
        }
        const size_t bytes = pages * page_size;
        void* at =
            fd_ ? ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0)
                : ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
        if (at == MAP_FAILED) return system_failure("Cannot get memory for a hypercall");
        ::madvise(at, bytes, MADV_DONTFORK);  // copy-on-write in a child would move the page
        return at;
    }

    void release(void* at, size_t pages) noexcept {
        if (pages == 1) {
            const std::lock_guard guard(lock_);
            if (spare_.size() < spare_.capacity()) {
                spare_.push_back(at);
                return;
            }
        }
        ::munmap(at, pages * page_size);
    }

private:
    void* take_spare() {
        void* page = nullptr;
        {
            const std::lock_guard guard(lock_);
            if (spare_.empty()) return nullptr;
            page = spare_.back();
            spare_.pop_back();
        }
        std::memset(page, 0, page_size);
        return page;
    }

    static std::vector<void*> reserved() {
        std::vector<void*> v;
        v.reserve(16);
        return v;
    }

    Fd fd_;
    std::mutex lock_;
    std::vector<void*> spare_ = reserved();
};

class Privcmd final : public Backend {
public:
    explicit Privcmd(Fd fd) : fd_(std::move(fd)) {}

    int64_t hypercall(uint64_t number, const std::array<uint64_t, 5>& a) override {
        dev::Hypercall call{number, {a[0], a[1], a[2], a[3], a[4]}};
        const int r = ::ioctl(fd_.get(), dev::privcmd_hypercall, &call);
        return r < 0 ? -static_cast<int64_t>(errno) : r;
    }

    Outcome<void*> allocate(size_t pages) override { return buffers_.allocate(pages); }
    void release(void* at, size_t pages) noexcept override { buffers_.release(at, pages); }

    Outcome<ForeignMapping> map_foreign(DomId domain, std::span<const Gfn> frames, Access access) override {
        if (frames.empty()) return fail(Errc::inval, "Asked to map no frame");
        static_assert(sizeof(Gfn) == sizeof(uint64_t));
        ForeignMapping mapping = OTRY(reserve(frames.size(), access));
        std::vector<int> errors(frames.size(), 0);
        dev::MapBatch batch{static_cast<uint32_t>(frames.size()), domain.raw, reinterpret_cast<uint64_t>(mapping.data()),
                            &frames.data()->raw, errors.data()};
        const std::string what = "Cannot map memory of domain " + std::to_string(domain.raw);
        if (::ioctl(fd_.get(), dev::privcmd_map_batch, &batch) < 0 && errno != ENOENT) return system_failure(what);
        for (size_t i = 0; i < errors.size(); ++i) {
            if (errors[i] == 0) continue;
            errno = errors[i] < 0 ? -errors[i] : errors[i];
            return system_failure(what + ", frame " + std::to_string(frames[i].raw));
        }
        return mapping;
    }

    Outcome<ForeignMapping> map_resource(DomId domain, uint32_t type, uint32_t id, uint64_t first, size_t frames) override {
        ForeignMapping mapping = OTRY(reserve(frames, Access::read_write));
        dev::MapResource op{
            domain.raw, type, id, static_cast<uint32_t>(first), frames, reinterpret_cast<uint64_t>(mapping.data())};
        if (::ioctl(fd_.get(), dev::privcmd_map_resource, &op) < 0)
            return system_failure("Cannot map resource " + std::to_string(type) + " of domain " + std::to_string(domain.raw));
        return mapping;
    }

    void unmap(void* at, size_t pages) noexcept override { ::munmap(at, pages * page_size); }

    Outcome<std::unique_ptr<EventChannels>> open_event_channels() override { return xencall::open_event_channels(); }
    Outcome<std::unique_ptr<Grants>> open_grants() override { return xencall::open_grants(); }

private:
    /// Address space that the privcmd device will fill.
    Outcome<ForeignMapping> reserve(size_t pages, Access access) {
        const int protection = access == Access::read ? PROT_READ : PROT_READ | PROT_WRITE;
        void* at = ::mmap(nullptr, pages * page_size, protection, MAP_SHARED, fd_.get(), 0);
        if (at == MAP_FAILED) return system_failure("Cannot reserve " + std::to_string(pages) + " pages of address space");
        return ForeignMapping(*this, at, pages);
    }

    Fd fd_;
    BufferMemory buffers_;
};

class DeviceChannels final : public EventChannels {
public:
    explicit DeviceChannels(Fd fd) : fd_(std::move(fd)) {}
    int fd() const override { return fd_.get(); }

    Outcome<base::Port> bind_unbound(DomId remote) override {
        dev::BindUnbound op{remote.raw};
        return port_of(::ioctl(fd_.get(), dev::evtchn_bind_unbound, &op),
                       "Cannot open an event channel to domain " + std::to_string(remote.raw));
    }
    Outcome<base::Port> bind_interdomain(DomId remote, base::Port port) override {
        dev::BindInterdomain op{remote.raw, port.raw};
        return port_of(::ioctl(fd_.get(), dev::evtchn_bind_interdomain, &op),
                       "Cannot bind to event channel " + std::to_string(port.raw) + " of domain " + std::to_string(remote.raw));
    }
    Outcome<base::Port> bind_virq(uint32_t virq) override {
        dev::BindVirq op{virq};
        return port_of(::ioctl(fd_.get(), dev::evtchn_bind_virq, &op), "Cannot bind virtual interrupt " + std::to_string(virq));
    }
    Outcome<> unbind(base::Port port) override { return on_port(dev::evtchn_unbind, port, "unbind"); }
    Outcome<> notify(base::Port port) override { return on_port(dev::evtchn_notify, port, "notify"); }

    Outcome<std::optional<base::Port>> pending() override {
        uint32_t port = 0;
        for (;;) {
            const ssize_t n = ::read(fd_.get(), &port, sizeof port);
            if (n == sizeof port) return std::optional(base::Port{port});
            if (n < 0 && errno == EINTR) continue;
            if (n < 0 && errno == EFBIG) {  // more events than the device's ring holds: start afresh, all ports still bound
                if (::ioctl(fd_.get(), dev::evtchn_reset) < 0) return system_failure("Cannot reset the event channel device");
                continue;
            }
            if (n == 0 || errno == EAGAIN) return std::optional<base::Port>();
            return system_failure("Cannot read from the event channel device");
        }
    }
    Outcome<> unmask(base::Port port) override {
        const uint32_t value = port.raw;
        if (::write(fd_.get(), &value, sizeof value) == sizeof value) return base::Unit{};
        return system_failure("Cannot unmask event channel " + std::to_string(port.raw));
    }

private:
    static Outcome<base::Port> port_of(int r, const std::string& what) {
        if (r < 0) return system_failure(what);
        return base::Port{static_cast<uint32_t>(r)};
    }
    Outcome<> on_port(unsigned long request, base::Port port, const char* verb) {
        dev::PortArgument op{port.raw};
        if (::ioctl(fd_.get(), request, &op) < 0)
            return system_failure(std::string("Cannot ") + verb + " event channel " + std::to_string(port.raw));
        return base::Unit{};
    }

    Fd fd_;
};

class DeviceGrants final : public Grants {
public:
    explicit DeviceGrants(Fd fd) : fd_(std::move(fd)) {}

    Outcome<GrantMapping> map(DomId domain, std::span<const base::GrantRef> refs, Access access) override {
        if (refs.empty() || refs.size() > 4096)
            return fail(Errc::inval, "Bad number of grants to map: " + std::to_string(refs.size()));
        const auto words = sizeof(dev::MapGrants) / sizeof(uint64_t) + refs.size();  // a reference is one word
        std::vector<uint64_t> storage(words, 0);
        auto* op = reinterpret_cast<dev::MapGrants*>(storage.data());
        op->count = static_cast<uint32_t>(refs.size());
        for (size_t i = 0; i < refs.size(); ++i) {
            const dev::GrantRefArgument ref{domain.raw, refs[i].raw};
            std::memcpy(reinterpret_cast<std::byte*>(op) + offsetof(dev::MapGrants, refs) + i * sizeof ref, &ref, sizeof ref);
        }
        const std::string what = "Cannot map grant " + std::to_string(refs[0].raw) + " of domain " + std::to_string(domain.raw);
        if (::ioctl(fd_.get(), dev::gntdev_map, op) < 0) return system_failure(what);
        const int protection = access == Access::read ? PROT_READ : PROT_READ | PROT_WRITE;
        void* at = ::mmap(nullptr, refs.size() * page_size, protection, MAP_SHARED, fd_.get(), static_cast<off_t>(op->index));
        if (at == MAP_FAILED) {
            base::Failure failure = system_failure(what);
            drop(op->index, refs.size());
            return failure;
        }
        return GrantMapping(*this, at, refs.size(), op->index);
    }

    void unmap(void* at, size_t pages, uint64_t cookie) noexcept override {
        ::munmap(at, pages * page_size);
        drop(cookie, pages);
    }

private:
    void drop(uint64_t index, size_t count) noexcept {
        dev::UnmapGrants op{index, static_cast<uint32_t>(count), 0};
        // Nothing can be done about a failure, and closing the device unmaps what is left.
        static_cast<void>(::ioctl(fd_.get(), dev::gntdev_unmap, &op));
    }

    Fd fd_;
};

}  // namespace

Outcome<std::unique_ptr<Backend>> open_privcmd() {
    Fd fd = OTRY(open_device("/dev/xen/privcmd", "xen-privcmd", 0));
    return std::unique_ptr<Backend>(std::make_unique<Privcmd>(std::move(fd)));
}

Outcome<std::unique_ptr<EventChannels>> open_event_channels() {
    Fd fd = OTRY(open_device("/dev/xen/evtchn", "xen-evtchn", O_NONBLOCK));
    return std::unique_ptr<EventChannels>(std::make_unique<DeviceChannels>(std::move(fd)));
}

Outcome<std::unique_ptr<Grants>> open_grants() {
    Fd fd = OTRY(open_device("/dev/xen/gntdev", "xen-gntdev", 0));
    return std::unique_ptr<Grants>(std::make_unique<DeviceGrants>(std::move(fd)));
}

}  // namespace xencall
