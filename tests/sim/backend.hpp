// SPDX-License-Identifier: Apache-2.0
// The tools' way into the simulated machine: hypercalls become calls of the hypervisor's own dispatcher, foreign frames
// and grants are mapped from its arena under the same reference counts as on hardware.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "tests/sim/machine.hpp"
#include "toolstack/xencall/backend.hpp"

namespace sim {

class SimChannels;

class SimBackend final : public xencall::Backend {
public:
    explicit SimBackend(Machine& machine);
    ~SimBackend() override;

    int64_t hypercall(uint64_t number, const std::array<uint64_t, 5>& arguments) override;
    base::Outcome<void*> allocate(size_t pages) override;
    void release(void* at, size_t pages) noexcept override;
    base::Outcome<xencall::ForeignMapping> map_foreign(base::DomId domain, std::span<const base::Gfn> frames,
                                                       xencall::Access access) override;
    base::Outcome<xencall::ForeignMapping> map_resource(base::DomId domain, uint32_t type, uint32_t id, uint64_t first,
                                                        size_t frames) override;
    void unmap(void* at, size_t pages) noexcept override;
    base::Outcome<std::unique_ptr<xencall::EventChannels>> open_event_channels() override;
    base::Outcome<std::unique_ptr<xencall::Grants>> open_grants() override;

    Machine& machine() { return machine_; }
    size_t mappings() const { return entries_.size(); }
    /// Otherwise it has no such call, as Xen.
    bool copies_pages = true;

private:
    friend class SimChannels;
    void deliver();

    Machine& machine_;
    std::map<void*, std::vector<uint64_t>> entries_;  // the page table entries a mapping consists of
    std::set<SimChannels*> channels_;
};

/// Machine frames, mapped one after the other.
void* map_frames(std::span<const uint64_t> frames);

}  // namespace sim
