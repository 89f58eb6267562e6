// SPDX-License-Identifier: Apache-2.0
/// The dom0 kernel as an ELF image in memory, whatever the module's packing.
#pragma once

#include "hypervisor/mm/frame.hpp"
#include "lib/parse/elf.hpp"

namespace hv {

/// An unpacked kernel; `buffer` (2^order frames) holds it when the module was packed.
struct Dom0Kernel {
    parse::ElfImage image;
    parse::XenNotes notes;
    uint64_t entry = 0;  ///< the note's, or the ELF header's
    Mfn buffer{0};
    unsigned order = 0;
    bool owns_buffer = false;
};

/// Panics with the cause when the module is no kernel that can be dom0.
Dom0Kernel dom0_open_kernel(parse::Bytes module);
void dom0_release_kernel(Dom0Kernel& k);

}  // namespace hv
