// SPDX-License-Identifier: Apache-2.0
/// The hypervisor's own address space.
///
/// L4 slot  what                                   who sees it
/// 256      M2P map, read-only                     guests too (ABI)
/// 259      device registers above 4 GiB, uncached ring 0
/// 260      per-domain: descriptor tables          that domain's address spaces (guest/pv)
/// 261      the hypervisor's image, W^X            ring 0
/// 262-271  direct map of machine memory, no exec  ring 0
#pragma once

#include <cstdint>

#include "hypervisor/arch/x86/direct_map.hpp"

namespace hv {

inline constexpr uint64_t image_virt_base = 0xffff'8280'0000'0000;
inline constexpr unsigned l4_slot_m2p = 256;
inline constexpr unsigned l4_slot_devices = 259;
inline constexpr unsigned l4_slot_perdomain = 260;
inline constexpr unsigned l4_slot_image = 261;
inline constexpr unsigned l4_slot_directmap = 262;
inline constexpr unsigned l4_slot_end = 272;

namespace pte {
inline constexpr uint64_t present = 1u << 0;
inline constexpr uint64_t rw = 1u << 1;
inline constexpr uint64_t user = 1u << 2;
inline constexpr uint64_t pwt = 1u << 3;
inline constexpr uint64_t pcd = 1u << 4;
inline constexpr uint64_t accessed = 1u << 5;
inline constexpr uint64_t dirty = 1u << 6;
inline constexpr uint64_t pse = 1u << 7;  ///< large page in L2, L3; PAT in L1
inline constexpr uint64_t global = 1u << 8;
inline constexpr uint64_t avail = 7u << 9;
inline constexpr uint64_t nx = uint64_t{1} << 63;
inline constexpr uint64_t frame_mask = 0x000f'ffff'ffff'f000;
inline constexpr uint64_t avail_high = uint64_t{0x7ff} << 52;
}  // namespace pte

/// The root of the address space without a guest: every guest L4 gets its slots 256..271 from here.
extern uint64_t* idle_l4;
uint64_t idle_cr3();

#ifndef HV_HOST
/// The frame behind an address of the hypervisor's image, or of a CPU's stack.
Mfn mfn_of_image(const void* p);
/// Maps a CPU's stack, cpu_stack_size bytes at `first`, where it belongs; `take_page` gives tables. Before the CPU starts.
void map_cpu_stack(unsigned cpu, Mfn first, Mfn (*take_page)());
/// Boot, first: maps [0, end) of machine memory into the direct map, using `take_page` for tables.
void map_directmap(uint64_t end, Mfn (*take_page)());
/// Boot: maps the M2P map (n bytes at `first`, contiguous) at its ABI address, read-only, visible to guests.
void map_m2p(Mfn first, uint64_t bytes, Mfn (*take_page)());
/// Boot: gives image and direct map their final permissions and switches to idle_l4.
void seal_page_tables(Mfn (*take_page)());
/// Where the hypervisor reaches device registers at a machine address: in the direct map below 4 GiB, else in a window
/// whose pages stay mapped, each machine page once. Null when its 512 pages are used up. Locks: callers come one at a time.
volatile void* map_device(uint64_t physical);
#else
inline volatile void* (*host_map_device)(uint64_t physical) = nullptr;  ///< null: there are no devices
inline volatile void* map_device(uint64_t physical) { return host_map_device ? host_map_device(physical) : nullptr; }
#endif

}  // namespace hv
