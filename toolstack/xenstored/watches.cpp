// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenstored/watches.hpp"

#include <algorithm>

#include "toolstack/xenstored/path.hpp"

namespace xenstored {

void WatchTable::remove(const Watch& watch) {
    const auto at = by_path_.find(watch.path);
    if (at == by_path_.end()) return;
    std::erase_if(at->second, [&](const std::shared_ptr<Watch>& w) { return w.get() == &watch; });
    if (at->second.empty()) by_path_.erase(at);
}

void WatchTable::visit_exactly(std::string_view path, const std::function<void(Watch&)>& visit) const {
    const auto at = by_path_.find(path);
    if (at == by_path_.end()) return;
    for (const auto& watch : at->second) visit(*watch);
}

void WatchTable::for_path(std::string_view path, const std::function<void(Watch&)>& visit) const {
    visit_exactly(path, visit);
    if (is_special(path)) return;
    while (path != "/") {
        path = parent_of(path);
        visit_exactly(path, visit);
    }
}

void WatchTable::for_below(std::string_view path, const std::function<void(Watch&)>& visit) const {
    const std::string prefix = path == "/" ? "/" : std::string(path) + "/";
    for (auto at = by_path_.lower_bound(prefix); at != by_path_.end() && at->first.starts_with(prefix); ++at) {
        if (at->first == path) continue;
        for (const auto& watch : at->second) visit(*watch);
    }
}

size_t WatchTable::size() const {
    size_t n = 0;
    for (const auto& entry : by_path_) n += entry.second.size();
    return n;
}

}  // namespace xenstored
