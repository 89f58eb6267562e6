// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "toolstack/xend/api.hpp"

namespace xend {

/// Reaches a xend over its unix socket; the sockets are tried in turn.
class SocketTransport final : public Transport {
    std::vector<std::string> sockets_;

public:
    explicit SocketTransport(std::vector<std::string> sockets = {default_socket, classic_socket})
        : sockets_(std::move(sockets)) {}
    base::Outcome<Reply> call(const Request& request) override;
};

}  // namespace xend
