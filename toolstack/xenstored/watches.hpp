// SPDX-License-Identifier: Apache-2.0
/// Who watches what. Finding the watches an alteration concerns costs the path's depth, not the number of watches.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "toolstack/xenstored/connection.hpp"

namespace xenstored {

struct Watch {
    uint64_t number;  ///< never used twice
    Connection* owner;
    std::string path;  ///< absolute, or special
    std::string token;
    bool relative;  ///< the client named it relative to its home: events are reported so
};

class WatchTable {
public:
    void add(const std::shared_ptr<Watch>& watch) { by_path_[watch->path].push_back(watch); }
    void remove(const Watch& watch);
    /// Watches on `path` or on any of its ancestors ("/" covers all paths; a special name has no ancestors).
    void for_path(std::string_view path, const std::function<void(Watch&)>& visit) const;
    /// Watches strictly below `path`.
    void for_below(std::string_view path, const std::function<void(Watch&)>& visit) const;
    size_t size() const;

private:
    void visit_exactly(std::string_view path, const std::function<void(Watch&)>& visit) const;
    std::map<std::string, std::vector<std::shared_ptr<Watch>>, std::less<>> by_path_;
};

}  // namespace xenstored
