// SPDX-License-Identifier: Apache-2.0
// silence [MIB]: runs in a guest that moves. Wakes each millisecond and prints `gap: MS` when it did not for three, by the processor's own
// counter, which goes on while the guest stands still. With MIB, a second process writes to each page of so many mebibytes every 10 ms.
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr long millisecond = 1'000'000;  // in nanoseconds
constexpr size_t page = 4096;

int64_t monotonic() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

void sleep_for(long ns) {
    const timespec t{0, ns};
    nanosleep(&t, nullptr);
}

double ticks_per_ms() {
    const int64_t start = monotonic();
    const uint64_t ticks = __rdtsc();
    sleep_for(200 * millisecond);
    const uint64_t passed = __rdtsc() - ticks;
    return static_cast<double>(passed) / (static_cast<double>(monotonic() - start) / static_cast<double>(millisecond));
}

[[noreturn]] void rewrite(size_t mib) {
    std::vector<uint8_t> memory(mib << 20);
    for (uint8_t round = 0;; ++round) {
        for (size_t i = 0; i < memory.size(); i += page) static_cast<volatile uint8_t&>(memory[i]) = round;
        sleep_for(10 * millisecond);
    }
}

}  // namespace

int main(int argc, char** argv) {
    const double rate = ticks_per_ms();
    if (argc > 1 && fork() == 0) rewrite(std::strtoul(argv[1], nullptr, 10));
    std::printf("gaps are watched\n");
    std::fflush(stdout);
    for (uint64_t before = __rdtsc();;) {
        sleep_for(millisecond);
        const uint64_t now = __rdtsc();
        const double gap = static_cast<double>(now - before) / rate;
        before = now;
        if (gap < 3) continue;
        std::printf("gap: %.1f\n", gap);
        std::fflush(stdout);
        before = __rdtsc();  // what it takes to print it is not counted
    }
}
