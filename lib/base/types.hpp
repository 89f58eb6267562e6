// SPDX-License-Identifier: Apache-2.0
/// Strong types shared by the hypervisor and the tools: labels, frame numbers, lengths, times.
/// Mixing spaces (Gfn for Mfn) or units (pages for bytes) does not compile.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace base {

/// An opaque label: equality and order, no arithmetic, no implicit conversion.
template <class Tag, class Rep>
struct Id {
    Rep raw;
    constexpr Id() : raw(0) {}
    constexpr explicit Id(Rep r) : raw(r) {}
    /// Hypercall registers are truncated here and nowhere else.
    static constexpr Id from_reg(uint64_t r) { return Id(static_cast<Rep>(r)); }
    constexpr auto operator<=>(const Id&) const = default;
};

/// A length in 4 KiB pages.
struct Pages {
    uint64_t n = 0;
    constexpr uint64_t bytes() const { return n << 12; }
    /// The pages needed to hold `bytes`.
    static constexpr Pages covering(uint64_t bytes) { return {(bytes >> 12) + ((bytes & 4095) != 0)}; }
    constexpr auto operator<=>(const Pages&) const = default;
};

/// A frame number: point + length = point, point - point = length.
template <class Tag>
struct Frame : Id<Tag, uint64_t> {
    using Id<Tag, uint64_t>::Id;
    constexpr Frame operator+(Pages p) const { return Frame{this->raw + p.n}; }
    constexpr Frame operator-(Pages p) const { return Frame{this->raw - p.n}; }
    constexpr Pages operator-(Frame b) const { return {this->raw - b.raw}; }
    constexpr Frame& operator++() {
        ++this->raw;
        return *this;
    }
    constexpr auto operator<=>(const Frame&) const = default;
    /// Byte address of the frame's first byte, in the frame's own address space.
    constexpr uint64_t address() const { return this->raw << 12; }
    static constexpr Frame of_address(uint64_t a) { return Frame{a >> 12}; }
};

using DomId = Id<struct DomTag, uint16_t>;
using VcpuId = Id<struct VcpuTag, uint32_t>;
using CpuId = Id<struct CpuTag, uint32_t>;
using Port = Id<struct PortTag, uint32_t>;
using GrantRef = Id<struct GrantTag, uint32_t>;

using Mfn = Frame<struct MfnTag>;  ///< machine frame
using Gfn = Frame<struct GfnTag>;  ///< guest frame: what a guest calls a frame in hypercalls
using Pfn = Frame<struct PfnTag>;  ///< a PV guest's own dense numbering

static_assert(sizeof(Mfn) == 8 && sizeof(DomId) == 2);

/// A span of time, or a time since boot, in nanoseconds.
struct Nanos {
    int64_t n = 0;
    constexpr Nanos operator+(Nanos o) const { return {n + o.n}; }
    constexpr Nanos operator-(Nanos o) const { return {n - o.n}; }
    constexpr auto operator<=>(const Nanos&) const = default;
    static constexpr Nanos us(int64_t v) { return {v * 1000}; }
    static constexpr Nanos ms(int64_t v) { return {v * 1'000'000}; }
    static constexpr Nanos s(int64_t v) { return {v * 1'000'000'000}; }
    static constexpr Nanos never() { return {INT64_MAX}; }
};

inline constexpr size_t page_size = 4096;
inline constexpr unsigned page_shift = 12;

}  // namespace base
