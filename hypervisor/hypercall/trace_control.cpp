// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/hypercall/trace_control.hpp"

#include "hypervisor/domain/trace_buffers.hpp"
#include "hypervisor/hypercall/table.hpp"
#include "hypervisor/trace/counters.hpp"
#include "hypervisor/trace/trace.hpp"

namespace hv {

namespace {
void choose_table() {
    trace_hypercalls(counters::counting() || trace::wants(xen::TRC_PV_HYPERCALL_V2) ||
                     trace::wants(xen::TRC_PV_HYPERCALL_SUBCALL));
}
}  // namespace

base::Status trace_begin() {
    if (trace_info_pages().bytes == 0) return base::Err{base::Errc::inval};
    trace::enable();
    choose_table();
    return base::ok;
}

void trace_end() {
    trace::disable();
    choose_table();
}

void trace_events(uint32_t mask) {
    trace::set_events(mask);
    choose_table();
}

base::Status counters_begin() {
    TRY(counters::begin());
    choose_table();
    return base::ok;
}

void counters_end() {
    counters::end();
    choose_table();
}

}  // namespace hv
