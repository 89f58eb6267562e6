// SPDX-License-Identifier: Apache-2.0
/// Characters typed on the serial line, on their way to dom0's console.
#pragma once

#include <cstddef>

namespace hv {

/// From the serial driver. Ctrl-A three times changes who listens, as Xen's consoles do.
void console_received(const char* text, size_t n);
/// What dom0 has not read yet; returns the bytes copied.
size_t console_read(char* dst, size_t size);

}  // namespace hv
