// SPDX-License-Identifier: Apache-2.0
/// The one seam through which the hypervisor's own writes into what guests see pass: a log of dirty pages hangs here.
///
/// Called behind the write, before the lock is dropped that keeps the page as it is: whoever takes marks away in between finds
/// either the mark or a page that is not written yet. A page is named by its frame, or by any address in it in the direct map;
/// which domain's it is, and under which number, its PageInfo and the M2P say. Also named: a frame that comes to a domain or
/// leaves it, one that another domain gets write access to by a grant or a foreign mapping, and the grant's when that ends.
///
/// Not here: copies to a guest's addresses, which go through its page tables and leave their dirty bit as its own writes do.
///
/// Nobody listens yet, and so it is nothing. On the host tests do, and with page tables the fake MMU names what it writes.
#pragma once

#include "hypervisor/mm/frame.hpp"

namespace hv {

#ifdef HV_HOST
namespace host {
/// Also learns which line of source names the page. Null: nobody listens.
extern void (*on_dirtied)(Mfn m, const char* file, int line);
}  // namespace host
inline void dirtied(Mfn m, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    if (host::on_dirtied) host::on_dirtied(m, file, line);
}
inline void dirtied(const void* at, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    dirtied(mfn_of(at), file, line);
}
#else
inline void dirtied(Mfn) {}
inline void dirtied(const void*) {}
#endif

}  // namespace hv
