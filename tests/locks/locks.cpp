// SPDX-License-Identifier: Apache-2.0
/// What clang's thread-safety analysis must refuse, one defect for each number of DEFECT; without one it must take it.
/// scripts/check-locks compiles it.
#include "hypervisor/guest/pv/types.hpp"

namespace hv {

/// The control: with the right lock.
Status locked(Domain& d, PageInfo& p) {
    Guard g(d.pv->lock);
    return get_page_type(d, p, PageType::l1);
}
uint64_t locked_field(Domain& d) {
    Guard g(d.page_list_lock);
    return d.max_pages;
}

#if DEFECT == 1
Status without_lock(Domain& d, PageInfo& p) { return get_page_type(d, p, PageType::l1); }
#elif DEFECT == 2
Status lock_of_another(Domain& d, Domain& other, PageInfo& p) {
    Guard g(other.pv->lock);
    return get_page_type(d, p, PageType::l1);
}
#elif DEFECT == 3
Status released_too_early(Domain& d, PageInfo& p) {
    { Guard g(d.pv->lock); }
    return put_page_type(d, p);
}
#elif DEFECT == 4
uint64_t field_without_lock(Domain& d) { return d.max_pages; }
#elif DEFECT == 5
uint32_t field_under_another_lock(Domain& d) {
    Guard g(d.page_list_lock);
    return d.pause_count;
}
#endif

}  // namespace hv
