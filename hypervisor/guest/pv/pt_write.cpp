// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/pt_write.hpp"

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/decode.hpp"
#include "hypervisor/guest/pv/fetch.hpp"
#include "hypervisor/guest/pv/guest_memory.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {
namespace {

/// What an instruction makes of the old value; `write` false: it only reads (a failed compare).
struct Outcome {
    uint64_t value = 0;
    bool write = true;
};

void set_flag(Regs& r, uint64_t flag, bool on) { r.rflags = on ? r.rflags | flag : r.rflags & ~flag; }

void set_logic_flags(Regs& r, uint64_t result, unsigned bytes) {
    constexpr uint64_t pf = 4, zf = 0x40, sf = 0x80, of = 0x800;
    set_flag(r, eflags_cf | of, false);
    set_flag(r, zf, result == 0);
    set_flag(r, sf, (result >> (8 * bytes - 1)) & 1);
    set_flag(r, pf, __builtin_parity(static_cast<unsigned>(result & 0xff)) == 0);
}

uint64_t truncate(uint64_t v, unsigned bytes) { return bytes == 8 ? v : v & ((uint64_t{1} << (8 * bytes)) - 1); }

Result<Outcome> logic(Regs& r, unsigned operation, uint64_t old, uint64_t operand, unsigned bytes) {
    uint64_t v = 0;
    switch (operation) {
        case 1: v = old | operand; break;   // or
        case 4: v = old & operand; break;   // and
        case 6: v = old ^ operand; break;   // xor
        default: return Err{Errc::opnotsupp};
    }
    v = truncate(v, bytes);
    set_logic_flags(r, v, bytes);
    return Outcome{v};
}

Result<Outcome> bit_operation(Regs& r, unsigned operation, uint64_t old, uint64_t index, unsigned bytes) {
    const uint64_t mask = uint64_t{1} << (index & (8 * bytes - 1));
    set_flag(r, eflags_cf, old & mask);
    switch (operation) {
        case 5: return Outcome{old | mask};   // bts
        case 6: return Outcome{old & ~mask};  // btr
        case 7: return Outcome{old ^ mask};   // btc
        default: return Err{Errc::opnotsupp};
    }
}

Outcome compare_exchange(Regs& r, const Instruction& in, uint64_t old, unsigned bytes) {
    constexpr uint64_t zf = 0x40;
    const bool equal = truncate(r.rax, bytes) == old;
    set_flag(r, zf, equal);
    if (equal) return {read_gpr(r, in.reg, bytes, in.rex)};
    write_gpr(r, 0, bytes, true, old);
    return {0, false};
}

Result<Outcome> two_byte(Regs& r, const Instruction& in, uint64_t old, unsigned bytes) {
    switch (in.opcode) {
        case 0xb0:
        case 0xb1: return compare_exchange(r, in, old, bytes);
        case 0xab: return bit_operation(r, 5, old, read_gpr(r, in.reg, bytes, in.rex), bytes);
        case 0xb3: return bit_operation(r, 6, old, read_gpr(r, in.reg, bytes, in.rex), bytes);
        case 0xbb: return bit_operation(r, 7, old, read_gpr(r, in.reg, bytes, in.rex), bytes);
        case 0xba: return bit_operation(r, in.reg & 7, old, in.immediate, bytes);
        default: return Err{Errc::opnotsupp};
    }
}

Result<Outcome> one_byte(Regs& r, const Instruction& in, uint64_t old, unsigned bytes) {
    switch (in.opcode) {
        case 0x88:
        case 0x89: return Outcome{read_gpr(r, in.reg, bytes, in.rex)};
        case 0xc6:
        case 0xc7: return Outcome{truncate(in.immediate, bytes)};
        case 0x86:
        case 0x87: {
            const uint64_t value = read_gpr(r, in.reg, bytes, in.rex);
            write_gpr(r, in.reg, bytes, in.rex, old);
            return Outcome{value};
        }
        case 0x08: case 0x09: case 0x20: case 0x21: case 0x30: case 0x31:
            return logic(r, in.opcode >> 3, old, read_gpr(r, in.reg, bytes, in.rex), bytes);
        case 0x80: case 0x81: case 0x83: return logic(r, in.reg & 7, old, truncate(in.immediate, bytes), bytes);
        case 0xaa:
        case 0xab:
            if (in.repeat != 0) return Err{Errc::opnotsupp};
            r.rdi += (r.rflags & eflags_df) ? 0 - uint64_t{bytes} : bytes;
            return Outcome{truncate(r.rax, bytes)};
        default: return Err{Errc::opnotsupp};
    }
}

unsigned operand_bytes(const Instruction& in) {
    const uint8_t op = in.opcode;
    const bool byte_form = in.two_byte ? op == 0xb0 : (op & 1) == 0 && op != 0x83;
    return byte_form ? 1 : in.operand_bytes();
}

/// The page behind `address` if it is an L1 table of the domain in use. Lock held.
PageInfo* l1_page_at(Vcpu& v, uint64_t address) {
    const uint64_t* slot = find_l1_slot(v.pv->kernel_root, address);
    // Perhaps the guest sees its tables through a linear entry.
    const uint64_t e = slot ? __atomic_load_n(slot, __ATOMIC_RELAXED) : find_mapping(v.pv->kernel_root, address).entry();
    if (!(e & pte::present)) return nullptr;
    const Mfn m = Mfn::of_address(e & pte::frame_mask);
    if (!mfn_valid(m)) return nullptr;
    PageInfo& p = page_of(m);
    const uint64_t x = p.type.load(std::memory_order_acquire);
    const bool l1_in_use = type_of(x) == PageType::l1 && (x & page::users_mask) && (x & page::validated);
    return l1_in_use && p.owner.load(std::memory_order_relaxed) == v.domain.id.raw ? &p : nullptr;
}

/// What the instruction reads and writes of the entry: `size` bytes from bit `shift` on.
struct Operand {
    uint64_t* slot;
    unsigned size, shift;
    uint64_t mask() const { return (size == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1) << shift; }
};

/// The instruction as one step from the entry it reads to the one it writes: what the CPU marks in between must not be lost,
/// or the guest takes a page for clean that is not. Errors: again; inval, perm: it may not; opnotsupp. Lock held.
Status perform(Domain& d, Regs& r, const Instruction& in, const Operand& o) {
    const uint64_t whole = __atomic_load_n(o.slot, __ATOMIC_ACQUIRE);
    const uint64_t old = (whole & o.mask()) >> o.shift;
    Regs after = r;
    const Outcome result = TRY(in.two_byte ? two_byte(after, in, old, o.size) : one_byte(after, in, old, o.size));
    if (result.write) TRY(exchange_l1(d, o.slot, whole, (whole & ~o.mask()) | ((result.value << o.shift) & o.mask())));
    r = after;
    r.rip += in.length;
    return ok;
}

}  // namespace

bool pv_emulate_pt_write(Vcpu& v, Regs& r, uint64_t address) {
    uint8_t bytes[max_instruction_bytes];
    const unsigned n = fetch_instruction(r.rip, bytes);
    auto decoded = decode(bytes, n, r);
    if (!decoded) return false;
    const Instruction in = std::move(decoded).take();
    const unsigned size = operand_bytes(in);
    if (((address & 7) + size) > 8) return false;

    Guard g(v.domain.pv->lock);
    PageInfo* p = l1_page_at(v, address);
    if (!p) return false;
    const Operand operand{&map_mfn<uint64_t>(mfn_of(*p))[(address & 4095) / 8], size,
                          static_cast<unsigned>((address & 7) * 8)};
    Status s = perform(v.domain, r, in, operand);
    // Each time the CPU has set one of two bits more: it ends.
    while (!s && s.error() == Errc::again) s = perform(v.domain, r, in, operand);
    if (!s && s.error() == Errc::opnotsupp)
        guest_log(LogLevel::warning, "d%u: cannot emulate page-table write by opcode %s%02x", v.domain.id.raw,
                  in.two_byte ? "0f " : "", in.opcode);
    return static_cast<bool>(s);
}

}  // namespace hv
