// SPDX-License-Identifier: Apache-2.0
// A guest kernel in miniature. It finds everything the way a real one does: from its registers through its own page
// tables to start_info, from there to its console and store rings; and it obeys control/shutdown.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "abi/xen/basic.hpp"
#include "tests/sim/machine.hpp"

namespace sim {

class GuestKernel {
public:
    /// One turn of its only vCPU: the first boots, the others handle events.
    void run(GuestCpu& cpu);

    static inline bool ignores_suspend = false;

private:
    void boot(GuestCpu& cpu);
    void publish(GuestCpu& cpu);
    void suspend(GuestCpu& cpu);
    void resume(GuestCpu& cpu);
    void print(GuestCpu& cpu, std::string_view text);
    void send(GuestCpu& cpu, uint32_t type, std::string_view payload);
    void receive(GuestCpu& cpu);
    void handle(GuestCpu& cpu, uint32_t type, const std::string& payload);
    void notify(GuestCpu& cpu, uint32_t port);

    bool booted_ = false;
    bool suspended_ = false;
    xen::StartInfo info_{};
    std::string input_;
    uint32_t waiting_for_ = 0;  // request whose reply is the value of control/shutdown
    uint32_t next_request_ = 1;
};

/// Gives every new domain a kernel. A domain whose command line says "crash" dies in its first instruction.
class Guests {
public:
    explicit Guests(Machine& machine);
    ~Guests();

private:
    Machine& machine_;
    std::map<uint16_t, GuestKernel> kernels_;
};

/// Follows the vCPU's page tables. Returns null where nothing is mapped.
uint8_t* guest_virtual(hv::Vcpu& vcpu, uint64_t virt);

}  // namespace sim
