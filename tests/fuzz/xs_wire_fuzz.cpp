// SPDX-License-Identifier: Apache-2.0
// link: proto
// A stream of messages as a client or a guest's ring would bring it, and a ring whose indexes are hostile.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "lib/proto/ring.hpp"
#include "lib/proto/xs_wire.hpp"

namespace {

void walk_messages(std::span<const std::byte> stream) {
    while (!stream.empty()) {
        const auto peek = proto::peek_message(stream);
        if (!peek || !peek.value().complete) return;
        const proto::XsMessage& message = peek.value().message;
        std::size_t strings = 0;
        for (proto::XsStrings walk(message.text()); !walk.empty(); ++strings) {
            const std::string_view text = walk.next();
            static_cast<void>(proto::valid_node_path(text));
            static_cast<void>(proto::parse_number(text));
            static_cast<void>(proto::xs_error_code(text));
        }
        if (strings > message.payload.size()) std::abort();
        std::array<std::string_view, 3> three;
        static_cast<void>(proto::split_exactly(message.text(), three));
        std::array<std::byte, proto::xs_message_max> copy;
        const auto size =
            proto::encode_message(copy, message.header.type, message.header.req_id, message.header.tx_id, message.text());
        if (!size || size.value() != message.size() || std::memcmp(copy.data(), stream.data(), size.value()) != 0) std::abort();
        stream = stream.subspan(message.size());
    }
}

void abuse_ring(std::span<const std::byte> bytes) {
    std::uint32_t indexes[2] = {};
    if (bytes.size() < sizeof indexes) return;
    std::memcpy(indexes, bytes.data(), sizeof indexes);
    bytes = bytes.subspan(sizeof indexes);
    std::array<char, 64> data{};
    const proto::ByteRing ring(data, &indexes[0], &indexes[1]);
    std::array<std::byte, 100> out{};
    static_cast<void>(ring.write(bytes));
    static_cast<void>(ring.read(out));
    ring.discard();
    const auto written = ring.write(bytes);
    const auto read = ring.read(out);
    if (!written || !read || written.value() != read.value()) std::abort();
    if (std::memcmp(out.data(), bytes.data(), read.value()) != 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    walk_messages(bytes);
    if (!bytes.empty()) abuse_ring(bytes);
    return 0;
}
