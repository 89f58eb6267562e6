// SPDX-License-Identifier: Apache-2.0
/// Sets of CPUs: a plain value, and one that CPUs change while others read it.
///
/// A set has room for max_cpus CPUs, but only its first `cpu_words` words count, those that have a CPU of this machine: one
/// of up to 64 CPUs pays for one word. What the words behind hold means nothing.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

namespace x86 {

inline constexpr unsigned max_cpus = 512;
inline constexpr unsigned max_cpu_words = max_cpus / 64;

/// Words of a set that count, at least one. Set once at boot, before any set names a CPU behind the first word.
inline unsigned cpu_words = 1;
/// How many words sets need for CPUs 0..cpus-1.
constexpr unsigned cpu_words_for(unsigned cpus) { return cpus <= 64 ? 1 : (cpus + 63) / 64; }

/// Calls f(i) for the words that count. Most machines have one.
template <class F>
[[gnu::always_inline]] inline void for_cpu_words(F f) {
    f(0u);
    for (unsigned i = 1; i < cpu_words; ++i) [[unlikely]] f(i);
}

/// A set of CPUs that nobody else sees.
class CpuSet {
    uint64_t words_[max_cpu_words];

    static constexpr uint64_t bit(unsigned cpu) { return uint64_t{1} << (cpu % 64); }

public:
    /// Empty.
    constexpr CpuSet() {
        if (__builtin_is_constant_evaluated())
            for (uint64_t& w : words_) w = 0;
        else fill(0);
    }
    CpuSet(const CpuSet& other) : CpuSet(Unset{}) { *this = other; }
    CpuSet& operator=(const CpuSet& other) {  // NOLINT(bugprone-unhandled-self-assignment): words onto themselves
        for_cpu_words([&](unsigned i) { words_[i] = other.words_[i]; });
        return *this;
    }
    static CpuSet of(unsigned cpu) {
        CpuSet s;
        s.add(cpu);
        return s;
    }
    /// CPUs 0..n-1.
    static CpuSet below(unsigned n) {
        CpuSet s;
        for (unsigned i = 0; i < cpu_words && i * 64 < n; ++i) s.words_[i] = n - i * 64 >= 64 ? ~uint64_t{0} : bit(n) - 1;
        return s;
    }
    /// Every CPU, also those that the machine does not have.
    static CpuSet any() {
        CpuSet s;
        s.fill(~uint64_t{0});
        return s;
    }

    void add(unsigned cpu) { words_[cpu / 64] |= bit(cpu); }
    CpuSet& with(unsigned cpu) {
        add(cpu);
        return *this;
    }
    void remove(unsigned cpu) { words_[cpu / 64] &= ~bit(cpu); }
    bool has(unsigned cpu) const { return words_[cpu / 64] & bit(cpu); }
    /// CPUs 64i..64i+63, i < cpu_words.
    uint64_t word(unsigned i) const { return words_[i]; }
    void set_word(unsigned i, uint64_t w) { words_[i] = w; }

    /// Goes through the CPUs, the lowest first. The set may change meanwhile behind the word that is being gone through.
    class Iterator {
        const CpuSet* set_;
        unsigned word_ = 0;
        uint64_t left_;
        void skip_empty() {
            while (!left_ && ++word_ < cpu_words) left_ = set_->words_[word_];
        }

    public:
        explicit Iterator(const CpuSet& s) : set_(&s), left_(s.words_[0]) { skip_empty(); }
        unsigned operator*() const { return word_ * 64 + static_cast<unsigned>(std::countr_zero(left_)); }
        Iterator& operator++() {
            left_ &= left_ - 1;
            skip_empty();
            return *this;
        }
        struct End {};
        bool operator!=(End) const { return left_ != 0; }
    };
    Iterator begin() const { return Iterator(*this); }
    Iterator::End end() const { return {}; }

    bool empty() const {
        uint64_t any = 0;
        for_cpu_words([&](unsigned i) { any |= words_[i]; });
        return !any;
    }
    /// The lowest CPU; max_cpus when there is none.
    unsigned first() const {
        const Iterator i = begin();
        return i != end() ? *i : max_cpus;
    }
    unsigned count() const {
        unsigned n = 0;
        for_cpu_words([&](unsigned i) { n += static_cast<unsigned>(std::popcount(words_[i])); });
        return n;
    }
    /// Those CPUs for which `wanted(cpu)` is true; it is asked of each, the lowest first.
    template <class F>
    CpuSet where(F wanted) const {
        CpuSet s{Unset{}};
        for_cpu_words([&](unsigned i) {
            uint64_t found = 0;
            for (uint64_t left = words_[i]; left; left &= left - 1)
                if (wanted(i * 64 + static_cast<unsigned>(std::countr_zero(left)))) found |= left & -left;
            s.words_[i] = found;
        });
        return s;
    }
    /// Whether every CPU of `other` is in this one.
    bool covers(const CpuSet& other) const {
        uint64_t missing = 0;
        for_cpu_words([&](unsigned i) { missing |= other.words_[i] & ~words_[i]; });
        return !missing;
    }
    CpuSet& operator&=(const CpuSet& other) {
        for_cpu_words([&](unsigned i) { words_[i] &= other.words_[i]; });
        return *this;
    }
    CpuSet& operator|=(const CpuSet& other) {
        for_cpu_words([&](unsigned i) { words_[i] |= other.words_[i]; });
        return *this;
    }
    friend CpuSet operator&(CpuSet a, const CpuSet& b) { return a &= b; }
    friend CpuSet operator|(CpuSet a, const CpuSet& b) { return a |= b; }
    friend bool operator==(const CpuSet& a, const CpuSet& b) { return a.covers(b) && b.covers(a); }

private:
    struct Unset {};
    /// The words have some value, whichever: what stands behind those that count is never given one.
    explicit CpuSet(Unset) { asm("" : "=m"(words_)); }
    void fill(uint64_t w) {
        asm("" : "=m"(words_));
        for_cpu_words([&](unsigned i) { words_[i] = w; });
    }
};

/// A set of CPUs that any CPU may change and read. One CPU comes and goes in one locked operation; of more than one word,
/// load() and store() are not one moment's: a reader sees each CPU as it was at some time in between.
class CpuMask {
    std::atomic<uint64_t> words_[max_cpu_words] = {};

    static uint64_t bit(unsigned cpu) { return uint64_t{1} << (cpu % 64); }

public:
    CpuMask() = default;
    explicit CpuMask(const CpuSet& s) { store(s); }

    void set(unsigned cpu) { words_[cpu / 64].fetch_or(bit(cpu), std::memory_order_seq_cst); }
    void clear(unsigned cpu) { words_[cpu / 64].fetch_and(~bit(cpu), std::memory_order_seq_cst); }
    bool test(unsigned cpu) const { return words_[cpu / 64].load(std::memory_order_seq_cst) & bit(cpu); }
    /// CPUs 64i..64i+63, i < cpu_words.
    uint64_t word(unsigned i) const { return words_[i].load(std::memory_order_seq_cst); }
    bool empty() const { return load().empty(); }
    /// Whether a CPU is in both.
    bool meets(const CpuMask& other) const {
        uint64_t both = 0;
        for_cpu_words([&](unsigned i) { both |= word(i) & other.word(i); });
        return both;
    }
    /// Whether there is no CPU in it, or only this one. On machines of more than 64: perhaps false all the same.
    bool none_but(unsigned cpu) const { return cpu_words == 1 && !(word(0) & ~bit(cpu)); }
    CpuSet load() const {
        CpuSet s;
        for_cpu_words([&](unsigned i) { s.set_word(i, word(i)); });
        return s;
    }
    /// The same, not before what this CPU has written until now can be seen by the others.
    CpuSet load_behind_writes() {
        words_[0].fetch_or(0, std::memory_order_seq_cst);
        return load();
    }
    /// Readers meanwhile find some CPU of either set.
    void store(const CpuSet& s) {
        if (cpu_words > 1) for_cpu_words([&](unsigned i) { words_[i].fetch_or(s.word(i), std::memory_order_seq_cst); });
        for_cpu_words([&](unsigned i) { words_[i].store(s.word(i), std::memory_order_seq_cst); });
    }
};

}  // namespace x86
