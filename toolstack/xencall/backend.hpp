// SPDX-License-Identifier: Apache-2.0
// How the tools reach a hypervisor. One interface, several back ends: /dev/xen of a real dom0 (privcmd.hpp), the
// hypervisor's own core in this process (tests/sim), recording fakes (host tests). Everything above speaks only this.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "lib/base/outcome.hpp"
#include "lib/base/types.hpp"

namespace xencall {

using base::page_size;

/// What a mapping may be used for. `read` mappings do not take a writable type reference on the frame, so they work on
/// page tables of a running guest too.
enum class Access : uint8_t { read, read_write };

class Backend;

/// Frames of another domain (or a hypervisor resource) seen as one contiguous range of this process. Move-only; the
/// destructor unmaps. Must not outlive the Backend it came from.
class ForeignMapping {
public:
    ForeignMapping() = default;
    ForeignMapping(Backend& owner, void* at, size_t pages) : owner_(&owner), at_(static_cast<std::byte*>(at)), pages_(pages) {}
    ForeignMapping(ForeignMapping&& o) noexcept
        : owner_(std::exchange(o.owner_, nullptr)), at_(std::exchange(o.at_, nullptr)), pages_(std::exchange(o.pages_, 0)) {}
    ForeignMapping& operator=(ForeignMapping&& o) noexcept {
        std::swap(owner_, o.owner_);
        std::swap(at_, o.at_);
        std::swap(pages_, o.pages_);
        return *this;
    }
    ~ForeignMapping() { reset(); }

    /// Unmaps now. Page tables must be unmapped before they can be pinned: a writable mapping holds the frame's type.
    void reset();
    std::byte* data() const { return at_; }
    size_t pages() const { return pages_; }
    std::span<std::byte> bytes() const { return {at_, pages_ * page_size}; }
    std::span<std::byte> page(size_t index) const { return bytes().subspan(index * page_size, page_size); }
    explicit operator bool() const { return at_ != nullptr; }

private:
    Backend* owner_ = nullptr;
    std::byte* at_ = nullptr;
    size_t pages_ = 0;
};

class Grants;

/// Pages another domain granted us, mapped. Move-only; the destructor unmaps. Must not outlive its Grants.
class GrantMapping {
public:
    GrantMapping() = default;
    GrantMapping(Grants& owner, void* at, size_t pages, uint64_t cookie)
        : owner_(&owner), at_(static_cast<std::byte*>(at)), pages_(pages), cookie_(cookie) {}
    GrantMapping(GrantMapping&& o) noexcept
        : owner_(std::exchange(o.owner_, nullptr)), at_(std::exchange(o.at_, nullptr)), pages_(o.pages_), cookie_(o.cookie_) {}
    GrantMapping& operator=(GrantMapping&& o) noexcept {
        std::swap(owner_, o.owner_);
        std::swap(at_, o.at_);
        std::swap(pages_, o.pages_);
        std::swap(cookie_, o.cookie_);
        return *this;
    }
    ~GrantMapping() { reset(); }

    void reset();
    std::byte* data() const { return at_; }
    std::span<std::byte> bytes() const { return {at_, pages_ * page_size}; }
    explicit operator bool() const { return at_ != nullptr; }

private:
    Grants* owner_ = nullptr;
    std::byte* at_ = nullptr;
    size_t pages_ = 0;
    uint64_t cookie_ = 0;
};

/// Maps pages that other domains granted to this one.
class Grants {
public:
    virtual ~Grants() = default;
    /// Maps `refs` of `domain` contiguously. Errors: inval (bad reference or not granted to us), nomem, nodev.
    virtual base::Outcome<GrantMapping> map(base::DomId domain, std::span<const base::GrantRef> refs, Access access) = 0;
    /// Undoes map(); called by GrantMapping only.
    virtual void unmap(void* at, size_t pages, uint64_t cookie) noexcept = 0;
};

/// Event channel ports of this domain, delivered through one file descriptor. A port that fired stays masked until
/// unmask(), so a slow reader sees each port at most once per unmask. All ports are closed by the destructor.
class EventChannels {
public:
    virtual ~EventChannels() = default;
    /// Becomes readable (poll/epoll/Asio) when a bound port has fired.
    virtual int fd() const = 0;
    /// Opens a port that `remote` may bind to. Errors: nospc (no free port), inval.
    virtual base::Outcome<base::Port> bind_unbound(base::DomId remote) = 0;
    /// Binds to the unbound port `port` of `remote`. Errors: inval (no such port, or not ours to bind).
    virtual base::Outcome<base::Port> bind_interdomain(base::DomId remote, base::Port port) = 0;
    /// Binds a virtual interrupt (VIRQ_DOM_EXC = 3: a domain died or shut down; VIRQ_CON_RING = 8).
    virtual base::Outcome<base::Port> bind_virq(uint32_t virq) = 0;
    virtual base::Outcome<> unbind(base::Port port) = 0;
    virtual base::Outcome<> notify(base::Port port) = 0;
    /// Takes one port that fired; nullopt when none has (never blocks).
    virtual base::Outcome<std::optional<base::Port>> pending() = 0;
    virtual base::Outcome<> unmask(base::Port port) = 0;
};

/// One connection to a hypervisor. Thread-safe; what a call gives belongs to its caller.
class Backend {
public:
    virtual ~Backend() = default;

    /// Issues hypercall `number` (__HYPERVISOR_*). Pointer arguments must lie in memory from allocate().
    /// Returns the hypervisor's own value: >= 0, or -errno in Xen's numbers.
    virtual int64_t hypercall(uint64_t number, const std::array<uint64_t, 5>& arguments) = 0;

    /// Zeroed, page-aligned memory that the hypervisor may read and write during a hypercall. Errors: nomem.
    virtual base::Outcome<void*> allocate(size_t pages) = 0;
    virtual void release(void* at, size_t pages) noexcept = 0;

    /// Maps `frames` of `domain` contiguously, all or nothing (PV domain: machine frames; HVM: guest frames).
    /// Errors: inval or noent (a frame is not the domain's; the text names it), srch (no such domain), nomem.
    virtual base::Outcome<ForeignMapping> map_foreign(base::DomId domain, std::span<const base::Gfn> frames, Access access) = 0;

    /// Maps frames of a resource of `domain` (XENMEM_resource_*: grant table, ioreq pages).
    virtual base::Outcome<ForeignMapping> map_resource(base::DomId domain, uint32_t type, uint32_t id, uint64_t first_frame,
                                                       size_t frames) = 0;
    /// Undoes map_foreign()/map_resource(); called by ForeignMapping only.
    virtual void unmap(void* at, size_t pages) noexcept = 0;

    virtual base::Outcome<std::unique_ptr<EventChannels>> open_event_channels() = 0;
    virtual base::Outcome<std::unique_ptr<Grants>> open_grants() = 0;
};

inline void ForeignMapping::reset() {
    if (at_ != nullptr) {
        owner_->unmap(at_, pages_);
        at_ = nullptr;
        pages_ = 0;
    }
}

inline void GrantMapping::reset() {
    if (at_ != nullptr) {
        owner_->unmap(at_, pages_, cookie_);
        at_ = nullptr;
        pages_ = 0;
    }
}

}  // namespace xencall
