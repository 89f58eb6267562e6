// SPDX-License-Identifier: Apache-2.0
/// Store paths: what is a legal one, and walking one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "abi/xen/xs_wire.hpp"
#include "lib/base/result.hpp"
#include "lib/base/types.hpp"

namespace xenstored {

inline constexpr size_t absolute_path_max = xen::XENSTORE_ABS_PATH_MAX;
inline constexpr size_t relative_path_max = xen::XENSTORE_REL_PATH_MAX;  ///< also below /local/domain/N/

/// "/local/domain/N".
std::string home_of(base::DomId domid);

/// True for an absolute path of legal characters and length: no empty part, no trailing slash but in "/".
bool is_valid_path(std::string_view path);

/// True for "@introduceDomain" and the like: names of events, not of nodes.
inline bool is_special(std::string_view path) { return !path.empty() && path[0] == '@'; }

/// The absolute form of what a client sent: a relative path is below `home`. Special names pass.
/// Errors: inval.
base::Result<std::string> canonical(std::string_view sent, const std::string& home);

/// Everything before the last slash; "/" for a top-level node and for "/" itself.
std::string_view parent_of(std::string_view path);
/// Everything after the last slash.
std::string_view leaf_of(std::string_view path);
/// "/a" + "b" = "/a/b", "/" + "b" = "/b".
std::string joined(std::string_view parent, std::string_view leaf);

/// Takes the first component off `rest` (which has no leading slash); empty when nothing is left.
inline std::string_view next_component(std::string_view& rest) {
    const size_t slash = rest.find('/');
    const std::string_view head = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
    return head;
}

}  // namespace xenstored
