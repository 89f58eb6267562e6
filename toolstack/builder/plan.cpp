// SPDX-License-Identifier: Apache-2.0
// What every domain must keep to, and a planner for each type of guest.
#include "toolstack/builder/plan.hpp"

#include <algorithm>

#include "abi/xen/basic.hpp"
#include "toolstack/builder/builder.hpp"
#include "toolstack/builder/pv_plan.hpp"

namespace builder {
namespace {

using base::Errc;
using base::fail;
using base::Outcome;
using SharedImages = std::shared_ptr<const Images>;

constexpr uint64_t lowest_memory_kib = 4 << 10;
constexpr uint32_t highest_vcpus = 8192;  // Xen's limit for PV domains

using Planner = Outcome<Plan> (*)(const BuildInput&, SharedImages);

/// Who plans a guest of this type; refuses what nobody does yet.
struct PlannerOf {
    Outcome<Planner> operator()(const config::PvGuest&) const { return &plan_pv; }
    template <class Other>
    Outcome<Planner> operator()(const Other& guest) const {
        return fail(Errc::opnotsupp, "Domains of type '" + std::string(config::builder_of(guest)) +
                                         "' cannot be built yet, only PV ones (builder='linux')");
    }
};

Outcome<> check_input(const BuildInput& input) {
    const uint32_t vcpus = std::max(input.vcpus, input.max_vcpus);
    if (input.vcpus == 0) return fail(Errc::inval, "A domain needs at least one CPU");
    if (vcpus > highest_vcpus)
        return fail(Errc::inval, "Too many CPUs: " + std::to_string(vcpus) + ", at most " + std::to_string(highest_vcpus));
    if (input.memory_kib < lowest_memory_kib)
        return fail(Errc::nomem, "Too little memory: " + std::to_string(input.memory_kib) + " KiB, a domain needs at least " +
                                     std::to_string(lowest_memory_kib) + " KiB");
    if (input.max_memory_kib != 0 && input.max_memory_kib < input.memory_kib)
        return fail(Errc::inval, "The memory limit (" + std::to_string(input.max_memory_kib) +
                                     " KiB) is below the memory given at the start (" + std::to_string(input.memory_kib) +
                                     " KiB)");
    if (std::max(input.memory_kib, input.max_memory_kib) / 4 > highest_pages)
        return fail(Errc::inval, "Too much memory for a PV domain");
    if (input.command_line.size() >= xen::MAX_GUEST_CMDLINE)
        return fail(Errc::toobig, "The kernel's command line is too long: " + std::to_string(input.command_line.size()) +
                                      " characters, at most " + std::to_string(xen::MAX_GUEST_CMDLINE - 1));
    return base::Unit{};
}

}  // namespace

Outcome<Plan> plan(const BuildInput& input, SharedImages images) {
    const Planner planner = OTRY(std::visit(PlannerOf{}, input.guest));
    OTRY(check_input(input));
    return planner(input, std::move(images));
}

Outcome<Plan> prepare(const BuildInput& input, ImageCache* cache) {
    OTRY(std::visit(PlannerOf{}, input.guest));  // cheap checks before files are read
    OTRY(check_input(input));
    Images images = cache != nullptr ? OTRY(cache->load(input)) : OTRY(load(input));
    return plan(input, std::make_shared<const Images>(std::move(images)));
}

}  // namespace builder
