// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "lib/base/outcome.hpp"

namespace xend {

/// What stands in the environment of every process of a script with this tag, and of what they leave behind.
std::string tag_mark(const std::string& tag);

/// The process groups of all processes with one of these marks; one in our own group is named by itself. Errors: the system's (no
/// file can be opened, no memory): who is there is not known then, and nobody may be taken for dead.
base::Outcome<std::set<pid_t>> marked_groups(const std::vector<std::string>& marks);

}  // namespace xend
