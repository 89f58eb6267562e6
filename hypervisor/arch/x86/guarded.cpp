// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/arch/x86/guarded.hpp"

#include <cstring>

namespace hv {

bool entries_guarded = false;

/// A thunk, and the instructions for its other forms: LFENCE, the branch, and the end of both. thunks.S makes the list.
struct ThunkSite {
    uint8_t* thunk;
    const uint8_t *lfence, *jump, *end;
};
extern const ThunkSite thunks_start[] asm("thunk_sites_start");
extern const ThunkSite thunks_end[] asm("thunk_sites_end");

extern "C" {
extern uint8_t trap_common[], syscall_common[], syscall32_common[], exit_to_guest[];
extern uint8_t guarded_trap[], guarded_syscall[], guarded_syscall32[], guarded_exit[];
}

namespace {

/// JMP rel32 over whatever is there: nobody comes to the middle of it.
void redirect(uint8_t* from, const uint8_t* to) {
    constexpr uint8_t jump = 0xe9;
    const auto distance = static_cast<int32_t>(to - (from + 5));
    from[0] = jump;
    memcpy(from + 1, &distance, sizeof distance);
}

}  // namespace

void guard_entries() {
    redirect(trap_common, guarded_trap);
    redirect(syscall_common, guarded_syscall);
    redirect(syscall32_common, guarded_syscall32);
    redirect(exit_to_guest, guarded_exit);
    entries_guarded = true;
}

void choose_thunk(Thunk t) {
    if (t == Thunk::retpoline) return;
    for (const ThunkSite* s = thunks_start; s < thunks_end; ++s) {
        const uint8_t* from = t == Thunk::lfence ? s->lfence : s->jump;
        memcpy(s->thunk, from, static_cast<size_t>(s->end - from));
    }
}

}  // namespace hv
