// SPDX-License-Identifier: Apache-2.0
// One XEN_SYSCTL_cpupool_op as it is, for each line that is read: NAME [pool=N] [sched=N] [dom=N] [cpu=N]. A line comes back for each: the error,
// or the pool, its scheduler, how many domains it has, and the CPUs of the map.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <sstream>
#include <string>

#include "abi/xen/sysctl.hpp"

namespace {

struct PrivcmdHypercall {  // include/uapi/xen/privcmd.h
    uint64_t op, arg[5];
};
constexpr unsigned long do_hypercall = _IOC(_IOC_NONE, 'P', 0, sizeof(PrivcmdHypercall));
constexpr uint64_t hypercall_sysctl = 35;

struct Shared {
    xen::Sysctl op;
    alignas(8) uint8_t cpus[64];
};

constexpr const char* names[] = {"", "create", "destroy", "info", "add", "remove", "move", "free"};

uint32_t number_of(const std::string& name) {
    for (uint32_t i = 1; i < std::size(names); ++i)
        if (name == names[i]) return i;
    return static_cast<uint32_t>(std::strtoul(name.c_str(), nullptr, 0));
}

/// False: no such word.
bool set(xen::SysctlCpuPoolOp& p, const std::string& word) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) return false;
    const auto value = static_cast<uint32_t>(std::strtoll(word.c_str() + equals + 1, nullptr, 0));
    const std::string key = word.substr(0, equals);
    if (key == "pool") p.cpupool_id = value;
    else if (key == "sched") p.sched_id = value;
    else if (key == "dom") p.domid = value;
    else if (key == "cpu") p.cpu = value;
    else return false;
    return true;
}

void show(const Shared& s) {
    const xen::SysctlCpuPoolOp& p = s.op.u.cpupool_op;
    std::printf("ok");
    if (p.op == xen::XEN_SYSCTL_CPUPOOL_OP_CREATE) std::printf(" pool %u", p.cpupool_id);
    if (p.op == xen::XEN_SYSCTL_CPUPOOL_OP_INFO) std::printf(" pool %u sched %u domains %u", p.cpupool_id, p.sched_id, p.n_dom);
    if (p.op == xen::XEN_SYSCTL_CPUPOOL_OP_INFO || p.op == xen::XEN_SYSCTL_CPUPOOL_OP_FREEINFO) {
        std::printf(" cpus");
        for (unsigned c = 0; c < sizeof s.cpus * 8; ++c)
            if (s.cpus[c / 8] >> (c % 8) & 1) std::printf(" %u", c);
    }
    std::printf("\n");
}

}  // namespace

int main() {
    const int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    void* const memory =
        mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);
    if (fd < 0 || memory == MAP_FAILED) return 2;
    auto& s = *static_cast<Shared*>(memory);
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string word;
        if (!(words >> word)) continue;
        s = {};
        s.op.cmd = xen::XEN_SYSCTL_cpupool_op;
        s.op.interface_version = xen::XEN_SYSCTL_INTERFACE_VERSION;
        xen::SysctlCpuPoolOp& p = s.op.u.cpupool_op;
        p.op = number_of(word);
        p.cpumap = {{reinterpret_cast<uint64_t>(s.cpus)}, sizeof s.cpus * 8, 0};
        while (words >> word)
            if (!set(p, word)) return 2;
        PrivcmdHypercall call{hypercall_sysctl, {reinterpret_cast<uint64_t>(&s.op), 0, 0, 0, 0}};
        if (ioctl(fd, do_hypercall, &call)) std::printf("%s\n", strerrorname_np(errno));
        else show(s);
        std::fflush(stdout);
    }
    return 0;
}
