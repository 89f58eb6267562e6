// SPDX-License-Identifier: Apache-2.0
// link: proto
// Any bytes as what another host says while a domain moves: refused in one line, or read, and then written the same again.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "lib/proto/relocation/message.hpp"

using namespace proto::relocation;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    auto rest = std::as_bytes(std::span(data, size));
    while (rest.size() >= head_bytes) {
        const auto head = decode_head(rest.first<head_bytes>());
        if (!head) {
            if (head.failure().text.empty() || head.failure().text.find('\n') != std::string::npos) std::abort();
            return 0;
        }
        if (head->length > body_limit) std::abort();
        if (head->length > rest.size() - head_bytes) return 0;
        const auto message = decode(*head, rest.subspan(head_bytes, head->length));
        if (!message) return 0;
        const auto again = encode(*message);
        if (again.size() != head_bytes + head->length || std::memcmp(again.data(), rest.data(), again.size()) != 0) std::abort();
        rest = rest.subspan(again.size());
    }
    return 0;
}
