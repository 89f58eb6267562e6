// SPDX-License-Identifier: Apache-2.0
#include "xend_fakes.hpp"

// Each class has its first virtual function here, and with it its table: compiled once, not with every test.

namespace fakes {

void Tree::write(const std::string& path, const std::string& value) {
    const std::lock_guard guard(mutex);
    changes.push_back(path);
    make(path);
    nodes[path].value = value;
    const bool back_end =
        path.starts_with("/local/domain/0/backend/") && path.ends_with("/state") && path.find("/console/") == std::string::npos;
    if (!back_end || !back_ends) return;
    if (value == "1") nodes[path].value = "2";  // the driver has taken the device
    if (value == "5" && (guests_let_go || !nodes.contains(nodes[parent(path) + "/frontend"].value))) nodes[path].value = "6";
}

std::string Tree::dump(const std::string& below) const {
    const std::lock_guard guard(mutex);
    std::string out;
    for (const auto& [path, node] : nodes) {
        if (path == "/" || !path.starts_with(below)) continue;
        out += path + " = \"" + node.value + "\" (";
        for (const auto& p : node.permissions) out += (out.back() == '(' ? "" : ",") + xenstore::to_string(p);
        out += ")\n";
    }
    return out;
}

Outcome<std::string> FakeStore::read(std::string_view path, Tx) {
    const auto guard = request();
    OTRY(tree_.fails(path));
    const auto at = tree_.nodes.find(std::string(path));
    if (at == tree_.nodes.end()) return base::fail(Errc::noent, "no node " + std::string(path));
    return at->second.value;
}

Outcome<std::unique_ptr<xenstore::Store>> FakeStores::open() { return std::unique_ptr<xenstore::Store>(new FakeStore(tree)); }

FakeHypervisor::FakeHypervisor() {
    xenctrl::DomainInfo dom0{};
    dom0.id = DomId{0};
    dom0.running = true;
    dom0.pages = 131072;
    dom0.max_pages = 131072;
    dom0.online_vcpus = dom0.vcpus = 2;
    dom0.cpu_time = base::Nanos::ms(56600);
    all.push_back(dom0);
}

Outcome<std::vector<xenctrl::DomainInfo>> FakeHypervisor::list() {
    const std::lock_guard guard(mutex);
    return all;
}

Outcome<> FakeScripts::run(const xend::ScriptCall& call) {
    if (before) before();
    if (boot_loader && call.tag.starts_with("boot-")) return boot_loader(call);
    const std::lock_guard guard(tree.mutex);
    tags.push_back(call.tag);
    std::string path, vif;
    for (const auto& [key, value] : call.environment) {
        if (key == "XENBUS_PATH") path = value;
        if (key == "vif") vif = value;
    }
    calls.push_back(call.path.substr(call.path.find_last_of('/') + 1) + " " + call.arguments[0] + (vif.empty() ? "" : " " + vif));
    words = call.arguments;
    all_words.push_back(words);
    const bool attach = call.arguments[0] == "add" || call.arguments[0] == "online";
    if (!attach) return base::ok;
    if (!error.empty()) {
        tree.write(path + "/hotplug-error", error);
        tree.write(path + "/hotplug-status", "error");
        return base::fail(Errc::io, "exit status 1");
    }
    tree.write(path + "/hotplug-status", "connected");
    return base::ok;
}

Outcome<xend::BlockDevice> FakeBlocks::device(const std::string& path) { return xend::BlockDevice{path, "fe:1", nullptr}; }

Outcome<std::vector<xend::RecordPtr>> FakeRecords::load() {
    const std::lock_guard guard(mutex);
    std::vector<xend::RecordPtr> out;
    for (const auto& [uuid, record] : all) out.push_back(std::make_shared<const xend::Record>(record));
    return out;
}

int64_t FakeClock::unix_seconds() { return now; }

Outcome<> FakeNeighbours::announce(DomId front, uint32_t devid, const config::Vif& vif) {
    const std::lock_guard guard(mutex);
    told.push_back(std::to_string(front.raw) + "." + std::to_string(devid) + " " + vif.mac);
    return base::ok;
}

Folder::Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "xend-test-XXXXXX").string();
    path = ::mkdtemp(name.data());
}

Folder::~Folder() { std::filesystem::remove_all(path); }

xend::Settings Machine::settings() {
    xend::Settings out;
    out.backend_timeout = std::chrono::seconds(1);
    out.hotplug_timeout = std::chrono::seconds(0);
    out.close_timeout = std::chrono::seconds(0);
    out.dump_folder = std::filesystem::temp_directory_path() / "xend-test-dumps";
    out.boot_folder = std::filesystem::temp_directory_path() / ("xend-test-boot-" + std::to_string(::getpid()));
    return out;
}

Machine::Machine(const xend::Settings& with, xend::ManagedDomains* kept, migration::TransferJournal* transfers,
                 migration::Lines* lines)
    : manager(xend::Ports{hypervisor, stores, scripts, blocks, records, clock, with, kept, transfers, lines, &neighbours}) {
    auto ignored = manager.recover();
}
Machine::~Machine() = default;

config::DomainConfig Machine::demo(const std::string& name) {
    config::DomainConfig c;
    c.name = name;
    c.uuid = *config::Uuid::parse("f4bc2456-e4ce-11f1-a449-af95deeadde8");
    c.kernel = folder.file("vmlinuz");
    c.memory_mib = 64;
    c.vcpus = 2;
    c.extra = "console=hvc0";
    c.disks.push_back(*config::parse_disk("file:" + folder.file("disk.img") + ",xvda,w"));
    c.vifs.push_back(*config::parse_vif("bridge=xenbr0"));
    return c;
}

}  // namespace fakes
