// SPDX-License-Identifier: Apache-2.0
// Drives the control library and the builder by hand, without xend: for system tests and for bringing up a hypervisor.
//   domtool list | info | dmesg | keys KEYS | pause ID | unpause ID | destroy ID | shutdown ID REASON
//   domtool create OPTIONS KERNEL [COMMAND LINE WORDS...]     leaves the domain running (or paused with -p)
//   domtool run OPTIONS KERNEL [WORDS...]                     its console on stdout until it stops; then destroys it
//   domtool rounds N OPTIONS KERNEL [WORDS...]                N times create, run for -t ms, destroy; compares free memory
//   OPTIONS: -r RAMDISK  -m MIB  -M MAX-MIB  -v VCPUS  -t MS (rounds: run time; run: limit)  -p  -S (no store)
//            -k PAGES (rounds: accept this much less free memory; a hypervisor's own pools may grow)
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "abi/xen/basic.hpp"
#include "abi/xen/console.hpp"
#include "abi/xen/grant_table.hpp"
#include "lib/proto/ring.hpp"
#include "toolstack/builder/builder.hpp"
#include "toolstack/xencall/privcmd.hpp"
#ifdef DOMTOOL_STORE
#include "toolstack/xenstore/client.hpp"
#endif

namespace {

using base::DomId;
using base::Errc;
using base::fail;
using base::Outcome;
using base::Unit;
using Clock = std::chrono::steady_clock;

struct Options {
    builder::BuildInput input;
    unsigned run_ms = 0;
    uint64_t slack = 0;
    bool paused = false;
    bool store = true;
};

class NoStore final : public builder::StoreIntroduce {
public:
    Outcome<> introduce(DomId, base::Mfn, base::Port) override { return Unit{}; }
    void release(DomId) noexcept override {}
};

#ifdef DOMTOOL_STORE
class RealStore final : public builder::StoreIntroduce {
public:
    explicit RealStore(std::unique_ptr<xenstore::Store> store) : store_(std::move(store)) {}
    /// The few nodes a guest's kernel wants to see.
    Outcome<> introduce(DomId domain, base::Mfn frame, base::Port port) override {
        const std::string home = "/local/domain/" + std::to_string(domain.raw);
        const xenstore::Permissions own{{domain, xenstore::Access::none}};
        for (const char* node : {"", "/control", "/control/shutdown", "/device", "/data", "/memory"}) {
            OTRY(store_->mkdir(home + node));
            OTRY(store_->set_permissions(home + node, own));
        }
        OTRY(store_->write(home + "/domid", std::to_string(domain.raw)));
        OTRY(store_->write(home + "/name", "domtool"));
        return store_->introduce(domain, base::Gfn{frame.raw}, port);
    }
    void release(DomId domain) noexcept override {
        static_cast<void>(store_->release(domain));
        static_cast<void>(store_->remove("/local/domain/" + std::to_string(domain.raw)));
    }

private:
    std::unique_ptr<xenstore::Store> store_;
};
#endif

Outcome<std::unique_ptr<builder::StoreIntroduce>> open_store(const Options& options) {
    if (!options.store) return std::unique_ptr<builder::StoreIntroduce>(std::make_unique<NoStore>());
#ifdef DOMTOOL_STORE
    auto store = OTRY(xenstore::open_store());
    return std::unique_ptr<builder::StoreIntroduce>(std::make_unique<RealStore>(std::move(store)));
#else
    return std::unique_ptr<builder::StoreIntroduce>(std::make_unique<NoStore>());
#endif
}

uint64_t ms_since(Clock::time_point start) {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count());
}

Outcome<Options> parse_options(int argc, char** argv) {
    Options o;
    o.input.name = "domtool";
    o.input.memory_kib = 128 << 10;
    optind = 1;
    for (int c; (c = getopt(argc, argv, "+r:m:M:v:t:k:pS")) != -1;) {
        switch (c) {
            case 'r': o.input.ramdisk = optarg; break;
            case 'm': o.input.memory_kib = std::strtoull(optarg, nullptr, 10) << 10; break;
            case 'M': o.input.max_memory_kib = std::strtoull(optarg, nullptr, 10) << 10; break;
            case 'v': o.input.vcpus = static_cast<uint32_t>(std::strtoul(optarg, nullptr, 10)); break;
            case 't': o.run_ms = static_cast<unsigned>(std::strtoul(optarg, nullptr, 10)); break;
            case 'k': o.slack = std::strtoull(optarg, nullptr, 10); break;
            case 'p': o.paused = true; break;
            case 'S': o.store = false; break;
            default: return fail(Errc::inval, "bad option");
        }
    }
    if (optind >= argc) return fail(Errc::inval, "no kernel given");
    o.input.kernel = argv[optind++];
    for (; optind < argc; ++optind) o.input.command_line += (o.input.command_line.empty() ? "" : " ") + std::string(argv[optind]);
    o.input.uuid = {0xd0, 0x11, 0x70, 0x01, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1};
    return o;
}

Outcome<> list(xenctrl::Control& control) {
    std::printf("%5s %10s %5s %-6s %12s\n", "ID", "Mem(KiB)", "VCPUs", "State", "Time(ms)");
    for (const auto& d : OTRY(control.list()))
        std::printf("%5u %10llu %5u %-6s %12lld\n", d.id.raw, static_cast<unsigned long long>(d.memory_kib()), d.online_vcpus,
                    d.state().c_str(), static_cast<long long>(d.cpu_time.n / 1'000'000));
    return Unit{};
}

Outcome<> info(xenctrl::Control& control) {
    const auto v = OTRY(control.version());
    const auto p = OTRY(control.physinfo());
    std::printf("version %u.%u%s\ncapabilities %s\nchangeset %s\ncommand line %s\ncompiler %s, by %s@%s, %s\n", v.major, v.minor,
                v.extra.c_str(), v.capabilities.c_str(), v.changeset.c_str(), v.command_line.c_str(), v.compiler.c_str(),
                v.compiled_by.c_str(), v.compile_domain.c_str(), v.compile_date.c_str());
    std::printf("cpus %u nodes %u khz %u threads %u cores %u\n", p.cpus, p.nodes, p.cpu_khz, p.threads_per_core,
                p.cores_per_socket);
    std::printf("total_pages %llu\nfree_pages %llu\n", static_cast<unsigned long long>(p.total_pages),
                static_cast<unsigned long long>(p.free_pages));
    std::printf("scheduler %s\n", xenctrl::scheduler_name(OTRY(control.scheduler())));
    const auto topology = OTRY(control.cpu_topology());
    for (size_t i = 0; i < topology.size(); ++i)
        std::printf("cpu %zu core %u socket %u node %u\n", i, topology[i].core, topology[i].socket, topology[i].node);
    for (const auto& node : OTRY(control.numa()).nodes)
        std::printf("node memory %llu free %llu\n", static_cast<unsigned long long>(node.bytes),
                    static_cast<unsigned long long>(node.free_bytes));
    const auto idle = OTRY(control.cpu_idle_times());
    for (size_t i = 0; i < idle.size(); ++i)
        std::printf("cpu %zu idle %lld ms\n", i, static_cast<long long>(idle[i].n / 1'000'000));
    const auto policy = OTRY(control.system_cpu_policy(xenctrl::PolicyKind::pv_default));
    std::printf("policy leaves %zu msrs %zu\n", policy.leaves.size(), policy.msrs.size());
    return Unit{};
}

/// What the guest wrote to its console since the last call goes to stdout.
void drain(const xencall::GrantMapping& page, xencall::EventChannels& events, base::Port port) {
    auto* ring = reinterpret_cast<xen::XenconsInterface*>(page.data());
    const proto::ByteRing out({ring->out, sizeof ring->out}, &ring->out_cons, &ring->out_prod);
    std::array<std::byte, sizeof ring->out> bytes;
    while (true) {
        auto n = out.read(bytes);
        if (!n || n.value() == 0) break;
        std::fwrite(bytes.data(), 1, n.value(), stdout);
        static_cast<void>(events.notify(port));
    }
    std::fflush(stdout);
}

Outcome<> follow(xenctrl::Control& control, const builder::BuiltDomain& d, unsigned limit_ms) {
    auto grants = OTRY(control.backend().open_grants());
    auto events = OTRY(control.backend().open_event_channels());
    const base::GrantRef ref{xen::GNTTAB_RESERVED_CONSOLE};
    auto page = OTRY(grants->map(d.id, {&ref, 1}, xencall::Access::read_write));
    const base::Port port = OTRY(events->bind_interdomain(d.id, d.console_port));
    OTRY(control.unpause(d.id));
    for (const auto start = Clock::now();;) {
        pollfd p{events->fd(), POLLIN, 0};
        ::poll(&p, 1, 200);
        while (auto fired = OTRY(events->pending())) OTRY(events->unmask(*fired));
        drain(page, *events, port);
        const auto state = OTRY(control.info(d.id));
        if (state.shutdown || state.dying) {
            drain(page, *events, port);
            std::printf("\n[domain %u: %s after %llu ms]\n", d.id.raw, xenctrl::shutdown_reason_name(state.reason),
                        static_cast<unsigned long long>(ms_since(start)));
            return Unit{};
        }
        if (limit_ms != 0 && ms_since(start) > limit_ms) return fail(Errc::timedout, "the domain still runs: " + state.state());
    }
}

Outcome<> create(xenctrl::Control& control, const Options& options, bool run) {
    auto store = OTRY(open_store(options));
    const auto start = Clock::now();
    const auto plan = OTRY(builder::prepare(options.input));
    const auto planned = ms_since(start);
    const auto built = OTRY(builder::build(control, *store, plan));
    std::printf("domain %u: planned in %llu ms, built in %llu ms\n", built.id.raw, static_cast<unsigned long long>(planned),
                static_cast<unsigned long long>(ms_since(start) - planned));
    if (!run) return options.paused ? Outcome<>(Unit{}) : control.unpause(built.id);
    auto followed = follow(control, built, options.run_ms);
    store->release(built.id);
    OTRY(control.destroy(built.id));
    return followed;
}

Outcome<uint64_t> free_pages(xenctrl::Control& control) { return OTRY(control.physinfo()).free_pages; }

/// Waits until the dead domain is gone and what it was made of is free again: hypervisors give the last pages back a
/// moment later. Returns the free pages then, or after two seconds.
Outcome<uint64_t> await_freed(xenctrl::Control& control, DomId domain, uint64_t wanted) {
    uint64_t now = 0;
    for (int i = 0; i < 200; ++i) {
        now = OTRY(free_pages(control));
        if (now >= wanted && !control.info(domain)) return now;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (control.info(domain)) return fail(Errc::timedout, "domain " + std::to_string(domain.raw) + " does not go away");
    return now;
}

Outcome<> one_round(xenctrl::Control& control, builder::StoreIntroduce& store, const builder::Plan& plan, unsigned run_ms,
                    uint64_t wanted) {
    const auto start = Clock::now();
    const auto built = OTRY(builder::build(control, store, plan));
    const auto build_ms = ms_since(start);
    if (run_ms != 0) {
        OTRY(control.unpause(built.id));
        std::this_thread::sleep_for(std::chrono::milliseconds(run_ms));
    }
    store.release(built.id);
    OTRY(control.destroy(built.id));
    const auto destroy_ms = ms_since(start) - build_ms - run_ms;
    const auto after = OTRY(await_freed(control, built.id, wanted));
    std::printf("domain %u build %llu ms, destroy %llu ms, free pages %llu\n", built.id.raw,
                static_cast<unsigned long long>(build_ms), static_cast<unsigned long long>(destroy_ms),
                static_cast<unsigned long long>(after));
    return Unit{};
}

Outcome<> rounds(xenctrl::Control& control, const Options& options, unsigned long count) {
    auto store = OTRY(open_store(options));
    const auto plan = OTRY(builder::prepare(options.input));
    OTRY(one_round(control, *store, plan, options.run_ms, 0));  // lets slabs and pools reach their size
    std::this_thread::sleep_for(std::chrono::seconds(1));
    const auto before = OTRY(free_pages(control));
    for (unsigned long i = 0; i < count; ++i) OTRY(one_round(control, *store, plan, options.run_ms, before));
    const auto after = OTRY(free_pages(control));
    std::printf("rounds %lu free pages before %llu after %llu\n", count, static_cast<unsigned long long>(before),
                static_cast<unsigned long long>(after));
    if (after + options.slack < before) return fail(Errc::nomem, "free memory differs");
    return Unit{};
}

Outcome<> with_domain(xenctrl::Control& control, const std::string& verb, int argc, char** argv) {
    if (argc < 2) return fail(Errc::inval, verb + " needs a domain id");
    const DomId id{static_cast<uint16_t>(std::strtoul(argv[1], nullptr, 10))};
    if (verb == "pause") return control.pause(id);
    if (verb == "unpause") return control.unpause(id);
    if (verb == "destroy") return control.destroy(id);
    if (verb == "shutdown")
        return control.remote_shutdown(id,
                                       static_cast<xenctrl::ShutdownReason>(argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 0));
    return fail(Errc::inval, "unknown verb " + verb);
}

Outcome<> run(int argc, char** argv) {
    if (argc < 2)
        return fail(Errc::inval, "usage: domtool list|info|dmesg|keys|create|run|rounds|pause|unpause|destroy|shutdown ...");
    const std::string verb = argv[1];
    auto backend = OTRY(xencall::open_privcmd());
    xenctrl::Control control(*backend);
    if (verb == "list") return list(control);
    if (verb == "info") return info(control);
    if (verb == "dmesg") {
        std::fputs(OTRY(control.console_ring()).c_str(), stdout);
        return Unit{};
    }
    if (verb == "keys" && argc > 2) return control.debug_keys(argv[2]);
    if (verb == "create" || verb == "run") return create(control, OTRY(parse_options(argc - 1, argv + 1)), verb == "run");
    if (verb == "rounds" && argc > 3)
        return rounds(control, OTRY(parse_options(argc - 2, argv + 2)), std::strtoul(argv[2], nullptr, 10));
    return with_domain(control, verb, argc - 1, argv + 1);
}

}  // namespace

int main(int argc, char** argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    const auto done = run(argc, argv);
    if (done) return 0;
    std::fprintf(stderr, "domtool: %s\n", done.failure().text.c_str());
    return 1;
}
