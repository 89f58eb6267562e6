// SPDX-License-Identifier: Apache-2.0
/// The page of entry stubs a PV guest calls into.
#pragma once

namespace hv {

/// Writes the stubs: 32 bytes a hypercall; the one of IRET does not return. Source: public ABI, x86_64 hypercall page.
void fill_hypercall_page(void* page);

}  // namespace hv
