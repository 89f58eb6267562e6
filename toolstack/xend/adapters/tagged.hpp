// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

namespace xend {

/// What stands in the environment of every process of a script with this tag, and of what they leave behind.
std::string tag_mark(const std::string& tag);

/// The process groups of all processes with one of these marks; one in our own group is named by itself.
std::set<pid_t> marked_groups(const std::vector<std::string>& marks);

}  // namespace xend
