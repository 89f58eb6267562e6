// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// The doors of SYSCALL are two short forms, in assembler, of what pv_system_call() and pv_return() do. Both run on the same random
/// states: what the short form does equals the long one's result, in memory and in every register of the guest; where it does
/// nothing it has changed nothing.
#include <array>
#include <csignal>
#include <cstring>
#include <random>

#include <sys/mman.h>
#include <ucontext.h>

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/guest_access.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "tests/host/hv_calls.hpp"

extern "C" {
int model_run(uint64_t* registers, uint64_t* rsp_of_regs);
extern uint8_t model_gs;
extern uint64_t model_cr3;
struct Site {
    uint64_t fault, resume;
};
extern const Site model_extable_start[] asm("__start_doors_extable");
extern const Site model_extable_end[] asm("__stop_doors_extable");
}

namespace hv::arch {
extern std::atomic<uint64_t> plain_starts;
}

namespace {

using namespace hvtest;

enum Register { rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, rsp, registers };
enum How { by_sysret = 1, by_iret = 2, long_way = 3, no_frame = 4 };

/// A CPU's stack, as deep as the doors look (CpuStackTop).
struct alignas(16) Stack {
    uint64_t below[65];
    Regs regs;
    Cpu* cpu;
    uint64_t views[4];
    PvDoors* doors;
};
static_assert(offsetof(Stack, doors) == 65 * 8 + sizeof(Regs) + 40);

/// Faults of the doors go on where their table says, as in ring 0.
void on_fault(int, siginfo_t*, void* context) {
    auto& rip = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
    for (const Site* s = model_extable_start; s < model_extable_end; ++s) {
        if (s->fault != static_cast<uint64_t>(rip)) continue;
        // As in ring 0, where no IST is used: the CPU's frame and then trap_common's pushes, right below rsp.
        const auto* g = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
        auto* sp = reinterpret_cast<greg_t*>(g[REG_RSP] & ~15ll);
        const greg_t pushed[] = {0xe010,        g[REG_RSP], g[REG_EFL], 0xe008,     static_cast<greg_t>(s->resume),
                                 0xe'0000'0000, g[REG_RDI], g[REG_RSI], g[REG_RDX], g[REG_RCX],
                                 g[REG_RAX],    g[REG_R8],  g[REG_R9],  g[REG_R10], g[REG_R11],
                                 g[REG_RBX],    g[REG_RBP], g[REG_R12], g[REG_R13], g[REG_R14],
                                 g[REG_R15]};
        for (const greg_t x : pushed) *--sp = x;
        rip = static_cast<greg_t>(s->resume);
        return;
    }
    std::signal(SIGSEGV, SIG_DFL);
}

constexpr size_t area_words = 64;

/// All that one of the two may change.
struct State {
    std::array<uint64_t, area_words> area;  ///< of the guest's memory: the kernel's stack
    uint8_t upcall_pending, upcall_mask;
    bool in_kernel, nmi_pending;
    uint64_t loaded_cr3, pending, tlb_time;
    bool operator==(const State&) const = default;
};

class Doors : public ::testing::Test {
protected:
    void SetUp() override {
        machine();
        g = std::make_unique<Guest>(1);
        g->give_roots();
        kernel_root = pv().kernel_cr3, user_root = pv().user_cr3;
        void* const pages = mmap(nullptr, 3 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ASSERT_NE(pages, MAP_FAILED);
        hole = reinterpret_cast<uint64_t>(pages) + page_size;
        ASSERT_EQ(mprotect(reinterpret_cast<void*>(hole), page_size, PROT_NONE), 0);
        area = reinterpret_cast<uint64_t*>(hole + page_size);
        struct sigaction action {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;  // rsp is the model's then
        static std::array<char, 65536> signal_stack;
        const stack_t other{signal_stack.data(), 0, signal_stack.size()};
        ASSERT_EQ(sigaltstack(&other, nullptr), 0);
        sigaction(SIGSEGV, &action, &old_action);
    }
    void TearDown() override {
        pv().kernel_cr3 = kernel_root, pv().user_cr3 = user_root;
        sigaction(SIGSEGV, &old_action, nullptr);
        munmap(reinterpret_cast<void*>(hole - page_size), 3 * page_size);
    }

    Vcpu& v() { return g->vcpu(); }
    PvVcpu& pv() { return *v().pv; }
    xen::VcpuInfo& info() { return *v().info.load(); }
    uint64_t random() { return engine(); }
    bool one_in(unsigned n) { return random() % n == 0; }
    template <class T, size_t n>
    T any_of(const T (&values)[n]) {
        return values[random() % n];
    }

    uint64_t some_address() {
        const uint64_t some[] = {0x401000,           0x7ffffffff000,     0x800000000000,
                                 0xffff7fffffffffff, 0xffff800000000000, 0xffffffff81000000};
        return any_of(some);
    }
    uint64_t some_flags() {
        const uint64_t interesting[] = {eflags_if, eflags_if, eflags_if, eflags_tf, eflags_rf,
                                        eflags_vm, eflags_ac, eflags_nt, eflags_df, eflags_iopl};
        uint64_t f = 0x202 | (random() & 0xd5);
        if (one_in(4)) f |= any_of(interesting);
        if (one_in(4)) f &= ~eflags_if;
        return f;
    }

    /// Mostly what a guest is like that goes the short way, each time with a little of something else.
    void new_state() {
        for (size_t i = 0; i < area_words; ++i) area[i] = random();
        for (auto& x : given) x = random();
        pv().syscall = {one_in(8) ? 0 : 0xffffffff81000000 + random() % 4096, !one_in(8)};
        pv_set_quick_call(pv());
        const uint64_t stacks[] = {address(area + area_words - 8), address(area + area_words - 8) + 1 + random() % 15, hole + 512,
                                   0xffff800000001000, 0};
        pv_set_kernel_stack(pv(), one_in(8) ? any_of(stacks) : stacks[0]);
        pv().kernel_cr3 = one_in(16) ? Mfn(0) : Mfn(3);
        pv().user_cr3 = one_in(16) ? Mfn(0) : Mfn(5);
        pv().nmi_pending = one_in(16);
        v().runstate_stale = one_in(16);
        v().runstate_guest = 0;
        v().domain.vm_assist = one_in(16) ? uint64_t{1} << xen::VMASST_TYPE_architectural_iopl : 0;
        pv().iopl = static_cast<uint8_t>(random() % 4);
        info().evtchn_upcall_pending = static_cast<uint8_t>(one_in(4) ? random() : 0);
        info().evtchn_upcall_mask = static_cast<uint8_t>(one_in(4) ? random() : one_in(2));
        this_cpu().pending = one_in(16) ? static_cast<uint32_t>(SoftIrq::timer) : 0;
        this_cpu().loaded_cr3 = 0, this_cpu().tlb_time = 77;
        arch::plain_starts = one_in(16) ? 0 : arch::guest_bytes - arch::plain_most;
        stack = {};
        stack.cpu = &this_cpu();
        stack.doors = &pv();
        given[rcx] = some_address(), given[r11] = some_flags();
    }
    void a_system_call() {
        pv().in_kernel = false;
        given[rsp] = random();
    }
    void a_return() {
        pv().in_kernel = true;
        given[rax] = one_in(32) ? given[rax] : uint64_t{xen::HYPERVISOR_iret};
        const uint64_t flags = some_flags(), rip = some_address();
        const bool like_sysret = one_in(2);
        const uint16_t code[] = {0xe033, 0xe033, 0xe033, 0xe030, 0xe030, 0x33, 0xe023, 0x0},
                       data[] = {0xe02b, 0xe02b, 0xe02b, 0xe02b, 0xe02b, 0x2b, 0};
        const bool linux_program = one_in(4);  // has selectors of its kernel's
        const uint64_t high = random() << 32;
        xen::IretContext f{random(),
                           random(),
                           random(),
                           one_in(4)   ? random()
                           : one_in(4) ? xen::VGCF_in_syscall
                                       : 0,
                           rip,
                           (linux_program && !one_in(16) ? 0x33u : any_of(code)) | high,
                           flags,
                           random(),
                           (linux_program && !one_in(16) ? 0x2bu : any_of(data)) | (random() << 16)};
        if (like_sysret) f.rcx = rip, f.r11 = (flags & 0x250dd5) | 0x202;
        const uint64_t at = one_in(32)   ? hole + page_size - 32
                            : one_in(32) ? hole + 8
                            : one_in(32) ? 0xffff800000000000
                                         : address(area + 8);
        given[rsp] = at;
        if (at == address(area + 8) || at == hole + page_size - 32)
            for (size_t i = 0; i < sizeof f / 8; ++i)
                if (at + i * 8 >= hole + page_size)
                    std::memcpy(reinterpret_cast<void*>(at + i * 8), reinterpret_cast<uint64_t*>(&f) + i, 8);
    }

    State look() {
        State s{};
        std::memcpy(s.area.data(), area, sizeof s.area);
        s.upcall_pending = info().evtchn_upcall_pending, s.upcall_mask = info().evtchn_upcall_mask;
        s.in_kernel = pv().in_kernel, s.nmi_pending = pv().nmi_pending;
        s.loaded_cr3 = this_cpu().loaded_cr3, s.pending = this_cpu().pending, s.tlb_time = this_cpu().tlb_time;
        return s;
    }
    void put_back(const State& s) {
        std::memcpy(area, s.area.data(), sizeof s.area);
        info().evtchn_upcall_pending = s.upcall_pending, info().evtchn_upcall_mask = s.upcall_mask;
        pv().in_kernel = s.in_kernel, pv().nmi_pending = s.nmi_pending;
        this_cpu().loaded_cr3 = s.loaded_cr3, this_cpu().pending = static_cast<uint32_t>(s.pending);
        this_cpu().tlb_time = static_cast<uint32_t>(s.tlb_time);
    }

    /// The hole, and what `kernel_sp` 0 leads to.
    bool faults(uint64_t frame) const { return (frame >= hole - 64 && frame < hole + page_size) || frame > uint64_t{0} - 64; }

    /// What the guest has in its registers after the long way.
    std::array<uint64_t, registers + 1> guest_after(const Regs& r) {
        std::array<uint64_t, registers + 1> a{r.rax, r.rcx, r.rdx, r.rbx, r.rbp, r.rsi, r.rdi, r.r8,
                                              r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rsp};
        if (pv_can_sysret(r)) a[rcx] = r.rip, a[r11] = r.rflags;
        a[registers] = r.rip;
        return a;
    }

    void check_one() {
        const State before = look();
        const bool was_in_kernel = pv().in_kernel;
        auto now = given;
        stack.regs.rsp = given[rsp];
        model_gs = 0, model_cr3 = 0;
        const int how = model_run(now.data(), &stack.regs.rsp);
        ++seen[how];
        State after = look();
        if (how == long_way) {
            now[rsp] = given[rsp];
            ASSERT_EQ(now, given) << "what the long way finds in the registers";
            ASSERT_EQ(stack.regs.rip, given[rcx]);
            ASSERT_EQ(stack.regs.rflags, given[r11]);
            ASSERT_EQ(stack.regs.rsp, given[rsp]);
            ASSERT_TRUE(after == before);
            ASSERT_EQ(model_gs, 0);
            return;
        }
        put_back(before);
        const Regs top = stack.regs;
        Regs r{};
        r.rax = given[rax], r.rcx = given[rcx], r.rdx = given[rdx], r.rbx = given[rbx], r.rbp = given[rbp], r.rsi = given[rsi],
        r.rdi = given[rdi];
        r.r8 = given[r8], r.r9 = given[r9], r.r10 = given[r10], r.r11 = given[r11], r.r12 = given[r12], r.r13 = given[r13],
        r.r14 = given[r14];
        r.r15 = given[r15], r.rip = given[rcx], r.rflags = given[r11], r.rsp = given[rsp], r.cs = xen::FLAT_RING3_CS64,
        r.ss = xen::FLAT_RING3_SS64;
        r.vector = entry_syscall;
        if (how == no_frame) {
            now[rsp] = given[rsp];
            ASSERT_EQ(now, given);
            ASSERT_TRUE(faults(pv().quick_frame));
            return;
        }
        if (was_in_kernel) pv_return(v(), r);
        else pv_system_call(v(), r);
        ASSERT_EQ(this_cpu().pending.load(), 0u);
        ASSERT_FALSE((*g)->shutting_down.load());
        ASSERT_FALSE(pv_delivery_due(v())) << "an event or NMI that should have been delivered first";
        const bool turned = was_in_kernel != pv().in_kernel;
        ASSERT_EQ(model_gs, turned);
        ASSERT_EQ(model_cr3, turned ? pv().cr3() : 0);
        State wanted = look();
        wanted.loaded_cr3 = turned ? pv().cr3() : before.loaded_cr3;
        wanted.tlb_time = turned ? tlb_clock.load() : before.tlb_time;
        ASSERT_TRUE(after == wanted);

        auto expected = guest_after(r);
        std::array<uint64_t, registers + 1> got{};
        std::copy(now.begin(), now.end(), got.begin());
        if (how == by_sysret) {
            ASSERT_TRUE(pv_can_sysret(r)) << "rip " << std::hex << r.rip << " flags " << r.rflags;
            got[registers] = now[rcx];
            ASSERT_EQ(now[r11], r.rflags);
        } else {
            ASSERT_EQ(now[rsp], address(&stack.regs.rip)) << "the frame for IRET";
            ASSERT_EQ(top.cs, r.cs);
            seen_linux += r.cs == 0x33;
            ASSERT_EQ(top.ss, r.ss);
            ASSERT_EQ(top.rflags, r.rflags);
            got[registers] = top.rip, got[rsp] = top.rsp;
        }
        ASSERT_EQ(got, expected);
    }

    std::unique_ptr<Guest> g;
    std::mt19937_64 engine{20240};
    std::array<uint64_t, registers> given{};
    Stack stack{};
    uint64_t* area = nullptr;
    uint64_t hole = 0;  ///< a page that faults, right below `area`
    Mfn kernel_root{0}, user_root{0};
    struct sigaction old_action {};
    unsigned seen[5] = {};
    unsigned seen_linux = 0;  ///< returns to programs with Linux's selectors, by a door
};

constexpr unsigned rounds = 200000;

TEST_F(Doors, SystemCalls) {
    for (unsigned i = 0; i < rounds && !HasFatalFailure(); ++i) {
        new_state();
        a_system_call();
        check_one();
    }
    EXPECT_GT(seen[by_sysret], rounds / 8);
    EXPECT_GT(seen[long_way], rounds / 8);
    EXPECT_GT(seen[no_frame], 100u);
}

TEST_F(Doors, Returns) {
    for (unsigned i = 0; i < rounds && !HasFatalFailure(); ++i) {
        new_state();
        a_return();
        check_one();
    }
    EXPECT_GT(seen[by_sysret], rounds / 32);
    EXPECT_GT(seen[by_iret], rounds / 32);
    EXPECT_GT(seen[long_way], rounds / 8);
    EXPECT_GT(seen_linux, rounds / 32);
}

}  // namespace
