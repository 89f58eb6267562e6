// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lib/proto/sxp.hpp"
#include "toolstack/xend/api.hpp"
#include "toolstack/xend/core/manager.hpp"

namespace xend {

/// Turns requests of api.hpp into calls of the core and its answers into replies; nothing else. Thread-safe. As a
/// Transport it serves clients in the same process.
class Router final : public Transport {
    using Options = std::vector<std::pair<std::string, std::string>>;
    Manager& manager_;
    std::string log_file_;
    Options options_;
    Hosts* hosts_;

    Reply node(const Request& request, const std::string& below);
    base::Outcome<Reply> pools(const Request& request);
    /// The scheduler that is named, and the numbers beside it.
    static base::Outcome<xenctrl::Sched> sched_of(const Request& request);
    base::Outcome<Reply> hosts(const Request& request);
    Reply vnet(const Request& request, const std::string& id);
    Reply domain_folder(const Request& request);
    Reply domain(const Request& request, const std::string& who);
    Reply create(const Request& request);
    Reply restore(const Request& request);
    base::Outcome<Reply> domain_operation(const Request& request, const std::string& who, const std::string& op);
    base::Outcome<> vcpu_operation(const Request& request, const std::string& who, const std::string& op);
    base::Outcome<Reply> device_operation(const Request& request, const std::string& who, const std::string& op);
    base::Outcome<Reply> migrate(const Request& request, const std::string& who);
    base::Outcome<Reply> domain_value_operation(const Request& request, const std::string& who, const std::string& op);

public:
    /// `log_file`: where the server logs, and `options`: how it is set, for those who ask to see it.
    /// `hosts`: null where there are no others.
    Router(Manager& manager, std::string log_file, Options options = {}, Hosts* hosts = nullptr)
        : manager_(manager), log_file_(std::move(log_file)), options_(std::move(options)), hosts_(hosts) {}
    Reply handle(const Request& request);
    base::Outcome<Reply> call(const Request& request) override { return handle(request); }
};

/// `(xend.err 'text')` with status 200, as classic clients expect it.
Reply error_reply(const base::Failure& failure);
Reply sxp_reply(const proto::Sxp& sxp);

/// (node (system Linux) (host …) …): node_pages.cpp.
base::Outcome<proto::Sxp> node_sxp(Manager& manager);
/// The last part of a log file.
base::Outcome<std::string> log_text(const std::string& file);

/// (domain (domid N) (uuid U) …); `brief` has all numbers, `full` image and devices too:
/// domain_pages.cpp.
enum class Detail : uint8_t { brief, full };
/// `record` is null if xend did not make it.
proto::Sxp domain_sxp(Manager& manager, const DomainFacts& facts, const Record* record, Detail detail);
inline proto::Sxp domain_sxp(Manager& manager, const DomainView& view, Detail detail) {
    return domain_sxp(manager, view, view.record ? &*view.record : nullptr, detail);
}
/// What a table of domains shows of one, in the same form.
void write_columns(proto::SxpWriter& out, const DomainGlance& view);
/// (domain (name N) … (status failed) (reason R) (remedy R)), without a domid.
proto::Sxp failed_sxp(const Record& record);
/// The same of a configuration that is kept, with (status halted), or suspended.
proto::Sxp halted_sxp(const config::DomainConfig& config, bool suspended);
base::Outcome<proto::Sxp> vcpu_sxp(Manager& manager, const DomainView& view);
proto::Sxp device_sxp(const DeviceView& view);

}  // namespace xend
