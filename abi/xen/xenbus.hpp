// SPDX-License-Identifier: Apache-2.0
/// States of a paravirtual device connection, as written in the store.
#pragma once

#include "abi/xen/types.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XenbusStateUnknown = 0;
inline constexpr std::uint32_t XenbusStateInitialising = 1;
inline constexpr std::uint32_t XenbusStateInitWait = 2;
inline constexpr std::uint32_t XenbusStateInitialised = 3;
inline constexpr std::uint32_t XenbusStateConnected = 4;
inline constexpr std::uint32_t XenbusStateClosing = 5;
inline constexpr std::uint32_t XenbusStateClosed = 6;
inline constexpr std::uint32_t XenbusStateReconfiguring = 7;
inline constexpr std::uint32_t XenbusStateReconfigured = 8;

}  // namespace xen
