// SPDX-License-Identifier: Apache-2.0
#include "toolstack/service/listen.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace service {

using base::Errc;

namespace {

constexpr int waiting_clients = 128;

struct Address {
    sockaddr_storage address{};
    socklen_t size = 0;
    bool loopback = false;
};

base::Outcome<Address> parse_address(const std::string& text, uint16_t port) {
    Address out;
    auto* const v4 = reinterpret_cast<sockaddr_in*>(&out.address);
    auto* const v6 = reinterpret_cast<sockaddr_in6*>(&out.address);
    if (::inet_pton(AF_INET, text == "localhost" ? "127.0.0.1" : text.c_str(), &v4->sin_addr) == 1) {
        out.size = sizeof *v4;
        out.loopback = ntohl(v4->sin_addr.s_addr) >> 24U == 127;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return out;
    }
    if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) != 1)
        return base::fail(Errc::inval, "'" + text + "' is not an address");
    out.size = sizeof *v6;
    out.loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return out;
}

base::Outcome<Fd> listen_at(const Address& at, const std::string& text, uint16_t port) {
    Fd fd(::socket(at.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return system_failure("socket");
    const int yes = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at.address), at.size) != 0 ||
        ::listen(fd.get(), waiting_clients) != 0)
        return system_failure("cannot listen at " + text + ":" + std::to_string(port));
    return fd;
}

}  // namespace

base::Outcome<Fd> listen_unix(const std::string& path) {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return system_failure("socket");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return base::fail(Errc::nametoolong, "The socket's path is too long: " + path);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ::unlink(path.c_str());
    const mode_t old = ::umask(0177);  // never a moment at which others could connect
    const int bound = ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::umask(old);
    if (bound != 0) return system_failure("Cannot bind " + path);
    if (::listen(fd.get(), waiting_clients) != 0) return system_failure("Cannot listen on " + path);
    return fd;
}

base::Outcome<Fd> listen_loopback(const std::string& address, uint16_t port) {
    const auto at = parse_address(address, port);
    if (!at || !at->loopback) return base::fail(Errc::inval, "'" + address + "' is not a loopback address");
    return listen_at(*at, address, port);
}

base::Outcome<Fd> listen_tcp(const std::string& address, uint16_t port) {
    return listen_at(OTRY(parse_address(address, port)), address, port);
}

}  // namespace service
