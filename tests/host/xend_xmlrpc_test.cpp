// link: xend_fakes xendcore xendhttp xendxmlrpc xendxenapi xendrest
// SPDX-License-Identifier: Apache-2.0
// tsan
// Classic Xen's XML-RPC: a client that everybody has against a xend that listens, and what is no call.
#include "toolstack/xend/server/xmlrpc_methods.hpp"

#include <future>

#include "toolstack/config/domain_sxp.hpp"
#include "xend_api_server.hpp"
#include "xend_python.hpp"

namespace {

using fakes::HttpAnswer;
using fakes::ListeningXend;
using namespace xend::xmlrpc;

std::string python(const ListeningXend& x, const std::string& script) { return fakes::run_python(x, script); }

/// The configuration of `demo`, as Python writes it.
std::string config_text(ListeningXend& x, const std::string& name = "demo") {
    const auto config = x.machine.demo(name);
    std::function<std::string(const proto::Sxp&)> print = [&](const proto::Sxp& sxp) {
        if (sxp.is_atom()) return "'" + sxp.text() + "'";
        std::string out = "[";
        for (const auto& item : sxp.items()) out += print(item) + ",";
        return out + "]";
    };
    return print(config::to_sxp(config));
}

TEST(XmlRpc, ADomainLivesAndDies) {
    ListeningXend x;
    EXPECT_EQ(python(x, "made = xend.domain.create(" + config_text(x) + R"()
print(made[0], value(made, 'name'), value(made, 'domid'), value(made, 'state'))
print(xend.domains(0), xend.domains(False))
print([value(d, 'name') for d in xend.domains(1)], [value(d, 'name') for d in xend.domains()])
print(xend.domains_with_state(False, 'paused', False), xend.domains_with_state(0, 'running', 0), xend.domains_with_state(0, 'all', 0))
print(xend.domain.unpause('demo'), value(xend.domain('demo'), 'state'), value(xend.domain(1), 'state'))
print(xend.domain.pause('demo'), value(xend.domain('1'), 'state'))
print(xend.domain.setName('demo', 'other'), xend.domains(0))
print(xend.domain.maxmem_set('other', 128), xend.domain.setMemoryTarget('other', 96))
print(xend.domain.sched_credit_set('other', 512, 50), xend.domain.sched_credit_get('other') == {'weight': 512, 'cap': 50})
print(xend.domain.pincpu('other', 0, '0-1'), xend.domain.pincpu('other', 0, [0, 2]), xend.domain.pincpu('other', 'all', 'all'))
print([c[0] for c in xend.domain.getVCPUInfo('other')[1:]].count('vcpu'))
print(xend.domain.send_trigger('other', 'nmi', 0), xend.domain.send_sysrq('other', 's'), xend.domain.shutdown('other', 'reboot'))
print(xend.domain.destroy('other'), xend.domains(0))
)"),
              "domain demo 1 --p---\n"
              "['Domain-0', 'demo'] ['Domain-0', 'demo']\n"
              "['Domain-0', 'demo'] ['Domain-0', 'demo']\n"
              "['demo'] ['Domain-0'] ['Domain-0', 'demo']\n"
              "None -b---- -b----\n"
              "None -bp---\n"
              "None ['Domain-0', 'other']\n"
              "None None\n"
              "None True\n"
              "None None None\n"
              "2\n"
              "None None None\n"
              "None ['Domain-0']\n");
}

TEST(XmlRpc, DevicesAndTheHost) {
    ListeningXend x;
    EXPECT_EQ(python(x, "xend.domain.create(" + config_text(x) + R"()
xend.domain.unpause('demo')
print([d[0] for d in xend.domain.getDeviceSxprs('demo', 'vif')], value(xend.domain.getDeviceSxprs('demo', 'vbd')[0][1], 'devid'))
print(xend.domain.device_create('demo', ['vif', ['bridge', 'xenbr0']]))
print([d[0] for d in xend.domain.getDeviceSxprs('demo', 'vif')])
print(xend.domain.destroyDevice('demo', 'vif', '1', True), xend.domain.waitForDevices('demo'))
print([d[0] for d in xend.domain.getDeviceSxprs('demo', 'vif')])
node = xend.node.info()
print(node[0], value(node, 'nr_cpus'), value(node, 'xen_major'))
print(repr(xend.node.log()), repr(xend.node.dmesg.info()), repr(xend.node.dmesg.clear()), xend.node.send_debug_keys('h'))
)"),
              "[0] 51712\n"
              "['vif', ['devid', '1']]\n"
              "[0, 1]\n"
              "None None\n"
              "[0]\n"
              "node 4 4\n"
              "'a line\\n' '(XEN) hello\\n' '(XEN) hello\\n' None\n");
}

TEST(XmlRpc, FaultsAreClassic) {
    ListeningXend x;
    const std::string out = python(x, R"(
print(fault(xend.domain, 'nobody'))
print(fault(xend.domain.destroy, 'nobody'))
print(fault(xend.domain.pause, ''))
print(fault(xend.domain.pause, 'x/'))
print(fault(xend.domain.destroy, 'Domain-0'))
print(fault(xend.domain.create, 'text'))
print(fault(xend.domain.create, ['vm', {'a': 1}]))
print(fault(xend.domain.create, ['vm']))
print(fault(xend.domain.create))
print(fault(xend.domain.setMemoryTarget, 'Domain-0', -1))
print(fault(xend.domain.setMemoryTarget, 'Domain-0', 'much'))
print(fault(xend.domain.pause, 'Domain-0', 1, 2))
print(fault(xend.domain.migrate, 'Domain-0'))
print(fault(xend.domains_with_state, 1, 'odd', 0))
print(fault(xend.domain.cpu_sedf_get, 'Domain-0'))
print(fault(server.system.methodHelp, 'nothing'))
)");
    EXPECT_EQ(out,
              "3 nobody\n"
              "3 nobody\n"
              "3 \n"
              "3 x/\n"
              "2 Cannot destroy privileged domain 0\n"
              "2 xend.domain.create: parameter 1 (config): an s-expression as nested arrays is wanted\n"
              "2 xend.domain.create: parameter 1 (config): Arrays and texts are wanted, as s-expressions have them\n"
              "2 (image …) is missing\n"
              "2 xend.domain.create: parameter 1 (config) is missing\n"
              "2 xend.domain.setMemoryTarget: parameter 2 (target): a number is wanted\n"
              "2 xend.domain.setMemoryTarget: parameter 2 (target): a number is wanted\n"
              "2 xend.domain.pause takes no more than 2 parameters\n"
              "2 xend.domain.migrate: parameter 2 (destination) is missing\n"
              "2 there is no state 'odd'\n"
              "1 method \"xend.domain.cpu_sedf_get\" is not supported\n"
              "1 system.methodHelp wants the name of a method\n");
    EXPECT_EQ(x.machine.hypervisor.all.size(), 1U) << "nothing was done";
}

TEST(XmlRpc, SaysWhatItCan) {
    ListeningXend x;
    EXPECT_EQ(python(x, R"(
names = server.system.listMethods()
print(len(names) == len(set(names)), len(names) > 35, 'xend.domain.create' in names, 'system.listMethods' in names)
print([n for n in names if n.startswith('xend.') and not server.system.methodHelp(n)])
print(server.system.methodSignature('xend.domains'))
)"),
              "True True True True\n[]\nsignatures not supported\n");
}

// A domain of which a job hangs: those who look by XML-RPC do not wait for it.
TEST(XmlRpc, ALookWaitsForNoLane) {
    ListeningXend x;
    ASSERT_TRUE(x.machine.manager.create(x.machine.demo()));
    std::promise<void> release;
    auto released = release.get_future().share();
    x.machine.hypervisor.before_unpause = [&] { released.wait(); };
    const std::string call =
        "<methodCall><methodName>xend.domain.unpause</methodName><params><param><value>demo</value></param></params></"
        "methodCall>";
    auto job = std::async(std::launch::async, [&] { return x.ask("POST /RPC2 HTTP/1.1\r\nContent-Type: text/xml", call); });
    EXPECT_EQ(python(x, "print(xend.domains(0), value(xend.domain('demo'), 'state'))\n"), "['Domain-0', 'demo'] --p---\n");
    EXPECT_EQ(job.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
    release.set_value();
    EXPECT_NE(job.get().body.find("<nil/>"), std::string::npos);
}

std::string error(const std::string& text, const Limits& limits = {}) {
    const auto call = parse_call(text, limits);
    return call ? "" : call.failure().text;
}
std::string call_of(const std::string& value) {
    return "<?xml version='1.0'?>\n<methodCall>\n <methodName>m</methodName>\n <params>\n  <param>\n<value>" + value +
           "</value>\n</param></params></methodCall>\n";
}

TEST(XmlRpcReader, TakesEveryType) {
    const auto call = parse_call(call_of(
        "<struct><member><name>a&lt;</name><value><int> -7 </int></value></member><member><name>b</name><value><array><data>"
        "<value>bare &amp; &#65;</value><value/><value> </value><value><string/></value><value><boolean>1</boolean></value>"
        "<value><double>-1.5</double></value><value><i8>5000000000</i8></value><value><nil/></value></data></array></value></"
        "member></struct>"));
    ASSERT_TRUE(call) << call.failure().text;
    EXPECT_EQ(call->method, "m");
    const Value& v = call->params.at(0);
    EXPECT_EQ(*v.find("a<"), Value::of_integer(-7));
    const auto& items = v.find("b")->items;
    ASSERT_EQ(items.size(), 8U);
    EXPECT_EQ(items[0], Value::of_text("bare & A"));
    EXPECT_EQ(items[1], Value::of_text(""));
    EXPECT_EQ(items[2], Value::of_text(" "));
    EXPECT_EQ(items[3], Value::of_text(""));
    EXPECT_EQ(items[4], Value::of_flag(true));
    EXPECT_EQ(items[5].text, "-1.5");
    EXPECT_EQ(items[6].text, "5000000000");
    EXPECT_EQ(items[7], Value{});
    EXPECT_TRUE(parse_call("<methodCall><methodName>m</methodName></methodCall>"));
    EXPECT_TRUE(parse_call("<methodCall>\n<methodName>m</methodName>\n<params>\n</params>\n</methodCall>\n"));
    EXPECT_EQ(parse_call(call_of("<array>\n<data>\n</data>\n</array>"))->params.at(0), Value::list());
    EXPECT_EQ(parse_call(call_of("<struct>\n</struct>"))->params.at(0), Value::record());
}

TEST(XmlRpcReader, RefusesWithOneLine) {
    for (const char* text :
         {"", "x", "<a/>", "<methodCall/>", "<methodCall><methodName/></methodCall>",
          "<methodCall><methodName>m</methodName><x/></methodCall>", "<methodCall><methodName>m</methodName>", "</methodCall>",
          "<methodCall><methodName>m</methodName></methodCall><b/>",
          "<!DOCTYPE a [<!ENTITY b 'c'>]><methodCall><methodName>m</methodName></methodCall>",
          "<methodCall><methodName>m</methodName><params><param/></params></methodCall>",
          "<methodCall><methodName>m</methodName><params><param><value/><value/></param></params></methodCall>",
          "<methodCall><methodName><b/></methodName></methodCall>"})
        EXPECT_NE(error(text), "") << text;
    for (const char* value : {"<int>x</int>",
                              "<int>9999999999999999999999</int>",
                              "<int></int>",
                              "<boolean>2</boolean>",
                              "<double>x</double>",
                              "<nil>1</nil>",
                              "<base64>AA==</base64>",
                              "<dateTime.iso8601>1</dateTime.iso8601>",
                              "a<int>1</int>",
                              "<int>1</int><int>1</int>",
                              "<array/>",
                              "<array><data>x</data></array>",
                              "<array><data><int>1</int></data></array>",
                              "<struct><x/></struct>",
                              "<struct><member><name>a</name></member></struct>",
                              "<struct><member><name>a</name><value/></member><member><name>a</name><value/></member></struct>",
                              "<string><b/></string>",
                              "<!-- x -->",
                              "<![CDATA[x]]>",
                              "<?php x?>"})
        EXPECT_NE(error(call_of(value)), "") << value;
    // Entities of others are nothing but text.
    EXPECT_EQ(parse_call(call_of("&lol;"))->params.at(0), Value::of_text("&lol;"));
    EXPECT_NE(error(call_of(std::string("a\0b", 3))), "");
}

TEST(XmlRpcReader, HasLimits) {
    const Limits limits{.bytes = 100'000, .depth = 10, .values = 50};
    const auto nested = [](size_t depth) {
        std::string open, close;
        for (size_t i = 1; i < depth; ++i) {
            open += "<array><data><value>";
            close += "</value></data></array>";
        }
        return call_of(open + close);
    };
    const auto many = [](size_t count) {
        std::string out = "<array><data>";
        for (size_t i = 1; i < count; ++i) out += "<value/>";
        return call_of(out + "</data></array>");
    };
    EXPECT_EQ(error(nested(10), limits), "");
    EXPECT_EQ(error(nested(11), limits), "The call is nested too deeply");
    EXPECT_EQ(error(nested(2000), limits), "The call is nested too deeply");
    EXPECT_EQ(error(many(50), limits), "");
    EXPECT_EQ(error(many(51), limits), "The call has too many values");
    EXPECT_EQ(error(many(5000), limits), "The call has too many values");
    EXPECT_EQ(error(call_of(std::string(100'000, 'x')), limits), "The call is too long");
    // As deep as the longest body of a request can be.
    std::string deep;
    for (int i = 0; i < 600'000; ++i) deep += "<value>";
    EXPECT_EQ(error(deep), "The call is too long");
    EXPECT_EQ(error(deep.substr(0, 1'000'000)), "The call is nested too deeply");
}

TEST(XmlRpcWriter, SaysOnlyWhatXmlCan) {
    const std::string odd = std::string("<&>\r\n\t\x01") + "\xc3\xa4" + "\xc3" + "\xff" + "\xed\xa0\x80" + "\xf4\x90\x80\x80" +
                            "\xc0\x80" + '\0' + "]]>";
    EXPECT_EQ(
        print_answer(Value::of_text(odd)),
        "<?xml version=\"1.0\"?>\n<methodResponse><params><param><value><string>&lt;&amp;&gt;&#13;\n\t?\xc3\xa4????????????]]&gt;"
        "</string></value></param></params></methodResponse>\n");
}

TEST(XmlRpcHttp, OnlyPostAndOnlyThere) {
    ListeningXend x;
    EXPECT_EQ(x.get("/RPC2").status, 405);
    const HttpAnswer answer = x.ask("POST /RPC2 HTTP/1.1\r\nContent-Type: text/xml", "nonsense");
    EXPECT_EQ(answer.status, 200);
    EXPECT_NE(answer.head.find("Content-Type: text/xml"), std::string::npos);
    EXPECT_NE(answer.body.find("<fault>"), std::string::npos);
    EXPECT_EQ(x.ask("POST /RPC22 HTTP/1.1\r\nContent-Type: text/xml", "nonsense").status, 404);
}

}  // namespace
