// link: xend_fakes xendcore xendhttp xendxmlrpc xendxenapi xendrest
// SPDX-License-Identifier: Apache-2.0
// tsan
// The Xen-API 1.0: sessions, objects and their fields, what is done to a VM, and what is refused.
#include "toolstack/xend/server/xenapi_server.hpp"

#include "toolstack/xend/adapters/sqlite_domains.hpp"
#include "toolstack/xend/server/xenapi_objects.hpp"
#include "xend_api_server.hpp"
#include "xend_python.hpp"

namespace {

using fakes::ListeningXend;

constexpr const char* helpers = R"(
class Failed(Exception):
    pass

class Api:
    def __init__(self, ref, path=''):
        self.ref, self.path = ref, path
    def __getattr__(self, name):
        return Api(self.ref, self.path + '.' + name if self.path else name)
    def __call__(self, *words):
        answer = getattr(server, self.path)(*([self.ref] if self.ref else []), *words)
        if answer['Status'] == 'Failure':
            raise Failed(answer['ErrorDescription'])
        return answer['Value']

def refused(call, *words):
    try:
        return 'not refused: %r' % (call(*words),)
    except Failed as e:
        return str(e)

api = Api(Api('').session.login_with_password('somebody', 'something'))
)";

std::string python(const ListeningXend& x, const std::string& script) { return fakes::run_python(x, helpers + script); }

void make_demo(ListeningXend& x) {
    ASSERT_TRUE(x.machine.manager.create(x.machine.demo()));
    ASSERT_TRUE(x.machine.manager.unpause("demo"));
}

TEST(XenApi, SessionsAreNames) {
    ListeningXend x;
    EXPECT_EQ(python(x, R"(
print(api.session.get_this_user(api.ref), api.session.get_uuid(api.ref) == api.ref)
print(api.session.get_this_host(api.ref) == api.host.get_all()[0])
print(refused(Api('nobody').VM.get_all))
print(refused(Api('').VM.get_all))
print(refused(Api('').session.login_with_password, 'x'))
print(refused(Api('').session.slave_login, 'x', 'y'))
other = Api(Api('').session.login_with_password('', ''))
print(other.session.get_this_user(), other.session.logout() == '', refused(other.VM.get_all) == str(['SESSION_INVALID', other.ref]))
first = Api(Api('').session.login_with_password('first', ''))
for i in range(250):
    api.host.get_all()
    Api('').session.login_with_password('x', '')
print(len(api.host.get_all()), refused(first.host.get_all) == str(['SESSION_INVALID', first.ref]))
)"),
              "somebody True\n"
              "True\n"
              "['SESSION_INVALID', 'nobody']\n"
              "['SESSION_INVALID', '']\n"
              "['MESSAGE_PARAMETER_COUNT_MISMATCH', 'session.login_with_password', '2', '1']\n"
              "['SESSION_AUTHENTICATION_FAILED', 'this host has no pool', 'session.slave_login']\n"
              "root True True\n"
              "1 True\n");
}

TEST(XenApi, ObjectsHaveTheirFields) {
    ListeningXend x;
    make_demo(x);
    EXPECT_EQ(python(x, R"(
vm = api.VM.get_by_name_label('demo')[0]
print(vm, api.VM.get_by_uuid(vm) == vm, api.VM.get_by_name_label('nobody'))
print(api.VM.get_power_state(vm), api.VM.get_memory_static_max(vm), api.VM.get_VCPUs_max(vm), api.VM.get_domid(vm), api.VM.get_is_control_domain(vm))
record = api.VM.get_record(vm)
print(record['actions_after_reboot'], record['PV_args'], len(record['consoles']), record['resident_on'] == api.host.get_all()[0])
vbd, vif = record['VBDs'][0], record['VIFs'][0]
print(api.VBD.get_device(vbd), api.VBD.get_mode(vbd), api.VBD.get_type(vbd), api.VBD.get_currently_attached(vbd), api.VBD.get_VM(vbd) == vm)
print(api.VIF.get_device(vif), api.VIF.get_MAC(vif)[:8], api.network.get_name_label(api.VIF.get_network(vif)))
vdi = api.VBD.get_VDI(vbd)
print(api.VDI.get_VBDs(vdi) == [vbd], api.SR.get_VDIs(api.VDI.get_SR(vdi)) == [vdi], api.VDI.get_name_label(vdi)[:5])
print(api.network.get_VIFs(api.VIF.get_network(vif)) == [vif], api.console.get_VM(record['consoles'][0]) == vm)
metrics = api.VM_metrics.get_record(record['metrics'])
print(metrics['memory_actual'], metrics['VCPUs_number'], metrics['state'], metrics['start_time'])
print(sorted(api.VM_guest_metrics.get_record(record['guest_metrics']))[:2])
host = api.host.get_record(api.host.get_all()[0])
print(host['software_version'], len(host['host_CPUs']), len(host['resident_VMs']), api.host_cpu.get_number(host['host_CPUs'][3]))
print(api.host_metrics.get_memory_total(host['metrics']), api.task.get_all())
print(api.VM.get_all_records().keys() == set(api.VM.get_all()))
)"),
              "f4bc2456-e4ce-11f1-a449-af95deeadde8 True []\n"
              "Running 67108864 2 1 False\n"
              "restart console=hvc0 1 True\n"
              "xvda RW Disk True True\n"
              "eth0 00:16:3e xenbr0\n"
              "True True file:\n"
              "True True\n"
              "67108864 1 ['blocked'] 19700112T13:46:40Z\n"
              "['PV_drivers_version', 'disks']\n"
              "{'Xen': '4.17.5'} 4 2 3\n"
              "1073741824 []\n"
              "True\n");
}

TEST(XenApi, AVmIsDrivenByIt) {
    ListeningXend x;
    make_demo(x);
    EXPECT_EQ(python(x, R"(
vm = api.VM.get_by_name_label('demo')[0]
print(repr(api.VM.pause(vm)), api.VM.get_power_state(vm), repr(api.VM.unpause(vm)), api.VM.get_power_state(vm))
print(api.VM.set_name_label(vm, 'other') == '', api.VM.get_name_label(vm))
print(api.VM.set_memory_dynamic_max_live(vm, str(48 << 20)) == '', api.VM.send_trigger(vm, 'nmi', '0') == '', api.VM.send_sysrq(vm, 's') == '')
print(api.VM.add_to_VCPUs_params_live(vm, 'weight', '512') == '', api.VM.add_to_VCPUs_params_live(vm, 'cap', '30') == '')
print(api.VM.clean_shutdown(vm) == '', api.VM.hard_shutdown(vm) == '', api.VM.get_by_name_label('other'))
host = api.host.get_all()[0]
print(repr(api.host.dmesg(host)), repr(api.host.get_log(host)), api.host.send_debug_keys(host, 'h') == '')
)"),
              "'' Paused '' Running\n"
              "True other\n"
              "True True True\n"
              "True True\n"
              "True True []\n"
              "'(XEN) hello\\n' 'a line\\n' True\n");
    EXPECT_EQ(x.machine.hypervisor.params[1].weight, 512);
    EXPECT_EQ(x.machine.hypervisor.params[1].cap, 30);
}

TEST(XenApi, RefusesAsTheDescriptionSays) {
    ListeningXend x;
    make_demo(x);
    EXPECT_EQ(python(x, R"(
vm = api.VM.get_by_name_label('demo')[0]
none = '00000000-0000-4000-8000-000000000000'
print(refused(api.VM.get_record, none))
print(refused(api.VM.get_by_uuid, 'x'))
print(refused(api.VM.pause, none))
print(refused(api.VM.pause, '../node'))
print(refused(api.VM.pause))
print(refused(api.VM.get_record))
print(refused(api.VM.get_all, vm))
print(refused(api.VM.get_nothing, vm))
print(refused(api.VM.set_user_version, vm))
print(refused(api.VIF.get_by_name_label, 'x'))
print(refused(api.Nothing.get_all))
print(refused(api.nothing))
print(refused(api.VM.clone, vm, 'x'))
print(refused(api.event.next))
print(refused(api.VM.set_VCPUs_number_live, vm, 'many'))
print(refused(api.VM.add_to_VCPUs_params_live, vm, 'file', '/x'))
print(refused(api.VM.add_to_VCPUs_params_live, vm, 'cap', 'much'))
print(refused(api.VM.migrate, vm, 'there', True, {'odd': '1'}))
print(refused(api.VM.migrate, vm, 'there', True, 'port'))
print(refused(api.VM.migrate, vm, 'there', True, {'port': '0'}))
print(refused(api.VM.send_trigger, vm, 'tickle', '0'))
methods = api.host.list_methods()
print(len(methods) == len(set(methods)), all(m in methods for m in ('VM.pause', 'VM.get_all', 'VBD.get_device', 'host.dmesg')), 'VM.clone' in methods)
)"),
              "['HANDLE_INVALID', 'VM', '00000000-0000-4000-8000-000000000000']\n"
              "['UUID_INVALID', 'VM', 'x']\n"
              "['HANDLE_INVALID', 'VM', '00000000-0000-4000-8000-000000000000']\n"
              "['HANDLE_INVALID', 'VM', '../node']\n"
              "['MESSAGE_PARAMETER_COUNT_MISMATCH', 'VM.pause', '2', '1']\n"
              "['MESSAGE_PARAMETER_COUNT_MISMATCH', 'VM.get_record', '2', '1']\n"
              "['MESSAGE_PARAMETER_COUNT_MISMATCH', 'VM.get_all', '1', '2']\n"
              "['MESSAGE_METHOD_UNKNOWN', 'VM.get_nothing']\n"
              "['MESSAGE_METHOD_UNKNOWN', 'VM.set_user_version']\n"
              "['MESSAGE_METHOD_UNKNOWN', 'VIF.get_by_name_label']\n"
              "['MESSAGE_METHOD_UNKNOWN', 'Nothing.get_all']\n"
              "['MESSAGE_METHOD_UNKNOWN', 'nothing']\n"
              "['NOT_IMPLEMENTED', 'VM.clone']\n"
              "['NOT_IMPLEMENTED', 'event.next']\n"
              "['VALUE_NOT_SUPPORTED', 'vcpus', 'many', 'a number is wanted']\n"
              "['VALUE_NOT_SUPPORTED', 'key', 'file', 'there is no such parameter']\n"
              "['VALUE_NOT_SUPPORTED', 'cap', 'much', 'a number is wanted']\n"
              "['VALUE_NOT_SUPPORTED', 'odd', '', 'there is no such option']\n"
              "['VALUE_NOT_SUPPORTED', 'options', 'port', 'a map is wanted']\n"
              "['INTERNAL_ERROR', 'Invalid parameter: port: nobody listens at port 0']\n"
              "['INTERNAL_ERROR', 'Invalid trigger: tickle']\n"
              "True True False\n");
}

// What xend keeps is there when it does not run, and one that is on its way out gives way to its successor.
TEST(XenApi, VmsThatAreNotThereAndVmsThatGo) {
    fakes::Folder folder;
    xend::SqliteDomains kept((folder.path / "managed.db").string());
    fakes::Machine m(fakes::Machine::settings(), &kept);
    ASSERT_TRUE(m.manager.define(m.demo()));
    const auto look = [&] {
        const auto snapshot = xend::xenapi::take_snapshot(m.manager, 0, "/nowhere");
        std::string out;
        for (const auto& vm : xend::xenapi::find_class("VM")->all(*snapshot))
            out += vm.find("name_label")->text + " " + vm.find("power_state")->text + " " + vm.find("domid")->text + "\n";
        return out;
    };
    EXPECT_EQ(look(), "Domain-0 Running 0\ndemo Halted -1\n");
    ASSERT_TRUE(m.manager.start_managed("demo", xend::Run::now));
    EXPECT_EQ(look(), "Domain-0 Running 0\ndemo Running 1\n");
    auto dying = *m.hypervisor.at(base::DomId{1});
    m.hypervisor.at(base::DomId{1})->id = base::DomId{7};
    dying.dying = true;
    m.hypervisor.all.insert(m.hypervisor.all.begin() + 1, dying);
    EXPECT_NE(look().find(" 7\n"), std::string::npos) << look();
    EXPECT_EQ(look().find(" 1\n"), std::string::npos) << look();
}

TEST(XenApi, DerivedRefsStay) {
    EXPECT_EQ(xend::xenapi::derived_ref("VIF a 0"), xend::xenapi::derived_ref("VIF a 0"));
    EXPECT_NE(xend::xenapi::derived_ref("VIF a 0"), xend::xenapi::derived_ref("VIF a 1"));
    EXPECT_TRUE(config::Uuid::parse(xend::xenapi::derived_ref("")));
}

}  // namespace
