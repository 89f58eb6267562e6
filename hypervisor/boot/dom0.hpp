// SPDX-License-Identifier: Apache-2.0
/// The first domain: built from the loader's modules (kernel, initrd), the one domain the hypervisor makes itself. What every dom0
/// needs is done here; what depends on its kind of guest is a builder's.
#pragma once

#include <string_view>

#include "abi/xen/basic.hpp"
#include "hypervisor/boot/dom0_kernel.hpp"
#include "lib/parse/multiboot.hpp"

namespace hv {

struct Domain;
struct GuestKind;

/// What dom0 is made of.
struct Dom0Parts {
    Dom0Kernel kernel;
    parse::Bytes initrd = {};  ///< may be empty
    std::string_view command_line;
    uint64_t pages = 0;  ///< of memory
    xen::Dom0VgaConsoleInfo screen = {};
};

/// How a dom0 of one kind comes to its memory and to the registers of its first vCPU.
struct Dom0Builder {
    const GuestKind& kind;
    /// The domain has its rights and vCPUs, and no page. Panics with one line that names the cause when it cannot be.
    void (*build)(Domain&, const Dom0Parts&);
};
extern const Dom0Builder pv_dom0_builder;  ///< pv/pv_dom0.cpp

/// Builds dom0 paused. Panics with one line that names the cause when that cannot be.
void dom0_build(const parse::BootRecord& record);
/// Lets it run.
void dom0_start();
/// The most vCPUs that it can have.
unsigned dom0_most_vcpus();

}  // namespace hv
