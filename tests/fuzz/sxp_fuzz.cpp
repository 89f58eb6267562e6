// SPDX-License-Identifier: Apache-2.0
// link: proto
// What parses, prints; what was printed, parses to the same value, on one line and pretty.
#include <cstdint>
#include <cstdlib>

#include "lib/proto/sxp.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const proto::SxpLimits limits{.depth = 64, .values = 10000, .bytes = 1 << 16};
    const auto all = proto::parse_sxp_all(text, limits);
    proto::SxpParser bytewise(limits);
    bool bytewise_ok = true;
    for (const char& c : text) bytewise_ok = bytewise_ok && bytewise.feed({&c, 1});
    bytewise_ok = bytewise_ok && bytewise.finish();
    if (bytewise_ok != static_cast<bool>(all)) std::abort();
    if (!all) return 0;
    for (const proto::Sxp& value : all.value()) {
        const auto again = proto::parse_sxp(proto::to_string(value), {.depth = 64, .values = 10000, .bytes = 1 << 20});
        const auto pretty = proto::parse_sxp(proto::to_pretty_string(value), {.depth = 64, .values = 10000, .bytes = 1 << 24});
        if (!again || !(again.value() == value) || !pretty || !(pretty.value() == value)) std::abort();
        static_cast<void>(value.child_value("name"));
        static_cast<void>(value.attribute("key"));
    }
    return 0;
}
