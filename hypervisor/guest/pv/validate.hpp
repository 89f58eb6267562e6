// SPDX-License-Identifier: Apache-2.0
/// Walking the 512 entries of a table when its first use begins or its last use ends.
#pragma once

#include "hypervisor/guest/pv/types.hpp"

namespace hv {

/// Takes the references of the entries from the page's progress on. On any error the page's progress says what was
/// taken. Errors: inval, perm, busy; restart (L2 to L4).
Status validate_table(Domain& owner, PageInfo& p, PageType t) REQUIRES(owner.pv->lock);
/// Drops the references of the entries below the page's progress. Errors: restart.
Status release_table(Domain& owner, PageInfo& p, PageType t) REQUIRES(owner.pv->lock);

}  // namespace hv
