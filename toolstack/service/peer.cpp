// SPDX-License-Identifier: Apache-2.0
#include "toolstack/service/peer.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

namespace service {

namespace {

/// "ADDRESS:PORT" as the kernel's table of TCP connections prints it: every 32 bits of the address as the number that they are in
/// memory, in the machine's order.
std::string kernel_text(const sockaddr_storage& at) {
    std::array<char, 64> text{};
    if (at.ss_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &at, sizeof v4);
        std::snprintf(text.data(), text.size(), "%08X:%04X", v4.sin_addr.s_addr, unsigned{ntohs(v4.sin_port)});
    } else {
        sockaddr_in6 v6{};
        std::memcpy(&v6, &at, sizeof v6);
        std::array<uint32_t, 4> words{};
        std::memcpy(words.data(), &v6.sin6_addr, sizeof words);
        std::snprintf(text.data(), text.size(), "%08X%08X%08X%08X:%04X", words[0], words[1], words[2], words[3],
                      unsigned{ntohs(v6.sin6_port)});
    }
    return text.data();
}

}  // namespace

bool peer_is_root(int fd) {
    sockaddr_storage peer{}, ours{};
    socklen_t peer_size = sizeof peer, our_size = sizeof ours;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0) return false;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&ours), &our_size) != 0) return false;
    const std::string wanted = kernel_text(peer) + " " + kernel_text(ours);
    std::ifstream in(peer.ss_family == AF_INET ? "/proc/net/tcp" : "/proc/net/tcp6");
    std::string line;
    while (std::getline(in, line)) {
        std::istringstream words(line);
        std::string slot, local, remote, state, queues, timer, retransmit, timeout;
        unsigned uid = ~0U;
        uint64_t inode = 0;
        if (!(words >> slot >> local >> remote >> state >> queues >> timer >> retransmit >> uid >> timeout >> inode)) continue;
        if (local.append(" ").append(remote) == wanted) return uid == 0 && inode != 0;
    }
    return false;
}

}  // namespace service
