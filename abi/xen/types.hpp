// SPDX-License-Identifier: Apache-2.0
/// Scalars, guest handles and numbers on which every other interface header stands.
/// Freestanding C++20; x86-64 only (64-bit handles and longs); includes nothing outside abi/xen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace xen {

/// True when T has exactly `Size` bytes and may be copied between guest and hypervisor as raw memory.
template <class T, std::size_t Size>
inline constexpr bool layout = sizeof(T) == Size&& std::is_trivially_copyable_v<T>&& std::is_standard_layout_v<T>;

/// layout, and no byte of T is hidden padding: storing a T can never carry stray bytes to a guest.
template <class T, std::size_t Size>
inline constexpr bool exact_layout = layout<T, Size>&& std::has_unique_object_representations_v<T>;

/// A pointer in the caller's address space, as hypercall arguments hold it. Never to be dereferenced by the callee:
/// `addr` goes through the copy routines of whoever receives it. T documents the element type only.
template <class T>
struct Handle {
    std::uint64_t addr;

    /// The handle of a local object. The caller keeps the object alive for the call.
    static Handle of(T* object) noexcept { return {reinterpret_cast<std::uint64_t>(object)}; }
    constexpr bool is_null() const noexcept { return addr == 0; }
    constexpr bool operator==(const Handle&) const noexcept = default;
};
static_assert(exact_layout<Handle<void>, 8>);

/// An object of interface type T with every byte zero, padding and unions included (`T{}` promises less).
template <class T>
T zeroed() noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    __builtin_memset(&value, 0, sizeof(T));
    return value;
}

using domid_t = std::uint16_t;
using xen_pfn_t = std::uint64_t;
using xen_ulong_t = std::uint64_t;
using evtchn_port_t = std::uint32_t;
using event_word_t = std::uint32_t;
using grant_ref_t = std::uint32_t;
using grant_handle_t = std::uint32_t;
using ioservid_t = std::uint16_t;
using XENCONS_RING_IDX = std::uint32_t;
using XENSTORE_RING_IDX = std::uint32_t;

/// A domain's UUID, in the byte order of its text form.
struct DomainHandle {
    std::uint8_t bytes[16];
    constexpr bool operator==(const DomainHandle&) const noexcept = default;
};
static_assert(exact_layout<DomainHandle, 16>);

}  // namespace xen
