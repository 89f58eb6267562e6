// SPDX-License-Identifier: Apache-2.0
/// Outcome<T>: the hosted tools' result, a value or a Failure with a text for a person. Hosted only.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "lib/base/result.hpp"

namespace base {

/// Why something failed. `text` is one line: what is wrong, where, what to do; the outermost context stands first.
struct Failure {
    Errc code = Errc::inval;
    std::string text;
    /// Puts "what: " in front of the text.
    Failure with(const std::string& what) && {
        text = text.empty() ? what : what + ": " + text;
        return std::move(*this);
    }
};

template <class T = Unit>
class [[nodiscard]] Outcome {
    std::variant<T, Failure> v_;

public:
    Outcome(T v) : v_(std::in_place_index<0>, std::move(v)) {}
    Outcome(Failure f) : v_(std::in_place_index<1>, std::move(f)) {}
    explicit operator bool() const { return v_.index() == 0; }
    T& value() & { return std::get<0>(v_); }
    const T& value() const& { return std::get<0>(v_); }
    T take() && { return std::get<0>(std::move(v_)); }
    const Failure& failure() const { return std::get<1>(v_); }
    Failure take_failure() && { return std::get<1>(std::move(v_)); }
    T* operator->() { return &std::get<0>(v_); }
    const T* operator->() const { return &std::get<0>(v_); }
    T& operator*() & { return std::get<0>(v_); }
    const T& operator*() const& { return std::get<0>(v_); }
    /// Adds the step that failed: `read(p).context("while reading the configuration")`.
    Outcome context(const std::string& what) && {
        if (*this) return std::move(*this);
        return std::get<1>(std::move(v_)).with(what);
    }
};

inline Failure fail(Errc code, std::string text) { return Failure{code, std::move(text)}; }

}  // namespace base

/// TRY for Outcome.
#define OTRY(e)                                            \
    (__extension__({                                       \
        auto&& otry_result_ = (e);                         \
        if (!otry_result_) [[unlikely]]                    \
            return std::move(otry_result_).take_failure(); \
        std::move(otry_result_).take();                    \
    }))
