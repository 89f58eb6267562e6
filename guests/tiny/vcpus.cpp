// SPDX-License-Identifier: Apache-2.0
#include "guests/tiny/vcpus.hpp"

#include "abi/xen/vcpu.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/paging.hpp"

extern "C" char vcpu_stacks[];  // entry.S: max_vcpus of them

namespace guest {

using namespace xen;

namespace {

uint64_t stack_of(unsigned id) { return addr(vcpu_stacks) + id * stack_bytes; }

}  // namespace

void fill_context(VcpuGuestContext& c, unsigned id, void (*fn)()) {
    *at<ThisVcpu>(stack_of(id)) = {id, &shared_info().vcpu_info[id], nullptr};
    c = zeroed<VcpuGuestContext>();
    c.flags = VGCF_in_kernel;
    c.user_regs.rip = addr(fn);
    c.user_regs.rsp = stack_of(id) + stack_bytes - 8;  // as after a call
    c.user_regs.rflags = 0x200;
    c.user_regs.cs = FLAT_KERNEL_CS;
    c.user_regs.ss = FLAT_KERNEL_SS;
    fill_trap_table(c.trap_ctxt);
    c.kernel_ss = FLAT_KERNEL_SS;
    c.kernel_sp = stack_of(id) + stack_bytes;
    c.ctrlreg[3] = mfn_of(at<void>(info->pt_base)) * page_bytes;
    c.event_callback_eip = event_entry();
    c.failsafe_callback_eip = failsafe_entry();
    c.syscall_callback_eip = syscall_entry();
}

long start_vcpu(unsigned id, void (*fn)()) {
    static VcpuGuestContext context;
    fill_context(context, id, fn);
    if (const long error = hypercall(HYPERVISOR_vcpu_op, VCPUOP_initialise, id, addr(&context))) return error;
    return hypercall(HYPERVISOR_vcpu_op, VCPUOP_up, id);
}

void stop_this_vcpu() {
    for (;;) hypercall(HYPERVISOR_vcpu_op, VCPUOP_down, this_vcpu().id);
}

}  // namespace guest
