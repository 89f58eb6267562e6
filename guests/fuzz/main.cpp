// SPDX-License-Identifier: Apache-2.0
/// Makes random hypercalls on two vCPUs until it has made `calls=N` or `seconds=N` are over. `seed=N` says which; the same seed makes
/// the same calls on each vCPU, how the two interleave is the machine's. `trace` prints every call before it is made.
#include "abi/xen/basic.hpp"
#include "abi/xen/sched.hpp"
#include "guests/fuzz/grammar.hpp"
#include "guests/fuzz/play.hpp"
#include "guests/tiny/console.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/traps.hpp"
#include "guests/tiny/vcpus.hpp"

namespace {

using namespace fuzz;
using namespace xen;

constexpr unsigned argument_bytes = 256, batch = 4, kept = 16;

/// A call ready to be made.
struct Made {
    const Call* call;
    uint64_t registers[6];
};

/// What '@' points to. The page behind is not mapped: whoever counts too far finds nothing of ours.
struct alignas(page_bytes) Arguments {
    uint8_t slots[batch][page_bytes / batch];
    Page nothing;
};
Arguments arguments[2];

/// What each of the two vCPUs has for itself.
struct Player {
    MulticallEntry entries[batch];
    Made last[kept];
    uint64_t made;
    bool done;
};
Player players[2];

uint64_t seed, limit, end_time;
bool trace;

/// Fills the structure that '@' points to.
void fill(const Call& call, uint8_t* to, Random& random) {
    uint8_t* const end = to + argument_bytes;
    for (const char* s = call.structure; s[0] && s[1]; s += 2) {
        const auto size = static_cast<size_t>(s[0] - '0');
        if (to + size > end) return;
        const uint64_t value = s[1] == 'c' ? call.operation : value_of(s[1], random);
        for (size_t i = 0; i < size; ++i) *to++ = static_cast<uint8_t>(value >> i * 8);
    }
}

Made make(uint8_t* argument, Random& random) {
    Made m{&calls[random.below(call_count)], {}};
    fill(*m.call, argument, random);
    unsigned i = 0;
    for (const char* r = m.call->registers; *r; ++r, ++i) {
        switch (*r) {
            case 'c': m.registers[i] = m.call->operation; break;
            case '@': m.registers[i] = random.one_in(64) ? random.odd() : addr(argument); break;
            default: m.registers[i] = value_of(*r, random);
        }
    }
    return m;
}

void show(const Made& m, unsigned player) {
    print("guest: vCPU ", player, " call ", m.call->number, ".", m.call->operation, " ", Hex{m.registers[0]}, " ",
          Hex{m.registers[1]}, " ", Hex{m.registers[2]}, " ", Hex{m.registers[3]}, "\n");
}

void remember(Player& p, const Made& m) {
    p.last[p.made % kept] = m;
    ++p.made;
    if (trace) show(m, this_vcpu().id);
}

/// Calls that change how we are entered: we want to live on.
void mend(unsigned number) {
    switch (number) {
        case HYPERVISOR_set_trap_table:
        case HYPERVISOR_set_callbacks:
        case HYPERVISOR_callback_op:
        case HYPERVISOR_multicall: install_traps(); break;
        case HYPERVISOR_set_debugreg: hypercall(HYPERVISOR_set_debugreg, 7, 0); break;
        default: break;
    }
}

void one_call(Player& p, Random& random) {
    const Made m = make(arguments[&p - players].slots[0], random);
    remember(p, m);
    const uint64_t* r = m.registers;
    (void)caught([&] { hypercall(m.call->number, r[0], r[1], r[2], r[3]); });
    mend(m.call->number);
}

void several_calls(Player& p, Random& random) {
    const uint64_t n = 1 + random.below(batch);
    for (uint64_t i = 0; i < n; ++i) {
        const Made m = make(arguments[&p - players].slots[i], random);
        remember(p, m);
        p.entries[i].op = m.call->number;
        for (unsigned a = 0; a < 6; ++a) p.entries[i].args[a] = m.registers[a];
    }
    (void)caught([&] { hypercall(HYPERVISOR_multicall, random.one_in(64) ? random.odd() : addr(p.entries), n); });
    mend(HYPERVISOR_multicall);
    mend(HYPERVISOR_set_debugreg);
}

void play_on(unsigned id) {
    Player& p = players[id];
    Random random(seed * 2 + id);
    uint64_t said = 0;
    while (p.made < limit && now() < end_time) {
        for (auto n = random.below(4); n; --n) scribble(random);
        if (random.one_in(8)) fill_buffer(random);
        if (random.one_in(8)) several_calls(p, random);
        else one_call(p, random);
        if (p.made - said < 50000) continue;
        said = p.made;
        print("guest: vCPU ", id, " calls ", p.made, "\n");
    }
    __atomic_store_n(&p.done, true, __ATOMIC_RELEASE);
}

void second() {
    play_on(1);
    stop_this_vcpu();
}

/// An exception nothing expected: seed and last calls, or what of them can still be said.
[[noreturn]] void give_up(TrapFrame& f) {
    set_trap_handler(nullptr);
    print("guest: FAILED: exception ", f.vector, " error ", Hex{f.error}, " rip ", Hex{f.rip}, ", seed ", seed, "\n");
    const Player& p = players[this_vcpu().id & 1];
    for (uint64_t i = p.made > kept ? p.made - kept : 0; i < p.made; ++i) show(p.last[i % kept], this_vcpu().id);
    power_off(98);
}

/// Breakpoints that a random debug register set are expected; all else is not.
void on_exception(TrapFrame& f) {
    if (f.vector == 1 || f.vector == vector_nmi || f.vector == 2) return;
    give_up(f);
}

}  // namespace

int guest_main() {
    seed = option("seed", 1);
    limit = option("calls", 1'000'000'000) / 2;
    end_time = now() + option("seconds", 1'000'000) * 1'000'000'000;
    trace = has_word("trace");
    set_trap_handler(on_exception);
    print("guest: seed ", seed, ", ", call_count, " kinds of calls\n");
    for (Arguments& a : arguments)
        if (set_entry(&a.nothing, 0) != 0) return 3;
    if (!make_window()) return 1;
    if (start_vcpu(1, second) != 0) return 2;
    play_on(0);
    while (!__atomic_load_n(&players[1].done, __ATOMIC_ACQUIRE)) sleep(10'000'000);
    print("guest: calls ", players[0].made + players[1].made, " seed ", seed, "\n");
    return 0;
}
