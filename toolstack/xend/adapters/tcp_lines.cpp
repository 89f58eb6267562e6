// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/tcp_lines.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <sstream>

#include "toolstack/xend/adapters/tls_lines.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using service::Fd;
using service::system_failure;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
namespace wire = proto::relocation;

namespace {

constexpr milliseconds for_a_message{30'000}, for_a_connection{10'000};
/// From here on it is cheaper to send the head of an image by itself than to copy the image behind it.
constexpr size_t worth_two_packets = 1U << 16U;
constexpr size_t longest_name = 255;  // that a domain name has; a regular expression takes stack for each letter

struct FreeAddresses {
    void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

/// Errors: noent, "the resolver's words".
Outcome<Addresses> resolve(const std::string& host, const std::string& port) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = ::getaddrinfo(host.c_str(), port.empty() ? nullptr : port.c_str(), &hints, &found);
    if (error != 0) return base::fail(Errc::noent, ::gai_strerror(error));
    return Addresses(found);
}

/// Without the form that an IPv4 address has in an IPv6 socket.
std::string address_text(const sockaddr* address) {
    char text[INET6_ADDRSTRLEN] = {};
    if (address->sa_family == AF_INET)
        ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text, sizeof text);
    if (address->sa_family == AF_INET6)
        ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, text, sizeof text);
    const std::string out = text;
    constexpr std::string_view mapped = "::ffff:";
    return out.starts_with(mapped) && out.find('.') != std::string::npos ? out.substr(mapped.size()) : out;
}

bool is_loopback(const std::string& address) { return address == "::1" || address.starts_with("127."); }

/// Any address of this machine's: its users reach it by each. When that cannot be known: yes.
bool is_own(const std::string& address) {
    ifaddrs* list = nullptr;
    if (is_loopback(address) || ::getifaddrs(&list) != 0) return true;
    bool own = false;
    for (const ifaddrs* at = list; at != nullptr && !own; at = at->ifa_next)
        own = at->ifa_addr != nullptr && address_text(at->ifa_addr) == address;
    ::freeifaddrs(list);
    return own;
}

Outcome<Fd> connect_one(const addrinfo& at) {
    Fd fd(::socket(at.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return system_failure("can't connect");
    if (::connect(fd.get(), at.ai_addr, at.ai_addrlen) == 0) return fd;
    if (errno != EINPROGRESS) return system_failure("can't connect");
    pollfd wanted{fd.get(), POLLOUT, 0};
    if (::poll(&wanted, 1, static_cast<int>(for_a_connection.count())) == 0)
        return base::fail(Errc::timedout, "can't connect: it does not answer");
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    errno = error;
    if (error != 0) return system_failure("can't connect");
    return fd;
}

}  // namespace

SocketLine::SocketLine(Fd fd, std::string peer) : fd_(std::move(fd)), peer_(std::move(peer)) {
    ::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) | O_NONBLOCK);
    const int yes = 1, second = 1;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    // Whether a silent host is there at all is asked each second.
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_KEEPIDLE, &second, sizeof second);
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_KEEPINTVL, &second, sizeof second);
    lose_after(for_a_message);
}

/// The kernel's own limit, which sees more than we do: bytes that it took are not with the other host yet.
void SocketLine::lose_after(milliseconds silence) const {
    const auto time = static_cast<unsigned>(silence.count());
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &time, sizeof time);
}

void SocketLine::hurry(const std::optional<migration::Haste>& haste) {
    haste_ = haste;
    // What is only said if it goes at once is to arrive all the same.
    if (!haste || haste->pause.count() > 0) lose_after(haste ? haste->pause : for_a_message);
}

/// When waiting for the next byte ends.
SocketLine::Time SocketLine::due(Time until, Stretch stretch) const {
    if (!haste_) return until;
    const Time pause = stretch == Stretch::begun ? steady_clock::now() + haste_->pause : until;
    return std::min({until, pause, haste_->end});
}

Outcome<> SocketLine::wait(short events, Time until) const {
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(until - steady_clock::now());
        if (left.count() <= 0) return base::fail(Errc::timedout, "the other host is silent");
        pollfd wanted{fd_.get(), events, 0};
        const int ready = ::poll(&wanted, 1, static_cast<int>(std::min<int64_t>(left.count(), 60'000)));
        if (ready < 0 && errno != EINTR) return system_failure("the connection");
        if (ready > 0) return base::ok;
    }
}

Outcome<> SocketLine::say(const wire::Message& message) {
    if (cut_) return base::fail(Errc::notconn, "the connection was lost");
    const Time until = steady_clock::now() + for_a_message;
    // What came behind a part of a message would be taken for the rest of it, and a guest that stands still would wait for that again.
    cut_ = true;
    const auto* image = std::get_if<wire::Image>(&message);
    if (image != nullptr && image->bytes.size() >= worth_two_packets) {
        OTRY(send(wire::encode_image_head(*image), until));
        OTRY(send(image->bytes, until));
    } else {
        OTRY(send(wire::encode(message), until));
    }
    cut_ = false;
    return base::ok;
}

Outcome<> SocketLine::send(std::span<const std::byte> bytes, Time until) {
    while (!bytes.empty()) {
        const Part part = OTRY(send_part(bytes));
        bytes = bytes.subspan(part.count);
        if (part.wait != 0) OTRY(wait(part.wait, due(until, Stretch::begun)));
    }
    return base::ok;
}

Outcome<> SocketLine::read(std::span<std::byte> out, Time until, Stretch stretch) {
    while (!out.empty()) {
        const Part part = OTRY(receive_part(out));
        out = out.subspan(part.count);
        if (part.count != 0) stretch = Stretch::begun;
        if (part.wait != 0) OTRY(wait(part.wait, due(until, stretch)));
    }
    return base::ok;
}

Outcome<SocketLine::Part> SocketLine::send_part(std::span<const std::byte> bytes) {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) return Part{static_cast<size_t>(n), 0};
    if (errno == EAGAIN || errno == EINTR) return Part{0, static_cast<short>(errno == EAGAIN ? POLLOUT : 0)};
    return system_failure("the connection was lost");
}

Outcome<SocketLine::Part> SocketLine::receive_part(std::span<std::byte> out) {
    const ssize_t n = ::recv(fd_.get(), out.data(), out.size(), 0);
    if (n > 0) return Part{static_cast<size_t>(n), 0};
    if (n == 0) return base::fail(Errc::io, "the other host closed the connection");
    if (errno == EAGAIN || errno == EINTR) return Part{0, static_cast<short>(errno == EAGAIN ? POLLIN : 0)};
    return system_failure("the connection was lost");
}

Outcome<bool> SocketLine::comes_within(milliseconds patience) {
    pollfd wanted{fd_.get(), POLLIN, 0};
    return holds() || ::poll(&wanted, 1, static_cast<int>(patience.count())) != 0;
}

Outcome<wire::Message> SocketLine::hear(milliseconds patience) {
    std::array<std::byte, wire::head_bytes> head_bytes{};
    OTRY(read(head_bytes, steady_clock::now() + patience, Stretch::awaited));
    const wire::Head head = OTRY(wire::decode_head(head_bytes));
    const Time until = steady_clock::now() + for_a_message;
    if (wire::is_image(head)) return hear_image(head, until);
    std::vector<std::byte> body(head.length);
    OTRY(read(body, until, Stretch::begun));
    return wire::decode(head, body);
}

/// Its bytes come where they stay.
Outcome<wire::Message> SocketLine::hear_image(const wire::Head& head, Time until) {
    std::array<std::byte, sizeof(wire::Image::zeros)> start{};
    OTRY(read(start, until, Stretch::begun));
    wire::Image image = wire::decode_image_start(start);
    image.bytes.resize(head.length - start.size());
    OTRY(read(image.bytes, until, Stretch::begun));
    return wire::Message(std::move(image));
}

Outcome<Connected> connect_to(const std::string& host, uint16_t port,
                              const std::function<Outcome<>(const std::string& address)>& may) {
    // A machine without a table of hosts knows itself all the same.
    const std::string numeric = host == "localhost" ? "127.0.0.1" : host;
    const Addresses all = OTRY(resolve(numeric, std::to_string(port)).context("can't connect"));
    Outcome<Fd> made = base::fail(Errc::noent, "can't connect: " + host + " has no address");
    for (const addrinfo* at = all.get(); at != nullptr; at = at->ai_next) {
        const std::string address = address_text(at->ai_addr);
        OTRY(may(address));
        made = connect_one(*at);
        if (!made) continue;
        char numbers[NI_MAXHOST] = {};  // with the interface that an address of one link hangs on
        const bool known = ::getnameinfo(at->ai_addr, at->ai_addrlen, numbers, sizeof numbers, nullptr, 0, NI_NUMERICHOST) == 0;
        return Connected{std::move(made).take(), known ? numbers : address};
    }
    return std::move(made).take_failure();
}

Outcome<std::unique_ptr<migration::Line>> TcpLines::connect(const std::string& host, uint16_t port) {
    const bool any = OTRY(keys_.any());
    Connected connected = OTRY(connect_to(host, port, [&](const std::string& address) -> Outcome<> {
        if (plain_ || any || is_loopback(address)) return base::ok;
        return base::fail(Errc::opnotsupp,
                          "can't connect: " + host + " is another machine, and not paired with this one: see 'xm host-pair'");
    }));
    const bool by_name = bool(OTRY(keys_.key_of(host))), by_address = bool(OTRY(keys_.key_of(connected.address)));
    if (is_loopback(connected.address) || (plain_ && !by_name && !by_address))
        return std::unique_ptr<migration::Line>(new SocketLine(std::move(connected.fd), connected.address));
    auto line = open_paired(std::move(connected.fd), connected.address, host, keys_);
    if (!line) return base::fail(Errc::perm, line.failure().text);  // whatever went wrong, it is there
    return line;
}

Outcome<AllowedHosts> AllowedHosts::parse(const std::string& text) {
    AllowedHosts out;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
        try {
            out.patterns_.emplace_back(word, std::regex::extended);
        } catch (const std::regex_error& error) { return base::fail(Errc::inval, "'" + word + "' is no regular expression"); }
    }
    return out;
}

bool AllowedHosts::allow(const std::vector<std::string>& names, bool known) const {
    if (patterns_.empty()) return known;
    for (const std::string& name : names) {
        if (name.size() > longest_name) continue;
        for (const std::regex& pattern : patterns_) {
            if (std::regex_match(name, pattern)) return true;
        }
    }
    return false;
}

Outcome<PeerNames> peer_of(int socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (::getpeername(socket, any, &size) != 0) return system_failure("a connection");
    PeerNames out;
    out.address = address_text(any);
    out.local = is_own(out.address);
    out.all.push_back(out.address);
    if (is_loopback(out.address)) out.all.insert(out.all.end(), {"localhost", "localhost.localdomain"});
    return out;
}

Outcome<unsigned char> first_byte(int socket, milliseconds patience) {
    pollfd wanted{socket, POLLIN, 0};
    if (::poll(&wanted, 1, static_cast<int>(patience.count())) <= 0) return base::fail(Errc::timedout, "it says nothing");
    unsigned char first = 0;
    if (::recv(socket, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1) return first;
    return base::fail(Errc::io, "it closed the connection without a word");
}

void look_up_names(int socket, PeerNames& peer) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    char name[NI_MAXHOST] = {};
    if (is_loopback(peer.address) || ::getpeername(socket, any, &size) != 0) return;
    if (::getnameinfo(any, size, name, sizeof name, nullptr, 0, NI_NAMEREQD) != 0) return;
    // Whoever has an address says what its name is. That name must say so too.
    const auto back = resolve(name, "");
    for (const addrinfo* at = back ? back->get() : nullptr; at != nullptr; at = at->ai_next) {
        if (address_text(at->ai_addr) != peer.address) continue;
        peer.all.emplace_back(name);
        return;
    }
}

}  // namespace xend
