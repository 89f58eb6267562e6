// SPDX-License-Identifier: Apache-2.0
/// Where the bytes of a saved domain come from and go to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "lib/base/outcome.hpp"

namespace proto::saved {

class Source {
public:
    virtual ~Source() = default;
    /// Fills `out` from where the last call ended. Returns how much: less only at the end. Errors: of the file.
    virtual base::Outcome<size_t> read(std::span<std::byte> out) = 0;
    /// What read_some() gave: so many bytes, or so many zeros that nobody looked at.
    struct Some {
        uint64_t count = 0;
        bool zeros = false;
    };
    /// Fills the beginning of `out`, at least a byte but at the end; or tells of zeros in their place that are known as such, as a file's
    /// holes are, and leaves `out` as it is. Errors: as read().
    virtual base::Outcome<Some> read_some(std::span<std::byte> out) { return Some{OTRY(read(out)), false}; }
    /// Of a source that knows when most of it was read, and nobody waits for the rest yet: `work` is done then, from within a read.
    /// Nothing: no more.
    virtual void while_nobody_waits(std::function<void()> work) { static_cast<void>(work); }
};

class Sink {
public:
    virtual ~Sink() = default;
    /// Takes all of `bytes`, which need not live longer than the call. Errors: of the file.
    virtual base::Outcome<> write(std::span<const std::byte> bytes) = 0;
    /// As write() of so many zeros; a file need not store them.
    virtual base::Outcome<> zeros(uint64_t count) = 0;
};

}  // namespace proto::saved
