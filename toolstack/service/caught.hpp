// SPDX-License-Identifier: Apache-2.0
/// Where exceptions become failures.
#pragma once

#include <exception>

#include "lib/base/outcome.hpp"

namespace service {

/// What `work` gives. An exception, of memory that there is none of say, is a failure of it like any other, so that what was begun
/// is undone. Errors: nomem.
template <class Work>
auto caught(const Work& work) -> decltype(work()) {
    try {
        return work();
    } catch (const std::exception& e) { return base::fail(base::Errc::nomem, std::string("internal error: ") + e.what()); }
}

}  // namespace service
