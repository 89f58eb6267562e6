// SPDX-License-Identifier: Apache-2.0
// Makes a PV domain from a kernel: load() reads the files, plan() decides everything (pure), build() acts, with undo.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/outcome.hpp"
#include "lib/base/types.hpp"
#include "toolstack/builder/image_cache.hpp"
#include "toolstack/builder/plan.hpp"
#include "toolstack/xenctrl/control.hpp"

namespace builder {

/// How the builder tells the store of a new domain; xend implements it with XS_INTRODUCE.
class StoreIntroduce {
public:
    virtual ~StoreIntroduce() = default;
    /// `frame` is the machine frame of the domain's store ring, `port` the domain's own end of the channel.
    virtual base::Outcome<> introduce(base::DomId domain, base::Mfn frame, base::Port port) = 0;
    virtual void release(base::DomId domain) noexcept = 0;
};

/// Called once the domain exists and before anything else happens to it: the caller may record the id (journal, store
/// paths). A failure undoes the domain.
class BuildObserver {
public:
    virtual ~BuildObserver() = default;
    virtual base::Outcome<> created(base::DomId) { return base::Unit{}; }
    /// All memory that the domain is to have is promised to it: who counts what is free sees that.
    virtual void claimed() {}
};

struct BuiltDomain {
    base::DomId id;
    base::Mfn store_frame;
    base::Port store_port;
    base::Mfn console_frame;
    base::Port console_port;
};

/// Makes the planned domain. It is left paused: unpause() starts it. On failure nothing of it is left.
/// Errors: nomem (the text says how much was wanted and how much is free), and the hypervisor's own.
base::Outcome<BuiltDomain> build(xenctrl::Control& control, StoreIntroduce& store, const Plan& plan,
                                 BuildObserver* observer = nullptr);

/// load() and plan() in one: what xend calls before it creates anything. A cache saves unpacking the same kernel again.
base::Outcome<Plan> prepare(const BuildInput& input, ImageCache* cache = nullptr);

}  // namespace builder
