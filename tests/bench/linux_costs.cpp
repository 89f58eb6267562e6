// SPDX-License-Identifier: Apache-2.0
// What a Linux kernel's services cost a program, in nanoseconds of the clock; under `--icount` one of them is one
// instruction. Prints `bench: NAME: NUMBER` a line. It runs on the bare machine, in dom0 and in a domU alike, so that the difference
// is the hypervisor's. Each figure is the least of several batches: what else the machine does can only add.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr unsigned batches = 5;
constexpr size_t page_bytes = 4096;

int64_t now() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

/// Ends the program unless `right`: a figure of what did not work would be worth nothing.
void expect(bool right, const char* what) {
    if (right) return;
    std::printf("bench: FAILED: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

void report(const char* name, double value) { std::printf("bench: %s: %.1f\n", name, value); }

/// Reports the nanoseconds of one round of f, which is called `rounds` times a batch, divided by `parts` in each.
template <class F>
void measure(const char* name, unsigned rounds, F f, unsigned parts = 1) {
    f();
    int64_t best = INT64_MAX;
    for (unsigned batch = 0; batch < batches; ++batch) {
        const int64_t begin = now();
        for (unsigned i = 0; i < rounds; ++i) f();
        best = std::min(best, now() - begin);
    }
    report(name, static_cast<double>(best) / rounds / parts);
}

void end_of(pid_t child) {
    int status = 0;
    expect(child > 0 && waitpid(child, &status, 0) == child && status == 0, "a child process");
}

void calls() {
    measure("getppid", 2000, [] { syscall(SYS_getppid); });
    const int zero = open("/dev/zero", O_RDONLY);
    expect(zero >= 0, "/dev/zero");
    char byte = 0;
    measure("read 1 byte of /dev/zero", 2000, [&] { expect(read(zero, &byte, 1) == 1, "read"); });
    close(zero);
    signal(SIGUSR1, [](int) {});
    measure("signal handler", 1000, [pid = getpid()] { kill(pid, SIGUSR1); });
}

void processes(const char* self) {
    measure("fork+exit", 50, [] {
        const pid_t child = fork();
        if (child == 0) _exit(0);
        end_of(child);
    });
    measure("fork+exec", 20, [=] {
        const pid_t child = fork();
        if (child == 0) {
            execl(self, self, "nothing", nullptr);
            _exit(1);
        }
        end_of(child);
    });
}

void* map(size_t bytes) {
    void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect(at != MAP_FAILED, "mmap");
    return at;
}

void memory() {
    constexpr size_t small = 16 * page_bytes, large = 256 * page_bytes;
    measure("mmap 64 KiB, touch, unmap", 100, [] {
        auto* const at = static_cast<volatile char*>(map(small));
        for (size_t i = 0; i < small; i += page_bytes) at[i] = 1;
        munmap(const_cast<char*>(at), small);
    });
    auto* const page = static_cast<volatile char*>(map(page_bytes));
    page[0] = 1;
    measure("mprotect twice, write", 500, [=] {
        expect(mprotect(const_cast<char*>(page), page_bytes, PROT_READ) == 0, "mprotect");
        expect(mprotect(const_cast<char*>(page), page_bytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
        page[0] = 1;
    });
    auto* const area = static_cast<volatile char*>(map(large));
    madvise(const_cast<char*>(area), large, MADV_NOHUGEPAGE);
    int64_t best = INT64_MAX;
    for (unsigned batch = 0; batch <= batches; ++batch) {
        madvise(const_cast<char*>(area), large, MADV_DONTNEED);
        const int64_t begin = now();
        for (size_t i = 0; i < large; i += page_bytes) area[i] = 1;
        best = std::min(best, now() - begin);
    }
    report("page fault, per page", static_cast<double>(best) / (large / page_bytes));
}

/// A byte to and fro between two processes.
void ping_pong() {
    std::array<int, 2> there{}, back{};
    expect(pipe(there.data()) == 0 && pipe(back.data()) == 0, "pipe");
    const pid_t child = fork();
    if (child == 0) {
        close(there[1]);
        char byte = 0;
        while (read(there[0], &byte, 1) == 1)
            if (write(back[1], &byte, 1) != 1) _exit(1);
        _exit(0);
    }
    char byte = 0;
    measure("pipe ping-pong", 500, [&] { expect(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "pipe"); });
    close(there[1]);
    close(there[0]);
    end_of(child);
}

void sockets() {
    constexpr size_t bytes = 65536;
    std::array<int, 2> ends{};
    expect(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0, "socketpair");
    const int room = 4 * bytes;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    static std::array<char, bytes> buffer;
    measure("unix socket, 64 KiB there", 50, [&] {
        expect(write(ends[0], buffer.data(), bytes) == static_cast<ssize_t>(bytes), "write");
        for (size_t got = 0; got < bytes;) {
            const ssize_t n = read(ends[1], buffer.data(), bytes - got);
            expect(n > 0, "read");
            got += static_cast<size_t>(n);
        }
    });
}

void sleeps() {
    const timespec nap{0, 100'000};
    measure("nanosleep 100 us", 200, [&] { nanosleep(&nap, nullptr); });
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1) return 0;  // what fork+exec starts
    setvbuf(stdout, nullptr, _IOLBF, 0);
    calls();
    processes(argv[0]);
    memory();
    ping_pong();
    sockets();
    sleeps();
    std::puts("bench: done");
    return 0;
}
