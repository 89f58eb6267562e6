// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "toolstack/xend/adapters/host_keys.hpp"
#include "toolstack/xend/adapters/tcp_lines.hpp"

struct ssl_st;

namespace xend {

/// A line that nobody else reads or changes, whose ends have shown their keys. Whether they are believed is not decided here.
class TlsLine final : public SocketLine {
public:
    enum class Side : uint8_t { client, server };
    /// What a connection is for: it is said before anything else, so that strangers get no further.
    enum class Purpose : uint8_t { transfer, pairing };
    /// Shakes hands; `purpose`: of a client. Errors: of the system; timedout; badmsg: the other side shows no key, speaks another
    /// version of TLS, or of our protocol.
    static base::Outcome<std::unique_ptr<TlsLine>> open(service::Fd fd, std::string peer, const HostKey& own, Side side,
                                                        Purpose purpose = Purpose::transfer);
    ~TlsLine() override;

    /// Of the other side.
    const KeyId& key() const { return key_; }
    bool expired() const { return expired_; }
    Purpose purpose() const { return purpose_; }

protected:
    base::Outcome<Part> send_part(std::span<const std::byte> bytes) override;
    base::Outcome<Part> receive_part(std::span<std::byte> out) override;
    bool holds() const override;

private:
    TlsLine(service::Fd fd, std::string peer);
    base::Outcome<> begin(const HostKey& own, Side side, Purpose purpose);
    base::Outcome<> shake_hands();
    base::Outcome<> look_at_peer();
    base::Outcome<Part> part(int result, size_t count);

    struct Free {
        void operator()(ssl_st* ssl) const;
    };
    std::unique_ptr<ssl_st, Free> ssl_;
    KeyId key_{};
    bool expired_ = true;
    bool open_ = false;
    Purpose purpose_ = Purpose::transfer;
};

/// Pairs this host with others. Thread-safe.
class TlsHosts final : public Hosts {
public:
    explicit TlsHosts(HostKeys& keys) : keys_(keys) {}
    base::Outcome<KnownHost> pair(const std::string& host, uint16_t port) override;
    base::Outcome<KnownHost> accept(const std::string& words) override { return keys_.accept(words); }
    base::Outcome<std::vector<KnownHost>> list() override { return keys_.list(); }
    base::Outcome<> forget(const std::string& host) override { return keys_.forget(host); }

private:
    HostKeys& keys_;
};

/// A line to `host`, connected already, by TLS. Errors: perm: it is not the one that it was paired as, or not paired.
base::Outcome<std::unique_ptr<migration::Line>> open_paired(service::Fd fd, const std::string& address, const std::string& host,
                                                            HostKeys& keys);

}  // namespace xend
