// SPDX-License-Identifier: Apache-2.0
#pragma once

// Classic Xen's XML-RPC (3.0.3 to 3.2, at /RPC2): the table of its methods, each of which is a request of api.hpp.

#include <span>

#include "toolstack/xend/api.hpp"
#include "toolstack/xend/server/xmlrpc_message.hpp"

namespace xend::xmlrpc {

/// What a parameter becomes.
enum class ParamType : uint8_t {
    a_domain,  // a name, number or uuid: the end of the request's path
    a_text,
    a_number,
    a_flag,
    a_config,   // an s-expression as nested arrays
    some_cpus,  // "0-3,5", or an array of numbers
    some_bytes  // as MiB, rounded up
};

struct Param {
    std::string_view field;
    ParamType type;
    const char* fallback = nullptr;  // null: it must be there; "": the field is left out
};

/// What an answer is made of.
enum class Answer : uint8_t {
    nothing,
    sxp,      // as nested arrays
    text,     // as it is
    devices,  // [[id, [name, …]], …]
    record,   // (name (key value) …) as a structure of numbers
    states,   // the domains of `sxp` that are in the state that was asked for
};

struct Method {
    std::string_view name;
    Request::Method how;
    std::string_view path;  // "/xend/node"; a domain's begins so
    std::string_view op;    // empty: none
    std::vector<Param> params;
    Answer answer;
    std::string_view help;
};

/// What a field of a request says for this value. Errors: inval, without the parameter's name.
base::Outcome<std::string> param_text(ParamType type, const Value& value);

std::span<const Method> methods();
const Method* find_method(std::string_view name);

/// Why a call failed, in classic Xen's numbers.
struct Fault {
    enum Code : int { internal = 1, generic = 2, invalid_domain = 3 };
    int code = generic;
    std::string text;
};

/// A call as a request, with what is needed to answer it.
struct Translated {
    const Method* method = nullptr;
    Request request;
    std::string domain;  // that it names
    std::string state;   // of Answer::states
};

/// Errors: `fault`; nothing was done.
std::optional<Translated> translate(const Call& call, Fault& fault);
/// The answer to it, as XML.
std::string answer(const Translated& call, const Reply& reply);
/// system.listMethods and its like, which ask nobody; nothing: it is another one. `fault` has a code: it failed.
std::optional<Value> introspect(const Call& call, Fault& fault);

}  // namespace xend::xmlrpc
