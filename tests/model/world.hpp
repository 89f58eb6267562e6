// SPDX-License-Identifier: Apache-2.0
/// A machine with a control domain and hostile guests, which do one thing after the other; what each step does is a function
/// of its record. The oracle looks at the whole machine after each part of each step: page_model.hpp and host/mmu.hpp.
///
/// Files: world.cpp (life and death, calls, the oracle), steps_*.cpp (the grammar: what guests do).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hypervisor/hypercall/table.hpp"
#include "tests/model/choice.hpp"
#include "tests/model/guest.hpp"

namespace hvmodel {

/// Values that calls gave and that later calls want.
class Pool {
    static constexpr size_t most = 16;
    std::vector<uint32_t> values_;
    size_t next_ = 0;

public:
    void add(uint32_t v) {
        if (values_.size() < most) values_.push_back(v);
        else values_[next_++ % most] = v;
    }
    uint32_t pick(Choice& c) const {
        if (values_.empty() || c.chance(5)) return static_cast<uint32_t>(c.below(64));
        return values_[c.below(values_.size())];
    }
};

struct Oracle {
    /// Parts (calls, restarts, traps) between two looks at the whole machine; 0: only when the world ends.
    unsigned every = 1;
    /// CPUs cache all that they may.
    bool eager_caches = true;
    /// Called after each part and each step.
    std::function<void()> also = nullptr;
    /// The control domain logs dirty pages now and then, for nobody's sake.
    bool logs = true;
};

class World {
public:
    static constexpr unsigned guest_count = 2;
    static constexpr unsigned vcpus_each = 2;
    static constexpr unsigned data_pages = 40;

    /// Powers the machine on when that has not been done.
    explicit World(Oracle oracle);
    /// Ends all domains: nothing may be lost.
    ~World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    void step(const Record& r);
    /// Aborts with what is wrong and with the records of this world so far.
    void check();
    uint64_t parts() const { return parts_; }

    // -- for the grammar ----------------------------------------------------------------------------------------------
    /// The current vCPU's hypercall, through the dispatcher, until it ends or is abandoned. Returns rax.
    int64_t call(Choice& c, uint64_t number, uint64_t a0 = 0, uint64_t a1 = 0, uint64_t a2 = 0, uint64_t a3 = 0);
    /// One part of a step is over.
    void part_done();
    /// Copies an argument into memory of the current guest that it can write to now; the address.
    uint64_t put(Choice& c, const void* what, size_t n);
    template <class T>
    uint64_t put(Choice& c, const T& what) {
        return put(c, &what, sizeof what);
    }
    /// A page of the current guest that can be written to now, 0: none.
    uint64_t writable_page(Choice& c);
    /// A frame number: often the guest's own, of a table or not, sometimes anything.
    uint64_t frame(Choice& c);
    uint64_t own_frame(Choice& c);
    uint64_t own_table(Choice& c, unsigned level);
    /// A page-table entry for a table of `level`.
    uint64_t entry(Choice& c, unsigned level);
    /// A linear address: of the linear map, the scratch window, or anything.
    uint64_t address(Choice& c);
    uint16_t domid(Choice& c);
    /// A word that some argument might be.
    uint64_t word(Choice& c);
    bool control() const { return current().domain.privileged; }
    bool logs() const { return oracle_.logs; }
    RealGuest* guest(unsigned i) { return guests_[i].guest.get(); }
    /// False where an exception would be the end of the control domain, and so of the machine.
    bool may_trap(uint64_t vector) const;
    Pool handles, ports;

private:
    struct Slot {
        std::unique_ptr<RealGuest> guest;
        unsigned stuck = 0;  ///< steps since it could last run
    };
    void give_vcpu(Choice& c);
    void replace_stuck();
    void prepare(RealGuest& g);
    void settle();
    const std::vector<uint64_t>& frames_of(Domain& d);

    Oracle oracle_;
    std::unique_ptr<RealGuest> control_;
    Slot guests_[guest_count];
    std::vector<Record> played_;
    std::vector<uint64_t> frames_;
    uint16_t frames_owner_ = no_owner;
    uint64_t parts_ = 0;
    const char* playing_ = "none";
};

/// One kind of step.
struct Step {
    const char* name;
    unsigned weight;
    void (*play)(World&, Choice&);
};
extern const Step paging_steps[], other_steps[];
extern const size_t paging_step_count, other_step_count;

/// Ends the process when the dispatcher knows a hypercall, or one of the calls an operation, that no step makes.
void check_grammar();

}  // namespace hvmodel
