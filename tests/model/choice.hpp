// SPDX-License-Identifier: Apache-2.0
/// Where the steps of a World take their decisions from: a few bytes, of a fuzzer's input or of a generator with a seed. When
/// they are used up, more follow from them, so that each step is a function of its record alone.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>

namespace hvmodel {

struct Record {
    uint8_t bytes[24];
};

/// A small generator (splitmix64): the same numbers on every machine.
class Random {
    uint64_t state_;

public:
    explicit Random(uint64_t seed) : state_(seed) {}
    uint64_t next() {
        uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
    Record record() {
        Record r;
        for (unsigned i = 0; i < sizeof r.bytes; i += 8) {
            const uint64_t n = next();
            std::memcpy(r.bytes + i, &n, 8);
        }
        return r;
    }
};

class Choice {
    const Record& record_;
    unsigned used_ = 0;
    Random more_;

    static uint64_t digest(const Record& r) {
        uint64_t h = 0xcbf29ce484222325;
        for (const uint8_t b : r.bytes) h = (h ^ b) * 0x100000001b3;
        return h;
    }
    uint64_t take(unsigned bytes) {
        if (used_ + bytes > sizeof record_.bytes) {
            used_ = sizeof record_.bytes;
            return more_.next();
        }
        uint64_t n = 0;
        std::memcpy(&n, record_.bytes + used_, bytes);
        used_ += bytes;
        return n;
    }

public:
    explicit Choice(const Record& r) : record_(r), more_(digest(r)) {}
    uint64_t word() { return take(8); }
    /// A number below `n`, which is not 0.
    uint64_t below(uint64_t n) { return take(n <= 256 ? 1 : n <= 65536 ? 2 : 8) % n; }
    bool chance(unsigned percent) { return below(100) < percent; }
    template <class T>
    T of(std::initializer_list<T> all) {
        return all.begin()[below(all.size())];
    }
};

}  // namespace hvmodel
