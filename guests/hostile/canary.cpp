// SPDX-License-Identifier: Apache-2.0
/// The bystander: two vCPUs that hash their memory and watch their clock, while the first keeps pinging dom0 through the
/// store. It ends when dom0 writes `stop` there; its status counts what it noticed.
#include "guests/hostile/hostile.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/store.hpp"
#include "guests/tiny/vcpus.hpp"

namespace {

using namespace hostile;

constexpr size_t words_each = 128 * 1024;  // 1 MiB for each vCPU
constexpr uint64_t pause_ns = 20'000'000;
uint64_t memory[2][words_each];
volatile uint64_t beats[2], longest_gap[2], backwards[2], changed[2];
volatile bool stop, stopped;

uint64_t hash(unsigned n) {
    uint64_t h = 0xcbf29ce484222325;
    for (const uint64_t w : memory[n]) h = (h ^ w) * 0x100000001b3;
    return h;
}

/// Until it is told to stop: one beat after the other, `ping` in each.
template <class F>
void watch(unsigned n, F ping) {
    Random random(n + 1);
    for (uint64_t& w : memory[n]) w = random.next();
    const uint64_t right = hash(n);
    uint64_t last = now();
    while (!stop) {
        ping();
        sleep(pause_ns);
        if (hash(n) != right) changed[n] = changed[n] + 1;
        const uint64_t t = now();
        if (t < last) backwards[n] = backwards[n] + 1;
        else if (t - last > longest_gap[n]) longest_gap[n] = t - last;
        last = t;
        beats[n] = beats[n] + 1;
    }
}

void second() {
    watch(1, [] {});
    stopped = true;
    stop_this_vcpu();
}

}  // namespace

int guest_main() {
    expect("a second vCPU", start_vcpu(1, second) == 0);
    print("guest: canary\n");
    uint64_t said = 0;
    watch(0, [&] {
        if (store_exists("data/stop")) stop = true;
        if (now() - said < 1'000'000'000) return;
        said = now();
        print("guest: beats ", beats[0], " ", beats[1], "\n");
    });
    while (!stopped) sleep(pause_ns);
    const uint64_t limit = option("gap-ms", 5000);
    for (unsigned n = 0; n < 2; ++n) {
        const uint64_t gap = longest_gap[n] / 1'000'000;
        print("guest: vCPU ", n, ": ", beats[n], " beats, longest gap ", gap, " ms, clock backwards ", backwards[n],
              ", memory changed ", changed[n], "\n");
        expect("the clock has no gap", gap <= limit);
        expect("the clock goes forward", backwards[n] == 0);
        expect("the memory is the same", changed[n] == 0);
    }
    return failures;
}
