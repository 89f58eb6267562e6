// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// The decoder and the emulation of stores, compared with the CPU: the same bytes run in a child process, one instruction at
// a time. What must agree:
//  - the length: the instruction is put at the end of a page with nothing behind. Whole, it does not fault there; without its
//    last byte it does;
//  - the address of its memory operand: nothing is mapped there, and the CPU says where it faulted;
//  - what a store leaves in memory, registers and flags, when its operand is in the child's one page of data.
//
// Input: 4 bytes that choose prefixes and opcode, 12 of the instruction, 16 registers, the flags, and what is in memory.
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "lib/x86/decode.hpp"
#include "lib/x86/store_instruction.hpp"

namespace {

using namespace x86;

constexpr uint64_t page = 4096;
constexpr uint64_t code = 0x30000000;  // two pages, the second without access
constexpr uint64_t edge = code + page;
constexpr uint64_t data = 0x30004000;
constexpr uint64_t fs_base = 0x5100000000;  // nothing is mapped there either
constexpr uint64_t gs_base = 0x6200000000;
constexpr uint64_t arithmetic_flags = 0x8d5;  // CF PF AF ZF SF OF

[[noreturn]] void die(const char* what) {
    std::fprintf(stderr, "emulate_fuzz: %s\n", what);
    std::exit(1);
}

uint8_t* shared_page(uint64_t at, int child_access) {
    const int fd = memfd_create("emulate_fuzz", 0);
    if (fd < 0 || ftruncate(fd, page) != 0) die("memfd");
    void* own = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    void* child = mmap(reinterpret_cast<void*>(at), page, child_access, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    if (own == MAP_FAILED || child == MAP_FAILED) die("mmap");
    close(fd);
    return static_cast<uint8_t*>(own);
}

void emit(uint8_t*& p, std::initializer_list<uint8_t> bytes) {
    for (uint8_t b : bytes) *p++ = b;
}
void emit64(uint8_t*& p, uint64_t v) {
    std::memcpy(p, &v, 8);
    p += 8;
}

/// The C library lets the kernel write into each thread's memory when it is preempted; soon there will be none.
void forget_rseq() {
    constexpr uint32_t signature = 0x53053053;  // RSEQ_SIG of x86
    if (__rseq_size)
        syscall(SYS_rseq, static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset, 32, RSEQ_FLAG_UNREGISTER, signature);
}

/// A process that has nothing but the two pages and runs what it is told to.
class Child {
    pid_t pid_ = 0;
    uint8_t* code_;
    uint8_t* data_;

    /// munmap(from, bytes) in machine code.
    static void emit_unmap(uint8_t*& p, uint64_t from, uint64_t bytes) {
        emit(p, {0xb8, 11, 0, 0, 0, 0x48, 0xbf});
        emit64(p, from);
        emit(p, {0x48, 0xbe});
        emit64(p, bytes);
        emit(p, {0x0f, 0x05});
    }

    /// What has become of the child. libFuzzer's timer, which looks for inputs that take long, interrupts every call of the kernel.
    int wait() const {
        int status = 0;
        pid_t who;
        do who = waitpid(pid_, &status, 0);
        while (who < 0 && errno == EINTR);
        if (who != pid_) die("waitpid");
        return status;
    }

public:
    Child() : code_(shared_page(code, PROT_READ | PROT_EXEC)), data_(shared_page(data, PROT_READ | PROT_WRITE)) {
        uint8_t* p = code_;
        emit_unmap(p, 0, code);
        emit_unmap(p, edge, data - edge);
        emit_unmap(p, data + page, 0x7ffffffff000 - data - page);
        emit(p, {0xcc});
        pid_ = fork();
        if (pid_ < 0) die("fork");
        if (pid_ == 0) {
            ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
            forget_rseq();
            reinterpret_cast<void (*)()>(code)();
            _exit(1);
        }
        const int status = wait();
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) die("the child does not start");
        if (ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_EXITKILL) != 0) die("ptrace");
    }

    struct Stop {
        int signal;
        bool addressed;  ///< a page fault, at `address`
        uint64_t address;
        user_regs_struct regs;
    };

    uint64_t memory() const {
        uint64_t v = 0;
        std::memcpy(&v, data_ + 2048, 8);
        return v;
    }
    void set_memory(uint64_t v) { std::memcpy(data_ + 2048, &v, 8); }

    /// Runs one instruction of which `n` bytes end at the edge.
    Stop step(const uint8_t* bytes, unsigned n, const Regs& r) {
        std::memcpy(code_ + page - n, bytes, n);
        user_regs_struct u{};
        u.r15 = r.r15;
        u.r14 = r.r14;
        u.r13 = r.r13;
        u.r12 = r.r12;
        u.rbp = r.rbp;
        u.rbx = r.rbx;
        u.r11 = r.r11;
        u.r10 = r.r10;
        u.r9 = r.r9;
        u.r8 = r.r8;
        u.rax = r.rax;
        u.rcx = r.rcx;
        u.rdx = r.rdx;
        u.rsi = r.rsi;
        u.rdi = r.rdi;
        u.rsp = r.rsp;
        u.orig_rax = ~0ull;
        u.rip = edge - n;
        u.eflags = (r.rflags & (arithmetic_flags | eflags_df)) | eflags_if | 2;
        u.cs = 0x33;
        u.ss = 0x2b;
        u.fs_base = fs_base;
        u.gs_base = gs_base;
        if (ptrace(PTRACE_SETREGS, pid_, nullptr, &u) != 0) die("PTRACE_SETREGS");
        if (ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr) != 0) die("PTRACE_SINGLESTEP");
        const int status = wait();
        if (!WIFSTOPPED(status)) {
            std::fprintf(stderr, "status %#x; bytes", static_cast<unsigned>(status));
            for (unsigned i = 0; i < n; ++i) std::fprintf(stderr, " %02x", bytes[i]);
            std::fprintf(stderr, "\n");
            die("the child has ended");
        }
        Stop s{};
        s.signal = WSTOPSIG(status);
        siginfo_t info{};
        if (ptrace(PTRACE_GETSIGINFO, pid_, nullptr, &info) != 0) die("PTRACE_GETSIGINFO");
        s.addressed = s.signal == SIGSEGV && (info.si_code == SEGV_MAPERR || info.si_code == SEGV_ACCERR);
        s.address = s.addressed ? reinterpret_cast<uint64_t>(info.si_addr) : 0;
        if (ptrace(PTRACE_GETREGS, pid_, nullptr, &s.regs) != 0) die("PTRACE_GETREGS");
        return s;
    }
};

Child& child() {
    static Child c;
    return c;
}

struct Input {
    uint8_t choice[4];
    uint8_t rest[12];
    uint64_t registers[16];
    uint64_t flags;
    uint64_t memory;
};

struct Case {
    uint8_t bytes[16];
    unsigned n;
    Regs regs;
};

[[noreturn]] void differs(const char* what, const Case& c, uint64_t ours, uint64_t theirs) {
    std::fprintf(stderr, "invariant broken: %s: %#lx, the CPU says %#lx; bytes", what, ours, theirs);
    for (unsigned i = 0; i < c.n; ++i) std::fprintf(stderr, " %02x", c.bytes[i]);
    std::fprintf(stderr, "\n");
    std::abort();
}

void same(const char* what, const Case& c, uint64_t ours, uint64_t theirs) {
    if (ours != theirs) differs(what, c, ours, theirs);
}

/// Prefixes, perhaps a REX, an opcode that the decoder knows or any other, and what follows.
Case make_case(const Input& in) {
    static constexpr uint8_t prefixes[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x64, 0x65, 0x2e};
    static constexpr uint8_t one[] = {0x00, 0x01, 0x08, 0x09, 0x20, 0x21, 0x28, 0x29, 0x30, 0x31, 0x80, 0x81, 0x83, 0x86,
                                      0x87, 0x88, 0x89, 0x8a, 0x8b, 0xc6, 0xc7, 0xaa, 0xab, 0xa4, 0xa5, 0x6c, 0x6d, 0x6e,
                                      0x6f, 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0xf4, 0xfa, 0xfb};
    static constexpr uint8_t two[] = {0x01, 0x06, 0x08, 0x09, 0x20, 0x21, 0x22, 0x23, 0x30, 0x31, 0x32, 0x33,
                                      0xa2, 0xab, 0xae, 0xb0, 0xb1, 0xb3, 0xba, 0xbb, 0xc0, 0xc1, 0xc7};
    Case c{};
    unsigned n = 0;
    for (unsigned i = 0; i < 8 && n < 3; ++i)
        if (in.choice[0] >> i & 1) c.bytes[n++] = prefixes[i];
    if (in.choice[1] & 0x80) c.bytes[n++] = 0x40 | (in.choice[1] & 0xf);
    if (in.choice[2] & 0x80) {
        c.bytes[n++] = 0x0f;
        c.bytes[n++] = in.choice[3] & 0x80 ? in.choice[3] : two[in.choice[3] % sizeof two];
    } else {
        c.bytes[n++] = in.choice[3] & 0x80 ? in.choice[3] : one[in.choice[3] % sizeof one];
    }
    std::memcpy(c.bytes + n, in.rest, sizeof c.bytes - n < sizeof in.rest ? sizeof c.bytes - n : sizeof in.rest);
    for (unsigned i = 0; i < 16; ++i) gpr(c.regs, i) = in.registers[i];
    c.regs.rflags = in.flags & (arithmetic_flags | eflags_df);
    return c;
}

/// Decodes with the first byte where it is when the instruction ends at the edge.
bool decode_at_edge(Case& c, Instruction& in) {
    c.regs.rip = edge - max_instruction_bytes;
    for (int round = 0; round < 2; ++round) {
        auto d = decode(c.bytes, max_instruction_bytes, c.regs);
        if (!d) return false;
        in = d.value();
        c.regs.rip = edge - in.length;
    }
    c.n = in.length;
    return true;
}

bool is_string(const Instruction& in) {
    return !in.two_byte && (in.opcode == 0xaa || in.opcode == 0xab || in.opcode == 0xa4 || in.opcode == 0xa5);
}

bool selects_bit_by_register(const Instruction& in) {
    return in.two_byte && (in.opcode == 0xab || in.opcode == 0xb3 || in.opcode == 0xbb);
}

/// Where the operand is: bit operations with a register reach beyond the address, and segments have bases.
uint64_t operand_address(const Instruction& in, const Regs& r) {
    uint64_t a = in.address;
    if (selects_bit_by_register(in)) {
        const unsigned bits = 8 * in.operand_bytes();
        const auto index = static_cast<int64_t>(read_gpr(r, in.reg, in.operand_bytes(), in.rex) << (64 - bits)) >> (64 - bits);
        a += static_cast<uint64_t>(index >> (bits == 64 ? 6 : bits == 32 ? 5 : 4)) * in.operand_bytes();
        if (in.address32) a = static_cast<uint32_t>(a);
    }
    return a + (in.segment == 4 ? fs_base : in.segment == 5 ? gs_base : 0);
}

/// Instructions that do more to the child than one step should: each step must find it as the first one did. They are not
/// executed at all, neither whole nor cut.
bool leaves_a_mark(const Instruction& in) {
    if (!in.two_byte) {
        // XABORT, XBEGIN: under single steps a transaction aborts at once and goes on where XBEGIN says.
        return (in.opcode == 0xc6 || in.opcode == 0xc7) && in.mod == 3 && (in.reg & 7) == 7;
    }
    switch (in.opcode) {
        // SYSENTER: on Intel's CPUs the kernel takes it for a 32-bit system call, whose number is whatever is in eax: exit,
        // fork, kill. It needs a stack in ebp that is mapped, which the fuzzer finds after a while.
        case 0x34: return true;
        // Without a memory operand a matter of what the CPU has: WRPKRU takes away the access to all pages, VMCALL and ENCLU go
        // elsewhere, VMMCALL is rewritten by a hypervisor beneath, XEND, STUI and more.
        case 0x01: return in.mod == 3;
        // FXRSTOR, LDMXCSR and XRSTOR (which loads PKRU too); without memory INCSSP, and UMONITOR, UMWAIT, TPAUSE, which wait.
        case 0xae: {
            const uint8_t which = in.reg & 7;
            return in.memory ? which == 1 || which == 2 || which == 5 : which >= 5 && (in.repeat || in.operand16);
        }
        default: return false;
    }
}

bool canonical(uint64_t a) { return static_cast<uint64_t>(static_cast<int64_t>(a << 16) >> 16) == a; }

void check_length(const Case& c, const Instruction& in) {
    if (in.length > 1) {
        auto shorter = decode(c.bytes, in.length - 1u, c.regs);
        if (shorter || shorter.error() != base::Errc::fault)
            differs("a cut instruction is decoded", c, in.length - 1u, in.length);
        const Child::Stop cut = child().step(c.bytes, in.length - 1u, c.regs);
        if (cut.signal != SIGILL && !(cut.addressed && cut.address == edge))
            differs("length: one byte less is enough", c, in.length, in.length - 1u);
    }
    const Child::Stop whole = child().step(c.bytes, in.length, c.regs);
    // An operand may begin in front of the edge and reach behind it.
    const auto reaches_edge = [](uint64_t a) { return edge - a < 4096; };
    const bool operand_is_there =
        in.memory ? reaches_edge(operand_address(in, c.regs)) : reaches_edge(c.regs.rdi) || reaches_edge(c.regs.rsi);
    // rip is behind it already when the kernel executed it in the CPU's place (UMIP).
    if (whole.addressed && whole.address == edge && whole.regs.rip != edge && !operand_is_there)
        differs("length: the CPU needs more", c, in.length, in.length + 1u);
    if (whole.signal == SIGTRAP && !in.repeat) same("rip behind it", c, edge, whole.regs.rip);
    // Accesses of a few bytes only: what else has a memory operand may fault at its end.
    if (in.memory && whole.addressed && stored_bytes(in) <= 8 &&
        !(in.two_byte && (in.opcode == 0xae || in.opcode == 0x01 || in.opcode == 0xc7))) {
        uint64_t ours = operand_address(in, c.regs);
        if (ours - data < page) ours = data + page;  // it begins in the page of data: the first byte behind that is what faults
        if (canonical(ours) && !reaches_edge(ours)) same("address of the operand", c, ours, whole.address);
    }
}

/// Lets the operand be the child's page of data, by changing the base register. False when it has none.
bool aim_at_data(Case& c, Instruction& in) {
    if (is_string(in)) {
        if (in.address32 || in.opcode == 0xa4 || in.opcode == 0xa5) return false;
        c.regs.rdi = data + 2048;
        return true;
    }
    if (!in.memory || in.segment) return false;
    for (int round = 0; round < 2; ++round) {
        const uint64_t wrong = operand_address(in, c.regs);
        if (wrong == data + 2048) return true;
        const uint8_t low = in.rm & 7;
        unsigned base = in.rm;
        const uint8_t* modrm = c.bytes;
        while (*modrm == 0x66 || *modrm == 0x67 || *modrm == 0xf0 || *modrm == 0xf2 || *modrm == 0xf3 || *modrm == 0x2e) ++modrm;
        if (in.rex) ++modrm;
        modrm += in.two_byte ? 2 : 1;
        if (low == 5 && in.mod == 0) return false;
        if (low == 4) {
            if ((modrm[1] & 7) == 5 && in.mod == 0) return false;
            base = (modrm[1] & 7u) | (in.rm & 8u);
        }
        gpr(c.regs, base) += data + 2048 - wrong;
        auto d = decode(c.bytes, c.n, c.regs);
        if (!d) return false;
        in = d.value();
    }
    return operand_address(in, c.regs) == data + 2048;
}

void check_store(Case c, Instruction in, uint64_t old) {
    if (!aim_at_data(c, in)) return;
    const unsigned bytes = stored_bytes(in);
    const uint64_t mask = bytes == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * bytes)) - 1;
    Regs r = c.regs;
    r.rflags |= eflags_if | 2;
    auto result = emulate_store(r, in, old & mask);
    if (!result) return;
    const StoreOutcome o = result.value();
    const uint64_t expected = o.write ? (old & ~mask) | (o.value & mask) : old;

    child().set_memory(old);
    const Child::Stop s = child().step(c.bytes, c.n, c.regs);
    // #UD: the CPU refuses it before it looks at memory, so no page table is written.
    if (s.signal == SIGILL) return;
    same("the signal of a store", c, SIGTRAP, static_cast<uint64_t>(s.signal));
    same("memory", c, expected, child().memory());
    const uint64_t cpu[16] = {s.regs.rax, s.regs.rcx, s.regs.rdx, s.regs.rbx, s.regs.rsp, s.regs.rbp, s.regs.rsi, s.regs.rdi,
                              s.regs.r8,  s.regs.r9,  s.regs.r10, s.regs.r11, s.regs.r12, s.regs.r13, s.regs.r14, s.regs.r15};
    for (unsigned i = 0; i < 16; ++i) same("a register", c, gpr(r, i), cpu[i]);
    // AF after logic and all but CF after bit operations are undefined.
    const bool bit = in.two_byte && in.opcode != 0xb0 && in.opcode != 0xb1;
    const uint64_t defined = bit ? eflags_cf : in.two_byte ? arithmetic_flags : arithmetic_flags & ~uint64_t{0x10};
    same("flags", c, r.rflags & defined, s.regs.eflags & defined);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
    Input input{};
    if (size < 16) return 0;
    std::memcpy(&input, bytes, size < sizeof input ? size : sizeof input);
    // Registers that the fuzzer left out: any, but not all the same.
    for (unsigned i = 0; i < 16; ++i)
        if (!input.registers[i]) input.registers[i] = 0x0000123456789000 * (i + 1) + 0x1111 * i;
    Case c = make_case(input);
    Instruction in;
    if (!decode_at_edge(c, in) || leaves_a_mark(in)) return 0;
    check_length(c, in);
    check_store(c, in, input.memory);
    return 0;
}
