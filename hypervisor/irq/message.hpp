// SPDX-License-Identifier: Apache-2.0
/// Where interrupts are composed into what devices and I/O APICs send.
#pragma once

#include "hypervisor/irq/irq.hpp"
#include "lib/x86/interrupt_message.hpp"

namespace hv {

/// What `line` has to send to arrive with its vector. Locks: the interrupt lock.
using MessageComposer = x86::InterruptMessage (*)(const IrqLine& line);
/// To the CPU that takes device interrupts, as local APICs understand it. Who remaps interrupts puts his own in its place, at boot,
/// before the first line is routed.
extern MessageComposer compose_message;

}  // namespace hv
