// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <thread>

#include "toolstack/xend/client/http_client.hpp"
#include "toolstack/xm/app.hpp"
#include "toolstack/xm/interrupt.hpp"
#include "toolstack/xm/terminal.hpp"

int main(int argc, char** argv) {
    ::signal(SIGPIPE, SIG_DFL);
    xend::SocketTransport sockets;
    xm::InterruptibleTransport transport(sockets);
    xm::World world{transport,
                    std::cout,
                    std::cerr,
                    ::geteuid() == 0,
                    [](unsigned ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); },
                    xm::join_terminals};
    world.watched = ::isatty(STDERR_FILENO) == 1;
    std::vector<std::string> words(argv + 1, argv + argc);
    const std::string_view path = argv[0];
    if (path.substr(path.rfind('/') + 1) == "xl") world.dialect = xm::Dialect::xl;
    if (path.ends_with("xentop")) words.insert(words.begin(), "top");
    const int status = xm::run(world, words);
    std::cout.flush();
    return std::cout.good() ? status : 1;
}
