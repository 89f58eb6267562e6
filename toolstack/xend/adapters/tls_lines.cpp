// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/tls_lines.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <algorithm>

namespace xend {

using base::Errc;
using base::Outcome;
using service::Fd;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds for_hands{10'000}, for_words{30'000};

/// How TLS names what a connection is for, by purpose.
constexpr std::array<std::string_view, 2> protocols = {"xenolith-transfer/1", "xenolith-pairing/1"};

template <auto Free>
struct Freed {
    void operator()(auto* what) const { Free(what); }
};
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

base::Failure tls_failure(const std::string& what) {
    const unsigned long error = ERR_peek_last_error();
    const char* const reason = error == 0 ? nullptr : ERR_reason_error_string(error);
    ERR_clear_error();
    return base::fail(Errc::badmsg, what + (reason == nullptr ? "" : std::string(": ") + reason));
}

/// Any certificate will do: who has its key is known then, and that alone counts.
int take_any(int, X509_STORE_CTX*) { return 1; }

/// One of ours, or none.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* length, const unsigned char* in, unsigned int size, void*) {
    for (const std::string_view ours : protocols) {
        for (unsigned int at = 0; at < size; at += 1U + in[at]) {
            const size_t length_here = std::min<size_t>(in[at], size - at - 1);
            if (std::string_view(reinterpret_cast<const char*>(in + at + 1), length_here) != ours) continue;
            *out = in + at + 1;
            *length = in[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/// Errors: badmsg: the key is damaged.
Outcome<Context> context_of(const HostKey& own) {
    Context context(SSL_CTX_new(TLS_method()));
    const Bio key_text(BIO_new_mem_buf(own.key.data(), static_cast<int>(own.key.size())));
    const Bio text(BIO_new_mem_buf(own.certificate.data(), static_cast<int>(own.certificate.size())));
    const Key key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));
    const Certificate shown(PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr));
    const bool good = context && key && shown && SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) == 1 &&
                      SSL_CTX_use_certificate(context.get(), shown.get()) == 1 &&
                      SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1 && SSL_CTX_set_num_tickets(context.get(), 0) == 1;
    if (!good) return tls_failure("this host's key");
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, take_any);
    SSL_CTX_set_verify_depth(context.get(), 1);
    SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
    return context;
}

}  // namespace

void TlsLine::Free::operator()(ssl_st* ssl) const { SSL_free(ssl); }

TlsLine::TlsLine(Fd fd, std::string peer) : SocketLine(std::move(fd), std::move(peer)) {}

TlsLine::~TlsLine() {
    if (open_) SSL_shutdown(ssl_.get());  // that it ends here, as far as the socket takes it
}

Outcome<std::unique_ptr<TlsLine>> TlsLine::open(Fd fd, std::string peer, const HostKey& own, Side side, Purpose purpose) {
    std::unique_ptr<TlsLine> line(new TlsLine(std::move(fd), std::move(peer)));
    OTRY(line->begin(own, side, purpose));
    OTRY(line->shake_hands());
    OTRY(line->look_at_peer());
    line->open_ = true;
    return line;
}

Outcome<> TlsLine::begin(const HostKey& own, Side side, Purpose purpose) {
    ERR_clear_error();
    const Context context = OTRY(context_of(own));
    ssl_.reset(SSL_new(context.get()));
    if (!ssl_ || SSL_set_fd(ssl_.get(), fd()) != 1) return tls_failure("TLS");
    if (side == Side::server) {
        SSL_set_accept_state(ssl_.get());
        return base::ok;
    }
    SSL_set_connect_state(ssl_.get());
    std::string protocol(protocols[static_cast<size_t>(purpose)]);
    protocol.insert(protocol.begin(), static_cast<char>(protocol.size()));
    if (SSL_set_alpn_protos(ssl_.get(), bytes_of(protocol), static_cast<unsigned>(protocol.size())) != 0)
        return tls_failure("TLS");
    return base::ok;
}

Outcome<> TlsLine::shake_hands() {
    const auto until = steady_clock::now() + for_hands;
    for (;;) {
        ERR_clear_error();
        const int result = SSL_do_handshake(ssl_.get());
        if (result == 1) return base::ok;
        const Part some = OTRY(part(result, 0).context("no encryption with it"));
        OTRY(wait(some.wait, until));
    }
}

Outcome<> TlsLine::look_at_peer() {
    const Certificate shown(SSL_get1_peer_certificate(ssl_.get()));
    if (!shown || X509_digest(shown.get(), EVP_sha256(), key_.data(), nullptr) != 1)
        return base::fail(Errc::badmsg, "the other host shows no key");
    expired_ = X509_cmp_current_time(X509_get0_notAfter(shown.get())) <= 0;
    const unsigned char* name = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &length);
    const std::string_view chosen(reinterpret_cast<const char*>(name), length);
    const auto* const at = std::ranges::find(protocols, chosen);
    if (at == protocols.end()) return base::fail(Errc::badmsg, "the other host does not say what it wants");
    purpose_ = static_cast<Purpose>(at - protocols.begin());
    return base::ok;
}

/// What came of an operation of OpenSSL's. Errors: the connection is lost, or was tampered with.
Outcome<SocketLine::Part> TlsLine::part(int result, size_t count) {
    if (result > 0) return Part{count, 0};
    const int system = errno;
    switch (SSL_get_error(ssl_.get(), result)) {
        case SSL_ERROR_WANT_READ: return Part{0, POLLIN};
        case SSL_ERROR_WANT_WRITE: return Part{0, POLLOUT};
        case SSL_ERROR_ZERO_RETURN: return base::fail(Errc::io, "the other host closed the connection");
        case SSL_ERROR_SYSCALL:
            open_ = false;
            errno = system == 0 ? ECONNRESET : system;
            return service::system_failure("the connection was lost");
        default: open_ = false; return tls_failure("the connection was lost");
    }
}

Outcome<SocketLine::Part> TlsLine::send_part(std::span<const std::byte> bytes) {
    size_t count = 0;
    ERR_clear_error();
    errno = 0;
    const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &count);
    return part(result, count);
}

Outcome<SocketLine::Part> TlsLine::receive_part(std::span<std::byte> out) {
    size_t count = 0;
    ERR_clear_error();
    errno = 0;
    const int result = SSL_read_ex(ssl_.get(), out.data(), out.size(), &count);
    return part(result, count);
}

bool TlsLine::holds() const { return SSL_has_pending(ssl_.get()) == 1; }

Outcome<std::unique_ptr<migration::Line>> open_paired(Fd fd, const std::string& address, const std::string& host,
                                                      HostKeys& keys) {
    const HostKey own = OTRY(keys.own());
    auto wanted = OTRY(keys.key_of(host));
    if (!wanted) wanted = OTRY(keys.key_of(address));
    auto line = OTRY(TlsLine::open(std::move(fd), address, own, TlsLine::Side::client).context("can't connect"));
    const std::string what = "can't connect: " + host + " ";
    if (wanted && *wanted != line->key())
        return base::fail(Errc::perm, what +
                                          "shows another key than the one it was paired with: if it was made anew, "
                                          "'xm host-forget' and 'xm host-pair'");
    if (!OTRY(keys.paired(line->key()))) return base::fail(Errc::perm, what + "is not paired with this host: see 'xm host-pair'");
    if (line->expired())
        return base::fail(Errc::perm, what + "shows a key that has expired: restart xend there, and pair the two anew");
    return std::unique_ptr<migration::Line>(std::move(line));
}

Outcome<KnownHost> TlsHosts::pair(const std::string& host, uint16_t port) {
    const HostKey own = OTRY(keys_.own());
    Connected connected = OTRY(connect_to(host, port));
    KnownHost known{host, connected.address, {}, {}};
    const auto line =
        OTRY(TlsLine::open(std::move(connected.fd), connected.address, own, TlsLine::Side::client, TlsLine::Purpose::pairing)
                 .context("can't connect"));
    const auto answer = OTRY(line->hear(for_words));
    if (const auto* refused = std::get_if<proto::relocation::Refuse>(&answer)) return base::fail(Errc::perm, refused->reason);
    if (!std::holds_alternative<proto::relocation::Accept>(answer))
        return base::fail(Errc::badmsg, host + " said " + proto::relocation::name_of(answer) + " when it was asked to be paired");
    if (line->expired()) return base::fail(Errc::perm, host + " shows a key that has expired: restart xend there");
    const KeyId mine = OTRY(own.id());
    keys_.propose(known, line->key(), KnownHost::Standing::asked);
    known.words = words_of(mine, line->key());
    return known;
}

}  // namespace xend
