// SPDX-License-Identifier: Apache-2.0
/// What we say that we are: the interfaces are Xen 4.17's, so that is the version; the rest names ourselves.
#pragma once

#include "abi/xen/version.hpp"

namespace hv::version_info {

inline constexpr uint32_t major_version = 4;
inline constexpr uint32_t minor_version = 17;
inline constexpr char extra[xen::XEN_EXTRAVERSION_LEN] = ".0-xenolith";
inline constexpr char changeset[xen::XEN_CHANGESET_INFO_LEN] = "xenolith";
inline constexpr char compiler[] = "C++ " __VERSION__;
inline constexpr char compile_by[] = "xenolith";
inline constexpr char compile_domain[] = "localdomain";

}  // namespace hv::version_info
