// SPDX-License-Identifier: Apache-2.0
// link: parse
// Any bytes as a kernel image: whatever opens must be safe to walk.
#include <cstdint>
#include <cstdlib>

#include "lib/parse/elf.hpp"

namespace {

volatile unsigned sink;

/// Touches every byte, so that a wrong view is a sanitizer report.
void touch(parse::Bytes bytes) {
    for (const std::byte b : bytes) sink = sink + std::to_integer<unsigned>(b);
}

void touch(std::string_view text) { touch(std::as_bytes(std::span(text.data(), text.size()))); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto opened = parse::ElfImage::open(std::as_bytes(std::span(data, size)));
    if (!opened) return 0;
    const parse::ElfImage& image = opened.value();
    for (std::uint32_t i = 0; i < image.segment_count(); ++i) touch(image.contents(image.segment(i)));
    for (std::uint32_t i = 0; i < image.section_count(); ++i) touch(image.section_notes(i));
    const auto notes = parse::read_xen_notes(image);
    if (!notes) return 0;
    touch(notes.value().guest_os);
    touch(notes.value().features);
    touch(notes.value().loader);
    if (image.physical_extent().start > image.physical_extent().end) std::abort();
    return 0;
}
