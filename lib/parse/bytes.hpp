// SPDX-License-Identifier: Apache-2.0
/// Bounded little-endian access to bytes from outside, and fixed-capacity lists. The ground all parsers stand on:
/// a parser that only uses these cannot read outside its input. Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "lib/base/result.hpp"

namespace parse {

using Bytes = std::span<const std::byte>;

/// Whether [offset, offset + length) lies inside `bytes`, without overflow.
constexpr bool inside(Bytes bytes, std::uint64_t offset, std::uint64_t length) {
    return offset <= bytes.size() && length <= bytes.size() - offset;
}

/// [offset, offset + length) of `bytes`. Errors: range when any of it lies outside.
constexpr base::Result<Bytes> slice(Bytes bytes, std::uint64_t offset, std::uint64_t length) {
    if (!inside(bytes, offset, length)) return base::Err{base::Errc::range};
    return bytes.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(length));
}

/// A T (integer or trivially copyable structure) at `offset`; any alignment. Only when inside().
template <class T>
inline T load_unchecked(Bytes bytes, std::uint64_t offset) {
    T value;
    __builtin_memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
}

/// A T at `offset`, in the machine's (little-endian) order; any alignment. Errors: range.
template <class T>
inline base::Result<T> load(Bytes bytes, std::uint64_t offset) {
    if (!inside(bytes, offset, sizeof(T))) return base::Err{base::Errc::range};
    return load_unchecked<T>(bytes, offset);
}

/// [from, from + count) of `text`, cut at its end. (string_view::substr throws; this does not.)
constexpr std::string_view cut(std::string_view text, std::size_t from, std::size_t count = SIZE_MAX) {
    if (from > text.size()) from = text.size();
    const std::size_t room = text.size() - from;
    return {text.data() + from, count < room ? count : room};
}

/// The characters before the first NUL; all of them when there is none.
constexpr std::string_view until_nul(std::string_view text) {
    std::size_t n = 0;
    while (n < text.size() && text[n] != '\0') ++n;
    return cut(text, 0, n);
}

inline std::string_view as_text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

/// A list with room for `Capacity` items, in place. T is trivially copyable.
template <class T, std::size_t Capacity>
class FixedList {
    T items_[Capacity]{};
    std::size_t count_ = 0;

public:
    constexpr std::size_t size() const { return count_; }
    constexpr bool empty() const { return count_ == 0; }
    constexpr bool full() const { return count_ == Capacity; }
    constexpr T* begin() { return items_; }
    constexpr T* end() { return items_ + count_; }
    constexpr const T* begin() const { return items_; }
    constexpr const T* end() const { return items_ + count_; }
    constexpr T& operator[](std::size_t i) { return items_[i]; }
    constexpr const T& operator[](std::size_t i) const { return items_[i]; }
    constexpr std::span<T> span() { return {items_, count_}; }
    constexpr std::span<const T> span() const { return {items_, count_}; }
    constexpr void clear() { count_ = 0; }
    /// False when full: the item is not added.
    [[nodiscard]] constexpr bool push(const T& item) {
        if (full()) return false;
        items_[count_++] = item;
        return true;
    }
    /// Puts `item` before index `at`; false when full.
    [[nodiscard]] constexpr bool insert(std::size_t at, const T& item) {
        if (full()) return false;
        for (std::size_t i = count_; i > at; --i) items_[i] = items_[i - 1];
        items_[at] = item;
        ++count_;
        return true;
    }
    constexpr void erase(std::size_t at) {
        for (std::size_t i = at + 1; i < count_; ++i) items_[i - 1] = items_[i];
        --count_;
    }
};

/// Physical memory as far as it is mapped: `size` bytes from physical address `first`, seen at `base`.
/// The hypervisor passes its direct map; tests pass a buffer.
struct PhysicalWindow {
    const std::byte* base = nullptr;
    std::uint64_t first = 0;
    std::uint64_t size = 0;

    /// Errors: range when any byte lies outside the window.
    base::Result<Bytes> bytes(std::uint64_t address, std::uint64_t length) const {
        if (address < first || address - first > size || length > size - (address - first)) return base::Err{base::Errc::range};
        return Bytes{base + (address - first), static_cast<std::size_t>(length)};
    }
    /// The NUL-terminated text at `address`, cut at `limit` characters or at the window's end.
    std::string_view text(std::uint64_t address, std::uint64_t limit = 4096) const {
        if (address < first || address - first >= size) return {};
        const std::uint64_t room = size - (address - first);
        return until_nul(
            {reinterpret_cast<const char*>(base + (address - first)), static_cast<std::size_t>(room < limit ? room : limit)});
    }
};

}  // namespace parse
