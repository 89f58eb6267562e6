// SPDX-License-Identifier: Apache-2.0
/// What kinds of guests share when a CPU turns from one vCPU to another.
#pragma once

namespace hv {

struct Cpu;
struct Vcpu;

/// The hypervisor's own tables and descriptors: no guest can run.
void enter_idle(Cpu& cpu);

/// Takes v.state off this CPU. CR0.TS is clear.
void save_guest_state(Vcpu& v);
/// Loads it. Clears CR0.TS.
void load_guest_state(Vcpu& v);
/// What one domain has taught the branch predictors is forgotten before another runs here, however long ago that was. True
/// when it is another one that ran here last.
bool separate_domains(const Cpu& cpu, const Vcpu& v);

}  // namespace hv
