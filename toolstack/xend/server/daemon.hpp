// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "lib/base/outcome.hpp"
#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// Called by the server once it can be used: whoever started it goes on.
using Ready = std::function<void()>;

/// Opens hypervisor and store, takes over what is there, serves until SIGTERM or SIGINT.
base::Outcome<> serve(const Settings& settings, const Ready& ready);

/// The lock that makes xend single: held from start to end by the server and its supervisor, on the pid file.
class PidFile {
    std::string path_;
    int fd_ = -1;

public:
    explicit PidFile(std::string path) : path_(std::move(path)) {}
    PidFile(const PidFile&) = delete;
    PidFile& operator=(const PidFile&) = delete;
    ~PidFile();
    /// Takes the lock. Errors: busy (a xend runs), access or io.
    base::Outcome<> claim();
    /// Writes this process's id into it.
    void write_pid();
    /// Removes the file: nothing runs any more.
    void retire();
    /// The id in the file of a running xend; 0 when none runs.
    static int running(const std::string& path);
};

/// Goes into the background and keeps serve() running: a server that dies by a signal is started again. Returns in the
/// calling process, when the server is ready or has failed.
base::Outcome<> start_in_background(const Settings& settings);

}  // namespace xend
