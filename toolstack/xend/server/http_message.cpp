// SPDX-License-Identifier: Apache-2.0
// HTTP as text. One of the two translation units that see Boost; Beast parses and prints, it touches no socket.
#include "toolstack/xend/server/http_message.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http.hpp>

#include <optional>
#include <sstream>
#include <utility>

namespace xend {

namespace beast = boost::beast;
namespace http = beast::http;

namespace {

constexpr size_t max_body = 4U << 20U;
constexpr uint32_t max_header = 16U << 10U;

using Parser = http::request_parser<http::string_body>;

int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

enum class Plus : uint8_t { is_blank, stays };

std::optional<std::string> unescape(std::string_view text, Plus plus = Plus::is_blank) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+' && plus == Plus::is_blank) {
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

}  // namespace

struct HttpParser::Impl {
    std::optional<Parser> parser;
    bool head_said = false;

    void begin() {
        head_said = false;
        parser.emplace();
        parser->header_limit(max_header);
        parser->body_limit(max_body);
        parser->eager(false);
    }
};

HttpParser::HttpParser() : impl_(std::make_unique<Impl>()) { impl_->begin(); }
HttpParser::~HttpParser() = default;

HttpParser::State HttpParser::feed(std::string& input) {
    Parser& parser = *impl_->parser;
    for (;;) {
        if (parser.is_header_done() && !std::exchange(impl_->head_said, true)) return State::head;
        if (parser.is_done()) return State::whole;
        if (input.empty()) return State::more;
        beast::error_code error;
        const size_t used = parser.put(boost::asio::buffer(input), error);
        input.erase(0, used);
        if (error == http::error::need_more) return State::more;
        if (error) return State::broken;
    }
}

namespace {

HttpRequest head_of(const http::request<http::string_body>& in) {
    HttpRequest out;
    out.get = in.method() == http::verb::get;
    out.post = in.method() == http::verb::post;
    out.method = std::string(in.method_string());
    out.target = std::string(in.target());
    out.host = std::string(in[http::field::host]);
    out.content_type = std::string(in[http::field::content_type]);
    out.has_origin = in.find(http::field::origin) != in.end();
    out.if_match = std::string(in[http::field::if_match]);
    out.if_none_match = std::string(in[http::field::if_none_match]);
    out.idempotency_key = std::string(in["Idempotency-Key"]);
    out.last_event_id = std::string(in["Last-Event-ID"]);
    out.version = in.version();
    out.keep_alive = in.keep_alive();
    return out;
}

}  // namespace

HttpRequest HttpParser::head() const { return head_of(impl_->parser->get()); }

HttpRequest HttpParser::take() {
    auto in = impl_->parser->release();
    impl_->begin();
    HttpRequest out = head_of(in);
    out.body = std::move(in.body());
    return out;
}

std::optional<std::string> unescape_path(std::string_view text) { return unescape(text, Plus::stays); }

namespace {

http::response<http::string_body> response_of(const Reply& reply, unsigned version, bool keep_alive) {
    http::response<http::string_body> response(static_cast<http::status>(reply.status), version);
    response.set(http::field::server, "xend");
    response.set(http::field::content_type, reply.type);
    if (!reply.location.empty()) response.set(http::field::location, reply.location);
    for (const auto& [name, value] : reply.fields) response.set(name, value);
    response.keep_alive(keep_alive);
    response.body() = reply.body;
    return response;
}

std::string text_of(const http::response<http::string_body>& response) {
    std::ostringstream out;
    out << response;
    return std::move(out).str();
}

}  // namespace

std::string response_text(const Reply& reply, unsigned version, bool keep_alive) {
    auto response = response_of(reply, version, keep_alive);
    response.prepare_payload();
    return text_of(response);
}

std::string feed_head(const Reply& reply, unsigned version) { return text_of(response_of(reply, version, false)); }

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

std::optional<Request> decode_request(const HttpRequest& in, Refusal& refusal) {
    Request out;
    out.method = in.post ? Request::Method::post : Request::Method::get;
    const std::string_view target(in.target);
    const size_t question = target.find('?');
    const auto path = unescape(target.substr(0, question));
    bool ok = path.has_value();
    if (ok) out.path = *path;
    if (ok && question != std::string_view::npos) ok = decode_form(target.substr(question + 1), out.fields);
    if (ok && in.post) {
        if (in.content_type.starts_with("multipart/")) {
            refusal = {406, "Send the form as application/x-www-form-urlencoded."};
            return std::nullopt;
        }
        ok = decode_form(in.body, out.fields);
    }
    if (ok) return out;
    refusal = {400, "The request is malformed."};
    return std::nullopt;
}

}  // namespace xend
