// SPDX-License-Identifier: Apache-2.0
/// Byte rings shared with another domain (console and xenstore pages). The peer may write anything at any time:
/// indexes are read once, judged, and only then used. Freestanding; no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "lib/base/result.hpp"

namespace proto {

/// Bytes between consumer and producer of a ring of `size` bytes, with free-running 32-bit indexes.
/// Errors: io when the distance exceeds the ring: the peer broke the protocol.
constexpr base::Result<std::uint32_t> ring_used(std::uint32_t cons, std::uint32_t prod, std::uint32_t size) {
    const std::uint32_t used = prod - cons;
    if (used > size) return base::Err{base::Errc::io};
    return used;
}

/// One direction of a shared ring. The pointers go into a shared page that outlives this object; `data` has a size that
/// is a power of two.
class ByteRing {
public:
    ByteRing(std::span<char> data, std::uint32_t* cons, std::uint32_t* prod) : data_(data), cons_(cons), prod_(prod) {}

    /// Takes up to out.size() bytes; returns how many. 0 when the ring is empty.
    /// Errors: io when the indexes are impossible. Afterwards the caller notifies the peer if anything was taken.
    base::Result<std::size_t> read(std::span<std::byte> out) const;

    /// Puts up to in.size() bytes; returns how many. 0 when the ring is full. Errors: io as for read.
    base::Result<std::size_t> write(std::span<const std::byte> in) const;

    /// Bytes waiting to be read. Errors: io.
    base::Result<std::uint32_t> readable() const;

    /// Room left for writing. Errors: io.
    base::Result<std::uint32_t> writable() const;

    /// Drops everything unread: how a console survives a guest whose indexes are broken. Writes cons only.
    void discard() const;

private:
    std::uint32_t size() const { return static_cast<std::uint32_t>(data_.size()); }

    std::span<char> data_;
    std::uint32_t* cons_;
    std::uint32_t* prod_;
};

}  // namespace proto
