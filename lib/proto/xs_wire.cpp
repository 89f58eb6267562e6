// SPDX-License-Identifier: Apache-2.0
#include "lib/proto/xs_wire.hpp"
#include "lib/base/number.hpp"

namespace proto {

namespace {

using base::Errc;

struct ErrorName {
    Errc code;
    std::string_view name;
};

/// The errors that exist on the wire.
constexpr ErrorName error_names[] = {
    {Errc::inval, "EINVAL"},       {Errc::access, "EACCES"},  {Errc::exist, "EEXIST"}, {Errc::isdir, "EISDIR"},
    {Errc::noent, "ENOENT"},       {Errc::nomem, "ENOMEM"},   {Errc::nospc, "ENOSPC"}, {Errc::io, "EIO"},
    {Errc::notempty, "ENOTEMPTY"}, {Errc::nosys, "ENOSYS"},   {Errc::rofs, "EROFS"},   {Errc::busy, "EBUSY"},
    {Errc::again, "EAGAIN"},       {Errc::isconn, "EISCONN"}, {Errc::toobig, "E2BIG"}, {Errc::perm, "EPERM"},
};

constexpr bool path_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '/' || c == '_' ||
           c == '@';
}

}  // namespace

xen::XsdSockMsg decode_header(std::span<const std::byte, xs_header_size> bytes) {
    xen::XsdSockMsg header;
    __builtin_memcpy(&header, bytes.data(), sizeof header);
    return header;
}

void encode_header(std::span<std::byte, xs_header_size> out, const xen::XsdSockMsg& header) {
    __builtin_memcpy(out.data(), &header, sizeof header);
}

base::Result<XsPeek> peek_message(std::span<const std::byte> buffer) {
    if (buffer.size() < xs_header_size) return XsPeek{false, {}, xs_header_size};
    const xen::XsdSockMsg header = decode_header(buffer.first<xs_header_size>());
    if (header.len > xs_payload_max) return base::Err{Errc::toobig};
    const std::size_t whole = xs_header_size + header.len;
    if (buffer.size() < whole) return XsPeek{false, {header, {}}, whole};
    return XsPeek{true, {header, buffer.subspan(xs_header_size, header.len)}, whole};
}

base::Result<std::size_t> encode_message(std::span<std::byte> out, std::uint32_t type, std::uint32_t request,
                                         std::uint32_t transaction, std::string_view payload) {
    if (payload.size() > xs_payload_max) return base::Err{Errc::toobig};
    const std::size_t whole = xs_header_size + payload.size();
    if (out.size() < whole) return base::Err{Errc::nobufs};
    encode_header(out.first<xs_header_size>(), {type, request, transaction, static_cast<std::uint32_t>(payload.size())});
    if (!payload.empty()) __builtin_memcpy(out.data() + xs_header_size, payload.data(), payload.size());
    return whole;
}

base::Status split_exactly(std::string_view payload, std::span<std::string_view> out) {
    XsStrings strings(payload);
    for (std::string_view& field : out) {
        if (strings.empty()) return base::Err{Errc::inval};
        field = strings.next();
        if (!strings.terminated()) return base::Err{Errc::inval};
    }
    if (!strings.empty()) return base::Err{Errc::inval};
    return base::ok;
}

base::Result<std::uint32_t> parse_number(std::string_view text) {
    const auto value = base::parse_number<std::uint32_t>(text);
    if (!value) return base::Err{Errc::inval};
    return *value;
}

std::string_view xs_error_name(base::Errc code) {
    for (const ErrorName& known : error_names)
        if (known.code == code) return known.name;
    return error_names[0].name;
}

base::Errc xs_error_code(std::string_view name) {
    for (const ErrorName& known : error_names)
        if (known.name == name) return known.code;
    return Errc::inval;
}

bool valid_node_path(std::string_view path) {
    if (path.empty()) return false;
    const bool absolute = path.front() == '/';
    if (path.size() > (absolute ? xen::XENSTORE_ABS_PATH_MAX : xen::XENSTORE_REL_PATH_MAX)) return false;
    if (path == "/") return true;
    if (path.back() == '/') return false;
    char before = 0;
    for (const char c : path) {
        if (!path_character(c) || (c == '/' && before == '/')) return false;
        before = c;
    }
    return true;
}

}  // namespace proto
