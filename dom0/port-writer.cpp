// SPDX-License-Identifier: Apache-2.0
// Copies standard input to an I/O port, byte by byte: `port-writer 0xe9 < FILE`. It is how a script's output leaves the
// machine: the emulator's debug port needs no driver, no interrupt and no console of the hypervisor under test. A port
// of 0x2e8 and above is taken for a serial line's: each byte waits until the one before is on its way.
// Ends at end of file, or on SIGTERM once everything already written to its pipe has gone out (a script may leave
// daemons behind that hold the pipe open for ever).
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace {
volatile std::sig_atomic_t stop_asked = 0;

void ask_stop(int) { stop_asked = 1; }

/// True when a read will return at once; waits for input unless a stop was asked for. False: the drain is over.
/// A signal that comes between the check and poll() is seen at the next tick.
bool input_waits() {
    for (;;) {
        const bool draining = stop_asked != 0;
        pollfd wait{STDIN_FILENO, POLLIN, 0};
        const int ready = poll(&wait, 1, draining ? 0 : 100);
        if (ready > 0) return true;
        if (ready == 0 && draining) return false;
        if (ready < 0 && errno != EINTR) return false;
    }
}

constexpr off_t first_serial_port = 0x2e8;
constexpr off_t line_status = 5;  // offset of a UART's line status register
constexpr unsigned char ready_to_send = 0x20;
constexpr off_t line_control = 3;
constexpr char eight_bits = 3;  // after a reset a line sends five bits of each byte

void wait_for_line(int device, off_t port) {
    unsigned char status = 0;
    for (int tries = 0; tries < 100000; ++tries)
        if (pread(device, &status, 1, port + line_status) != 1 || (status & ready_to_send) != 0) return;
}
}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: port-writer PORT\n");
        return 2;
    }
    const off_t port = static_cast<off_t>(std::strtoul(argv[1], nullptr, 0));
    const int device = open("/dev/port", O_RDWR | O_CLOEXEC);
    if (device < 0) {
        std::perror("port-writer: /dev/port");
        return 1;
    }
    if (port >= first_serial_port && pwrite(device, &eight_bits, 1, port + line_control) != 1) {
        std::perror("port-writer: the line's format");
        return 1;
    }
    struct sigaction action {};
    action.sa_handler = ask_stop;
    sigaction(SIGTERM, &action, nullptr);
    std::array<char, 4096> buffer{};
    while (input_waits()) {
        const ssize_t count = read(STDIN_FILENO, buffer.data(), buffer.size());
        if (count <= 0) return count == 0 ? 0 : 1;
        for (ssize_t i = 0; i < count; ++i) {
            if (port >= first_serial_port) wait_for_line(device, port);
            if (pwrite(device, &buffer[static_cast<size_t>(i)], 1, port) != 1) {
                std::perror("port-writer: write");
                return 1;
            }
        }
    }
    return 0;
}
