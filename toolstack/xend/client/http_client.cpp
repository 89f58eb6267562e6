// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/client/http_client.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace xend {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using base::Errc;
using base::Outcome;
using unix_stream = asio::local::stream_protocol;

namespace {

std::string escape(const std::string& text, bool path) {
    static constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    static constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto u = static_cast<unsigned char>(c);
        if (plain.find(c) != std::string_view::npos || (path && (c == '/' || c == ':'))) {
            out += c;
        } else {
            out += '%';
            out += digits[u >> 4U];
            out += digits[u & 15U];
        }
    }
    return out;
}

std::string form(const std::map<std::string, std::string>& fields) {
    std::string out;
    for (const auto& [key, value] : fields) out += (out.empty() ? "" : "&") + escape(key, false) + "=" + escape(value, false);
    return out;
}

http::request<http::string_body> to_http(const Request& request) {
    const bool post = request.method == Request::Method::post;
    std::string target = escape(request.path, true);
    const std::string fields = form(request.fields);
    if (!post && !fields.empty()) target += "?" + fields;
    http::request<http::string_body> out(post ? http::verb::post : http::verb::get, target, 11);
    out.set(http::field::host, "localhost");
    out.set(http::field::accept, "application/sxp");
    out.keep_alive(false);
    if (post) {
        out.set(http::field::content_type, "application/x-www-form-urlencoded");
        out.body() = fields;
        out.prepare_payload();
    }
    return out;
}

base::Failure unreachable(const beast::error_code& error) {
    return base::fail(Errc::connrefused, "Unable to connect to xend: " + error.message() + ". Is xend running?");
}

/// The request was sent, and what became of it is not known here.
base::Failure no_answer(const Request& request) {
    const bool changes = request.method == Request::Method::post;
    return base::fail(Errc::io, std::string("Xend has probably crashed!  Invalid or missing HTTP status code.  ") +
                                    (changes ? "What was asked for is finished or undone when xend is there again: see 'xm list'."
                                             : "Nothing was changed."));
}

}  // namespace

Outcome<Reply> SocketTransport::call(const Request& request) {
    asio::io_context loop;
    unix_stream::socket socket(loop);
    beast::error_code error;
    for (const std::string& path : sockets_) {
        beast::error_code one;
        socket.close(one);
        socket.connect(unix_stream::endpoint(path), one);
        if (!one) {
            error = {};
            break;
        }
        if (!error || error == beast::errc::no_such_file_or_directory) error = one;  // the reason that tells most
    }
    if (error) return unreachable(error);
    http::write(socket, to_http(request), error);
    if (error) return unreachable(error);
    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(64U << 20U);
    http::read(socket, buffer, parser, error);
    if (error) return no_answer(request);
    const auto& response = parser.get();
    Reply reply;
    reply.status = static_cast<int>(response.result_int());
    reply.type = std::string(response[http::field::content_type]);
    reply.location = std::string(response[http::field::location]);
    reply.body = response.body();
    return reply;
}

}  // namespace xend
