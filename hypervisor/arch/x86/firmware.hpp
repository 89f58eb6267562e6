// SPDX-License-Identifier: Apache-2.0
/// Calls into UEFI firmware.
#pragma once

#include <cstdint>

#include "lib/parse/efi.hpp"

namespace hv {

/// What UEFI left behind; nothing of it when there is no UEFI. Written at boot.
extern parse::EfiFirmware efi_firmware;

namespace arch {
/// Calls a run-time service with what its declaration in the UEFI specification (chapter 8) lists, at most five words, and returns its
/// EFI_STATUS. Pointers among them are to the hypervisor's memory. The CPU leaves the current vCPU meanwhile, and answers nobody: the
/// firmware takes as long as it takes. Only when efi_firmware.has_services(), one call at a time, no spin lock held.
uint64_t efi_call(parse::EfiService s, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0, uint64_t e = 0);
}  // namespace arch
}  // namespace hv
