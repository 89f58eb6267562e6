// SPDX-License-Identifier: Apache-2.0
/// What the files of domain/ share and nobody else needs.
#pragma once

#include "hypervisor/domain/domain.hpp"

namespace hv::domain {

/// Puts a new domain into the table. Errors: exist.
Status publish(Domain& d);
/// Takes it out of the table; its id is free again.
void unpublish(Domain& d);
/// Frees everything that a domain without references holds. No locks.
void free_domain(Domain& d);
void free_vcpu(Vcpu& v);
/// Frees or orphans the shared info page.
void free_shared_info(Domain& d);
/// One page after the other; restart when there is other work. Called while the domain dies.
Status release_pages(Domain& d);
/// A domain ended its life or a claim: forgets what is left of its claim.
void drop_claim(Domain& d);

}  // namespace hv::domain
