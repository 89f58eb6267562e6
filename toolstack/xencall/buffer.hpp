// SPDX-License-Identifier: Apache-2.0
// Memory for hypercall arguments, as RAII.
#pragma once

#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include "toolstack/xencall/backend.hpp"

namespace xencall {

/// `count` objects of T in memory that a hypercall may use; zeroed when made. Move-only. Must not outlive the Backend.
template <class T>
class HypercallBuffer {
    static_assert(std::is_trivially_copyable_v<T>, "the hypervisor copies bytes");

public:
    static base::Outcome<HypercallBuffer> make(Backend& backend, size_t count = 1) {
        const size_t pages = (count * sizeof(T) + page_size - 1) / page_size;
        const size_t wanted = pages == 0 ? 1 : pages;
        void* at = OTRY(backend.allocate(wanted));
        return HypercallBuffer(backend, static_cast<T*>(at), count, wanted);
    }
    /// A buffer holding a copy of `values`.
    static base::Outcome<HypercallBuffer> copy_of(Backend& backend, std::span<const T> values) {
        HypercallBuffer b = OTRY(make(backend, values.size()));
        if (!values.empty()) std::memcpy(b.at_, values.data(), values.size_bytes());
        return b;
    }

    HypercallBuffer(HypercallBuffer&& o) noexcept
        : owner_(o.owner_), at_(std::exchange(o.at_, nullptr)), count_(o.count_), pages_(o.pages_) {}
    HypercallBuffer& operator=(HypercallBuffer&& o) noexcept {
        std::swap(owner_, o.owner_);
        std::swap(at_, o.at_);
        std::swap(count_, o.count_);
        std::swap(pages_, o.pages_);
        return *this;
    }
    ~HypercallBuffer() {
        if (at_ != nullptr) owner_->release(at_, pages_);
    }

    T* get() const { return at_; }
    T& operator*() const { return *at_; }
    T* operator->() const { return at_; }
    T& operator[](size_t i) const { return at_[i]; }
    size_t size() const { return count_; }
    std::span<T> values() const { return {at_, count_}; }
    /// The address as a hypercall argument or guest handle.
    uint64_t address() const { return reinterpret_cast<uint64_t>(at_); }

private:
    HypercallBuffer(Backend& owner, T* at, size_t count, size_t pages) : owner_(&owner), at_(at), count_(count), pages_(pages) {}

    Backend* owner_;
    T* at_;
    size_t count_;
    size_t pages_;
};

}  // namespace xencall
