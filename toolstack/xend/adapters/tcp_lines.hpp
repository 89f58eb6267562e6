// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <regex>
#include <vector>

#include "toolstack/migration/line.hpp"
#include "toolstack/service/fd.hpp"

namespace xend {

/// A line over a connected socket, which is made non-blocking. A message is given this long to leave or, once it has begun, to come.
class SocketLine final : public migration::Line {
public:
    SocketLine(service::Fd fd, std::string peer);
    base::Outcome<> say(const proto::relocation::Message& message) override;
    base::Outcome<proto::relocation::Message> hear(std::chrono::milliseconds patience) override;
    std::string peer() const override { return peer_; }

private:
    using Time = std::chrono::steady_clock::time_point;
    base::Outcome<> wait(short events, Time until) const;
    base::Outcome<> read(std::span<std::byte> out, Time until) const;

    service::Fd fd_;
    std::string peer_;
};

/// Without encryption: to this machine alone, unless `plain`.
class TcpLines final : public migration::Lines {
public:
    explicit TcpLines(bool plain) : plain_(plain) {}
    base::Outcome<std::unique_ptr<migration::Line>> connect(const std::string& host, uint16_t port) override;

private:
    const bool plain_;
};

/// Who may send domains: blank-separated regular expressions, each for the whole of a peer's name or address. None: this machine.
class AllowedHosts {
public:
    /// Errors: inval: one of them is none.
    static base::Outcome<AllowedHosts> parse(const std::string& text);
    /// `names`: the peer's address, and its names.
    bool allow(const std::vector<std::string>& names, bool local) const;

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
/// Asks the resolver, whose answers may be a stranger's, and may take long.
void look_up_names(int socket, PeerNames& peer);

}  // namespace xend
