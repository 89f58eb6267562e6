// SPDX-License-Identifier: Apache-2.0
/// The xenstore wire format: 16-byte little-endian header, then at most XENSTORE_PAYLOAD_MAX bytes of payload.
/// No allocation. All views point into the caller's buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "abi/xen/xs_wire.hpp"
#include "lib/base/result.hpp"

namespace proto {

inline constexpr std::size_t xs_header_size = sizeof(xen::XsdSockMsg);
inline constexpr std::size_t xs_payload_max = xen::XENSTORE_PAYLOAD_MAX;
inline constexpr std::size_t xs_message_max = xs_header_size + xs_payload_max;

/// One whole message at the front of a buffer.
struct XsMessage {
    xen::XsdSockMsg header;
    std::span<const std::byte> payload;

    /// The payload as characters, NULs included.
    std::string_view text() const { return {reinterpret_cast<const char*>(payload.data()), payload.size()}; }
    /// Header and payload: how much of the buffer this message takes.
    std::size_t size() const { return xs_header_size + payload.size(); }
};

/// What peek_message found: `complete` only when header and payload are all there.
struct XsPeek {
    bool complete;
    XsMessage message;   ///< only when complete
    std::size_t wanted;  ///< bytes the buffer must hold before the next try
};

/// Reads a header. The bytes are not judged.
xen::XsdSockMsg decode_header(std::span<const std::byte, xs_header_size> bytes);

/// Writes a header.
void encode_header(std::span<std::byte, xs_header_size> out, const xen::XsdSockMsg& header);

/// Looks for one message at the front of `buffer`. The type is not judged: an unknown one deserves an ENOSYS reply.
/// Errors: toobig when the header announces more than xs_payload_max; the stream is unusable from there on.
base::Result<XsPeek> peek_message(std::span<const std::byte> buffer);

/// Writes header and payload to `out`; returns the bytes written. header.len is taken from the payload.
/// Errors: toobig when the payload exceeds the protocol's limit, nobufs when `out` is too small.
base::Result<std::size_t> encode_message(std::span<std::byte> out, std::uint32_t type, std::uint32_t request,
                                         std::uint32_t transaction, std::string_view payload);

/// Walks NUL-separated strings. A last string without its NUL counts too, as in XS_WRITE and XS_READ of old clients;
/// `terminated()` tells. An empty payload holds no string.
class XsStrings {
public:
    constexpr explicit XsStrings(std::string_view payload) : rest_(payload) {}
    constexpr bool empty() const { return rest_.empty(); }
    /// The next string, without its NUL. Only when !empty().
    constexpr std::string_view next() {
        const std::size_t nul = rest_.find('\0');
        terminated_ = nul != std::string_view::npos;
        const std::string_view out = rest_.substr(0, nul);
        rest_.remove_prefix(terminated_ ? nul + 1 : rest_.size());
        return out;
    }
    /// Whether the last string returned was followed by a NUL.
    constexpr bool terminated() const { return terminated_; }
    /// Everything not yet walked (the value of XS_WRITE, which may hold NULs).
    constexpr std::string_view rest() const { return rest_; }

private:
    std::string_view rest_;
    bool terminated_ = false;
};

/// Splits into exactly `out.size()` strings, each of them NUL-terminated.
/// Errors: inval when there are fewer, more, or the last one lacks its NUL.
base::Status split_exactly(std::string_view payload, std::span<std::string_view> out);

/// Decimal number of at most 10 digits, nothing around it. Errors: inval.
base::Result<std::uint32_t> parse_number(std::string_view text);

/// The name with which XS_ERROR tells an error ("ENOENT"); "EINVAL" for those the protocol has no name for.
std::string_view xs_error_name(base::Errc code);

/// The opposite; unknown names read as inval.
base::Errc xs_error_code(std::string_view name);

/// Whether `path` may name a node: characters A-Z a-z 0-9 - / _ @, no empty component, no trailing slash except "/",
/// lengths within the protocol's limits. `@` names (watches only) are judged by the caller.
bool valid_node_path(std::string_view path);

}  // namespace proto
