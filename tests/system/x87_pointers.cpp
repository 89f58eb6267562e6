// SPDX-License-Identifier: Apache-2.0
// Two processes on two virtual CPUs that share one real CPU: one makes the x87 remember an operand's address, the other
// looks whether it can see that address. Ends 1 when it can: the hypervisor handed one vCPU's x87 pointers to another.
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>

namespace {

constexpr uintptr_t telltale = 0x5a5a1230;
constexpr auto watch_time = std::chrono::seconds(4);

/// SDM 1 figure 8-9: protected mode, 32 bits.
struct Environment {
    uint32_t control, status, tags, ip, ip_selector, operand, operand_selector;
};

bool run_on(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

[[noreturn]] void leave_traces() {
    volatile auto* operand = reinterpret_cast<volatile int32_t*>(telltale);
    for (;;) asm volatile("fildl %0; fstp %%st(0)" : : "m"(*operand));
}

struct Seen {
    unsigned long looks = 0, leaks = 0;
};

Seen watch() {
    Seen seen;
    for (const auto end = std::chrono::steady_clock::now() + watch_time; std::chrono::steady_clock::now() < end;) {
        for (int i = 0; i < 1000; ++i, ++seen.looks) {
            Environment e{};
            asm volatile("fnstenv %0; fldenv %0" : "+m"(e));
            if (e.operand == telltale) ++seen.leaks;
        }
    }
    return seen;
}

}  // namespace

int main() {
    void* page = mmap(reinterpret_cast<void*>(telltale & ~uintptr_t{4095}), 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (page == MAP_FAILED) return 2;
    const pid_t child = fork();
    if (child < 0) return 2;
    if (child == 0) {
        if (!run_on(0)) _exit(2);
        leave_traces();
    }
    const bool placed = run_on(1);
    const Seen seen = placed ? watch() : Seen{};
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    if (!placed || !WIFSIGNALED(status)) return 2;
    std::printf("%lu looks, the other vCPU's operand seen %lu times\n", seen.looks, seen.leaks);
    return seen.leaks == 0 ? 0 : 1;
}
