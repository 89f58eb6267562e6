// SPDX-License-Identifier: Apache-2.0
/// What every daemon of ours does the same way: it goes to the background, and there is one of it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "lib/base/outcome.hpp"
#include "toolstack/service/fd.hpp"

namespace service {

/// Goes to the background. The process that started it exits with status 0 when ready() was called, and with 1 when the
/// daemon ended before; a daemon that fails says why on standard error, which it keeps until it is ready.
class Detachment {
public:
    /// `stay`: do nothing, the process remains in the foreground. `name`: who died, when it could not say so itself.
    static base::Outcome<Detachment> start(bool stay, const std::string& name);
    Detachment(Detachment&&) = default;
    Detachment& operator=(Detachment&&) = default;
    ~Detachment() { failed(); }
    /// The service is up: lets go of the terminal, and of the first process.
    void ready();
    /// The service has failed, and has said why.
    void failed() { tell(word_failed); }
    /// Lets go of the terminal without a word: a child of this process, which has a copy of this, says how it went.
    void leave_it_to_child();

private:
    static constexpr char word_ready = 1, word_failed = 0;
    Detachment() = default;
    void tell(char word);
    Fd to_parent_;
};

/// The lock that makes a daemon single: held on its pid file for as long as it, or a child that it was forked into, lives.
class PidFile {
public:
    /// Takes the lock, within `patience`: a predecessor that was killed a moment ago may take one to let go. Makes the
    /// folder. Errors: busy (another process has it; the text says which); the system's.
    static base::Outcome<PidFile> take(std::string path, std::chrono::milliseconds patience = {});
    /// Writes this process's id into it. Errors: the system's.
    base::Outcome<> write_pid();
    /// Removes the file: nothing runs any more.
    void retire();
    /// The id in the file at `path` when a process holds it; 0 when none does.
    static int running(const std::string& path);

private:
    PidFile(std::string path, Fd file) : path_(std::move(path)), file_(std::move(file)) {}
    std::string path_;
    Fd file_;
};

/// How long running() may be in the way of who takes the lock.
inline constexpr std::chrono::milliseconds a_look_at_it{200};

/// Writes this process's id into a file that nobody holds. Errors: the system's.
base::Outcome<> write_pid_file(const std::string& path);
/// Makes a directory and its parents. Errors: the system's.
base::Outcome<> make_directories(const std::string& path, unsigned mode);
/// Makes the directory that `path` lies in, and its parents, with mode 0755. Errors: the system's.
base::Outcome<> make_parent(const std::string& path);
/// Arguments or an environment as exec and spawn take them; they live as long as `texts`, unchanged.
std::vector<char*> exec_texts(std::vector<std::string>& texts);

}  // namespace service
