// SPDX-License-Identifier: Apache-2.0
/// Result<T> and TRY: the error style of both halves. Freestanding; no allocation.
#pragma once

#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace base {

/// Error numbers of the Xen ABI (xen/errno.h). They are negated in one place only: the hypercall exit.
enum class Errc : uint16_t {
    perm = 1,
    noent = 2,
    srch = 3,
    intr = 4,
    io = 5,
    nxio = 6,
    toobig = 7,
    noexec = 8,
    badf = 9,
    child = 10,
    again = 11,
    nomem = 12,
    access = 13,
    fault = 14,
    busy = 16,
    exist = 17,
    xdev = 18,
    nodev = 19,
    notdir = 20,
    isdir = 21,
    inval = 22,
    nfile = 23,
    mfile = 24,
    nospc = 28,
    rofs = 30,
    mlink = 31,
    dom = 33,
    range = 34,
    deadlk = 35,
    nametoolong = 36,
    nolck = 37,
    nosys = 38,
    notempty = 39,
    nodata = 61,
    time = 62,
    badmsg = 74,
    overflow = 75,
    ilseq = 84,
    restart = 85,
    notsock = 88,
    msgsize = 90,
    opnotsupp = 95,
    addrinuse = 98,
    addrnotavail = 99,
    nobufs = 105,
    isconn = 106,
    notconn = 107,
    timedout = 110,
    connrefused = 111,
};

/// The value of calls that return nothing but success.
struct Unit {};

struct [[nodiscard]] Err {
    Errc code;
};

namespace detail {
/// What a Result holds; code Errc{} says that there is a value. When T may be copied as bytes so may this, and calls return
/// it in registers.
template <class T, bool as_bytes = std::is_trivially_copyable_v<T>>
struct ResultStorage {
    Errc code{};
    union {
        T value;
    };
    constexpr ResultStorage(T v) : value(std::move(v)) {}
    constexpr ResultStorage(Err e) : code(e.code == Errc{} ? Errc::inval : e.code) {}  // an error without a number
};

template <class T>
struct ResultStorage<T, false> {
    Errc code{};
    union {
        T value;
    };
    constexpr ResultStorage(T v) : value(std::move(v)) {}
    constexpr ResultStorage(Err e) : code(e.code == Errc{} ? Errc::inval : e.code) {}  // an error without a number
    constexpr ResultStorage(ResultStorage&& o) noexcept : code(o.code) { take_from(o); }
    constexpr ResultStorage& operator=(ResultStorage&& o) noexcept {
        if (this == &o) return *this;
        drop();
        code = o.code;
        take_from(o);
        return *this;
    }
    constexpr ~ResultStorage() { drop(); }

private:
    constexpr void take_from(ResultStorage& o) {
        if (code == Errc{}) ::new (static_cast<void*>(&value)) T(std::move(o.value));
    }
    constexpr void drop() {
        if (code == Errc{}) value.~T();
    }
};
}  // namespace detail

/// A T or an Errc. Read the value only after testing; take() moves it out.
template <class T>
class [[nodiscard]] Result {
    static_assert(!std::is_reference_v<T>, "Result holds values: use a pointer or a reference wrapper");
    detail::ResultStorage<T> held_;

public:
    constexpr Result(T v) : held_(std::move(v)) {}
    constexpr Result(Err e) : held_(e) {}
    constexpr Result(Result&&) noexcept = default;
    constexpr Result& operator=(Result&&) noexcept = default;
    /// Where T may be copied as bytes: so may a Status.
    constexpr Result(const Result&) = default;
    constexpr Result& operator=(const Result&) = default;
    constexpr ~Result() = default;
    constexpr explicit operator bool() const { return held_.code == Errc{}; }
    /// Only when !*this.
    constexpr Errc error() const { return held_.code; }
    /// Only when *this.
    constexpr T take() && { return std::move(held_.value); }
    constexpr T take() const&& requires std::is_trivially_copyable_v<T> { return held_.value; }
    constexpr T& value() & { return held_.value; }
    constexpr const T& value() const& { return held_.value; }
    constexpr T value_or(T other) && { return *this ? std::move(held_.value) : std::move(other); }
};

using Status = Result<Unit>;
inline constexpr Unit ok{};

}  // namespace base

/// Evaluates `e`; returns its error from the enclosing function, or yields its value.
#define TRY(e)                                       \
    (__extension__({                                 \
        auto&& try_result_ = (e);                    \
        if (!try_result_) [[unlikely]]               \
            return ::base::Err{try_result_.error()}; \
        std::move(try_result_).take();               \
    }))
