// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/http_server.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>

namespace xend {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using base::Errc;
using base::Outcome;
using unix_stream = asio::local::stream_protocol;
using asio::ip::tcp;

namespace {

constexpr size_t max_body = 4U << 20U;
constexpr uint32_t max_header = 16U << 10U;
constexpr auto idle_timeout = std::chrono::seconds(30);

int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::optional<std::string> unescape(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+') {
            out += ' ';
        } else if (text[i] != '%') {
            out += text[i];
        } else {
            if (i + 2 >= text.size() || hex(text[i + 1]) < 0 || hex(text[i + 2]) < 0) return std::nullopt;
            out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
            i += 2;
        }
    }
    return out;
}

/// True when the socket at the other end of a loopback connection belongs to root: the kernel's own table says so.
bool peer_is_root(const tcp::endpoint& peer, const tcp::endpoint& ours) {
    if (!peer.address().is_v4()) return false;
    char wanted[64];
    // The kernel prints the address as the number stands in memory, in the machine's (little-endian) order.
    const uint32_t peer_number = __builtin_bswap32(peer.address().to_v4().to_uint());
    const uint32_t our_number = __builtin_bswap32(ours.address().to_v4().to_uint());
    std::snprintf(wanted, sizeof wanted, "%08X:%04X %08X:%04X", peer_number, unsigned{peer.port()}, our_number,
                  unsigned{ours.port()});
    std::ifstream in("/proc/net/tcp");
    std::string line;
    while (std::getline(in, line)) {
        std::istringstream words(line);
        std::string slot, local, remote, state, queues, timer, retransmit;
        unsigned uid = ~0U;
        if (!(words >> slot >> local >> remote >> state >> queues >> timer >> retransmit >> uid)) continue;
        if (fmt::format("{} {}", local, remote) == wanted) return uid == 0;
    }
    return false;
}

bool is_local_host(std::string_view host) {
    const size_t colon = host.find(':');
    host = host.substr(0, colon);
    return host.empty() || host == "localhost" || host == "127.0.0.1";
}

using HttpRequest = http::request<http::string_body>;

/// Why a request is refused before anybody looks at it; empty when it is not.
std::string refusal(const HttpRequest& request, bool trusted, const std::function<bool()>& from_root) {
    if (request.method() != http::verb::get && request.method() != http::verb::post) return "Only GET and POST are understood.";
    if (trusted) return {};
    // A page in a browser on this machine must not reach us under another host's name.
    if (!is_local_host({request[http::field::host].data(), request[http::field::host].size()})) return "Not this host.";
    if (request.find(http::field::origin) != request.end()) return "Requests of web pages are not served.";
    if (request.method() == http::verb::post && !from_root()) return "Only root may do this.";
    return {};
}

Reply refused(int status, const std::string& why) { return {status, "text/plain", {}, why + "\n"}; }

Reply answer(const HttpServer::Handler& handler, const HttpRequest& in) {
    Request request;
    request.method = in.method() == http::verb::post ? Request::Method::post : Request::Method::get;
    const std::string_view target(in.target().data(), in.target().size());
    const size_t question = target.find('?');
    const auto path = unescape(target.substr(0, question));
    bool ok = path.has_value();
    if (ok) request.path = *path;
    if (ok && question != std::string_view::npos) ok = decode_form(target.substr(question + 1), request.fields);
    const std::string_view type(in[http::field::content_type].data(), in[http::field::content_type].size());
    if (ok && request.method == Request::Method::post) {
        if (type.starts_with("multipart/")) return refused(406, "Send the form as application/x-www-form-urlencoded.");
        ok = decode_form(in.body(), request.fields);
    }
    if (!ok) return refused(400, "The request is malformed.");
    try {
        return handler(request);
    } catch (const std::exception& e) {  // out of memory and the like must not end the server
        return {200,
                "application/sxp",
                {},
                std::string("(xend.err 'internal error: ") + (e.what() == nullptr ? "" : "exception") + "')"};
    }
}

/// One connection. It is alive as long as an operation holds it.
template <class Protocol>
class Session : public std::enable_shared_from_this<Session<Protocol>> {
    beast::basic_stream<Protocol> stream_;
    asio::thread_pool& workers_;
    const HttpServer::Handler& handler_;
    beast::flat_buffer buffer_{max_header + max_body};
    std::optional<http::request_parser<http::string_body>> parser_;
    std::optional<http::response<http::string_body>> response_;

    bool from_root() {
        if constexpr (std::is_same_v<Protocol, tcp>) {
            beast::error_code error;
            const auto peer = stream_.socket().remote_endpoint(error);
            const auto ours = stream_.socket().local_endpoint(error);
            return !error && peer_is_root(peer, ours);
        }
        return true;
    }

    void reply(const HttpRequest& request, Reply reply) {
        response_.emplace(static_cast<http::status>(reply.status), request.version());
        response_->set(http::field::server, "xend");
        response_->set(http::field::content_type, reply.type);
        if (!reply.location.empty()) response_->set(http::field::location, reply.location);
        response_->keep_alive(request.keep_alive());
        response_->body() = std::move(reply.body);
        response_->prepare_payload();
        auto self = this->shared_from_this();
        stream_.expires_after(idle_timeout);
        http::async_write(stream_, *response_, [self](beast::error_code error, size_t) {
            if (error || !self->response_->keep_alive()) return;
            self->read();
        });
    }

    void serve() {
        auto self = this->shared_from_this();
        stream_.expires_never();  // a job takes as long as it takes
        asio::post(workers_, [self, request = self->parser_->release()]() mutable {
            const bool trusted = !std::is_same_v<Protocol, tcp>;
            const std::string why = refusal(request, trusted, [&] { return self->from_root(); });
            Reply made = why.empty() ? answer(self->handler_, request) : refused(403, why);
            asio::post(self->stream_.get_executor(), [self, request = std::move(request), made = std::move(made)]() mutable {
                self->reply(request, std::move(made));
            });
        });
    }

public:
    Session(typename Protocol::socket socket, asio::thread_pool& workers, const HttpServer::Handler& handler)
        : stream_(std::move(socket)), workers_(workers), handler_(handler) {}

    void read() {
        auto self = this->shared_from_this();
        parser_.emplace();
        parser_->header_limit(max_header);
        parser_->body_limit(max_body);
        stream_.expires_after(idle_timeout);
        http::async_read(stream_, buffer_, *parser_, [self](beast::error_code error, size_t) {
            if (!error) self->serve();
        });
    }
};

}  // namespace

bool decode_form(std::string_view text, std::map<std::string, std::string>& fields) {
    while (!text.empty()) {
        const std::string_view pair = text.substr(0, text.find('&'));
        text.remove_prefix(std::min(pair.size() + 1, text.size()));
        if (pair.empty()) continue;
        const size_t equals = pair.find('=');
        const auto key = unescape(pair.substr(0, equals));
        const auto value = unescape(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1));
        if (!key || !value || fields.size() >= 64) return false;
        fields[*key] = *value;
    }
    return true;
}

struct HttpServer::Impl {
    Handler handler;
    asio::io_context loop{1};
    asio::thread_pool workers;
    std::vector<unix_stream::acceptor> unix_acceptors;
    std::vector<tcp::acceptor> tcp_acceptors;

    Impl(Handler h, unsigned count) : handler(std::move(h)), workers(count) {}

    template <class Protocol>
    void accept(typename Protocol::acceptor& acceptor) {
        acceptor.async_accept([this, &acceptor](beast::error_code error, typename Protocol::socket socket) {
            if (error == asio::error::operation_aborted) return;
            if (!error) std::make_shared<Session<Protocol>>(std::move(socket), workers, handler)->read();
            accept<Protocol>(acceptor);
        });
    }
};

HttpServer::HttpServer(Handler handler, unsigned workers) : impl_(std::make_unique<Impl>(std::move(handler), workers)) {}
HttpServer::~HttpServer() = default;

Outcome<> HttpServer::listen_unix(const std::string& path) {
    beast::error_code error;
    ::unlink(path.c_str());
    unix_stream::acceptor acceptor(impl_->loop);
    acceptor.open(unix_stream(), error);
    const mode_t old = ::umask(0177);  // never a moment at which others could connect
    if (!error) acceptor.bind(unix_stream::endpoint(path), error);
    ::umask(old);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error) return base::fail(Errc::io, "cannot listen at " + path + ": " + error.message());
    impl_->unix_acceptors.push_back(std::move(acceptor));
    return base::ok;
}

Outcome<> HttpServer::listen_tcp(const std::string& address, uint16_t port) {
    beast::error_code error;
    const auto ip = asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, error);
    if (error || !ip.is_loopback()) {
        return base::fail(Errc::inval, "xend-address '" + address + "' is not a loopback address; xend listens on no other");
    }
    tcp::acceptor acceptor(impl_->loop);
    acceptor.open(ip.is_v4() ? tcp::v4() : tcp::v6(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind({ip, port}, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error)
        return base::fail(Errc::addrinuse, "cannot listen at " + address + ":" + std::to_string(port) + ": " + error.message());
    impl_->tcp_acceptors.push_back(std::move(acceptor));
    return base::ok;
}

void HttpServer::run() {
    for (auto& acceptor : impl_->unix_acceptors) impl_->accept<unix_stream>(acceptor);
    for (auto& acceptor : impl_->tcp_acceptors) impl_->accept<tcp>(acceptor);
    impl_->loop.run();
    impl_->workers.join();
}

void HttpServer::stop() { impl_->loop.stop(); }

}  // namespace xend
