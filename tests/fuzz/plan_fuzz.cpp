// SPDX-License-Identifier: Apache-2.0
// link: builder parse
// Any bytes as a kernel: the plan is refused, or every frame it uses lies inside the domain and serves one purpose.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "toolstack/builder/plan.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using builder::Extent;
    const auto bytes = std::as_bytes(std::span(data, size));
    builder::BuildInput input;
    input.memory_kib = 64 << 10;
    auto images = std::make_shared<builder::Images>();
    images->kernel = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
    images->ramdisk = std::make_shared<const std::vector<std::byte>>(size % 8192);
    const auto plan = builder::plan(input, images);
    if (!plan) {
        if (plan.failure().text.empty() || plan.failure().text.find('\n') != std::string::npos) std::abort();
        return 0;
    }
    const builder::Layout& l = plan->layout;
    std::vector<Extent> uses{l.kernel, l.p2m, l.tables, l.ramdisk, {l.start_info, 1}, {l.store, 1}, {l.console, 1}, {l.stack, 1}};
    std::erase_if(uses, [](const Extent& e) { return e.pages == 0; });
    std::ranges::sort(uses, {}, &Extent::first);
    for (size_t i = 0; i + 1 < uses.size(); ++i)
        if (uses[i].end() > uses[i + 1].first) std::abort();
    if (uses.back().end() > l.end || l.end > plan->pages) std::abort();
    for (const builder::LoadPiece& p : plan->pieces)
        if (p.address + p.memory_size > l.kernel.end() * 4096 || p.file_size > size || p.offset > size - p.file_size)
            std::abort();
    for (const builder::TablePage& t : l.table_pages)
        if (t.pfn >= plan->pages) std::abort();
    return 0;
}
