// SPDX-License-Identifier: Apache-2.0
#pragma once

// What xend's tests say again and again.

#include <gtest/gtest.h>

#include <thread>

#include "xend_fakes.hpp"

namespace fakes {

std::string text_of(const auto& outcome) { return outcome ? "" : outcome.failure().text; }

/// What must be as before when a creation failed.
struct Before {
    std::string nodes;
    uint64_t free_pages;
    size_t domains;
    explicit Before(const Machine& m) : nodes(m.nodes()), free_pages(m.hypervisor.free_pages), domains(m.hypervisor.all.size()) {}
    void expect_same(const Machine& m, const char* what) const {
        // Folders of the store that all domains share may have come into being.
        const auto without_empty = [](const std::string& dump) {
            std::string out;
            std::istringstream lines(dump);
            for (std::string line; std::getline(lines, line);) {
                if (line.find("= \"\" (n0)") == std::string::npos) out += line + "\n";
            }
            return out;
        };
        EXPECT_EQ(without_empty(m.nodes()), without_empty(nodes)) << what;
        EXPECT_EQ(m.hypervisor.free_pages, free_pages) << what;
        EXPECT_EQ(m.hypervisor.all.size(), domains) << what;
        EXPECT_EQ(m.records.all.size(), domains - 1) << what;
    }
};

inline std::string create_error(Machine& m, const config::DomainConfig& config, const char* what) {
    const Before before(m);
    auto made = m.manager.create(config);
    EXPECT_FALSE(made) << what;
    before.expect_same(m, what);
    return text_of(made);
}

/// A running demo domain with these actions.
inline void run_demo(Machine& m, config::ExitAction off, config::ExitAction reboot, config::ExitAction crash) {
    auto c = m.demo();
    c.on_poweroff = off;
    c.on_reboot = reboot;
    c.on_crash = crash;
    ASSERT_TRUE(m.manager.create(c));
    ASSERT_TRUE(m.manager.unpause("demo"));
}

/// Where its back end's half of a second disk is, xvdb.
inline const std::string second_disk = "/local/domain/0/backend/vbd/1/51728";

/// A machine on which it runs, and a file for its second disk.
struct Running : Machine {
    using Force = xend::Manager::Force;
    std::string image = folder.file("second.img");
    Running() { run_demo(*this, config::ExitAction::destroy, config::ExitAction::restart, config::ExitAction::destroy); }
    const xend::Record& record() { return records.all.begin()->second; }
    std::string attach(const std::string& specifier) { return text_of(manager.attach_device("demo", "vbd", specifier)); }
    std::string detach(const std::string& device = "xvdb", Force force = Force::no) {
        return text_of(manager.detach_device("demo", "vbd", device, force));
    }
    std::string value(const std::string& path) { return *manager.store_value(path); }
    /// The xend that comes after one that was killed.
    xend::Manager next() {
        return xend::Manager(xend::Ports{hypervisor, stores, scripts, blocks, records, clock, Machine::settings()});
    }
};

inline std::string id_of(Machine& m, const std::string& name) {
    auto view = m.manager.find(name);
    return view ? std::to_string(view->info.id.raw) : "none";
}

/// A guest that suspends itself as soon as it is asked; `then` happens at that moment.
class SuspendingGuest {
public:
    explicit SuspendingGuest(
        Machine& m, std::function<void()> then = [] {}, const std::string& id = "1")
        : thread_([&m, then = std::move(then), id, request = "/local/domain/" + id + "/control/shutdown"] {
              for (int i = 0; i < 2000; ++i) {
                  {
                      const std::lock_guard guard(m.stores.tree.mutex);
                      if (m.stores.tree.nodes[request].value == "suspend") {
                          m.stores.tree.write(request, "");
                          const std::lock_guard stopping(m.hypervisor.mutex);
                          m.hypervisor.stop(id, xenctrl::ShutdownReason::suspend);
                          then();
                          return;
                      }
                  }
                  std::this_thread::sleep_for(std::chrono::milliseconds(5));
              }
          }) {}
    ~SuspendingGuest() { thread_.join(); }
    SuspendingGuest(const SuspendingGuest&) = delete;
    SuspendingGuest& operator=(const SuspendingGuest&) = delete;

private:
    std::thread thread_;
};

}  // namespace fakes
