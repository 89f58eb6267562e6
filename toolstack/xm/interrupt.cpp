// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xm/interrupt.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>

namespace xm {

namespace {

constexpr std::string_view one_domain = "/xend/domain/";

// What a signal handler may look at: the text is made before it counts.
std::array<char, 400> under_way{};
std::atomic<bool> changes = false;
std::atomic<bool> held = false, came = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void say(int fd, const char* text) { (void)!::write(fd, text, std::strlen(text)); }

void on_interrupt(int) {
    if (held.exchange(false)) {
        came = true;
        return;
    }
    say(STDOUT_FILENO, "Interrupted.\n");
    if (!changes) ::_exit(0);
    say(STDERR_FILENO, under_way.data());
    ::_exit(1);
}

void catch_interrupts() {
    struct sigaction action {};
    action.sa_handler = on_interrupt;
    ::sigaction(SIGINT, &action, nullptr);
}

}  // namespace

HeldInterrupt::HeldInterrupt() {
    came = false;
    held = true;
    catch_interrupts();
}
HeldInterrupt::~HeldInterrupt() { held = false; }
bool HeldInterrupt::take() { return came.exchange(false); }

InterruptibleTransport::InterruptibleTransport(xend::Transport& inner) : inner_(inner) { catch_interrupts(); }

base::Outcome<xend::Reply> InterruptibleTransport::call(const xend::Request& request) {
    const auto op = request.fields.find("op");
    // What takes back another request is not one that goes on by itself.
    const bool looks = request.method == xend::Request::Method::get || op == request.fields.end() || op->second == "devices" ||
                       op->second == "migrate_cancel";
    if (looks) return inner_.call(request);
    const auto file = request.fields.find("file");
    std::string what = op->second;
    if (request.path.starts_with(one_domain)) what += " " + request.path.substr(one_domain.size());
    if (file != request.fields.end()) what += " " + file->second;
    std::snprintf(under_way.data(), under_way.size(),
                  "Error: xend goes on with '%.200s'; 'xm list' and 'xm log' say what becomes of it.\n", what.c_str());
    changes = true;
    auto reply = inner_.call(request);
    changes = false;
    return reply;
}

}  // namespace xm
