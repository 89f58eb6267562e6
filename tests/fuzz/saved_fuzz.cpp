// SPDX-License-Identifier: Apache-2.0
// link: proto
// Any bytes as a saved domain's file: refused in one line, or read, with nothing in it that points outside.
#include <cstdint>
#include <cstdlib>

#include "tests/host/saved_image.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto back = testing_tools::read_back(std::as_bytes(std::span(data, size)));
    if (!back) {
        if (back.failure().text.empty() || back.failure().text.find('\n') != std::string::npos) std::abort();
        return 0;
    }
    if (back->end > size) std::abort();
    for (const proto::saved::PageEntry& page : back->pages) {
        if (page.pfn > back->p2m.last_pfn || !page.kind.valid()) std::abort();
    }
    return 0;
}
