// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/trace_hypercall.hpp"

#include "abi/xen/basic.hpp"

namespace hv {

namespace {

/// The arguments that say how much a call will do; of which the record has the lower halves. Bit n: argument n.
unsigned telling_arguments(uint64_t op) {
    switch (op) {
        case xen::HYPERVISOR_mmu_update:
        case xen::HYPERVISOR_multicall:
        case xen::HYPERVISOR_mmuext_op: return 1u << 1;  // how many
        case xen::HYPERVISOR_grant_table_op: return 1u << 0 | 1u << 2;
        case xen::HYPERVISOR_vcpu_op: return 1u << 0 | 1u << 1;
        case xen::HYPERVISOR_sched_op: return 1u << 0;
        default: return 0;
    }
}

}  // namespace

void detail::record_hypercall(uint32_t event, uint64_t op, uint64_t arg0, uint64_t arg1, uint64_t arg2) {
    constexpr uint32_t op_mask = ~xen::TRC_PV_HYPERCALL_V2_ARG_MASK;
    constexpr unsigned first_argument_bit = 20;
    const uint64_t args[] = {arg0, arg1, arg2};
    const unsigned telling = telling_arguments(op);
    uint32_t words[3] = {static_cast<uint32_t>(op) & op_mask};
    unsigned n = 1;
    for (unsigned i = 0; i < 3; ++i) {
        if (!(telling >> i & 1)) continue;
        words[0] |= 1u << (first_argument_bit + 2 * i);
        words[n++] = static_cast<uint32_t>(args[i]);
    }
    trace::detail::record(event, words, n, true);
}

}  // namespace hv
