// SPDX-License-Identifier: Apache-2.0
// Unpacks what kernels are packed in, by the formats' own libraries.
#pragma once

#include <cstddef>
#include <vector>

#include "lib/base/outcome.hpp"
#include "lib/parse/bzimage.hpp"

namespace builder {

/// The largest image that is accepted; a packed bomb ends here.
inline constexpr size_t largest_image = size_t{1} << 30;

/// Unpacks the stream at the start of `bytes`; what follows its end is ignored. Bytes that are not packed are copied.
/// `size_hint` saves growing the result; it may come from the file, so only a likely one is believed.
/// Errors: badmsg (damaged, or cut short), toobig (more than `limit`), opnotsupp (bzip2, lzo).
base::Outcome<std::vector<std::byte>> unpack(parse::Bytes bytes, parse::Packing packing, size_t size_hint = 0,
                                             size_t limit = largest_image);

}  // namespace builder
