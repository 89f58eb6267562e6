// SPDX-License-Identifier: Apache-2.0
// The verbs for saved domains.
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

}  // namespace xm
