// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/irq/message.hpp"

#include "hypervisor/arch/x86/ioapic.hpp"

namespace hv {

constinit MessageComposer compose_message = [](const IrqLine& line) {
    return x86::message_to_cpu(line.vector, ioapic::destination());
};

}  // namespace hv
