// link: xenconfig
// SPDX-License-Identifier: Apache-2.0
// Any bytes as a configuration file: parse, and what parses must survive the way through sxp and back.
#include <cstdint>
#include <cstdlib>

#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/config/load.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    auto loaded = config::parse_config(text, "fuzz");
    if (!loaded || !config::validate(loaded->config)) return 0;
    const proto::Sxp sxp = config::to_sxp(loaded->config);
    auto reparsed = proto::parse_sxp(proto::to_string(sxp));
    if (!reparsed) std::abort();
    auto again = config::from_sxp(*reparsed);
    if (!again || !(config::to_sxp(*again) == sxp)) std::abort();
    return 0;
}
