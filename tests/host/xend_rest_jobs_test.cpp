// link: xend_fakes xendcore xendhttp xendxmlrpc xendxenapi xendrest
// SPDX-License-Identifier: Apache-2.0
// tsan
// Changes at /api/v1: each is a job, whoever asks for it and however often.
#include <future>

#include "toolstack/config/domain_json.hpp"
#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/xend/adapters/sqlite_jobs.hpp"
#include "xend_rest_client.hpp"
#include "xend_two_hosts.hpp"

namespace {

using fakes::ListeningXend;
using fakes::rest_ask;
using fakes::rest_get;
using fakes::RestAnswer;
using xend::rest::Json;
using namespace std::chrono_literals;

RestAnswer post(const ListeningXend& x, const std::string& path, const Json& body = Json::object(),
                const std::string& fields = "") {
    return rest_ask(x, "POST /api/v1" + path + "\r\nContent-Type: application/json" + fields, body.dump());
}

/// The job when it is in `state`, or has ended.
Json job_when(const ListeningXend& x, const Json& job, const std::string& state = "") {
    const auto until = std::chrono::steady_clock::now() + 10s;
    Json now;
    do {
        now = rest_get(x, "/jobs/" + job["id"].get<std::string>()).body;
        if (now.contains("ended") || now["state"] == state) break;
        std::this_thread::sleep_for(2ms);
    } while (std::chrono::steady_clock::now() < until);
    return now;
}

/// The job that a change has become, at its end.
Json changed(const ListeningXend& x, const std::string& path, const Json& body = Json::object()) {
    const RestAnswer answer = post(x, path, body);
    EXPECT_EQ(answer.status, 202) << path << answer.text;
    EXPECT_EQ(answer.field("Location"), "/api/v1/jobs/" + answer.body.value("id", ""));
    return answer.status == 202 ? job_when(x, answer.body) : answer.body;
}

Json config_of(ListeningXend& x, const std::string& name = "demo") {
    auto config = x.machine.demo(name);
    config.uuid = {};
    return Json::parse(config::to_json(config));
}

TEST(RestJobs, ADomainLivesAndDies) {
    ListeningXend x;
    const Json made = changed(x, "/domains", {{"config", config_of(x)}});
    EXPECT_EQ(made["state"], "succeeded") << made;
    EXPECT_EQ(made["operation"], "create");
    EXPECT_EQ(made["domain"], "demo");
    EXPECT_EQ(made["result"], rest_get(x, "/domains/demo").body);
    EXPECT_EQ(made["result"]["state"], "paused");
    EXPECT_EQ(changed(x, "/domains/demo/unpause")["result"]["state"], "running");
    EXPECT_EQ(changed(x, "/domains/demo/pause")["result"]["state"], "paused");
    EXPECT_EQ(changed(x, "/domains/demo/rename", {{"name", "other"}})["result"]["name"], "other");
    EXPECT_EQ(changed(x, "/domains/other/memory", {{"target_mib", 32}, {"max_mib", 96}})["state"], "succeeded");
    EXPECT_EQ(rest_get(x, "/domains/other").body["max_memory_kib"], (96 + 1) * 1024) << "with what the hypervisor needs itself";
    EXPECT_EQ(changed(x, "/domains/other/vcpus", {{"count", 1}})["state"], "succeeded");
    EXPECT_EQ(changed(x, "/domains/other/vifs", {{"specifier", "bridge=xenbr1"}})["result"], Json({{"id", 1}}));
    const std::string disk = x.machine.folder.file("second.img");
    EXPECT_EQ(changed(x, "/domains/other/vbds", {{"specifier", "file:" + disk + ",xvdb,w"}})["result"], Json({{"id", 51728}}));
    EXPECT_EQ(rest_get(x, "/domains/other/vbds").body["vbds"].size(), 2U);
    const RestAnswer off = rest_ask(x, "DELETE /api/v1/domains/other/vbds/xvdb?force=true");
    EXPECT_EQ(off.status, 202);
    EXPECT_EQ(job_when(x, off.body)["state"], "succeeded");
    EXPECT_EQ(rest_get(x, "/domains/other/vbds").body["vbds"].size(), 1U);
    EXPECT_EQ(changed(x, "/domains/other/shutdown", {{"reason", "halt"}})["result"], Json({{"asked", "halt"}}));
    EXPECT_EQ(*x.machine.manager.store_value("/local/domain/1/control/shutdown"), "halt");
    EXPECT_EQ(changed(x, "/domains/other/destroy")["state"], "succeeded");
    EXPECT_EQ(rest_get(x, "/domains/other").status, 404);
    EXPECT_EQ(rest_get(x, "/jobs").body["jobs"].size(), 11U);
}

TEST(RestJobs, AConfigurationHasThreeForms) {
    ListeningXend x;
    auto config = x.machine.demo();
    const std::string sxp = proto::to_string(config::to_sxp(config));
    EXPECT_EQ(changed(x, "/domains", {{"sxp", sxp}, {"start", true}})["result"]["state"], "running");
    EXPECT_EQ(changed(x, "/domains/demo/destroy")["state"], "succeeded");
    const std::string text = "name = 'demo'\nkernel = '" + config.kernel + "'\nmemory = 64\n";
    EXPECT_EQ(changed(x, "/domains", {{"text", text}})["result"]["memory_kib"], 65536);
}

struct Refused {
    std::string path;
    std::string body;
    int status;
    std::string detail;
    std::string field = {};
};

TEST(RestJobs, WhatMakesNoSenseIsRefusedBeforeThereIsAJob) {
    ListeningXend x;
    const Refused all[] = {
        {"/domains", "{", 400, "Invalid body: no JSON from byte 2 on", ""},
        {"/domains", "[]", 400, "Invalid body: an object is wanted, not a list", ""},
        {"/domains", R"({"start":1,"text":""})", 400, "Invalid body: /start: true or false is wanted, not a number", "/start"},
        {"/domains", R"({"strat":true})", 400, "Invalid body: /strat: there is no such member", "/strat"},
        {"/domains", R"({"text":"","text":""})", 400, "Invalid body: /text: it is there twice", "/text"},
        {"/domains", R"({"text":"","sxp":""})", 422, "One of config, text and sxp is wanted"},
        {"/domains", "{}", 422, "One of config, text and sxp is wanted"},
        {"/domains", "", 422, "One of config, text and sxp is wanted"},
        {"/domains", R"({"config":{"frob":1}})", 422, "config: unknown member 'frob'"},
        {"/domains", R"({"sxp":"(vm"})", 422, "sxp: Syntax error"},
        {"/domains/demo/pause", "{}", 404, "Domain 'demo' does not exist."},
        {"/domains/0/pause", R"({"x":{}})", 400, "Invalid body: /x: there is no such member", "/x"},
        {"/domains/0/vcpus", R"({"count":0})", 400, "Invalid body: /count: a number from 1 to 128 is wanted", "/count"},
        {"/domains/0/vcpus", R"({"count":-1})", 400, "Invalid body: /count: a number from 1 to 128 is wanted", "/count"},
        {"/domains/0/vcpus", R"({"count":18446744073709551615})", 400, "Invalid body: /count: a number from 1 to 128 is wanted",
         "/count"},
        {"/domains/0/vcpus", R"({"count":"1"})", 400, "Invalid body: /count: a whole number is wanted, not a text", "/count"},
        {"/domains/0/vcpus", "{}", 400, "Invalid body: /count: it is missing", "/count"},
        {"/domains/0/memory", "{}", 422, "target_mib or max_mib is wanted"},
        {"/domains/0/shutdown", R"({"reason":"reboot"})", 400,
         "Invalid body: /reason: one of these is wanted: poweroff, halt, suspend, crash", "/reason"},
        {"/domains/0/save", R"({"file":"x"})", 422, "file: an absolute path is wanted"},
        {"/restore", R"({"file":"x"})", 422, "file: an absolute path is wanted"},
        {"/restore", R"({"file":")" + std::string(4097, 'x') + "\"}", 400, "Invalid body: /file: it is longer than 4096 bytes",
         "/file"},
        {"/domains", R"({"text":")" + std::string(1U << 20U, 'x') + "\"}", 413, "Invalid body: more than 1048576 bytes"},
        {"/domains", std::string((4U << 20U) - 2, '['), 413, "Invalid body: more than 1048576 bytes"},
    };
    for (const Refused& one : all) {
        const RestAnswer answer = rest_ask(x, "POST /api/v1" + one.path + "\r\nContent-Type: application/json", one.body);
        EXPECT_EQ(answer.status, one.status) << one.path << one.body.substr(0, 80) << answer.text;
        EXPECT_TRUE(answer.body.value("detail", "").starts_with(one.detail)) << one.body.substr(0, 80) << answer.text;
        EXPECT_EQ(answer.body.value("field", ""), one.field) << one.body.substr(0, 80);
    }
    EXPECT_EQ(rest_ask(x, "POST /api/v1/domains/0/pause\r\nContent-Type: text/plain", "{}").status, 415);
    EXPECT_EQ(rest_ask(x, "POST /api/v1/domains/0/pause\r\nContent-Type: application/json; charset=utf-8", "{\"x\":1}").status,
              400);
    EXPECT_EQ(rest_ask(x, "DELETE /api/v1/domains/0/vbds/xvda?force=maybe").status, 400);
    EXPECT_EQ(rest_ask(x, "DELETE /api/v1/domains/0/vbds/xvda?force=true&force=true").status, 400);
    EXPECT_TRUE(rest_get(x, "/jobs").body["jobs"].empty());
}

TEST(RestJobs, WhatDoesNotSucceedSaysWhatXmSays) {
    ListeningXend x;
    const Json paused = changed(x, "/domains/0/pause");
    EXPECT_EQ(paused["state"], "failed");
    EXPECT_EQ(paused["problem"]["status"], 403);
    EXPECT_EQ(paused["problem"]["detail"], fakes::text_of(x.machine.manager.pause("0")));
    EXPECT_EQ(changed(x, "/domains/nobody/start")["problem"]["status"], 404);
    x.machine.hypervisor.build_error = "no more pages";
    const Json made = changed(x, "/domains", {{"config", config_of(x)}});
    EXPECT_NE(made["problem"]["detail"].get<std::string>().find("no more pages"), std::string::npos) << made;
    EXPECT_EQ(rest_get(x, "/domains").body["domains"].size(), 1U);
}

/// A machine whose domain "demo" is being let run for as long as this is there.
struct Busy {
    ListeningXend& x;
    std::promise<void> begun, end;
    Json job;
    explicit Busy(ListeningXend& on) : x(on) {
        EXPECT_TRUE(x.machine.manager.create(x.machine.demo()));
        x.machine.hypervisor.before_unpause = [this, wait = end.get_future().share()] {
            begun.set_value();
            wait.wait();
        };
        job = post(x, "/domains/demo/unpause").body;
        begun.get_future().wait();
    }
    void finish() {
        end.set_value();
        EXPECT_EQ(job_when(x, job)["state"], "succeeded");
    }
};

TEST(RestJobs, WhoWaitsCanBeCancelledAndWhoRunsCannot) {
    ListeningXend x;
    Busy busy(x);
    const Json waits = post(x, "/domains/demo/destroy").body;
    EXPECT_EQ(waits["state"], "waiting");
    const auto cancel = [&](const Json& job) { return rest_ask(x, "DELETE /api/v1/jobs/" + job["id"].get<std::string>()); };
    EXPECT_EQ(cancel(busy.job).status, 409);
    EXPECT_EQ(cancel(busy.job).body["detail"],
              "Job " + busy.job["id"].get<std::string>() + " runs: it cannot be cancelled any more");
    EXPECT_EQ(cancel(waits).body["state"], "cancelled");
    EXPECT_EQ(cancel(waits).body["detail"], "Job " + waits["id"].get<std::string>() + " has ended");
    EXPECT_EQ(cancel({{"id", "none"}}).status, 404);
    busy.finish();
    EXPECT_EQ(changed(x, "/domains/demo/pause")["state"], "succeeded") << "it was not destroyed";
}

TEST(RestJobs, IfMatchHoldsWhenTheJobBeginsToo) {
    ListeningXend x;
    Busy busy(x);
    const std::string etag = rest_get(x, "/domains/demo").etag();
    EXPECT_EQ(post(x, "/domains/demo/destroy", Json::object(), "\r\nIf-Match: \"other\"").status, 412);
    EXPECT_EQ(post(x, "/domains/demo/destroy", Json::object(), "\r\nIf-Match: W/" + etag).status, 412) << "not by a weak one";
    EXPECT_EQ(post(x, "/domains", {{"config", config_of(x)}}, "\r\nIf-Match: *").status, 412);
    const Json destroy = post(x, "/domains/demo/destroy", Json::object(), "\r\nIf-Match: " + etag).body;
    busy.finish();  // it runs: another ETag
    EXPECT_EQ(job_when(x, destroy)["problem"]["status"], 412);
    const std::string now = rest_get(x, "/domains/demo").etag();
    EXPECT_NE(now, etag);
    EXPECT_EQ(job_when(x, post(x, "/domains/demo/destroy", Json::object(), "\r\nIf-Match: " + now).body)["state"], "succeeded");
}

TEST(RestJobs, TheSameKeyActsOnce) {
    ListeningXend x;
    const Json body{{"config", config_of(x)}};
    std::vector<std::future<std::string>> asked;
    for (int i = 0; i < 8; ++i) {
        asked.push_back(std::async(std::launch::async, [&] {
            return post(x, "/domains", body, "\r\nIdempotency-Key: a-key").body["id"].get<std::string>();
        }));
    }
    std::set<std::string> jobs;
    for (auto& one : asked) jobs.insert(one.get());
    ASSERT_EQ(jobs.size(), 1U);
    EXPECT_EQ(job_when(x, {{"id", *jobs.begin()}})["state"], "succeeded");
    const RestAnswer again = post(x, "/domains", body, "\r\nIdempotency-Key: a-key");
    EXPECT_EQ(again.status, 202);
    EXPECT_EQ(again.body["state"], "succeeded") << "although there is a domain of this name by now";
    // What a request was asked for once stays so, also when it makes no sense any more.
    const Json destroyed = post(x, "/domains/demo/destroy", Json::object(), "\r\nIdempotency-Key: b").body;
    EXPECT_EQ(job_when(x, destroyed)["state"], "succeeded");
    EXPECT_EQ(post(x, "/domains/demo/destroy", Json::object(), "\r\nIdempotency-Key: b").body["id"], destroyed["id"]);
    EXPECT_EQ(post(x, "/domains/demo/destroy").status, 404);
    const RestAnswer other = post(x, "/domains", {{"config", config_of(x, "second")}}, "\r\nIdempotency-Key: a-key");
    EXPECT_EQ(other.status, 422);
    EXPECT_EQ(other.body["detail"], "Another request had this Idempotency-Key");
    EXPECT_EQ(post(x, "/domains", body, "\r\nIdempotency-Key: a key").status, 400);
    EXPECT_EQ(post(x, "/domains", body, "\r\nIdempotency-Key: " + std::string(201, 'x')).status, 400);
    EXPECT_EQ(rest_get(x, "/jobs").body["jobs"].size(), 2U);
}

TEST(RestJobs, WhoWaitsForAGuestHoldsUpNobody) {
    ListeningXend x;
    fakes::run_demo(x.machine, config::ExitAction::destroy, config::ExitAction::restart, config::ExitAction::destroy);
    const auto wait = [&] { return job_when(x, post(x, "/domains/demo/shutdown", {{"wait", true}}).body, "running"); };
    Json job = wait();
    EXPECT_EQ(job["state"], "running") << job;
    const RestAnswer cancelled = rest_ask(x, "DELETE /api/v1/jobs/" + job["id"].get<std::string>());
    EXPECT_EQ(cancelled.body["state"], "cancelled") << cancelled.text;
    job = wait();
    EXPECT_EQ(changed(x, "/domains/demo/pause")["state"], "succeeded") << "meanwhile";
    EXPECT_EQ(changed(x, "/domains/demo/destroy")["state"], "succeeded");
    EXPECT_EQ(job_when(x, job)["result"], Json({{"ended", "gone"}}));
    fakes::run_demo(x.machine, config::ExitAction::preserve, config::ExitAction::restart, config::ExitAction::destroy);
    job = wait();
    {
        const std::lock_guard guard(x.machine.hypervisor.mutex);
        x.machine.hypervisor.all.back().shutdown = true;
    }
    EXPECT_EQ(job_when(x, job)["result"], Json({{"ended", "poweroff"}}));
}

TEST(RestJobs, AGuestThatDoesNotShutDownIsWaitedForNoLonger) {
    fakes::Machine m;
    fakes::run_demo(m, config::ExitAction::destroy, config::ExitAction::restart, config::ExitAction::destroy);
    xend::rest::Jobs jobs([&] { return m.clock.now; });
    xend::rest::Events events("life", [] {});
    xend::rest::Watch watch(m.manager, m.clock, jobs, events);
    const std::string id = jobs.begin("shutdown", "demo", {})->job.id;
    ASSERT_TRUE(jobs.start(id));
    jobs.idle(id, "the guest was asked");
    EXPECT_FALSE(watch.wanted());
    watch.follow(xend::rest::Following{id, m.manager.find("demo")->ref(), m.clock.now + 300});
    EXPECT_TRUE(watch.wanted());
    m.clock.now += 299;
    watch.look();
    EXPECT_FALSE(jobs.find(id)->over());
    m.clock.now += 1;
    watch.look();
    EXPECT_EQ(job_json(*jobs.find(id))["problem"]["status"], 504);
    EXPECT_FALSE(watch.wanted());
}

/// xend without sockets, over a host that moves domains.
struct Alone {
    fakes::Two two;
    std::unique_ptr<service::EventLoop> loop = service::EventLoop::make().take();
    xend::Dispatcher dispatcher{[](const xend::Request&) { return xend::Reply(); }};
    xend::rest::Server server{two.here.manager, two.here.clock, dispatcher, *loop, [] {}};
    ~Alone() { dispatcher.finish(); }
    Json ask(const std::string& method, const std::string& path, const std::string& body = "") {
        xend::HttpRequest request;
        request.method = method;
        request.get = method == "GET";
        request.target = "/api/v1" + path;
        request.content_type = "application/json";
        request.body = body;
        std::promise<xend::Reply> reply;
        server.handle(request, [&](xend::Reply made) { reply.set_value(std::move(made)); });
        return Json::parse(reply.get_future().get().body);
    }
};

TEST(RestJobs, ADomainOnItsWayComesBack) {
    Alone a;
    std::string job, refused;
    std::promise<void> known;
    a.two.lines.from_source = [&, wait = known.get_future().share()](const fakes::Message& message) -> base::Outcome<> {
        if (!std::holds_alternative<proto::relocation::Offer>(message)) return base::ok;
        wait.wait();
        a.server.changed();
        EXPECT_EQ(a.ask("DELETE", "/jobs/" + job)["message"], "it was told to end");
        return base::ok;
    };
    job = a.ask("POST", "/domains/demo/migrate", R"({"host":"there","live":true})")["id"];
    known.set_value();
    Json now;
    while (!(now = a.ask("GET", "/jobs/" + job)).contains("ended")) std::this_thread::sleep_for(2ms);
    EXPECT_EQ(now["state"], "cancelled") << now;
    a.two.expect_stayed();
}

// xend is killed after it has said 202, or before, or when all is done: whoever asks again with the key learns what came of it.
TEST(RestJobs, AKeyIsKnownToTheNextXend) {
    const fakes::Folder folder;
    const auto now = [] { return int64_t{9}; };
    const auto none = [](const xend::rest::Job&) {};
    const std::string file = (folder.path / "jobs.db").string();
    std::string done, failed, open, gone;
    {
        xend::SqliteJobs journal(file);
        xend::rest::Jobs jobs(now, none, &journal);
        ASSERT_EQ(fakes::text_of(jobs.take_over()), "");
        done = jobs.begin("create", "a\"'", {"k1", "r1"})->job.id;
        failed = jobs.begin("create", "b", {"k2", "r2"})->job.id;
        open = jobs.begin("destroy", "c", {"k3", "r3"})->job.id;
        gone = jobs.begin("pause", "d", {})->job.id;
        EXPECT_TRUE(jobs.start(done) && jobs.start(failed) && jobs.start(open));
        jobs.succeed(done, {{"name", "\xc3\xa4'\""}});
        jobs.fail(failed, {409, "it's taken"});
    }
    xend::SqliteJobs journal(file);
    xend::rest::Jobs jobs(now, none, &journal);
    ASSERT_EQ(fakes::text_of(jobs.take_over()), "");
    const auto again = [&](const std::string& operation, const std::string& key, const std::string& request) {
        const auto begun = jobs.begin(operation, "", {key, request});
        EXPECT_TRUE(begun && begun->again) << key;
        return begun ? job_json(begun->job) : Json();
    };
    EXPECT_EQ(
        again("create", "k1", "r1").dump(),
        R"({"id":")" + done +
            R"(","operation":"create","domain":"a\"'","state":"succeeded","asked":9,"started":9,"ended":9,"result":{"name":")" +
            "\xc3\xa4" + R"('\""}})");
    EXPECT_EQ(again("create", "k2", "r2")["problem"]["detail"], "it's taken");
    const Json interrupted = again("destroy", "k3", "r3");
    EXPECT_EQ(interrupted["id"], open);
    EXPECT_EQ(interrupted["state"], "failed");
    EXPECT_EQ(interrupted["problem"]["detail"],
              "xend ended before this did, and what it had begun is finished or undone by now: look at the domain");
    EXPECT_EQ(fakes::text_of(jobs.begin("create", "", {"k1", "other"})), "Another request had this Idempotency-Key");
    EXPECT_FALSE(jobs.find(gone)) << "nobody can ask for it again";
    // What is forgotten is forgotten for good.
    for (int i = 0; i < 1000; ++i) jobs.succeed(jobs.begin("x", "", {})->job.id, 1);
    xend::rest::Jobs third(now, none, &journal);
    ASSERT_EQ(fakes::text_of(third.take_over()), "");
    EXPECT_TRUE(third.all().empty());
}

TEST(RestJobs, WhatCannotBeNotedIsNotBegun) {
    xend::SqliteJobs journal("/proc/jobs.db");
    xend::rest::Jobs jobs([] { return int64_t{9}; }, [](const xend::rest::Job&) {}, &journal);
    EXPECT_NE(fakes::text_of(jobs.take_over()), "");
    const auto begun = jobs.begin("create", "a", {"k", "r"});
    EXPECT_NE(fakes::text_of(begun).find("/proc/jobs.db"), std::string::npos) << fakes::text_of(begun);
    EXPECT_FALSE(jobs.begun({"k", "r"})) << "it may be asked again";
    EXPECT_TRUE(jobs.begin("create", "a", {})) << "who has no key needs no journal";
}

TEST(RestJobs, AreForgottenInTime) {
    int64_t now = 7;
    xend::rest::Jobs jobs([&] { return now; });
    std::vector<std::string> ids;
    for (int i = 0; i < 500; ++i) ids.push_back(jobs.begin("x", "d", {"k" + std::to_string(i), "r"})->job.id);
    EXPECT_EQ(fakes::text_of(jobs.begin("x", "d", {})), "There are 500 jobs under way already");
    EXPECT_TRUE(jobs.begin("x", "d", {"k3", "r"})->again) << "it is no new one";
    for (size_t i = 1; i < ids.size(); ++i) jobs.succeed(ids[i], 1);
    for (int i = 0; i < 600; ++i) jobs.fail(jobs.begin("x", "d", {})->job.id, {500, "no"});
    EXPECT_EQ(jobs.all().size(), 1001U);
    EXPECT_EQ(jobs.all().front().id, ids[0]) << "it has not ended";
    EXPECT_FALSE(jobs.find(ids[1]));
    EXPECT_FALSE(jobs.begin("x", "d", {"k1", "other"})->again) << "its key is forgotten with it";
    EXPECT_FALSE(jobs.start(ids[499])) << "it has ended";
    EXPECT_TRUE(jobs.start(ids[0]));
}

}  // namespace
