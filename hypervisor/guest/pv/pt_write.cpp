// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/pt_write.hpp"

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/fetch.hpp"
#include "hypervisor/guest/pv/guest_memory.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sync/spinlock.hpp"
#include "lib/x86/store_instruction.hpp"

namespace hv {
namespace {

/// The page behind `address` if it is an L1 table of the domain in use.
PageInfo* l1_page_at(Vcpu& v, uint64_t address) REQUIRES(v.domain.pv->lock) {
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

/// The step from `whole`, the entry that was read, to one in which `value` stands for the operand. Errors: again; inval, perm.
[[gnu::always_inline]] inline Status exchange(Domain& d, Operand o, uint64_t whole, uint64_t value) REQUIRES(d.pv->lock) {
    if (o.size < 8) [[unlikely]]
        value = (whole & ~o.mask()) | ((value << o.shift) & o.mask());
    return exchange_l1(d, o.slot, whole, value);
}

/// An instruction that may also change registers, and flags, but only together with the entry.
[[gnu::noinline]] Status perform_with_registers(Domain& d, Regs& r, const Instruction& in, Operand o) REQUIRES(d.pv->lock) {
    const uint64_t whole = __atomic_load_n(o.slot, __ATOMIC_ACQUIRE);
    Regs after = r;
    const StoreOutcome result = TRY(emulate_store(after, in, (whole & o.mask()) >> o.shift));
    if (result.write) TRY(exchange(d, o, whole, result.value));
    r = after;
    return ok;
}

/// The instruction as one step from the entry it reads to the one it writes: what the CPU marks in between must not be lost,
/// or the guest takes a page for clean that is not. Errors: again; inval, perm: it may not; opnotsupp.
[[gnu::always_inline]] inline Status perform(Domain& d, Regs& r, const Instruction& in, Operand o) REQUIRES(d.pv->lock) {
    if (!is_register_move(in)) return perform_with_registers(d, r, in, o);
    return exchange(d, o, __atomic_load_n(o.slot, __ATOMIC_ACQUIRE), read_gpr(r, in.reg, o.size, in.rex));
}

}  // namespace

bool pv_emulate_pt_write(Vcpu& v, Regs& r, uint64_t address) {
    uint8_t bytes[fetched_bytes];
    Instruction in;
    if (!decode_into(in, bytes, fetch_instruction(r.rip, bytes), r)) return false;
    const unsigned size = stored_bytes(in);
    if (((address & 7) + size) > 8) return false;

    Guard g(v.domain.pv->lock);
    PageInfo* p = l1_page_at(v, address);
    if (!p) return false;
    const Operand operand{&map_mfn<uint64_t>(mfn_of(*p))[(address & 4095) / 8], size, static_cast<unsigned>((address & 7) * 8)};
    Status s = ok;
    // Each time the CPU has set one of two bits more: it ends.
    do s = perform(v.domain, r, in, operand);
    while (!s && s.error() == Errc::again);
    if (s) r.rip += in.length;
    else if (s.error() == Errc::opnotsupp)
        guest_log(LogLevel::warning, "d%u: cannot emulate page-table write by opcode %s%02x", v.domain.id.raw,
                  in.two_byte ? "0f " : "", in.opcode);
    return static_cast<bool>(s);
}

}  // namespace hv
