// link: xenconfig_convert
// SPDX-License-Identifier: Apache-2.0
// Any bytes as a configuration file: parse, and what parses must survive the way through sxp and back, and through JSON where
// it is UTF-8. The same bytes as JSON: refused, or the same again. As libxl's JSON and libvirt's XML: what is taken can be written and read.
#include <cstdint>
#include <cstdlib>

#include "toolstack/config/convert.hpp"
#include "toolstack/config/domain_json.hpp"
#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/config/load.hpp"

static void read_and_write(config::FileForm form, const std::string& text) {
    const auto first = config::read_form(form, text, "fuzz", {}, {});
    if (!first) return;
    const auto written = config::write_form(form, first->config);
    if (written && !config::read_form(form, *written, "written", {}, {})) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    if (const auto direct = config::from_json(text); direct && config::from_json(config::to_json(*direct)).value() != *direct) {
        std::abort();
    }
    read_and_write(config::FileForm::libvirt, text);
    read_and_write(config::FileForm::libxl, text);
    auto loaded = config::parse_config(text, "fuzz");
    if (!loaded || !config::validate(loaded->config)) return 0;
    const proto::Sxp sxp = config::to_sxp(loaded->config);
    auto reparsed = proto::parse_sxp(proto::to_string(sxp));
    if (!reparsed) std::abort();
    auto again = config::from_sxp(*reparsed);
    if (!again || !(config::to_sxp(*again) == sxp)) std::abort();
    const std::string json = config::to_json(*again);
    if (json.find("\xef\xbf\xbd") != std::string::npos) return 0;  // a byte was replaced
    const auto third = config::from_json(json);
    if (!third || !(*third == *again)) std::abort();
    return 0;
}
