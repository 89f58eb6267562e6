// SPDX-License-Identifier: Apache-2.0
/// The end: what is shown when the hypervisor cannot go on.
#pragma once

#include <cstdint>

#include "lib/x86/regs.hpp"

namespace hv {

using x86::Regs;

struct Vcpu;

extern "C" {
extern const uint8_t image_start[];  ///< first byte of the hypervisor image (linker script)
extern const uint8_t image_end[];
}

/// noreboot: halt instead of rebooting after a panic.
void set_panic_reboot(bool reboot);
void show_regs(const Regs& r);
/// Logs whose vCPU this CPU was running; domain/ does it, which knows. Context: any, for a panic.
void show_vcpu(const Vcpu& v);
/// A panic caused by an exception taken in the hypervisor itself.
[[noreturn]] void panic_regs(const Regs& regs, const char* fmt, ...) __attribute__((format(printf, 2, 3)));

}  // namespace hv
