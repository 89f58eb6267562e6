// SPDX-License-Identifier: Apache-2.0
/// The engine behind explorer.hpp, as the instrumentation sees it.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "tests/explore/explorer.hpp"
#include "tests/explore/fiber.hpp"
#include "tests/explore/memory.hpp"

namespace explore {

enum class Kind : uint8_t {
    load,
    store,
    delayed_store,
    exchange,
    swap_done,
    swap_failed,
    add,
    sub,
    bit_and,
    bit_or,
    bit_xor,
    fence,
    arrives,
    note
};

/// Code of the engine that instrumented code called: what it stores is not the schedule's.
class Inside {
    bool& flag_;
    const bool before_;

public:
    explicit Inside(bool& f) : flag_(f), before_(f) { flag_ = true; }
    ~Inside() { flag_ = before_; }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
};

/// One line of a schedule.
struct Event {
    Kind kind;
    uint8_t cpu;
    uint8_t bytes;
    void* place;  ///< of the code
    const volatile void* at;
    uint64_t before;
    uint64_t after;
    std::string text;  ///< notes
};

class Engine {
public:
    /// Instrumented code is on a fiber (or in setup): its stores are journalled.
    bool journalling() const { return phase_ != Phase::off && !inside_; }
    /// It runs as a CPU: its atomic operations are decisions.
    bool running() const { return phase_ == Phase::cpus && !inside_; }

    // -- instrument.cpp ---------------------------------------------------------------------------------------------------
    void keep(void* at, size_t bytes);
    void plain_access(void* at, size_t bytes, bool writes);
    /// Before an atomic operation: the decision.
    void before(const volatile void* at, bool writes);
    /// After it: for the printed schedule.
    void record(Kind k, const volatile void* at, unsigned bytes, uint64_t old, uint64_t now, void* place);
    /// True when the store shall wait in the store buffer; it has been put there.
    bool delay(void* at, unsigned bytes, uint64_t value, void* place);
    /// What this CPU reads at `at` from its own store buffer. False: memory.
    bool forwarded(const volatile void* at, unsigned bytes, uint64_t& value);
    /// A fence or a locked operation of this CPU.
    void drain_own();
    void changed() { ++changes_; }

    // -- explorer.cpp ----------------------------------------------------------------------------------------------------
    Outcome explore(const Scenario& s, Bounds b);
    [[noreturn]] void fail(const char* what);
    void note(std::string text);
    void wait_for_change();
    void step();
    unsigned cpu() const { return current_; }
    bool ended(unsigned c) const { return phase_ != Phase::cpus || c >= count_ || fibers_[c].ended; }
    void name(const volatile void* p, size_t bytes, const char* text);
    void watch(const void* p, size_t bytes) { watched_.push_back({static_cast<const uint8_t*>(p), bytes}); }

private:
    enum class Phase : uint8_t { off, setup, cpus, end };
    struct Cpu {
        Fiber fiber;
        bool ended = false;
        bool waiting = false;
        uint64_t seen = 0;  ///< changes when it came from its last wait
        std::deque<DelayedStore> buffer;
    };
    struct Decision {
        uint8_t taken;
        uint8_t options;
    };
    struct Option {
        uint8_t cpu;
        bool drain;
    };
    struct Named {
        uintptr_t first, end;
        std::string text;
    };
    struct Region {
        const uint8_t* p;
        size_t bytes;
    };

    static void fiber_entry();
    void run_once();
    bool next_schedule();
    unsigned decide(unsigned options);
    /// Who runs next; `may_go_on`: the current CPU can. False: nobody can.
    bool choose(bool may_go_on, unsigned& next);
    bool enabled(unsigned c) const;
    void switch_to(unsigned c);
    [[noreturn]] void back_to_main();
    void put_out(unsigned c);
    void drain(unsigned c);
    uint64_t hash_watched() const;
    std::string print_schedule() const;
    std::string name_of(const volatile void* p) const;

    Phase phase_ = Phase::off;
    bool inside_ = false;  ///< the engine itself, or a check, runs
    const Scenario* scenario_ = nullptr;
    Bounds bounds_;
    Cpu fibers_[max_fibers];
    unsigned count_ = 0;
    unsigned current_ = 0;
    void* main_sp_ = nullptr;
    Journal journal_;
    SharedWords shared_;
    std::vector<Decision> path_;
    size_t depth_ = 0;
    unsigned preemptions_ = 0;
    unsigned delays_ = 0;
    uint64_t changes_ = 0;
    uint64_t steps_ = 0;
    std::vector<Event> events_;
    std::string failure_;
    std::vector<Named> names_;
    std::vector<Region> watched_;
};

/// Null until it has been made: constructors of the program's own data run before.
extern Engine* engine;

}  // namespace explore
