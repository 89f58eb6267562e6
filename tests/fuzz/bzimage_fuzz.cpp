// SPDX-License-Identifier: Apache-2.0
// link: parse
#include <cstdint>
#include <cstdlib>

#include "lib/parse/bzimage.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto file = std::as_bytes(std::span(data, size));
    static_cast<void>(parse::detect_packing(file));
    const auto opened = parse::open_bzimage(file);
    if (!opened) return 0;
    const parse::Bytes payload = opened.value().payload;
    if (payload.data() < file.data() || payload.data() + payload.size() > file.data() + file.size()) std::abort();
    if (parse::packing_name(opened.value().packing) == nullptr) std::abort();
    return 0;
}
