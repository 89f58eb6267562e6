// SPDX-License-Identifier: Apache-2.0
// Internal to builder/: the planner of PV domains, which plan() calls.
#pragma once

#include "toolstack/builder/plan.hpp"

namespace builder {

inline constexpr uint64_t highest_pages = uint64_t{1} << 30;  // 4 TiB

/// As plan(), for an input that was checked.
base::Outcome<Plan> plan_pv(const BuildInput& input, std::shared_ptr<const Images> images);

}  // namespace builder
