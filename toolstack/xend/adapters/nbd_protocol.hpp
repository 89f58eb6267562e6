// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "lib/base/outcome.hpp"

namespace xend {

/// What a server of network block devices offers.
struct NbdExport {
    uint64_t bytes = 0;
    uint16_t flags = 0;  // transmission flags of the protocol

    static constexpr uint16_t read_only = 1U << 1U;
    static constexpr uint16_t trim = 1U << 5U;
};

/// Greets the server on the other end of the socket and asks for an export, "" being its default. From then on the socket
/// carries reads and writes. Source: the NBD protocol's doc/proto.md, fixed newstyle negotiation. Errors: badmsg: it is no such
/// server; noent: it has no such export; timedout and others of the socket's.
base::Outcome<NbdExport> negotiate_nbd(int socket, const std::string& name);

}  // namespace xend
