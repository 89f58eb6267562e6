// SPDX-License-Identifier: Apache-2.0
/// Every operation that a guest has, the largest arguments for it with memory for them, and a run of it that is always told to yield.
#pragma once

#include <sys/mman.h>
#include <time.h>

#include <cstring>
#include <string>

#include "abi/xen/callback.hpp"
#include "abi/xen/domctl.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/hypfs.hpp"
#include "abi/xen/memory.hpp"
#include "abi/xen/nmi.hpp"
#include "abi/xen/physdev.hpp"
#include "abi/xen/platform.hpp"
#include "abi/xen/sched.hpp"
#include "abi/xen/sysctl.hpp"
#include "abi/xen/vcpu.hpp"
#include "abi/xen/version.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/hypercall/table.hpp"
#include "tests/host/hv_calls.hpp"

namespace hvtest {

// -- guest memory -----------------------------------------------------------------------------------------------------

/// Zeroes as far as any list goes, at an address whose halves are large numbers too.
inline constexpr uint64_t region = 0x2000'0000'0000;
inline constexpr uint64_t region_bytes = uint64_t{16} << 30;
inline constexpr uint64_t in_region = region + 0x7fff'0000;
/// The argument structure, and behind it room for lists.
inline constexpr uint64_t argument = region + 0x1000;
inline constexpr uint64_t lists = region + 0x10000;

template <class T>
T* at(uint64_t va) {
    return reinterpret_cast<T*>(va);
}

inline void map_region() {
    static const bool once = [] {
        return mmap(at<void>(region), region_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == at<void>(region);
    }();
    ASSERT_TRUE(once);
    host::guest_window(region, region_bytes);
}
inline void clear_region() { madvise(at<void>(region), region_bytes, MADV_DONTNEED); }

// -- one guest for each row -------------------------------------------------------------------------------------------

inline constexpr uint16_t guest_id = 5;
inline constexpr unsigned own_pages = 8;

struct World {
    Guest& dom0 = control_domain();
    Guest guest;
    Mfn pages[own_pages]{Mfn(0), Mfn(0), Mfn(0), Mfn(0), Mfn(0), Mfn(0), Mfn(0), Mfn(0)};
    Vcpu* caller = nullptr;
    Vcpu* const before = this_cpu().current;

    explicit World(unsigned vcpus = 2) : guest(guest_id, vcpus) {
        for (Mfn& m : pages) m = guest.page();
        caller = &guest.vcpu();
        this_cpu().current = caller;
    }
    ~World() {
        host::preempt_every(0);
        this_cpu().current = before;
        guest.stop();
        guest.destroy();
        domains_reap();
        tidy_dom0();
        while (CpuPool* pool = sched::pool_from(1)) sched::pool_destroy(*pool);  // those that are made here get no CPU
        for (const unsigned cpu : sched::free_cpus()) sched::pool_add_cpu(sched::pool0(), cpu);
        clear_region();
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;
    void as_dom0() {
        caller = &dom0.vcpu();
        this_cpu().current = caller;
    }
    void tidy_dom0() {
        while (!event_reset(dom0)) {}
        while (dom0->page_list_head) domain_release_page(frame_table[dom0->page_list_head]);
        (void)domain_claim(dom0, 0);
        for (Vcpu* v : {&dom0.vcpu()}) {
            v->pause_flags.fetch_and(~uint32_t{vpf_blocked});
            v->runstate_guest = 0;
            v->time_info_guest.store(0);
        }
    }
    /// What shows that an operation comes further.
    uint64_t state() const;
};

inline uint64_t mix(uint64_t hash, uint64_t value) { return (hash ^ value) * 0x100000001b3 + (hash >> 29); }

inline uint64_t World::state() const {
    uint64_t h = 0xcbf29ce484222325;
    for (uint64_t a : caller->hypercall.args) h = mix(h, a);
    for (unsigned i = 0; i < 512; ++i) h = mix(h, at<uint64_t>(argument)[i]);
    for (Mfn m : pages) {
        const PageInfo& p = page_of(m);
        h = mix(mix(mix(h, p.type.load()), p.stamp.load()), p.progress_flags);
    }
    for (const Domain* d : {&*guest.d, &*dom0.d}) {
        Domain& x = const_cast<Domain&>(*d);
        {
            Guard g(x.page_list_lock);
            h = mix(h, x.tot_pages);
        }
        h = mix(mix(mix(h, x.page_list_head), x.relinquish_stage), x.pv ? x.pv->relinquished_vcpus : 0);
        h = mix(h, x.pv ? reinterpret_cast<uint64_t>(x.pv->relinquish_cursor) : 0);
        for (uint32_t v = 0; v < x.limits.max_vcpus; ++v) h = mix(h, x.vcpus[v] != nullptr);
        if (x.grants) {
            Guard g(x.grants->lock);
            h = mix(mix(mix(h, x.grants->frames), x.grants->version), x.grants->cleared);
            h = mix(mix(h, x.grants->status_frames), x.grants->part_frames);
        }
        if (x.grants) {
            Guard g(x.grants->map_lock);
            h = mix(mix(h, x.grants->relinquish_cursor), x.grants->maptrack_pages);
        }
        if (x.events) {
            Guard g(x.events->lock);
            h = mix(mix(h, x.events->in_use), x.events->close_cursor);
        }
    }
    return h;
}

// -- running one call -------------------------------------------------------------------------------------------------

/// CPU time of this thread, for whom nobody else's work counts.
inline double milliseconds() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

/// A hundred times what any entry should take, and a hundredth of what an unbounded loop does; sanitizers included.
inline constexpr double longest_entry = 100;

struct Ran {
    unsigned restarts = 0;
    bool ended = false;
    Result<uint64_t> answer = 0;
};

inline Ran run(World& w, Handler handler, const uint64_t (&args)[6], unsigned most_turns, const std::string& name) {
    Ran r;
    std::memcpy(w.caller->hypercall.args, args, sizeof args);
    uint64_t before = w.state();
    host::preempt_every(1);
    for (; r.restarts < most_turns; ++r.restarts) {
        w.caller->hypercall.rearmed = false;
        const double began = milliseconds();
        auto answer = handler(*w.caller, w.caller->hypercall.args);
        const double took = milliseconds() - began;
        EXPECT_LT(took, longest_entry) << name << ": one entry keeps the CPU";
        if (answer || answer.error() != Errc::restart) {
            r.ended = true;
            r.answer = std::move(answer);
            break;
        }
        const uint64_t now = w.state();
        EXPECT_NE(now, before) << name << ": it was entered again and did nothing";
        if (now == before) break;
        before = now;
    }
    host::preempt_every(0);
    return r;
}

// -- the operations ---------------------------------------------------------------------------------------------------

/// How an operation is called: with its number and a structure, as one of a list of elements...
enum class Form : uint8_t { plain, structure, vcpu, grant, domctl, sysctl, pool, platform, mmuext, mmu, console, file };

struct Operation {
    const char* name;
    uint64_t number;
    Handler handler;
    Form form;
    bool control = false;  ///< by the control domain too
};

#define OP(n, handler, form, ...) \
    { #n, xen::n, hypercall_handler(xen::HYPERVISOR_##handler), Form::form, ##__VA_ARGS__ }
#define EVT(n) OP(EVTCHNOP_##n, event_channel_op, structure)
#define VER(n) OP(XENVER_##n, xen_version, structure)
#define SCH(n) OP(SCHEDOP_##n, sched_op, structure)
#define PHY(n) OP(PHYSDEVOP_##n, physdev_op, structure, true)
#define MEM(n) OP(XENMEM_##n, memory_op, structure, true)
#define VCP(n) OP(VCPUOP_##n, vcpu_op, vcpu)
#define GNT(n) OP(GNTTABOP_##n, grant_table_op, grant)
#define DOM(n) OP(XEN_DOMCTL_##n, domctl, domctl, true)
#define SYS(n) OP(XEN_SYSCTL_##n, sysctl, sysctl, true)
#define POO(n) OP(XEN_SYSCTL_CPUPOOL_OP_##n, sysctl, pool, true)
#define PLA(n) OP(XENPF_##n, platform_op, platform, true)
#define EXT(n) OP(MMUEXT_##n, mmuext_op, mmuext)
#define FIL(n) OP(XEN_HYPFS_OP_##n, hypfs_op, file, true)
#define HYP(n) OP(HYPERVISOR_##n, n, plain)

inline const Operation operations[] = {
    // whole hypercalls: those with operations are listed with an operation that is none
    HYP(set_trap_table),
    HYP(mmu_update),
    HYP(set_gdt),
    HYP(stack_switch),
    HYP(set_callbacks),
    HYP(fpu_taskswitch),
    HYP(sched_op_compat),
    HYP(platform_op),
    HYP(set_debugreg),
    HYP(get_debugreg),
    HYP(update_descriptor),
    HYP(memory_op),
    HYP(multicall),
    HYP(update_va_mapping),
    HYP(set_timer_op),
    HYP(event_channel_op_compat),
    HYP(xen_version),
    HYP(console_io),
    HYP(grant_table_op),
    HYP(vm_assist),
    HYP(update_va_mapping_otherdomain),
    HYP(iret),
    HYP(vcpu_op),
    HYP(set_segment_base),
    HYP(mmuext_op),
    HYP(xsm_op),
    HYP(nmi_op),
    HYP(sched_op),
    HYP(callback_op),
    HYP(event_channel_op),
    HYP(physdev_op),
    HYP(hvm_op),
    HYP(sysctl),
    HYP(domctl),
    HYP(kexec_op),
    HYP(tmem_op),
    HYP(argo_op),
    HYP(xenpmu_op),
    HYP(dm_op),
    HYP(hypfs_op),
    OP(HYPERVISOR_arch_0, arch_0, plain),
    EVT(send),
    EVT(unmask),
    EVT(alloc_unbound),
    EVT(bind_interdomain),
    EVT(bind_virq),
    EVT(bind_ipi),
    EVT(bind_pirq),
    EVT(close),
    EVT(status),
    EVT(bind_vcpu),
    EVT(reset),
    EVT(init_control),
    EVT(expand_array),
    EVT(set_priority),
    VER(version),
    VER(extraversion),
    VER(compile_info),
    VER(capabilities),
    VER(changeset),
    VER(platform_parameters),
    VER(get_features),
    VER(pagesize),
    VER(guest_handle),
    VER(commandline),
    VER(build_id),
    SCH(yield),
    SCH(block),
    SCH(shutdown),
    SCH(poll),
    SCH(remote_shutdown),
    SCH(shutdown_code),
    SCH(watchdog),
    SCH(pin_override),
    PHY(apic_read),
    PHY(apic_write),
    PHY(alloc_irq_vector),
    PHY(map_pirq),
    PHY(unmap_pirq),
    PHY(setup_gsi),
    PHY(get_free_pirq),
    PHY(manage_pci_add),
    PHY(manage_pci_add_ext),
    PHY(manage_pci_remove),
    PHY(pci_device_add),
    PHY(pci_device_remove),
    PHY(restore_msi),
    PHY(restore_msi_ext),
    PHY(prepare_msix),
    PHY(release_msix),
    PHY(pci_mmcfg_reserved),
    PHY(eoi),
    PHY(irq_status_query),
    PHY(set_iopl),
    PHY(set_iobitmap),
    MEM(maximum_ram_page),
    MEM(current_reservation),
    MEM(maximum_reservation),
    MEM(maximum_gpfn),
    MEM(machphys_mapping),
    MEM(machphys_mfn_list),
    MEM(add_to_physmap),
    MEM(add_to_physmap_batch),
    MEM(remove_from_physmap),
    MEM(memory_map),
    MEM(machine_memory_map),
    MEM(set_memory_map),
    MEM(claim_pages),
    MEM(set_pod_target),
    MEM(get_pod_target),
    MEM(get_sharing_freed_pages),
    MEM(get_sharing_shared_pages),
    MEM(get_vnumainfo),
    MEM(reserved_device_memory_map),
    MEM(populate_physmap),
    MEM(increase_reservation),
    MEM(decrease_reservation),
    MEM(exchange),
    MEM(acquire_resource),
    VCP(initialise),
    VCP(up),
    VCP(down),
    VCP(is_up),
    VCP(get_runstate_info),
    VCP(register_runstate_memory_area),
    VCP(set_periodic_timer),
    VCP(stop_periodic_timer),
    VCP(set_singleshot_timer),
    VCP(stop_singleshot_timer),
    VCP(register_vcpu_info),
    VCP(register_vcpu_time_memory_area),
    VCP(send_nmi),
    VCP(get_physid),
    GNT(map_grant_ref),
    GNT(unmap_grant_ref),
    GNT(unmap_and_replace),
    GNT(copy),
    GNT(transfer),
    GNT(setup_table),
    GNT(query_size),
    GNT(dump_table),
    GNT(set_version),
    GNT(get_version),
    GNT(get_status_frames),
    GNT(swap_grant_ref),
    GNT(cache_flush),
    EXT(PIN_L1_TABLE),
    EXT(PIN_L2_TABLE),
    EXT(PIN_L3_TABLE),
    EXT(PIN_L4_TABLE),
    EXT(UNPIN_TABLE),
    EXT(NEW_BASEPTR),
    EXT(NEW_USER_BASEPTR),
    EXT(TLB_FLUSH_LOCAL),
    EXT(INVLPG_LOCAL),
    EXT(TLB_FLUSH_MULTI),
    EXT(INVLPG_MULTI),
    EXT(TLB_FLUSH_ALL),
    EXT(INVLPG_ALL),
    EXT(FLUSH_CACHE),
    EXT(FLUSH_CACHE_GLOBAL),
    EXT(SET_LDT),
    EXT(CLEAR_PAGE),
    EXT(COPY_PAGE),
    OP(MMU_NORMAL_PT_UPDATE, mmu_update, mmu),
    OP(MMU_PT_UPDATE_PRESERVE_AD, mmu_update, mmu),
    OP(MMU_PT_UPDATE_NO_TRANSLATE, mmu_update, mmu),
    OP(MMU_MACHPHYS_UPDATE, mmu_update, mmu),
    OP(CONSOLEIO_write, console_io, console, true),
    OP(CONSOLEIO_read, console_io, console, true),
    OP(CALLBACKOP_register, callback_op, structure),
    OP(CALLBACKOP_unregister, callback_op, structure),
    OP(XENNMI_register_callback, nmi_op, structure),
    OP(XENNMI_unregister_callback, nmi_op, structure),
    OP(SEGBASE_FS, set_segment_base, structure),
    OP(SEGBASE_GS_USER, set_segment_base, structure),
    OP(SEGBASE_GS_KERNEL, set_segment_base, structure),
    OP(SEGBASE_GS_USER_SEL, set_segment_base, structure),
    FIL(get_version),
    FIL(read),
    FIL(write_contents),
    DOM(createdomain),
    DOM(destroydomain),
    DOM(pausedomain),
    DOM(unpausedomain),
    DOM(getdomaininfo),
    DOM(resumedomain),
    DOM(max_vcpus),
    DOM(setdomainhandle),
    DOM(setdebugging),
    DOM(settimeoffset),
    DOM(sendtrigger),
    DOM(subscribe),
    DOM(settscinfo),
    DOM(gettscinfo),
    DOM(max_mem),
    DOM(getpageframeinfo3),
    DOM(shadow_op),
    DOM(hypercall_init),
    DOM(setvcpucontext),
    DOM(getvcpucontext),
    DOM(getvcpuinfo),
    DOM(setvcpuaffinity),
    DOM(getvcpuaffinity),
    DOM(setnodeaffinity),
    DOM(getnodeaffinity),
    DOM(scheduler_op),
    DOM(setvcpuextstate),
    DOM(getvcpuextstate),
    DOM(set_ext_vcpucontext),
    DOM(get_ext_vcpucontext),
    DOM(get_vcpu_msrs),
    DOM(set_vcpu_msrs),
    DOM(get_cpu_policy),
    DOM(set_cpu_policy),
    DOM(irq_permission),
    DOM(iomem_permission),
    DOM(ioport_permission),
    DOM(set_address_size),
    DOM(get_address_size),
    DOM(set_virq_handler),
    DOM(soft_reset),
    DOM(gethvmcontext),
    DOM(sethvmcontext),
    DOM(gethvmcontext_partial),
    DOM(set_broken_page_p2m),
    DOM(bind_pt_irq),
    DOM(unbind_pt_irq),
    DOM(psr_cmt_op),
    DOM(psr_alloc),
    DOM(get_paging_mempool_size),
    DOM(set_paging_mempool_size),
    DOM(memory_mapping),
    DOM(ioport_mapping),
    DOM(assign_device),
    DOM(test_assign_device),
    DOM(deassign_device),
    DOM(get_device_group),
    DOM(set_target),
    DOM(setvnumainfo),
    DOM(vm_event_op),
    DOM(mem_sharing_op),
    DOM(monitor_op),
    DOM(vmtrace_op),
    DOM(debug_op),
    DOM(set_access_required),
    SYS(readconsole),
    SYS(tbuf_op),
    SYS(physinfo),
    SYS(sched_id),
    SYS(getdomaininfolist),
    SYS(debug_keys),
    SYS(getcpuinfo),
    SYS(availheap),
    SYS(cputopoinfo),
    SYS(numainfo),
    SYS(pcitopoinfo),
    SYS(cpupool_op),
    POO(CREATE),
    POO(DESTROY),
    POO(INFO),
    POO(ADDCPU),
    POO(RMCPU),
    POO(MOVEDOMAIN),
    POO(FREEINFO),
    SYS(scheduler_op),
    SYS(get_cpu_policy),
    SYS(get_cpu_featureset),
    SYS(get_cpu_levelling_caps),
    SYS(get_pmstat),
    SYS(pm_op),
    SYS(psr_cmt_op),
    SYS(psr_alloc),
    SYS(perfc_op),
    SYS(lockprof_op),
    SYS(coverage_op),
    SYS(livepatch_op),
    SYS(cpu_hotplug),
    SYS(page_offline_op),
    PLA(settime64),
    PLA(settime32),
    PLA(firmware_info),
    PLA(get_cpuinfo),
    PLA(get_cpu_version),
    PLA(getidletime),
    PLA(enter_acpi_sleep),
    PLA(set_processor_pminfo),
    PLA(core_parking),
    PLA(cpu_online),
    PLA(cpu_offline),
    PLA(platform_quirk),
    PLA(efi_runtime_call),
    PLA(resource_op),
    PLA(microcode_update),
};

inline const Operation& operation(const std::string& name) {
    for (const Operation& o : operations)
        if (name == o.name) return o;
    ADD_FAILURE() << "no operation " << name;
    std::abort();
}

// -- any arguments ----------------------------------------------------------------------------------------------------

inline void fill(uint64_t word) {
    for (uint64_t a = argument; a < argument + 4096; a += 8) *at<uint64_t>(a) = word;
}

template <class Op>
inline void stamp(uint32_t number, uint32_t version) {
    auto* op = at<Op>(argument);
    op->cmd = number;
    op->interface_version = version;
}

inline void arguments(World& w, const Operation& o, uint64_t word, uint64_t (&args)[6]) {
    fill(word);
    const uint64_t count = 0x7fffffff;
    for (uint64_t& a : args) a = word;
    args[0] = o.number;
    args[1] = argument;
    switch (o.form) {
        case Form::plain:
            args[0] = argument;
            args[1] = word;
            break;
        case Form::structure: break;
        case Form::vcpu:
            args[1] = 1;
            args[2] = argument;
            break;
        case Form::grant:
            args[1] = word == 0 ? in_region : argument;
            args[2] = count;
            break;
        case Form::console:
            args[1] = count;
            args[2] = in_region;
            break;
        case Form::file:
            strcpy(at<char>(argument), word ? "/params" : "/params/loglvl");
            args[2] = strlen(at<char>(argument)) + 1;
            args[3] = in_region;
            args[4] = count;
            break;
        case Form::domctl:
            stamp<xen::Domctl>(static_cast<uint32_t>(o.number), xen::XEN_DOMCTL_INTERFACE_VERSION);
            at<xen::Domctl>(argument)->domain = guest_id;
            args[0] = argument;
            break;
        case Form::sysctl:
            stamp<xen::Sysctl>(static_cast<uint32_t>(o.number), xen::XEN_SYSCTL_INTERFACE_VERSION);
            args[0] = argument;
            break;
        case Form::pool: {
            stamp<xen::Sysctl>(xen::XEN_SYSCTL_cpupool_op, xen::XEN_SYSCTL_INTERFACE_VERSION);
            xen::SysctlCpuPoolOp& p = at<xen::Sysctl>(argument)->u.cpupool_op;
            p.op = static_cast<uint32_t>(o.number);
            p.sched_id = xen::XEN_SCHEDULER_CREDIT2;
            p.domid = guest_id;
            if (word == in_region) p.cpupool_id = 0;
            if (word == 0 || word == in_region) p.cpu = word ? xen::XEN_SYSCTL_CPUPOOL_PAR_ANY : 1;  // not this thread's
            args[0] = argument;
            break;
        }
        case Form::platform:
            stamp<xen::PlatformOp>(static_cast<uint32_t>(o.number), xen::XENPF_INTERFACE_VERSION);
            args[0] = argument;
            break;
        case Form::mmuext:
            for (unsigned i = 0; i < 1000; ++i) {
                auto op = xen::zeroed<xen::MmuextOp>();
                op.cmd = static_cast<uint32_t>(o.number);
                op.arg1.mfn = w.pages[i % own_pages].raw;
                op.arg2.src_mfn = word ? lists : w.pages[(i + 1) % own_pages].raw;
                at<xen::MmuextOp>(lists + 0x100000)[i] = op;
            }
            args[0] = lists + 0x100000;
            args[1] = count;
            args[2] = 0;
            args[3] = xen::DOMID_SELF;
            break;
        case Form::mmu:
            for (unsigned i = 0; i < 1000; ++i)
                at<xen::MmuUpdate>(lists)[i] = {w.pages[i % own_pages].address() | o.number, word};
            args[0] = lists;
            args[1] = count;
            args[2] = 0;
            args[3] = xen::DOMID_SELF;
            break;
    }
}

}  // namespace hvtest
