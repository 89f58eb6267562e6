// SPDX-License-Identifier: Apache-2.0
/// The one seam through which the hypervisor's own writes into what guests see pass: logs of dirty pages (domain/dirty_log.hpp)
/// hang here.
///
/// Called behind the write, before the lock is dropped that keeps the page as it is: whoever takes marks away in between finds
/// either the mark or a page that is not written yet. A page is named by its frame, or by any address in it in the direct map;
/// which domain's it is, and under which number, its PageInfo and the M2P say. Who writes an entry of a page table names the
/// entry's address, under the lock of its tables and before what the old entry held is let go: the mirror of the table, if it has
/// one (guest/pv/mirror.hpp), follows. Also named: a frame that comes to a domain or leaves it, one that another domain gets write
/// access to by a grant or a foreign mapping, and the grant's when that ends; a page that becomes or ceases to be a table or is
/// pinned, since that is part of what a saved page is.
///
/// Not here: copies to a guest's addresses, which go through its page tables and leave their dirty bit as its own writes do.
///
/// Without a log anywhere it is one comparison. On the host tests listen too; with page tables the fake MMU names what it writes.
#pragma once

#include "hypervisor/mm/frame.hpp"

namespace hv {

/// How many domains have a log: nothing below is called while there is none.
extern std::atomic<uint32_t> dirty_logs;

// On paths where nothing else is called no register is to be saved for a call that never comes.
#ifdef HV_HOST
#define HV_RARE_CALL
#else
#define HV_RARE_CALL [[gnu::cold, gnu::noinline, gnu::no_caller_saved_registers]]
#endif
/// A page has been written, or has changed in another way that counts. Any locks but the heap's; the frame stays its owner's.
HV_RARE_CALL void log_page(Mfn m);
/// The same of the word at an address in the direct map.
HV_RARE_CALL void log_word(const void* at);
/// The same of a page that another domain can write to from now on, for as long as it likes.
HV_RARE_CALL void log_exposed(Mfn m);

#ifdef HV_HOST
namespace host {
/// Also learns which line of source names the page. Null: nobody listens.
extern void (*on_dirtied)(Mfn m, const char* file, int line);
}  // namespace host
#define HV_TELL_TEST(m) \
    if (host::on_dirtied) host::on_dirtied(m, file, line)
#define HV_CALLER , const char *file = __builtin_FILE(), int line = __builtin_LINE()
#else
#define HV_TELL_TEST(m)
#define HV_CALLER
#endif

/// The answer of any_dirty_log() for all writes under one lock of tables. What begins later begins behind that lock: a log of their
/// owner's, and the look at what others have mapped already.
enum class Logs : uint8_t {
    unknown,
    none,
};

inline bool any_dirty_log() { return dirty_logs.load(std::memory_order_relaxed) != 0; }

[[gnu::always_inline]] inline void dirtied(Mfn m HV_CALLER) {
    HV_TELL_TEST(m);
    if (any_dirty_log()) [[unlikely]]
        log_page(m);
}
template <Logs logs = Logs::unknown>
[[gnu::always_inline]] inline void dirtied(const void* at HV_CALLER) {
    HV_TELL_TEST(mfn_of(at));
    if (logs == Logs::unknown && any_dirty_log()) [[unlikely]]
        log_word(at);
}
/// A foreign mapping that can be written to begins. When it ends nobody knows: the last harvest of a log names the page once more.
template <Logs logs = Logs::unknown>
[[gnu::always_inline]] inline void dirtied_by_others(Mfn m HV_CALLER) {
    HV_TELL_TEST(m);
    if (logs == Logs::unknown && any_dirty_log()) [[unlikely]]
        log_exposed(m);
}
/// A word of a page that the guest shares with us all the time, and that the last harvest of a log names whatever was written: of
/// vcpu_info, events' words, grants' marks. Nothing is noted for each of them.
inline void dirtied_shared([[maybe_unused]] const void* at HV_CALLER) { HV_TELL_TEST(mfn_of(at)); }

#undef HV_CALLER
#undef HV_TELL_TEST
#undef HV_RARE_CALL

}  // namespace hv
