// SPDX-License-Identifier: Apache-2.0
#pragma once

// Python's own client of XML-RPC against a xend that listens.

#include <sys/wait.h>

#include <cstdio>

#include "xend_api_server.hpp"

namespace fakes {

inline constexpr const char* python_client = R"(
import http.client, socket, sys, xmlrpc.client

class Unix(xmlrpc.client.Transport):
    def make_connection(self, host):
        self.connection = http.client.HTTPConnection('localhost')
        self.connection.sock = socket.socket(socket.AF_UNIX)
        self.connection.sock.connect(sys.argv[1])
        return self.connection
    def single_request(self, *words, **named):
        try:
            return super().single_request(*words, **named)
        finally:
            self.close()

server = xmlrpc.client.ServerProxy('http://localhost', transport=Unix(), allow_none=True)
xend = server.xend

def fault(call, *words):
    try:
        return 'no fault: %r' % (call(*words),)
    except xmlrpc.client.Fault as e:
        return '%d %s' % (e.faultCode, e.faultString)

def value(sxp, name):
    return [i[1] for i in sxp if isinstance(i, list) and i and i[0] == name][0]
)";

/// What a script prints that has `server`, `xend`, `fault` and `value`.
inline std::string run_python(const ListeningXend& x, const std::string& script) {
    const std::string file = x.machine.folder.file("script.py", python_client + script);
    x.meet();
    FILE* const pipe = ::popen(("python3 -I " + file + " " + x.socket() + " 2>&1").c_str(), "r");
    std::string out;
    char part[4096];
    for (size_t n = 0; (n = std::fread(part, 1, sizeof part, pipe)) > 0;) out.append(part, n);
    const int status = ::pclose(pipe);
    x.meet();
    return out + (status == 0 ? "" : "status " + std::to_string(WEXITSTATUS(status)) + "\n");
}

}  // namespace fakes
