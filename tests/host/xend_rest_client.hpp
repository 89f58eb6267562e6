// SPDX-License-Identifier: Apache-2.0
#pragma once

// A client of /api/v1 that believes no answer: each is held against the table's schema.

#include "toolstack/xend/rest/problem.hpp"
#include "xend_api_server.hpp"

namespace fakes {

struct RestAnswer {
    int status = 0;
    std::string head, text;
    xend::rest::Json body;
    std::string field(const std::string& name) const {
        const size_t at = head.find("\r\n" + name + ": ");
        if (at == std::string::npos) return {};
        const size_t begin = at + 4 + name.size();
        return head.substr(begin, head.find("\r\n", begin) - begin);
    }
    std::string etag() const { return field("ETag"); }
};

/// `head`: the first line without the version, and fields.
inline RestAnswer rest_ask(const ListeningXend& x, const std::string& head, const std::string& body = "") {
    const size_t end = std::min(head.find("\r\n"), head.size());
    const std::string first = head.substr(0, end);
    const HttpAnswer in = x.ask(first + " HTTP/1.1" + head.substr(end), body);
    RestAnswer out{in.status, in.head, in.body, xend::rest::Json::parse(in.body, nullptr, false)};
    if (first.starts_with("HEAD ")) return out;
    const std::string method = first.substr(0, first.find(' ')), target = first.substr(first.find(' ') + 1);
    const std::string path = target.substr(0, target.find('?'));
    xend::rest::JsonFault fault;
    if (in.status >= 400) {
        EXPECT_TRUE(conforms(xend::rest::problem_schema, out.body, fault)) << first << fault.at << fault.text << in.body;
        return out;
    }
    const auto found = xend::rest::find_route(method, path.substr(std::string_view(xend::rest::root).size()));
    EXPECT_TRUE(found && found->route != nullptr) << first;
    if (!found || found->route == nullptr || found->route->answer == nullptr) return out;
    EXPECT_TRUE(conforms(*found->route->answer, out.body, fault)) << first << " " << fault.at << ": " << fault.text << in.body;
    return out;
}

inline RestAnswer rest_get(const ListeningXend& x, const std::string& path) { return rest_ask(x, "GET /api/v1" + path); }

/// Python's validator of JSON Schema over the description and answers: "ok", or what it finds.
inline std::string validate_answers(const ListeningXend& x, const xend::rest::Json& answers) {
    constexpr const char* script = R"(
import json, re, sys
from jsonschema import Draft202012Validator
doc, answers = json.load(open(sys.argv[1])), json.load(open(sys.argv[2]))
assert re.fullmatch(r'3\.1\.\d+', doc['openapi']) and doc['info']['title'] and doc['info']['version']
operations = set()
def resolve(thing):
    while '$ref' in thing:
        at = doc
        for step in thing['$ref'].removeprefix('#/').split('/'):
            at = at[step]
        thing = at
    return thing
def validator(schema):
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator({**schema, 'components': doc['components']})
for schema in doc['components']['schemas'].values():
    validator(schema)
for path, methods in doc['paths'].items():
    for method, operation in methods.items():
        assert method in ('get', 'post', 'delete'), method
        assert operation['operationId'] not in operations, operation['operationId']
        operations.add(operation['operationId'])
        named = {p['name'] for p in operation.get('parameters', []) if p['in'] == 'path'}
        assert named == set(re.findall(r'\{(\w+)\}', path)), path
        for p in operation.get('parameters', []):
            validator(p['schema'])
        for body in [operation.get('requestBody', {})] + [resolve(r) for r in operation['responses'].values()]:
            for content in body.get('content', {}).values():
                validator(content['schema'])
for answer in answers:
    operation = doc['paths'][answer['path']][answer.get('method', 'get')]
    response = operation['responses'].get(str(answer['status'])) or operation['responses']['default']
    content, = resolve(response)['content'].values()
    for error in validator(content['schema']).iter_errors(answer['body']):
        print(answer['path'], list(error.path), error.message)
        sys.exit(1)
print('ok')
)";
    const std::string program = x.machine.folder.file("validate.py", script);
    const std::string file = x.machine.folder.file("answers.json", answers.dump());
    const std::string arguments = " " + program + " " XENOLITH_SOURCE_DIR "/docs/openapi.json " + file + " 2>&1";
    for (const char* python : {"/usr/bin/python3", "python3"}) {
        const std::string probe = std::string(python) + " -c 'import jsonschema' 2>/dev/null";
        if (std::system(probe.c_str()) != 0) continue;
        FILE* const pipe = ::popen((python + arguments).c_str(), "r");
        std::string out;
        char part[4096];
        for (size_t n = 0; (n = std::fread(part, 1, sizeof part, pipe)) > 0;) out.append(part, n);
        ::pclose(pipe);
        return out;
    }
    return "python3-jsonschema is not installed\n";
}

}  // namespace fakes
