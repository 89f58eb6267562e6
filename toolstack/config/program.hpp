// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

#include "toolstack/config/script.hpp"
#include "toolstack/service/sandbox.hpp"

namespace config {

/// What a program may cost.
struct ProgramLimits {
    service::SandboxLimits sandbox{};
    std::chrono::milliseconds time{10'000};
    size_t answer = size_t{1} << 20U;  // bytes of JSON
};

/// Runs a configuration file that is a Python program, as classic xm did: `preset` are variables from the start, `xm_vars`,
/// `xm_file` and `xen.util.ip` are there, and what is a string, number, list, tuple or dictionary in the end is a variable.
/// It runs in a `python3 -I` of its own, which can read files and compute, and nothing else: no writing, no network, no
/// other process, by seccomp. What it prints goes to standard error. Errors: inval "FILE:LINE:COL: what is wrong";
/// timedout, toobig; noent when there is no python3.
base::Outcome<Variables> run_program(std::string_view text, const std::string& file, const Variables& preset,
                                     const ProgramLimits& limits = {});

}  // namespace config
