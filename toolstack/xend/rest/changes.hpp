// SPDX-License-Identifier: Apache-2.0
#pragma once

// What can be changed: the rows that routes.cpp names.

#include "toolstack/xend/rest/routes.hpp"

namespace xend::rest::changes {

extern const Change create, restore, start, pause, unpause, shutdown, reboot, destroy, rename, save, migrate, memory, set_vcpus,
    attach_vbd, attach_vif, detach_vbd, detach_vif;

}  // namespace xend::rest::changes
