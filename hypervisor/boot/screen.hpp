// SPDX-License-Identifier: Apache-2.0
/// The screen as the boot loader left it.
#pragma once

#include "abi/xen/basic.hpp"
#include "lib/parse/multiboot.hpp"

namespace hv {

/// A PC's text screen of 80 by 25: what there is unless the loader tells of pixels, or UEFI has no text to show.
bool screen_has_text(const parse::BootRecord& record);

/// The same for dom0, which drives it later: text, pixels of VESA's or UEFI's; video_type 0: none that it could use.
xen::Dom0VgaConsoleInfo screen_for_dom0(const parse::BootRecord& record);

}  // namespace hv
