// SPDX-License-Identifier: Apache-2.0
/// What dom0 learns of UEFI firmware and asks of its run-time services, of HYPERVISOR_platform_op.
#pragma once

#include "abi/xen/platform.hpp"
#include "lib/base/result.hpp"

namespace hv {

/// XENPF_firmware_info for XEN_FW_EFI_INFO; `index` says what. The vendor's name goes to the caller's memory.
/// Errors: srch no UEFI, or no such memory; nodata not told; opnotsupp no services; inval no such index, or too little room; fault.
base::Status efi_info(uint32_t index, decltype(xen::XenpfFirmwareInfo::u.efi_info)& info);

/// XENPF_efi_runtime_call: what the firmware answers is `call.status`, good or not, and what it returns stands in `call`.
/// Errors: opnotsupp there are no services, or not this one; nosys no such function; inval a flag that means nothing; fault; nomem;
/// toobig more than 1 MiB of a variable, or a name of more than 4 KiB.
base::Status efi_runtime_call(xen::XenpfEfiRuntimeCall& call);

}  // namespace hv
