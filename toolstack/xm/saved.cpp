// SPDX-License-Identifier: Apache-2.0
// The verbs for domains that are saved, or leave for another machine.
#include <unistd.h>

#include <filesystem>

#include "toolstack/xm/app.hpp"

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
    std::map<std::string, std::string> fields = {{"destination", call.line.arguments[1]},
                                                 {"live", call.line.has("live") ? "1" : "0"}};
    for (const char* name : {"port", "resource"}) {
        if (call.line.has(name)) fields[name] = call.line.value(name);
    }
    OTRY(call.xend.operate(domain, "migrate", fields));
    return base::ok;
}

}  // namespace xm
