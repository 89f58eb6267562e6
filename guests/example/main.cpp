// SPDX-License-Identifier: Apache-2.0
/// A tour of the framework that is also its test: every helper once, and what it must have done.
#include "abi/xen/sched.hpp"
#include "guests/tiny/console.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/grants.hpp"
#include "guests/tiny/paging.hpp"
#include "guests/tiny/user.hpp"
#include "guests/tiny/vcpus.hpp"

namespace {

using namespace guest;

constexpr uint64_t nowhere = 0x300000001234;
int failures;
Page page, other, tables[3];

void expect(const char* what, bool right) {
    if (right) return;
    ++failures;
    print("guest: FAILED: ", what, "\n");
}

/// What the builder tells, by what the kernel's notes ask for.
void start_info() {
    const bool list_mapped = kernel_base == 0;  // no INIT_P2M
    const uint64_t mapped_end = kernel_base + info->nr_pages * page_bytes;
    expect("where the list of frames is", list_mapped ? info->mfn_list < mapped_end : info->mfn_list == 0x8000000000);
    expect("its frames", list_mapped == (info->nr_p2m_frames == 0));
    expect("the list itself", mfn_of(at<void>(info->pt_base)) != 0);
    if (info->mod_len == 0) return;
    print("guest: a module of ", info->mod_len, " bytes\n");
    // None of these kernels has MOD_START_PFN. dom0's module is an archive of some kind, a domU's here says what it is.
    const char first = *at<volatile char>(info->mod_start);
    expect("the module is mapped", !(info->flags & xen::SIF_MOD_START_PFN) && (is_dom0() ? first != 0 : first == 'm'));
}

void exceptions() {
    const Trap fault = caught([] { *at<volatile char>(nowhere) = 1; });
    expect("a page fault is caught", fault == 14 && fault.cr2 == nowhere && (fault.error & 2));
    expect("an undefined instruction is caught", caught([] { asm volatile("ud2"); }) == 6);
    expect("a breakpoint is caught", caught([] { asm volatile("int3"); }) == 3);
    const Trap gp = caught([] { asm volatile("int $0x21"); });
    expect("a software interrupt without a gate is #GP", gp == 13 && gp.error == (0x21 << 3 | 2));
    expect("no exception", caught([] {}) == vector_none);
    const Trap inner = caught([] {
        (void)caught([] { asm volatile("ud2"); });
        asm volatile("int3");
    });
    expect("guards nest", inner == 3);
    set_trap_handler([](TrapFrame& f) { f.rip += 2; });
    uint64_t kept = 0x1122334455667788;
    asm volatile("ud2" : "+r"(kept));
    expect("a handler can go on", kept == 0x1122334455667788);
    set_trap_handler(nullptr);
}

void paging() {
    expect("protect", protect(&page, read_only) == 0);
    expect("a read-only page is read-only", caught([] { *static_cast<volatile char*>(page.bytes) = 1; }) == 14);
    expect("and writable again", protect(&page, read_write) == 0);
    page.bytes[5] = 42;
    constexpr uint64_t elsewhere = 0x400000000000;
    const uint64_t* table = make_tables(elsewhere, tables);
    expect("new tables", table && write_entry(machine_address(table), mfn_of(&page) * page_bytes | read_write) == 0);
    expect("a mapping elsewhere", *at<volatile char>(elsewhere + 5) == 42);
    expect("the entry of a page", (*entry_of(&other) & frame_mask) == mfn_of(&other) * page_bytes);
}

volatile unsigned seen_port, second_ran, go_on;

void second_vcpu() {
    second_ran = this_vcpu().id;
    const Trap t = caught([] { asm volatile("ud2"); });
    while (!go_on) asm volatile("pause");
    if (t == 6) second_ran = 100 + this_vcpu().id;
    stop_this_vcpu();
}

void vcpus() {
    if (!has_word("smp")) return;
    expect("start a second vCPU", start_vcpu(1, second_vcpu) == 0);
    while (!second_ran) hypercall(xen::HYPERVISOR_sched_op, xen::SCHEDOP_yield);
    go_on = 1;
    while (second_ran == 1) hypercall(xen::HYPERVISOR_sched_op, xen::SCHEDOP_yield);
    expect("it catches exceptions too", second_ran == 101);
}

void events() {
    const long port = bind_ipi(0);
    expect("bind_ipi", port > 0);
    set_event_handler([](uint32_t p) { seen_port = p; });
    allow_upcalls();
    expect("send", send(static_cast<uint32_t>(port)) == 0);
    expect("an upcall", seen_port == static_cast<unsigned>(port));
    mask_upcalls();
    const uint64_t begin = now();
    sleep(20'000'000);
    expect("sleep", now() - begin >= 20'000'000);
}

void grants() {
    expect("a grant table", grant_table() != nullptr);
    if (!grant_table()) return;
    grant(8, own_domid(), &page);
    xen::GnttabCopy copy{};
    copy.source.u.ref = 8;
    copy.source.domid = copy.dest.domid = xen::DOMID_SELF;
    copy.dest.u.gmfn = mfn_of(&other);
    copy.flags = xen::GNTCOPY_source_gref;
    copy.len = 64;
    expect("a grant copy", grant_op(xen::GNTTABOP_copy, copy) == 0 && copy.status == 0 && other.bytes[5] == 42);
}

void user_mode() {
    expect("user tables", make_user_tables());
    expect("user mode ends by SYSCALL", run_user([](uint64_t) {}) == vector_syscall);
    const Trap t = run_user([](uint64_t p) { *at<volatile char>(p) = 1; }, nowhere);
    expect("user mode faults", t == 14 && t.cr2 == nowhere && (t.error & 4) && (t.frame.cs & 3) == 3);
    expect("INT 0x80 from user mode", run_user([](uint64_t) { asm volatile("int $0x80"); }) == 0x80);
}

}  // namespace

int guest_main() {
    print("guest: example, ", info->nr_pages, " pages, ", is_dom0() ? "in dom0's place" : "a domU", ", first page at ",
          Hex{kernel_base}, "\n");
    start_info();
    exceptions();
    paging();
    events();
    vcpus();
    grants();
    user_mode();
    print("guest: ", failures, " failures\n");
    return failures;
}
