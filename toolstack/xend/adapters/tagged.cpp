// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/tagged.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "lib/base/number.hpp"

namespace xend {

std::string tag_mark(const std::string& tag) { return "XEND_SCRIPT=" + tag; }

std::set<pid_t> marked_groups(const std::vector<std::string>& marks) {
    std::set<pid_t> out;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
        const auto pid = base::parse_number<pid_t>(entry.path().filename().string());
        if (!pid || *pid == ::getpid()) continue;
        std::ifstream in(entry.path() / "environ");
        for (std::string variable; std::getline(in, variable, '\0');) {
            if (std::find(marks.begin(), marks.end(), variable) == marks.end()) continue;
            const pid_t group = ::getpgid(*pid);
            if (group > 0) out.insert(group == ::getpgrp() ? *pid : group);
        }
    }
    return out;
}

}  // namespace xend
