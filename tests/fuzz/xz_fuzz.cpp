// SPDX-License-Identifier: Apache-2.0
// link: parse
// The container's checksums stop most mutations, so the insides are fuzzed on their own too. The first byte chooses;
// the output is small, so that running out of room is reached as well.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "lib/parse/lzma.hpp"
#include "lib/parse/xz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) return 0;
    static parse::XzWorkspace workspace;
    const std::vector<std::uint8_t> exact(data + 1, data + size);
    const auto in = std::as_bytes(std::span(exact));
    std::vector<std::byte> out((data[0] & 3) != 0 ? 70000 : 1000);
    switch ((data[0] >> 2) & 3) {
        case 0:
        case 1:
            if (const auto end = parse::lzma2_decode(in, out, workspace))
                if (end.value().consumed > in.size() || end.value().produced > out.size()) std::abort();
            break;
        case 2:
            out.assign(in.begin(), in.end());
            parse::undo_x86_filter(out, data[0]);
            break;
        default:
            if (const auto size_out = parse::xz_decode(in, out, workspace))
                if (size_out.value() > out.size()) std::abort();
    }
    return 0;
}
