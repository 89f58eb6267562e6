// SPDX-License-Identifier: Apache-2.0
#pragma once

// The interface between xend and its clients: classic Xen's HTTP interface (features of 3.x), without the HTTP.
// A request is a method, a path below /xend and form fields; a reply is a status, a MIME type and a body.
//
//   GET  /xend/                        (node domain)
//   GET  /xend/node                    (node (system …) (host …) …)
//   GET  /xend/node/dmesg              text;  POST op=clear
//   GET  /xend/node/log                text
//   GET  /xend/node/config             (config (xend-port 8000) …): every option of xend-config.sxp as it stands
//   GET  /xend/node/pools              (pools (pool (id 0) (name Pool-0) (sched S) (domains N) (cpus 0 1 …)) …)
//   POST /xend/node/pools  op=create(pool,sched,cpus)|destroy(pool)|rename(pool,name)|add_cpus(pool,cpus)|remove_cpus(pool,cpus)
//                          |migrate(domain,pool)|sched_set(pool,scheduler,VALUES)
//   GET  /xend/domain                  (Domain-0 demo …);  ?detail=1: (domains (domain …) …)
//                          failed=1 too: behind them those that are no more because their restart failed, with status and reason
//   POST /xend/domain   op=create config=SXP    201, Location, (domain …); the domain is paused, its devices are ready;
//                          start=1: it runs, and did not die at once
//                       op=restore file=PATH        201, Location, (domain …) with (warning …); it runs, or with paused=1 does not
//                       op=new config=SXP           keeps the configuration; GET with managed=1 shows those that are not there too
//   POST /xend/domain/NAME op=start(paused)|suspend|resume(paused)|delete  of one that is kept
//   GET  /xend/domain/NAME-OR-ID       (domain …)
//   POST /xend/domain/X op=pause|unpause|save(file,checkpoint)|migrate(destination,port,live,resource,max_downtime,max_rounds,strict)|migrate(decision)|shutdown(reason)|destroy|rename(name)|mem_target_set(target)|maxmem_set(memory)
//                          |device_create(config)|device_configure(config)|device_destroy(type,dev,force)|sysrq(key)
//                          |pincpu(vcpu,cpumap)|set_vcpus(vcpus)|send_trigger(type,vcpu)|dump(file,live)|wait_for_devices|devices(type)|vcpuinfo|domain_sched_credit_get|_set(weight,cap)
//                          |domain_sched_get|_set(scheduler,VALUES): numbers by name, as xenctrl's SchedValues has them
//
// A failed operation answers 200 with the body (xend.err 'text'), as classic xend did; clients look at the body.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/outcome.hpp"

namespace xend {

struct Request {
    enum class Method : uint8_t { get, post };
    Method method = Method::get;
    std::string path;                           // "/xend/domain/demo"
    std::map<std::string, std::string> fields;  // decoded query or form fields
};

/// An answer that goes on. Of the server's thread.
class Feed {
public:
    virtual ~Feed() = default;
    enum class State : uint8_t { open, over };  // over: its reader is to go
    /// Puts what is there by now behind `out`, which nobody has to wait for. There may be more.
    virtual State next(std::string& out) = 0;
};

struct Reply {
    int status = 200;
    std::string type = "application/sxp";
    std::string location;  // of what was made, or of the job that makes it
    std::string body;
    std::vector<std::pair<std::string, std::string>> fields{};  // more of the head's
    std::shared_ptr<Feed> feed{};                               // what comes behind the body, until one side closes
};

/// One way to reach a xend: over its socket (client/), or directly in the same process (tests, sim).
class Transport {
public:
    virtual ~Transport() = default;
    /// Blocks until the reply is there. Errors: Errc of the connection, text "Unable to connect to xend: …".
    virtual base::Outcome<Reply> call(const Request& request) = 0;
};

inline constexpr const char* default_socket = "/var/run/xend/xend.sock";
inline constexpr const char* classic_socket = "/var/lib/xend/xend-socket";
inline constexpr uint16_t default_port = 8000;

}  // namespace xend
