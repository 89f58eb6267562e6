// SPDX-License-Identifier: Apache-2.0
/// The xenstore protocol: message header, types, error names, shared ring.
#pragma once

#include "abi/xen/types.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XS_CONTROL = 0;
inline constexpr std::uint32_t XS_DIRECTORY = 1;
inline constexpr std::uint32_t XS_READ = 2;
inline constexpr std::uint32_t XS_GET_PERMS = 3;
inline constexpr std::uint32_t XS_WATCH = 4;
inline constexpr std::uint32_t XS_UNWATCH = 5;
inline constexpr std::uint32_t XS_TRANSACTION_START = 6;
inline constexpr std::uint32_t XS_TRANSACTION_END = 7;
inline constexpr std::uint32_t XS_INTRODUCE = 8;
inline constexpr std::uint32_t XS_RELEASE = 9;
inline constexpr std::uint32_t XS_GET_DOMAIN_PATH = 10;
inline constexpr std::uint32_t XS_WRITE = 11;
inline constexpr std::uint32_t XS_MKDIR = 12;
inline constexpr std::uint32_t XS_RM = 13;
inline constexpr std::uint32_t XS_SET_PERMS = 14;
inline constexpr std::uint32_t XS_WATCH_EVENT = 15;
inline constexpr std::uint32_t XS_ERROR = 16;
inline constexpr std::uint32_t XS_IS_DOMAIN_INTRODUCED = 17;
inline constexpr std::uint32_t XS_RESUME = 18;
inline constexpr std::uint32_t XS_SET_TARGET = 19;
inline constexpr std::uint32_t XS_RESET_WATCHES = 21;
inline constexpr std::uint32_t XS_DIRECTORY_PART = 22;
inline constexpr std::uint32_t XS_TYPE_COUNT = 23;
inline constexpr std::uint32_t XS_INVALID = 65535;

inline constexpr std::uint32_t XS_DEBUG = 0;
inline constexpr char XS_WRITE_NONE[] = "NONE";
inline constexpr char XS_WRITE_CREATE[] = "CREATE";
inline constexpr char XS_WRITE_CREATE_EXCL[] = "CREATE|EXCL";

/// Header of every xenstore message; len bytes of payload follow.
struct XsdSockMsg {
    std::uint32_t type;
    std::uint32_t req_id;
    std::uint32_t tx_id;
    std::uint32_t len;
};
static_assert(exact_layout<XsdSockMsg, 16>);

inline constexpr std::uint32_t XS_WATCH_PATH = 0;
inline constexpr std::uint32_t XS_WATCH_TOKEN = 1;

inline constexpr std::uint32_t XENSTORE_RING_SIZE = 1024;

/// The xenstore page: two byte rings, features, connection state.
struct XenstoreDomainInterface {
    char req[1024];
    char rsp[1024];
    XENSTORE_RING_IDX req_cons;
    XENSTORE_RING_IDX req_prod;
    XENSTORE_RING_IDX rsp_cons;
    XENSTORE_RING_IDX rsp_prod;
    std::uint32_t server_features;
    std::uint32_t connection;
    std::uint32_t error;
};
static_assert(exact_layout<XenstoreDomainInterface, 2076>);

inline constexpr std::uint32_t XENSTORE_PAYLOAD_MAX = 0x1000;
inline constexpr std::uint32_t XENSTORE_ABS_PATH_MAX = 3072;
inline constexpr std::uint32_t XENSTORE_REL_PATH_MAX = 2048;
inline constexpr std::uint32_t XENSTORE_SERVER_FEATURE_RECONNECTION = 1;
inline constexpr std::uint32_t XENSTORE_SERVER_FEATURE_ERROR = 2;
inline constexpr std::uint32_t XENSTORE_CONNECTED = 0;
inline constexpr std::uint32_t XENSTORE_RECONNECT = 1;
inline constexpr std::uint32_t XENSTORE_ERROR_NONE = 0;
inline constexpr std::uint32_t XENSTORE_ERROR_COMM = 1;
inline constexpr std::uint32_t XENSTORE_ERROR_RINGIDX = 2;
inline constexpr std::uint32_t XENSTORE_ERROR_PROTO = 3;

}  // namespace xen
