// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <regex>
#include <vector>

#include "toolstack/migration/line.hpp"
#include "toolstack/service/fd.hpp"

namespace xend {

class HostKeys;

/// A line over a connected socket, which is made non-blocking. A message is given 30 s to leave or, once it has begun, to come; a host
/// that does not say as long that it got what was sent, or that it is there, is lost.
class SocketLine : public migration::Line {
public:
    SocketLine(service::Fd fd, std::string peer);
    base::Outcome<> say(const proto::relocation::Message& message) override;
    base::Outcome<proto::relocation::Message> hear(std::chrono::milliseconds patience) override;
    base::Outcome<bool> comes_within(std::chrono::milliseconds patience) override;
    void hurry(const std::optional<migration::Haste>& haste) override;
    std::string peer() const override { return peer_; }

protected:
    using Time = std::chrono::steady_clock::time_point;
    /// How much went, or came, without waiting; when nothing did, what for (POLLIN, POLLOUT).
    struct Part {
        size_t count = 0;
        short wait = 0;
    };
    virtual base::Outcome<Part> send_part(std::span<const std::byte> bytes);
    virtual base::Outcome<Part> receive_part(std::span<std::byte> out);
    /// Whether something was read of the socket that nobody has received.
    virtual bool holds() const { return false; }
    /// Errors: timedout.
    base::Outcome<> wait(short events, Time until) const;
    int fd() const { return fd_.get(); }

private:
    enum class Stretch : uint8_t { awaited, begun };
    base::Outcome<> send(std::span<const std::byte> bytes, Time until);
    base::Outcome<> read(std::span<std::byte> out, Time until, Stretch stretch);
    base::Outcome<proto::relocation::Message> hear_image(const proto::relocation::Head& head, Time until);
    Time due(Time until, Stretch stretch) const;
    void lose_after(std::chrono::milliseconds silence) const;

    service::Fd fd_;
    std::string peer_;
    std::optional<migration::Haste> haste_;
    bool cut_ = false;  // in the midst of what was said
};

/// A connection, and the address at its other end.
struct Connected {
    service::Fd fd;
    std::string address;
};
/// To the first address of `host` that answers; `may`: says of each whether it is to be tried. Errors: of the system; those of `may`.
base::Outcome<Connected> connect_to(
    const std::string& host, uint16_t port,
    const std::function<base::Outcome<>(const std::string& address)>& may = [](const std::string&) {
        return base::Outcome<>(base::ok);
    });

/// To a loopback address as it is; to others by TLS, if they are paired with this host; to those that are not as it is if `plain`.
class TcpLines final : public migration::Lines {
public:
    TcpLines(bool plain, HostKeys& keys) : plain_(plain), keys_(keys) {}
    base::Outcome<std::unique_ptr<migration::Line>> connect(const std::string& host, uint16_t port) override;

private:
    const bool plain_;
    HostKeys& keys_;
};

/// Who may send domains: blank-separated regular expressions, each for the whole of a peer's name or address. None: this machine,
/// and who is known in another way.
class AllowedHosts {
public:
    /// Errors: inval: one of them is none.
    static base::Outcome<AllowedHosts> parse(const std::string& text);
    /// `names`: the peer's address, and its names. `known`: it is this machine, or has shown its key.
    bool allow(const std::vector<std::string>& names, bool known) const;

private:
    std::vector<std::regex> patterns_;
};

/// A peer that has connected.
struct PeerNames {
    std::string address;
    std::vector<std::string> all;  // the address first; names lead back to it
    bool local = false;            // it is this machine
};
/// What is known without asking anybody: its address, and names of this machine's own. Errors: of the system.
base::Outcome<PeerNames> peer_of(int socket);
/// What it will say first, which stays to be read. Errors: timedout; io: it says nothing at all.
base::Outcome<unsigned char> first_byte(int socket, std::chrono::milliseconds patience);
/// Asks the resolver, whose answers may be a stranger's, and may take long.
void look_up_names(int socket, PeerNames& peer);

}  // namespace xend
