// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is in the file of an image, as far as it decides whether it may be opened. Pure.

#include <cstddef>
#include <span>
#include <string>

#include "lib/base/outcome.hpp"

namespace xend {

/// The image below an image: what it has not, is read there.
struct ImageBase {
    std::string path;  // empty: there is none
    std::string format;
};

/// QEMU's name of the format that a disk's type names: "vhd" is its "vpc".
std::string qemu_format(const std::string& type);

/// Judges what `qemu-img info --output=json` said of `file`, and finds its base. Only a base whose format is written down is
/// taken: else its bytes would say what it is, and those may be a guest's. Errors: inval: its data is in other files, or the base is none.
base::Outcome<ImageBase> read_image_facts(const std::string& file, const std::string& json);

/// The size of what stands at a VHD's end, and of most at its beginning too. In bytes.
inline constexpr size_t vhd_footer = 512;

/// Errors: inval: the first bytes are those of a VHD that holds but differences, which QEMU would take for the whole.
base::Outcome<> check_vhd(const std::string& file, std::span<const char> first, std::span<const char> last);

}  // namespace xend
