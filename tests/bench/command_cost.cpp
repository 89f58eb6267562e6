// SPDX-License-Identifier: Apache-2.0
// command-cost NAME COMMAND...: runs the command and prints `bench: NAME: MS` and `bench: NAME, busy: MS`: milliseconds of the clock until it
// has ended, and those of them in which a CPU of the machine was not idle. Ends as the command does.
// command-cost --idle NAME SECONDS: only waits, and prints the busy milliseconds of a second.
// command-cost --free NAME: the hypervisor's free memory and dom0's, in KiB.
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "toolstack/xencall/privcmd.hpp"
#include "toolstack/xenctrl/control.hpp"

namespace {

int64_t now() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

[[noreturn]] void give_up(const std::string& why) {
    std::fprintf(stderr, "command-cost: %s\n", why.c_str());
    std::exit(1);
}

/// Nanoseconds for which CPU 0 has been idle; benchmarks run on one CPU.
int64_t idle(xenctrl::Control& control) {
    const auto times = control.cpu_idle_times();
    if (!times || times->empty()) give_up("no idle times: " + (times ? std::string("no CPU") : times.failure().text));
    return times->front().n;
}

int run(char** command) {
    const pid_t child = fork();
    if (child == 0) {
        execvp(command[0], command);
        std::perror(command[0]);
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) give_up("fork failed");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

long available_kib() {
    std::ifstream file("/proc/meminfo");
    std::string word;
    long kib = 0;
    while (file >> word)
        if (word == "MemFree:" || word == "Buffers:" || word == "Cached:") {
            long part = 0;
            file >> part;
            kib += part;
        }
    return kib;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) give_up("which command?");
    auto backend = xencall::open_privcmd();
    if (!backend) give_up(backend.failure().text);
    xenctrl::Control control(**backend);
    const std::string first = argv[1];
    if (first == "--free") {
        const auto info = control.physinfo();
        if (!info) give_up(info.failure().text);
        std::printf("bench: %s, hypervisor: %llu\nbench: %s, dom0: %ld\n", argv[2],
                    static_cast<unsigned long long>(info->free_pages) * 4, argv[2], available_kib());
        return 0;
    }
    const bool only_wait = first == "--idle";
    if (only_wait && argc < 4) give_up("how many seconds?");
    const int64_t begin = now(), idle_before = idle(control);
    int status = 0;
    if (only_wait) sleep(static_cast<unsigned>(std::atoi(argv[3])));
    else status = run(argv + 2);
    const double wall = static_cast<double>(now() - begin) / 1e6,
                 busy = wall - static_cast<double>(idle(control) - idle_before) / 1e6;
    if (only_wait) {
        std::printf("bench: %s: %.2f\n", argv[2], busy / std::atoi(argv[3]));
        return 0;
    }
    std::printf("bench: %s: %.2f\nbench: %s, busy: %.2f\n", argv[1], wall, argv[1], busy);
    return status;
}
