// SPDX-License-Identifier: Apache-2.0
// What a log of dirty pages costs dom0: log-costs DOMID [READINGS [MS-BETWEEN]]. Begins one, reads it so many times, ends it; a line each, with
// microseconds from the call to its answer. Under ./run --icount they are thousands of instructions.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "abi/xen/domctl.hpp"

namespace {

struct PrivcmdHypercall {  // include/uapi/xen/privcmd.h
    uint64_t op, arg[5];
};
constexpr unsigned long do_hypercall = _IOC(_IOC_NONE, 'P', 0, sizeof(PrivcmdHypercall));
constexpr uint64_t hypercall_domctl = 36;

struct Shared {
    xen::Domctl op;
    alignas(4096) uint8_t bits[1 << 20];
};

double now() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

int ask(int fd, Shared& s, const char* name, uint16_t domain, uint32_t what, uint64_t pages) {
    s.op = xen::zeroed<xen::Domctl>();
    s.op.cmd = xen::XEN_DOMCTL_shadow_op;
    s.op.interface_version = xen::XEN_DOMCTL_INTERFACE_VERSION;
    s.op.domain = domain;
    s.op.u.shadow_op.op = what;
    s.op.u.shadow_op.dirty_bitmap.addr = reinterpret_cast<uint64_t>(s.bits);
    s.op.u.shadow_op.pages = pages;
    PrivcmdHypercall call{hypercall_domctl, {reinterpret_cast<uint64_t>(&s.op), 0, 0, 0, 0}};
    const double start = now();
    const int result = ioctl(fd, do_hypercall, &call);
    const double end = now();
    if (result) std::perror(name);
    else
        std::printf("%s %.1f us, %u pages, %u faults\n", name, end - start, s.op.u.shadow_op.stats.dirty_count,
                    s.op.u.shadow_op.stats.fault_count);
    return result;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    const auto domain = static_cast<uint16_t>(std::atoi(argv[1]));
    const int readings = argc > 2 ? std::atoi(argv[2]) : 5;
    const auto between = static_cast<useconds_t>(argc > 3 ? std::atoi(argv[3]) : 100) * 1000;
    const int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    void* const memory =
        mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);
    if (fd < 0 || memory == MAP_FAILED) return 2;
    auto& s = *static_cast<Shared*>(memory);
    constexpr uint64_t pages = 32768;
    if (ask(fd, s, "ENABLE", domain, xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, 0)) return 1;
    for (int i = 0; i < readings; ++i) {
        usleep(between);
        if (ask(fd, s, "CLEAN", domain, xen::XEN_DOMCTL_SHADOW_OP_CLEAN, pages)) return 1;
    }
    return ask(fd, s, "OFF", domain, xen::XEN_DOMCTL_SHADOW_OP_OFF, 0) ? 1 : 0;
}
