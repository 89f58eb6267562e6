// SPDX-License-Identifier: Apache-2.0
/// The search: runs schedules one after the other, each differing from the one before in its last open decision.
#include "tests/explore/explorer.hpp"

#include <cstdarg>
#include <cstdio>

#include "tests/explore/engine.hpp"

asm(R"(
    .text
    .globl explore_switch_stack
explore_switch_stack:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
)");

namespace explore {

/// On the heap: what is watched for a lasting change is the program's data, and this changes all the time.
Engine* engine = new Engine;

namespace {
constexpr uint64_t most_steps = 100'000;  // of one schedule: beyond, somebody goes round in circles
}  // namespace

// -- one schedule -------------------------------------------------------------------------------------------------------

unsigned Engine::decide(unsigned options) {
    if (options == 1) return 0;
    if (depth_ < path_.size()) {
        if (path_[depth_].options != options) {
            std::fprintf(stderr, "explorer: the same schedule took another way (%u options, not %u)\n", options,
                         unsigned{path_[depth_].options});
            std::abort();
        }
        return path_[depth_++].taken;
    }
    path_.push_back({0, static_cast<uint8_t>(options)});
    ++depth_;
    return 0;
}

bool Engine::enabled(unsigned c) const {
    const Cpu& f = fibers_[c];
    return !f.ended && (!f.waiting || f.seen != changes_);
}

bool Engine::choose(bool may_go_on, unsigned& next) {
    for (;;) {
        Option options[2 * max_fibers];
        unsigned n = 0;
        if (may_go_on) options[n++] = {static_cast<uint8_t>(current_), false};
        if (!may_go_on || preemptions_ < bounds_.preemptions) {
            for (unsigned i = 1; i <= count_; ++i) {
                const unsigned c = (current_ + i) % count_;
                if (!(may_go_on && c == current_) && enabled(c)) options[n++] = {static_cast<uint8_t>(c), false};
            }
        }
        const unsigned runs = n;
        for (unsigned c = 0; c < count_; ++c)
            if (!fibers_[c].buffer.empty()) options[n++] = {static_cast<uint8_t>(c), true};
        if (n == 0) return false;
        if (runs == 0) {  // all wait: store buffers do not stay full for ever
            put_out(options[0].cpu);
            continue;
        }
        const Option o = options[decide(n)];
        if (o.drain) {
            put_out(o.cpu);
            continue;
        }
        if (may_go_on && o.cpu != current_) ++preemptions_;
        next = o.cpu;
        return true;
    }
}

void Engine::switch_to(unsigned c) {
    Cpu& from = fibers_[current_];
    current_ = c;
    fibers_[c].waiting = false;
    inside_ = false;
    scenario_->arrives(c);
    explore_switch_stack(&from.fiber.sp, fibers_[c].fiber.sp);
    inside_ = true;
}

void Engine::back_to_main() {
    void* nowhere = nullptr;
    explore_switch_stack(&nowhere, main_sp_);
    std::abort();
}

void Engine::fiber_entry() {
    Engine& e = *engine;
    e.inside_ = false;
    e.scenario_->cpus[e.current_]();
    e.inside_ = true;
    e.fibers_[e.current_].ended = true;
    ++e.changes_;  // who waits for it may have waited for just this
    unsigned next = 0;
    if (e.choose(false, next)) e.switch_to(next);
    e.back_to_main();
}

void Engine::before(const volatile void* at, bool writes) {
    Inside in(inside_);
    if (++steps_ > most_steps) fail("the CPUs go round in circles");
    if (!shared_.access(at, current_, writes)) return;
    scenario_->always();
    unsigned next = 0;
    if (choose(true, next) && next != current_) switch_to(next);
}

void Engine::step() {
    if (!running()) return;
    Inside in(inside_);
    scenario_->always();
    unsigned next = 0;
    if (choose(true, next) && next != current_) switch_to(next);
}

void Engine::wait_for_change() {
    if (!running()) return;
    Inside in(inside_);
    if (++steps_ > most_steps) fail("the CPUs wait in circles");
    Cpu& f = fibers_[current_];
    // What it has seen last was true when it came from its last wait; it looks once more after every change since then.
    f.waiting = true;
    unsigned next = 0;
    if (!choose(false, next)) fail("no CPU can go on: each waits for another");
    if (next == current_) f.waiting = false;
    else switch_to(next);
    f.seen = changes_;
}

void Engine::fail(const char* what) {
    inside_ = true;
    if (failure_.empty()) failure_ = std::string(what) + "\n" + print_schedule();
    if (phase_ != Phase::cpus && phase_ != Phase::end) {
        std::fprintf(stderr, "explorer: outside of any schedule: %s\n", what);
        std::abort();
    }
    back_to_main();
}

// -- memory -------------------------------------------------------------------------------------------------------------

void Engine::keep(void* at, size_t bytes) {
    // Stacks and the C library's heap are the program's own.
    const auto* p = static_cast<const uint8_t*>(at);
    for (const Region& r : watched_) {
        if (p < r.p || p >= r.p + r.bytes) continue;
        Inside in(inside_);
        return journal_.keep(at, bytes);
    }
}

void Engine::plain_access(void* at, size_t bytes, bool writes) {
    Inside in(inside_);
    (void)writes;
    const auto first = reinterpret_cast<uintptr_t>(at);
    for (const DelayedStore& s : fibers_[current_].buffer) {
        const auto p = reinterpret_cast<uintptr_t>(s.at);
        if (p < first + bytes && first < p + s.bytes) return drain(current_);
    }
}

bool Engine::delay(void* at, unsigned bytes, uint64_t value, void* place) {
    Inside in(inside_);
    auto& buffer = fibers_[current_].buffer;
    // Stores leave in order: behind a delayed one all are.
    if (buffer.empty()) {
        if (delays_ >= bounds_.delayed_stores || decide(2) == 0) return false;
        ++delays_;
    }
    buffer.push_back({at, value, static_cast<uint8_t>(bytes), place});
    record(Kind::delayed_store, at, bytes, 0, value, place);
    return true;
}

bool Engine::forwarded(const volatile void* at, unsigned bytes, uint64_t& value) {
    Inside in(inside_);
    auto& buffer = fibers_[current_].buffer;
    for (auto s = buffer.rbegin(); s != buffer.rend(); ++s) {
        if (s->at == at && s->bytes == bytes) {
            value = s->value;
            return true;
        }
        const auto p = reinterpret_cast<uintptr_t>(s->at);
        const auto first = reinterpret_cast<uintptr_t>(at);
        if (p < first + bytes && first < p + s->bytes) {
            drain(current_);
            return false;
        }
    }
    return false;
}

/// The oldest store of the CPU's buffer reaches memory.
void Engine::put_out(unsigned c) {
    const DelayedStore s = fibers_[c].buffer.front();
    fibers_[c].buffer.pop_front();
    uint64_t old = 0;
    std::memcpy(&old, s.at, s.bytes);
    keep(s.at, s.bytes);
    std::memcpy(s.at, &s.value, s.bytes);
    if (old != s.value) ++changes_;
    events_.push_back({Kind::arrives, static_cast<uint8_t>(c), s.bytes, s.place, s.at, old, s.value, {}});
}

void Engine::drain(unsigned c) {
    while (!fibers_[c].buffer.empty()) put_out(c);
}

void Engine::drain_own() {
    Inside in(inside_);
    drain(current_);
}

// -- all schedules ------------------------------------------------------------------------------------------------------

void Engine::run_once() {
    depth_ = 0;
    preemptions_ = delays_ = 0;
    steps_ = changes_ = 0;
    current_ = 0;
    events_.clear();
    phase_ = Phase::setup;
    inside_ = false;
    scenario_->arrives(0);
    scenario_->setup();
    for (unsigned c = 0; c < count_; ++c) {
        Cpu& f = fibers_[c];
        f.ended = f.waiting = false;
        f.seen = ~uint64_t{0};
        f.buffer.clear();
        f.fiber.prepare(fiber_entry);
    }
    inside_ = true;
    phase_ = Phase::cpus;
    unsigned first = 0;
    current_ = count_ - 1;
    choose(false, first);
    current_ = first;
    scenario_->arrives(first);
    explore_switch_stack(&main_sp_, fibers_[first].fiber.sp);
    if (failure_.empty()) {
        for (unsigned c = 0; c < count_; ++c)
            if (!fibers_[c].ended) failure_ = "no CPU can go on: each waits for another\n" + print_schedule();
    }
    if (failure_.empty()) {
        phase_ = Phase::end;
        inside_ = false;
        current_ = 0;
        scenario_->arrives(0);
        // A check that fails leaves this stack.
        fibers_[0].fiber.prepare([] {
            Engine& e = *engine;
            e.scenario_->end();
            e.back_to_main();
        });
        explore_switch_stack(&main_sp_, fibers_[0].fiber.sp);
        inside_ = true;
    }
    phase_ = Phase::off;
    journal_.undo();
    inside_ = false;
}

bool Engine::next_schedule() {
    while (!path_.empty() && path_.back().taken + 1 == path_.back().options) path_.pop_back();
    if (path_.empty()) return false;
    ++path_.back().taken;
    return true;
}

uint64_t Engine::hash_watched() const {
    uint64_t h = 0xcbf29ce484222325;
    for (const Region& r : watched_) {
        for (size_t i = 0; i + 8 <= r.bytes; i += 8) {
            uint64_t w = 0;
            std::memcpy(&w, r.p + i, 8);
            h = (h ^ w) * 0x100000001b3;
            h ^= h >> 29;
        }
    }
    return h;
}

Outcome Engine::explore(const Scenario& s, Bounds b) {
    Outcome out;
    scenario_ = &s;
    bounds_ = b;
    count_ = static_cast<unsigned>(s.cpus.size());
    failure_.clear();
    path_.clear();
    shared_ = {};
    names_.clear();
    const uint64_t memory = hash_watched();
    do {
        run_once();
        ++out.schedules;
        if (path_.size() > out.decisions) out.decisions = path_.size();
        const bool look = (out.schedules & (out.schedules - 1)) == 0;
        if (look && hash_watched() != memory) {
            std::fprintf(stderr, "explorer: schedule %llu left something changed\n",
                         static_cast<unsigned long long>(out.schedules));
            std::abort();
        }
        if (!failure_.empty()) break;
        if (shared_.take_grew()) {
            // Decisions that were left out before: from the start.
            path_.clear();
            continue;
        }
        out.complete = !next_schedule();
    } while (!out.complete && out.schedules < b.schedules);
    out.failure = failure_;
    return out;
}

// -- the interface ------------------------------------------------------------------------------------------------------

Outcome run(const Scenario& s, Bounds b) { return engine->explore(s, b); }
void check(bool holds, const char* what) {
    if (!holds) engine->fail(what);
}
void fail(const char* what) { engine->fail(what); }
void note(const char* format, ...) {
    char text[200];
    va_list ap;
    va_start(ap, format);
    std::vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    engine->note(text);
}
void wait_for_change() { engine->wait_for_change(); }
void step() { engine->step(); }
unsigned cpu() { return engine->cpu(); }
bool ended(unsigned c) { return engine->ended(c); }
void name(const volatile void* p, unsigned long bytes, const char* text) { engine->name(p, bytes, text); }
void watch(const void* p, unsigned long bytes) { engine->watch(p, bytes); }

}  // namespace explore
