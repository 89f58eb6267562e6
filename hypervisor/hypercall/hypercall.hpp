// SPDX-License-Identifier: Apache-2.0
/// What every hypercall handler uses: guest arrays, access checks, restarting.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "abi/xen/types.hpp"
#include "hypervisor/arch/x86/guest_access.hpp"
#include "hypervisor/arch/x86/speculation.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/trace/counters.hpp"
#include "lib/base/result.hpp"

namespace hv {

template <class S>
concept GuestAbi = std::is_trivially_copyable_v<S> && std::is_standard_layout_v<S>;

/// A guest's pointer: nothing but copies crosses the trust boundary.
template <GuestAbi S>
class GuestPtr {
    uint64_t gva_;
    static constexpr bool one_word = sizeof(S) == 4 || sizeof(S) == 8;
    static constexpr bool few_words = sizeof(S) % 8 == 0 && sizeof(S) <= 40;
    using Word = std::conditional_t<sizeof(S) == 4, uint32_t, uint64_t>;

public:
    explicit constexpr GuestPtr(uint64_t gva) : gva_(gva) {}
    static constexpr GuestPtr from_reg(uint64_t r) { return GuestPtr(r); }
    template <class T>
    static constexpr GuestPtr of(xen::Handle<T> h) {
        return GuestPtr(h.addr);
    }
    bool null() const { return gva_ == 0; }
    constexpr uint64_t address() const { return gva_; }
    /// Errors: fault.
    Result<S> fetch(uint64_t index = 0) const {
        if constexpr (one_word) {
            Word w = 0;
            if (!arch::load_from_guest(w, gva_ + index * sizeof(S))) return Err{Errc::fault};
            return std::bit_cast<S>(w);
        }
        S s;
        TRY(fetch_to(s, index));
        return s;
    }
    /// The same into a variable of the caller's.
    Status fetch_to(S& s, uint64_t index = 0) const {
        const uint64_t at = gva_ + index * sizeof(S);
        bool fetched = false;
        if constexpr (few_words) fetched = arch::copy_words_from_guest<sizeof(S) / 8>(&s, at);
        else fetched = arch::copy_from_guest(&s, at, sizeof s);
        if (!fetched) return Err{Errc::fault};
        return ok;
    }
    Status store(const S& s, uint64_t index = 0) const {
        bool stored = false;
        if constexpr (one_word) stored = arch::store_to_guest(gva_ + index * sizeof(S), std::bit_cast<Word>(s));
        else if constexpr (few_words) stored = arch::copy_words_to_guest<sizeof(S) / 8>(gva_ + index * sizeof(S), &s);
        else stored = arch::copy_to_guest(gva_ + index * sizeof(S), &s, sizeof s);
        if (!stored) return Err{Errc::fault};
        return ok;
    }
    /// Copies `n` elements from/to hypervisor memory.
    Status fetch_many(S* dst, uint64_t n) const {
        if (n > (uint64_t{1} << 32) || !arch::copy_from_guest(dst, gva_, n * sizeof(S))) return Err{Errc::fault};
        return ok;
    }
    Status store_many(const S* src, uint64_t n) const {
        if (n > (uint64_t{1} << 32) || !arch::copy_to_guest(gva_, src, n * sizeof(S))) return Err{Errc::fault};
        return ok;
    }
    constexpr GuestPtr operator+(uint64_t n) const { return GuestPtr(gva_ + n * sizeof(S)); }
    /// The address of a member: p.member<&S::field>().
    template <class M>
    GuestPtr<M> at(size_t offset) const {
        return GuestPtr<M>(gva_ + offset);
    }
};

/// A guest's pointer to what the operation says: it becomes the GuestPtr that the operation's handler takes.
class AnyGuestPtr {
    uint64_t gva_;
    explicit constexpr AnyGuestPtr(uint64_t gva) : gva_(gva) {}

public:
    static constexpr AnyGuestPtr from_reg(uint64_t r) { return AnyGuestPtr(r); }
    bool null() const { return gva_ == 0; }
    constexpr uint64_t address() const { return gva_; }
    template <GuestAbi S>
    constexpr operator GuestPtr<S>() const {
        return GuestPtr<S>(gva_);
    }
};

/// What a hypercall answers: a value, or an error.
using Answer = Result<uint64_t>;

/// An argument as the guest's register holds it.
constexpr uint64_t register_of(uint64_t value) { return value; }
constexpr uint64_t register_of(AnyGuestPtr p) { return p.address(); }
template <class S>
constexpr uint64_t register_of(GuestPtr<S> p) {
    return p.address();
}

/// Stops a hypercall that is not done: it will be entered again with these arguments.
template <class... A>
Err restart_with(Vcpu& v, A... a) {
    const uint64_t args[] = {register_of(a)...};
    static_assert(sizeof...(A) <= 6);
    for (size_t i = 0; i < sizeof...(A); ++i) v.hypercall.args[i] = args[i];
    v.hypercall.rearmed = true;
    counters::count(counters::Counter::restarts);
    v.hypercall.changed = sizeof...(A);
    return Err{Errc::restart};
}

/// The same where the arguments stay as they are: what was done shows elsewhere.
inline Err restart_same(Vcpu& v) {
    v.hypercall.rearmed = true;
    counters::count(counters::Counter::restarts);
    v.hypercall.changed = 0;
    return Err{Errc::restart};
}

/// The answer of what stops with `restart` and is entered again as it was.
inline Status restarting_same(Vcpu& v, Status s) {
    if (!s && s.error() == Errc::restart) return restart_same(v);
    return s;
}

/// Runs `step(i)` for the elements [first, n) of a guest's list. Between any two of them, whatever the step did with the
/// first, it looks whether the CPU is wanted elsewhere and ends then with `stop(i)`: i is where the call goes on.
/// The first element of each entry is always done, so that the call makes progress. Errors: those of `step` and `stop`.
template <class Step, class Stop>
Answer preemptible(uint64_t first, uint64_t n, Step step, Stop stop) {
    for (uint64_t i = first; i < n; ++i) {
        if (i != first && arch::preempt_wanted()) return stop(i);
        TRY(step(i));
    }
    return 0;
}

/// target_domain() of one that may be another.
Result<DomainRef> named_target(Vcpu& caller, uint16_t domid);
/// The domain a control operation names; the caller's own needs no privilege. Errors: srch, perm.
[[gnu::always_inline]] inline Result<DomainRef> target_domain(Vcpu& caller, uint16_t domid) {
    if (domid == xen::DOMID_SELF) return DomainRef::borrow(caller.domain);
    return named_target(caller, domid);
}

}  // namespace hv
