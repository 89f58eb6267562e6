// SPDX-License-Identifier: Apache-2.0
/// What the tables of hypercalls and of their operations are made of. A handler is an ordinary function with typed parameters: its
/// signature says how the guest's registers are read. What else a row says is checked here, at compile time where that can be.
/// docs/hypercalls.md is made from these rows (scripts/hypercalls-doc).
#pragma once

#include <tuple>
#include <type_traits>
#include <utility>

#include "hypervisor/hypercall/hypercall.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

/// Which kinds of guest have the call; for others its number is unknown.
enum class Kinds : uint8_t { pv, all };
/// Who may ask; all others are told `perm` before the operation looks at anything.
enum class Who : uint8_t {
    anyone,             ///< of an operation: who may make the hypercall
    control,            ///< the domain that controls the others, and drives the machine
    control_of_others,  ///< the same, but not to itself: `inval`
};
/// Whether the call may stop in between and be entered again for the rest.
enum class Runs : uint8_t { whole, in_parts };

inline bool authorised(const Domain& d, Who who) { return who == Who::anyone || d.privileged; }

/// A decoded hypercall: its arguments are six words in a row, or stand in the registers of the guest that makes it.
using Handler = Answer (*)(Vcpu& v, const uint64_t (&args)[6]);
using RegsHandler = Answer (*)(Vcpu& v, const Regs& r);

/// Where the arguments are in registers.
inline constexpr uint64_t Regs::*argument_registers[6] = {&Regs::rdi, &Regs::rsi, &Regs::rdx, &Regs::r10, &Regs::r8, &Regs::r9};

namespace detail {

/// A register as a parameter: cut to the width of a number.
template <class A>
[[gnu::always_inline]] inline A argument(uint64_t r) {
    if constexpr (std::is_integral_v<A>) return static_cast<A>(r);
    else return A::from_reg(r);
}

[[gnu::always_inline]] inline uint64_t word_of(const uint64_t (&args)[6], size_t i) { return args[i]; }
[[gnu::always_inline]] inline uint64_t word_of(const Regs& r, size_t i) { return r.*argument_registers[i]; }

template <auto handler>
struct Decoder;
template <class R, class... A, R (*handler)(Vcpu&, A...)>
struct Decoder<handler> {
    static_assert(sizeof...(A) <= 6, "no more registers than that");
    template <class From>
    [[gnu::always_inline]] static R call(Vcpu& v, const From& args) {
        return [&]<size_t... i>(std::index_sequence<i...>) {
            (void)args;
            return handler(v, argument<A>(word_of(args, i))...);
        }
        (std::index_sequence_for<A...>{});
    }
};

template <class... Rest>
Vcpu& caller_of(Vcpu& v, const Rest&...) {
    return v;
}
template <class Call>
Vcpu& caller_of(const Call& c) {
    return c.v;
}

/// Runs a row's handler for whom the row allows. Handlers without a value answer 0.
template <class R, Who who, Runs runs, class F>
[[gnu::always_inline]] inline R ask(Vcpu& caller, F handler) {
    if constexpr (who != Who::anyone)
        if (!authorised(caller.domain, who)) return Err{Errc::perm};
    using Got = decltype(handler());
    if constexpr (std::is_void_v<Got>) {
        handler();
        return 0;
    } else if constexpr (std::is_same_v<Got, Err>) {
        return handler();
    } else {
        Got got = handler();
        HV_DEBUG_ASSERT(runs == Runs::in_parts || got || got.error() != Errc::restart);
        if constexpr (std::is_same_v<Got, R>) {
            return got;
        } else {
            TRY(got);
            return 0;
        }
    }
}

}  // namespace detail

/// Reads the handler's arguments out of the six words, or the registers.
template <auto handler, Who who, Runs runs, class From>
Answer decoded(Vcpu& v, const From& args) {
    return detail::ask<Answer, who, runs>(v, [&] {
        if constexpr (std::is_invocable_v<decltype(handler)>) return handler();
        else return detail::Decoder<handler>::call(v, args);
    });
}

/// Always the same error, whatever is asked.
template <Errc e>
struct Refused {
    template <class... A>
    constexpr Err operator()(A&&...) const {
        return Err{e};
    }
};
template <Errc e>
inline constexpr Refused<e> refused{};

/// One operation of a hypercall that has several.
template <auto number_, auto handler_, Who who_ = Who::anyone, Runs runs_ = Runs::whole>
struct Op {
    static constexpr uint64_t number = number_;
    static constexpr auto handler = handler_;
    static constexpr Who who = who_;
    static constexpr Runs runs = runs_;
};

namespace detail {

template <class R>
[[gnu::noinline]] R unknown(Vcpu& caller, uint64_t cmd, const char* name) {
    guest_log(LogLevel::debug, "d%u: unknown %s %lu", unsigned{caller.domain.id.raw}, name, cmd);
    return Err{Errc::nosys};
}

template <class R, class Found, class... C>
[[gnu::always_inline]] inline R perform(C&... c) {
    return ask<R, Found::who, Found::runs>(caller_of(c...), [&]() -> decltype(Found::handler(c...)) {
        if constexpr (Found::who == Who::control_of_others)
            if ((c.on_self() || ...)) return Err{Errc::inval};
        return Found::handler(c...);
    });
}

}  // namespace detail

/// Operations that guests ask for all day: tried one after the other, and done in place. The most frequent ones come first.
template <class... Ops>
struct FrequentOperations {
    static constexpr bool has(uint64_t) { return false; }
    template <class R, class... C>
    static R run(const char* name, uint64_t cmd, C&... c) {
        return detail::unknown<R>(detail::caller_of(c...), cmd, name);
    }
    template <class Otherwise, class... C>
    [[gnu::always_inline]] static Answer run_or(const char*, uint64_t, Otherwise otherwise, C&...) {
        return otherwise();
    }
};
template <class First, class... Rest>
struct FrequentOperations<First, Rest...> {
    static constexpr bool has(uint64_t cmd) { return cmd == First::number || FrequentOperations<Rest...>::has(cmd); }
    /// As Operations::run().
    template <class R = Answer, class... C>
    [[gnu::always_inline]] static R run(const char* name, uint64_t cmd, C&... c) {
        if (cmd == First::number) return detail::perform<R, First>(c...);
        return FrequentOperations<Rest...>::template run<R>(name, cmd, c...);
    }
    /// The same; `otherwise()` when it is none of these.
    template <class Otherwise, class... C>
    [[gnu::always_inline]] static Answer run_or(const char* name, uint64_t cmd, Otherwise otherwise, C&... c) {
        if (cmd == First::number) return detail::perform<Answer, First>(c...);
        return FrequentOperations<Rest...>::run_or(name, cmd, otherwise, c...);
    }
};

/// The operations of a hypercall: a switch over their numbers.
template <class... Ops>
class Operations {
    static constexpr size_t count = sizeof...(Ops);
    static_assert(count <= 64, "pick() has no more cases");
    template <size_t i>
    using At = std::tuple_element_t<i, std::tuple<Ops...>>;

    /// A case that is left over has a number that no operation has.
    template <size_t i>
    static consteval uint64_t number_of() {
        if constexpr (i < count) return At<i>::number;
        else return ~uint64_t{0} - i;
    }

    /// Small arguments stay in registers.
    template <class A>
    using Passed = std::conditional_t<std::is_trivially_copyable_v<A> && sizeof(A) <= sizeof(uint64_t), A, A&>;

    /// Apart from the switch, so that no operation saves the registers that another one needs.
    template <class R, class Found, class... C>
    [[gnu::noinline]] static R call(Passed<C>... c) {
        return detail::perform<R, Found>(c...);
    }

    // clang-format off
#define HV_CASE(i) case number_of<i>(): if constexpr ((i) < count) return call<R, At<i>, C...>(c...); else goto none;
#define HV_CASES_4(i) HV_CASE(i) HV_CASE((i) + 1) HV_CASE((i) + 2) HV_CASE((i) + 3)
#define HV_CASES_16(i) HV_CASES_4(i) HV_CASES_4((i) + 4) HV_CASES_4((i) + 8) HV_CASES_4((i) + 12)
    /// What the operations take comes first: it is where they expect it.
    template <class R, class... C>
    [[gnu::noinline]] static R pick(Passed<C>... c, uint64_t cmd, const char* name) {
        switch (cmd) {
            HV_CASES_16(0) HV_CASES_16(16) HV_CASES_16(32) HV_CASES_16(48)
            default: none: return detail::unknown<R>(detail::caller_of(c...), cmd, name);
        }
    }
#undef HV_CASES_16
#undef HV_CASES_4
#undef HV_CASE
    // clang-format on

public:
    static constexpr bool has(uint64_t cmd) { return ((cmd == Ops::number) || ...); }
    static constexpr bool in_parts(uint64_t cmd) { return ((cmd == Ops::number && Ops::runs == Runs::in_parts) || ...); }
    /// Does operation `cmd` of the hypercall `name`, with what all of its operations take: the caller and a guest's pointer, or a
    /// structure with the caller as `v`. Errors: nosys when there is none of this number; perm; those of the operation.
    template <class R = Answer, class... C>
    [[gnu::always_inline]] static R run(const char* name, uint64_t cmd, C&... c) {
        return pick<R, C...>(c..., cmd, name);
    }
};

}  // namespace hv
