// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "toolstack/xend/api.hpp"

namespace xend {

/// A request as it came, nothing decoded.
struct HttpRequest {
    bool get = false;
    bool post = false;  // neither: another method
    std::string method;
    std::string target;
    std::string host;
    std::string content_type;
    bool has_origin = false;
    std::string if_match, if_none_match, idempotency_key, last_event_id;
    std::string body;
    unsigned version = 11;
    bool keep_alive = false;
};

/// Bytes to one request, with limits on its head and its body.
class HttpParser {
    struct Impl;
    std::unique_ptr<Impl> impl_;

public:
    /// head: all but the body is there, said once before any of the body is kept.
    enum class State : uint8_t { more, head, whole, broken };

    HttpParser();
    ~HttpParser();
    /// Takes what belongs to the request off the front of `input`.
    State feed(std::string& input);
    /// The request without its body, after State::head.
    HttpRequest head() const;
    /// The whole request; the parser is ready for the next one.
    HttpRequest take();
};

/// "a%20b" -> "a b"; a plus sign stays one. Nothing: an escape is malformed.
std::optional<std::string> unescape_path(std::string_view text);

/// The bytes of a reply to a request of this version.
std::string response_text(const Reply& reply, unsigned version, bool keep_alive);

/// The head of one whose body ends with the connection, and what stands in it already.
std::string feed_head(const Reply& reply, unsigned version);

/// "a=1&b=x%20y" into fields. False when an escape is malformed or there are too many fields.
bool decode_form(std::string_view text, std::map<std::string, std::string>& fields);

/// What the request asks for. Errors: inval, the text says what is wrong; `status` is what to answer with.
struct Refusal {
    int status = 400;
    std::string text;
};
/// Decodes path and form. Nothing: `refusal` says why.
std::optional<Request> decode_request(const HttpRequest& in, Refusal& refusal);

}  // namespace xend
