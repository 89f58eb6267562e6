// SPDX-License-Identifier: Apache-2.0
// One HYPERVISOR_hypfs_op as it is, for each line that is read: version, read PATH [ROOM], write PATH TEXT, unended PATH TEXT (without the
// zero byte), byte PATH NUMBER, op NUMBER PATH. A line comes back for each: the error, or what kind of entry it is, how long it is and may be, and
// what it holds; of a directory the names.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <sstream>
#include <string>

#include "abi/xen/hypfs.hpp"

namespace {

struct PrivcmdHypercall {  // include/uapi/xen/privcmd.h
    uint64_t op, arg[5];
};
constexpr unsigned long do_hypercall = _IOC(_IOC_NONE, 'P', 0, sizeof(PrivcmdHypercall));

struct Shared {
    char path[2048];
    char buffer[16384];
};

void show_list(const char* at, const char* end) {
    for (bool more = true; more && at < end;) {
        xen::HypfsDirListEntry l{};
        std::memcpy(&l, at, offsetof(xen::HypfsDirListEntry, off_next) + sizeof l.off_next);
        std::printf(" %s", at + offsetof(xen::HypfsDirListEntry, off_next) + sizeof l.off_next);
        more = l.off_next != 0;
        at += l.off_next;
    }
    std::printf("\n");
}

void show(const char* buffer) {
    static constexpr const char* types[] = {"dir", "blob", "string", "uint", "int", "bool"};
    xen::HypfsDirEntry e{};
    std::memcpy(&e, buffer, sizeof e);
    const char* const contents = buffer + sizeof e;
    if (e.type == xen::XEN_HYPFS_TYPE_DIR) {
        std::printf("ok dir");
        return show_list(contents, contents + e.content_len);
    }
    std::printf("ok %s %u/%u", e.type < std::size(types) ? types[e.type] : "?", e.content_len, e.max_write_len);
    uint64_t number = 0;
    std::memcpy(&number, contents, e.content_len < sizeof number ? e.content_len : 0);
    if (e.type == xen::XEN_HYPFS_TYPE_STRING) std::printf(" %.*s\n", static_cast<int>(e.content_len), contents);
    else std::printf(" %llu\n", static_cast<unsigned long long>(number));
}

/// The call for a line; false: no such word.
bool compose(const std::string& line, Shared& s, PrivcmdHypercall& call) {
    std::istringstream words(line);
    std::string verb, path, rest;
    uint64_t number = 0;
    words >> verb;
    if (verb == "op") words >> number;
    words >> path >> rest;
    std::strcpy(s.path, path.c_str());
    std::strcpy(s.buffer, rest.c_str());
    const auto buffer = reinterpret_cast<uint64_t>(s.buffer);
    const uint64_t to_path[] = {reinterpret_cast<uint64_t>(s.path), path.size() + 1};
    const auto with = [&](uint64_t cmd, uint64_t bytes) {
        call = {xen::HYPERVISOR_hypfs_op, {cmd, to_path[0], to_path[1], buffer, bytes}};
    };
    if (verb == "version") call = {xen::HYPERVISOR_hypfs_op, {xen::XEN_HYPFS_OP_get_version, 0, 0, 0, 0}};
    else if (verb == "read")
        with(xen::XEN_HYPFS_OP_read, rest.empty() ? sizeof s.buffer : std::strtoul(rest.c_str(), nullptr, 0));
    else if (verb == "write") with(xen::XEN_HYPFS_OP_write_contents, rest.size() + 1);
    else if (verb == "unended") with(xen::XEN_HYPFS_OP_write_contents, rest.size());
    else if (verb == "op") with(number, sizeof s.buffer);
    else if (verb == "byte") {
        s.buffer[0] = static_cast<char>(std::atoi(rest.c_str()));
        with(xen::XEN_HYPFS_OP_write_contents, 1);
    } else return false;
    return path.size() < sizeof s.path && rest.size() < 1024;
}

}  // namespace

int main() {
    const int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    void* const memory =
        mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);
    if (fd < 0 || memory == MAP_FAILED) return 2;
    auto& s = *static_cast<Shared*>(memory);
    for (std::string line; std::getline(std::cin, line);) {
        PrivcmdHypercall call{};
        if (line.size() >= 1024 || !compose(line, s, call)) return 2;
        const int answer = ioctl(fd, do_hypercall, &call);
        if (answer < 0) std::printf("%s\n", strerrorname_np(errno));
        else if (call.arg[0] == xen::XEN_HYPFS_OP_read) show(s.buffer);
        else std::printf("ok %d\n", answer);
        std::fflush(stdout);
    }
    return 0;
}
