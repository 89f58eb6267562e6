// SPDX-License-Identifier: Apache-2.0
#include "lib/proto/ring.hpp"

namespace proto {

namespace {

std::uint32_t load_own(const std::uint32_t* index) { return __atomic_load_n(index, __ATOMIC_RELAXED); }

/// Pairs with the peer's publication of its index: the bytes before it are visible afterwards.
std::uint32_t load_peer(const std::uint32_t* index) { return __atomic_load_n(index, __ATOMIC_ACQUIRE); }

/// Sequentially consistent: the caller's next act is to look at, or notify, the peer, and that must not overtake it.
void publish(std::uint32_t* index, std::uint32_t value) { __atomic_store_n(index, value, __ATOMIC_SEQ_CST); }

std::uint32_t smaller(std::uint64_t a, std::uint32_t b) { return a < b ? static_cast<std::uint32_t>(a) : b; }

}  // namespace

base::Result<std::size_t> ByteRing::read(std::span<std::byte> out) const {
    const std::uint32_t cons = load_own(cons_);
    const std::uint32_t count = smaller(out.size(), TRY(ring_used(cons, load_peer(prod_), size())));
    const std::uint32_t at = cons & (size() - 1);
    const std::uint32_t first = smaller(count, size() - at);
    if (count == 0) return std::size_t{0};
    __builtin_memcpy(out.data(), data_.data() + at, first);
    if (count > first) __builtin_memcpy(out.data() + first, data_.data(), count - first);
    publish(cons_, cons + count);
    return std::size_t{count};
}

base::Result<std::size_t> ByteRing::write(std::span<const std::byte> in) const {
    const std::uint32_t prod = load_own(prod_);
    const std::uint32_t room = size() - TRY(ring_used(load_peer(cons_), prod, size()));
    const std::uint32_t count = smaller(in.size(), room);
    const std::uint32_t at = prod & (size() - 1);
    const std::uint32_t first = smaller(count, size() - at);
    if (count == 0) return std::size_t{0};
    __builtin_memcpy(data_.data() + at, in.data(), first);
    if (count > first) __builtin_memcpy(data_.data(), in.data() + first, count - first);
    publish(prod_, prod + count);
    return std::size_t{count};
}

base::Result<std::uint32_t> ByteRing::readable() const { return ring_used(load_own(cons_), load_peer(prod_), size()); }

base::Result<std::uint32_t> ByteRing::writable() const {
    return size() - TRY(ring_used(load_peer(cons_), load_own(prod_), size()));
}

void ByteRing::discard() const { publish(cons_, load_peer(prod_)); }

}  // namespace proto
