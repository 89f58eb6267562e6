// SPDX-License-Identifier: Apache-2.0
/// What the counts of every frame must be, computed anew from everything that may hold a reference: tables, roots, pins,
/// descriptor tables, grants and their mappings, event pages, vcpu_infos, postponed releases, the domains' own lists.
#pragma once

#include <string>

namespace hvmodel {

/// The first frame (or grant, or list) that does not say what it should, in words; empty when all do.
/// Context: no CPU is in the middle of anything; between the parts of an interrupted call is fine.
std::string check_pages();

}  // namespace hvmodel
