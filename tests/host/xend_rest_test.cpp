// link: xend_fakes xendcore xendhttp xendxmlrpc xendxenapi xendrest
// SPDX-License-Identifier: Apache-2.0
// tsan
// What is asked at /api/v1: objects, ETags, problems, and the description of all of it.
#include "toolstack/xend/rest/server.hpp"

#include "toolstack/xend/rest/etag.hpp"
#include "xend_rest_client.hpp"

namespace {

using fakes::ListeningXend;
using fakes::RestAnswer;
using xend::rest::Json;

void make_demo(ListeningXend& x) {
    fakes::run_demo(x.machine, config::ExitAction::destroy, config::ExitAction::restart, config::ExitAction::destroy);
}

TEST(Rest, SaysWhatThereIs) {
    ListeningXend x;
    make_demo(x);
    const Json version = fakes::rest_get(x, "/version").body;
    EXPECT_EQ(version["api"], "v1");
    EXPECT_EQ(version["hypervisor"].get<std::string>().substr(0, 4), "4.17");
    const Json host = fakes::rest_get(x, "/host").body;
    EXPECT_EQ(host["cpus"], 4);
    EXPECT_EQ(host["memory_kib"], 262144 * 4);
    const Json all = fakes::rest_get(x, "/domains").body;
    ASSERT_EQ(all["domains"].size(), 2U) << all;
    EXPECT_EQ(all["domains"][0]["name"], "Domain-0");
    EXPECT_FALSE(all["domains"][0]["made_by_xend"].get<bool>());
    EXPECT_TRUE(all["halted"].empty() && all["failed"].empty());
    const Json demo = fakes::rest_get(x, "/domains/demo").body;
    EXPECT_EQ(all["domains"][1], demo);
    EXPECT_EQ(demo["id"], 1);
    EXPECT_EQ(demo["state"], "running");
    EXPECT_TRUE(demo["made_by_xend"].get<bool>());
    EXPECT_EQ(fakes::rest_get(x, "/domains/1").body, demo) << "by its number";
    EXPECT_EQ(fakes::rest_get(x, "/domains/" + demo["uuid"].get<std::string>()).body, demo);
    EXPECT_EQ(fakes::rest_get(x, "/domains/de%6do").body, demo);
    EXPECT_EQ(fakes::rest_get(x, "/domains/demo/configuration").body["name"], "demo");
    EXPECT_EQ(fakes::rest_get(x, "/domains/demo/usage").body["cpu_time_ns"], 300'000'000);
    EXPECT_EQ(fakes::rest_get(x, "/usage").body["domains"].size(), 2U);
    EXPECT_EQ(fakes::rest_get(x, "/domains/demo/vcpus").body["vcpus"][0]["state"], "blocked");
    const Json disks = fakes::rest_get(x, "/domains/demo/vbds").body["vbds"];
    ASSERT_EQ(disks.size(), 1U);
    EXPECT_EQ(disks[0]["id"], 51712);
    EXPECT_EQ(disks[0]["device"], "xvda");
    EXPECT_TRUE(disks[0]["writable"].get<bool>());
    EXPECT_EQ(fakes::rest_get(x, "/domains/demo/vifs").body["vifs"][0]["id"], 0);
    EXPECT_TRUE(fakes::rest_get(x, "/domains/demo/console").body.is_object());
    EXPECT_EQ(fakes::rest_get(x, "/pools/0").body, fakes::rest_get(x, "/pools").body["pools"][0]);
}

TEST(Rest, ProblemsSayWhatXmSays) {
    ListeningXend x;
    const auto problem = [&](const std::string& head, int status, const std::string& detail) {
        const RestAnswer answer = fakes::rest_ask(x, head);
        EXPECT_EQ(answer.status, status) << head;
        EXPECT_EQ(answer.body["detail"], detail) << head;
        EXPECT_EQ(answer.body["status"], status) << head;
        EXPECT_NE(answer.head.find("Content-Type: application/problem+json"), std::string::npos) << answer.head;
        return answer;
    };
    problem("GET /api/v1/domains/nobody", 404, "Domain 'nobody' does not exist.");
    problem("GET /api/v1/domains/a%2Fb", 404, "Domain 'a/b' does not exist.");
    problem("GET /api/v1/domains/a+b", 404, "Domain 'a+b' does not exist.");
    problem("GET /api/v1/domains/%22%0a%1b%3cb%3e", 404, "Domain '\"  <b>' does not exist.");
    problem("GET /api/v1/domains/%ff", 404, "Domain '\xef\xbf\xbd' does not exist.");
    problem("GET /api/v1/domains/a%00", 400, "The path is malformed");
    problem("GET /api/v1/domains/a%0", 400, "The path is malformed");
    problem("GET /api/v1/pools/none", 404, "Pool 'none' does not exist.");
    problem("GET /api/v1/domains/0/configuration", 404, "xend has not made domain 'Domain-0'");
    for (const char* path :
         {"/api/v1", "/api/v1/", "/api/v1x", "/api/v1/domains/", "/api/v1//domains", "/api/v1/domains/0/", "/api/v1/%64omainz"})
        problem(std::string("GET ") + path, 404, std::string("Not found: ") + path);
    EXPECT_EQ(problem("GET /api/v1/host?x=1", 400, "Invalid query: there is no such parameter").body["field"], "x");
    problem("GET /api/v1/host?%zz", 400, "The query is malformed");
    for (const char* verb : {"POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"}) {
        const RestAnswer answer = fakes::rest_ask(x, std::string(verb) + " /api/v1/host");
        EXPECT_EQ(answer.status, 405) << verb;
        EXPECT_NE(answer.head.find("Allow: GET"), std::string::npos) << answer.head;
    }
    EXPECT_EQ(x.ask("PUT /xend/domain HTTP/1.1").status, 403) << "elsewhere nothing else is understood";
    EXPECT_EQ(x.ask("GET /api/v1/host HTTP/1.1\r\nContent-Length: 2", "{}").status, 400);
}

TEST(Rest, AnETagIsOfWhatSomebodyHasChanged) {
    ListeningXend x;
    make_demo(x);
    const std::string etag = fakes::rest_get(x, "/domains/demo").etag();
    EXPECT_EQ(etag.size(), 34U);
    x.machine.hypervisor.at(base::DomId{1})->cpu_time = base::Nanos::ms(999);
    x.machine.hypervisor.at(base::DomId{1})->blocked = false;
    for (const std::string& known : std::vector<std::string>{etag, "W/" + etag, "\"x\", " + etag, "*"}) {
        const auto same = x.ask("GET /api/v1/domains/demo HTTP/1.1\r\nIf-None-Match: " + known);
        EXPECT_EQ(same.status, 304) << known;
        EXPECT_EQ(same.body, "");
        EXPECT_NE(same.head.find("ETag: " + etag), std::string::npos) << same.head;
    }
    for (const std::string& other : std::vector<std::string>{"\"x\"", "x", "W/\"x\"", "\"", ""})
        EXPECT_EQ(x.ask("GET /api/v1/domains/demo HTTP/1.1\r\nIf-None-Match: " + other).status, 200) << other;
    ASSERT_TRUE(x.machine.manager.pause("demo"));
    EXPECT_NE(fakes::rest_get(x, "/domains/demo").etag(), etag);
}

TEST(Rest, ANameIsTextWhateverIsInIt) {
    ListeningXend x;
    make_demo(x);
    x.machine.stores.tree.write("/local/domain/1/name", "a\"/\\<b>\x1b[2J\n\xff");
    const RestAnswer all = fakes::rest_get(x, "/domains");
    EXPECT_EQ(all.body["domains"][1]["name"], "a\"/\\<b>\x1b[2J\n\xef\xbf\xbd");
    EXPECT_EQ(all.text.find('\x1b'), std::string::npos);
    EXPECT_EQ(fakes::rest_get(x, "/domains/a%22%2F%5C%3Cb%3E%1B%5B2J%0A%FF").body["id"], 1);
}

TEST(Rest, WhoIsNotLetInIsToldInJson) {
    const xend::Reply reply = xend::rest::Server::refused(403, "Only root may do this.");
    EXPECT_EQ(reply.status, 403);
    EXPECT_EQ(Json::parse(reply.body)["detail"], "Only root may do this.");
}

TEST(Rest, TheDescriptionIsTheOneInTheDocumentation) {
    ListeningXend x;
    const std::string file = std::string(XENOLITH_SOURCE_DIR) + "/docs/openapi.json";
    const std::string made = xend::rest::openapi().dump(1) + "\n";
    EXPECT_EQ(fakes::rest_get(x, "/openapi.json").body, xend::rest::openapi());
    if (std::getenv("XENOLITH_WRITE_OPENAPI") != nullptr) std::ofstream(file) << made;
    std::ifstream in(file);
    const std::string written(std::istreambuf_iterator<char>(in), {});
    EXPECT_TRUE(written == made) << "XENOLITH_WRITE_OPENAPI=1 xend_rest_test writes docs/openapi.json anew";
}

TEST(Rest, AnotherProgramFindsThatAnswersAreWhatTheDescriptionSays) {
    ListeningXend x;
    make_demo(x);
    Json answers = Json::array();
    const auto ask = [&](const std::string& path, const std::string& template_of) {
        const RestAnswer answer = fakes::rest_ask(x, "GET /api/v1" + path);
        answers.push_back({{"path", "/api/v1" + template_of}, {"status", answer.status}, {"body", answer.body}});
    };
    for (const auto& route : xend::rest::routes()) {
        std::string path(route.path);
        if (route.verb != xend::rest::Verb::get) continue;
        for (const auto& [word, value] : {std::pair<std::string, std::string>("{domain}", "demo"), {"{pool}", "Pool-0"}})
            if (path.find(word) != std::string::npos) path.replace(path.find(word), word.size(), value);
        ask(path, std::string(route.path));
    }
    ask("/domains/0", "/domains/{domain}");
    ask("/domains/none", "/domains/{domain}");
    EXPECT_EQ(fakes::validate_answers(x, answers), "ok\n");
    Json wrong = answers;
    for (Json& one : wrong)
        if (one["path"] == "/api/v1/host") one["body"]["cpus"] = "four";
    EXPECT_NE(fakes::validate_answers(x, wrong), "ok\n") << "it can find something";
}

struct Text {
    std::string text, at, fault;
};

TEST(RestJson, IsReadStrictly) {
    const auto lists = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    std::string many = "{", numbers = "[0";
    for (int i = 0; i < 600; ++i) many += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":0";
    for (int i = 0; i < 30'000; ++i) numbers += ",0";
    const Text texts[] = {
        {"", "", "no JSON from byte 1 on"},
        {"{", "", "no JSON from byte 2 on"},
        {"{} {}", "", "no JSON from byte 4 on"},
        {"{\"a\":1,}", "", "no JSON from byte 8 on"},
        {"[1,/**/2]", "", "no JSON from byte 4 on"},
        {"'a'", "", "no JSON from byte 1 on"},
        {"NaN", "", "no JSON from byte 1 on"},
        {"\"\xff\"", "", "no JSON from byte 2 on"},
        {"{\"a\":{\"b\":1,\"b\":2}}", "/a/b", "it is there twice"},
        {"{\"a\":1,\"\\u0061\":2}", "/a", "it is there twice"},
        {"{\"a/b~\":[0,1.5]}", "/a~1b~0/1", "a whole number of at most 64 bits is wanted"},
        {"18446744073709551616", "", "a whole number of at most 64 bits is wanted"},
        {"-9223372036854775809", "", "a whole number of at most 64 bits is wanted"},
        {"1e2", "", "a whole number of at most 64 bits is wanted"},
        {"[\"a\\u0000b\"]", "/0", "a text has the character U+0000"},
        {"{\"a\\u0000\":1}", "/a" + std::string(1, '\0'), "a text has the character U+0000"},
        {"{\"" + std::string(201, 'x') + "\":1}", "/" + std::string(200, 'x'), "the name is longer than 200 bytes"},
        {many + "}", "/512", "an object has more than 512 members"},
        {numbers + "]", "/19999", "there are more than 20000 values"},
        {std::string((1U << 20U) + 1, ' '), "", "more than 1048576 bytes"},
    };
    for (const Text& one : texts) {
        xend::rest::JsonFault fault;
        EXPECT_FALSE(xend::rest::parse_json(one.text, fault)) << one.text.substr(0, 80);
        EXPECT_EQ(fault.at, one.at) << one.text.substr(0, 80);
        EXPECT_EQ(fault.text, one.fault) << one.text.substr(0, 80);
    }
    xend::rest::JsonFault fault;
    EXPECT_TRUE(xend::rest::parse_json(lists(24), fault));
    EXPECT_FALSE(xend::rest::parse_json(lists(25), fault));
    EXPECT_EQ(fault.text, "lists and objects are in each other more than 24 deep");
    EXPECT_FALSE(xend::rest::parse_json(std::string(1'000'000, '['), fault));
    const auto good = xend::rest::parse_json(" {\"a\":[18446744073709551615,-1,true,null,\"\xc3\xa4\"]} ", fault);
    ASSERT_TRUE(good);
    EXPECT_EQ(xend::rest::print_json(*good), "{\"a\":[18446744073709551615,-1,true,null,\"\xc3\xa4\"]}");
}

}  // namespace
