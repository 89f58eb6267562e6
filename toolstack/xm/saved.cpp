// SPDX-License-Identifier: Apache-2.0
// The verbs for domains that are saved, or leave for another machine.
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <future>

#include "lib/base/number.hpp"
#include "toolstack/xm/app.hpp"
#include "toolstack/xm/interrupt.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

/// xend has another folder than we.
std::string absolute(const std::string& path) {
    std::error_code error;
    const auto whole = std::filesystem::absolute(path, error);
    return error ? path : whole.lexically_normal().string();
}

/// One line that is written over and over.
void show_progress(Call& call, const Sxp& migration) {
    constexpr uint64_t mib = 1U << 20U;
    const auto number = [&](const char* name) {
        return base::parse_number<uint64_t>(migration.child_value(name, "0")).value_or(0);
    };
    const uint64_t sent = number("sent") / mib, total = number("total") / mib, round = number("round");
    if (!call.world.watched || !migration.child_value("phase")) return;
    call.world.err << "\r\x1b[K" << migration.child_value("phase", "");
    if (round != 0) call.world.err << ", round " << round << ": " << number("left") << " pages";
    // What moves live is sent again and again.
    if (sent > total) call.world.err << " (" << sent << " MiB)";
    else if (sent != 0) call.world.err << " (" << sent << " MiB; it has " << total << " at most)";
    call.world.err << std::flush;
}

/// xend is asked in a thread of its own, while this one shows how far it has come. Ctrl-C has it stay.
Outcome<> move(Call& call, const std::string& domain, const std::map<std::string, std::string>& fields) {
    const Sxp described = OTRY(call.xend.domain(domain));
    // Its name is another one while it is under way.
    const std::string uuid = described.child_value("uuid", domain);
    const HeldInterrupt held;
    auto done = std::async(std::launch::async, [&] { return call.xend.operate(domain, "migrate", fields); });
    constexpr std::chrono::milliseconds between_looks{250};
    while (done.wait_for(between_looks) != std::future_status::ready) {
        if (HeldInterrupt::take()) {
            const auto cancelled = call.xend.operate(uuid, "migrate_cancel");
            call.world.err << (cancelled ? "Interrupted: it stays here." : "Too late: " + cancelled.failure().text) << "\n";
        }
        if (!call.world.watched) continue;
        if (const auto migration = call.xend.get("/xend/domain/" + uuid, {{"op", "migration"}})) show_progress(call, *migration);
    }
    if (call.world.watched) call.world.err << "\r\x1b[K" << std::flush;
    const Sxp moved = OTRY(done.get());
    if (call.line.has("verbose")) call.world.out << moved.child_value("report", "") << "\n";
    return base::ok;
}

}  // namespace

Outcome<> save(Call& call) {
    const std::string file = absolute(call.line.arguments[1]);
    const bool stays = call.line.has("checkpoint");
    OTRY(call.xend.operate(call.line.arguments[0], "save", {{"file", file}, {"checkpoint", stays ? "1" : "0"}}));
    return base::ok;
}

Outcome<> restore(Call& call) {
    const std::string file = absolute(call.line.arguments[0]);
    if (::access(file.c_str(), R_OK) != 0) return base::fail(Errc::noent, "Unable to read file " + file);
    const Sxp made =
        OTRY(call.xend.post("/xend/domain", "restore", {{"file", file}, {"paused", call.line.has("paused") ? "1" : "0"}}));
    for (const Sxp* warning : made.children("warning")) call.world.err << "Warning: " << warning->value().value_or("") << "\n";
    return base::ok;
}

Outcome<> suspend(Call& call) {
    OTRY(call.xend.operate(call.line.arguments[0], "suspend"));
    return base::ok;
}

Outcome<> resume(Call& call) {
    OTRY(call.xend.operate(call.line.arguments[0], "resume", {{"paused", call.line.has("paused") ? "1" : "0"}}));
    return base::ok;
}

Outcome<> migrate(Call& call) {
    const std::string& domain = call.line.arguments[0];
    if (call.line.has("reclaim") && call.line.has("forget"))
        return base::fail(Errc::inval, "--reclaim lets the copy here go on and --forget removes it: one of them");
    for (const char* decision : {"reclaim", "forget"}) {
        if (!call.line.has(decision)) continue;
        if (call.line.arguments.size() != 1 || call.line.options.size() != 1)
            return base::fail(Errc::inval, std::string("--") + decision + " wants a domain alone, and no other option");
        OTRY(call.xend.operate(domain, "migrate", {{"decision", decision}}));
        return base::ok;
    }
    if (call.line.arguments.size() != 2) return base::fail(Errc::inval, "'xm migrate' requires 2 arguments.");
    for (const char* name : {"max-downtime", "max-rounds", "strict"}) {
        if (call.line.has(name) && !call.line.has("live"))
            return base::fail(Errc::inval, std::string("--") + name + " is for live migration: say -l too");
    }
    std::map<std::string, std::string> fields = {{"destination", call.line.arguments[1]},
                                                 {"live", call.line.has("live") ? "1" : "0"}};
    for (const char* name : {"port", "resource"}) {
        if (call.line.has(name)) fields[name] = call.line.value(name);
    }
    if (call.line.has("max-downtime")) fields["max_downtime"] = call.line.value("max-downtime");
    if (call.line.has("max-rounds")) fields["max_rounds"] = call.line.value("max-rounds");
    if (call.line.has("strict")) fields["strict"] = "1";
    return move(call, domain, fields);
}

}  // namespace xm
