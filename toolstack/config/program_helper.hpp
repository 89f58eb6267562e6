// SPDX-License-Identifier: Apache-2.0
#pragma once

// Internal to config/: what runs inside python3. It reads {"file", "text", "preset"} from standard input and writes one
// JSON object to descriptor 3: {"variables": [[name, line, column, value], …]} or {"error", "line", "column"}.

namespace config {

inline constexpr char program_helper[] = R"py(
import ast, io, json, os, re, sys, types

class Wrong(Exception):
    pass

request = json.load(sys.stdin)
file, text, preset = request["file"], request["text"], request["preset"]
answers = os.fdopen(3, "w")
sys.stdout = sys.stderr

def answer(**what):
    answers.write(json.dumps(what))
    answers.flush()
    sys.stderr.flush()
    os._exit(0)

space = {"__name__": "__main__", "__file__": file, "xm_file": file, "xm_help": False, "os": os, "sys": sys}
space.update(preset)

class XmVars:
    def __init__(self):
        self.declared = []
    def var(self, name, use="", check=None):
        self.declared.append((name, use, check))
    def check(self):
        for name, use, check in self.declared:
            value = preset.get(name)
            if check is not None:
                try:
                    value = check(name, value)
                except Exception as e:
                    raise Wrong("%s - %s%s" % (name, str(e) or type(e).__name__, " (" + use + ")" if use else ""))
            space[name] = value

space["xm_vars"] = XmVars()

# xen.util.ip: what computes is here, what asks the network is not.
def inet_aton(address):
    parts = [int(p) for p in address.split(".")]
    if len(parts) != 4 or not all(0 <= p < 256 for p in parts):
        raise ValueError("not an IPv4 address: " + address)
    return parts[0] << 24 | parts[1] << 16 | parts[2] << 8 | parts[3]
def inet_ntoa(number):
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
def add_offset_to_ip(address, offset):
    return inet_ntoa(inet_aton(address) + offset & 0xffffffff)
def check_subnet(address, network, mask):
    return inet_aton(address) & inet_aton(mask) == inet_aton(network) & inet_aton(mask)
def no_network(*ignored):
    raise Wrong("configuration files cannot ask the network for its addresses: write them down")
ip = types.ModuleType("xen.util.ip")
for function in (inet_aton, inet_ntoa, add_offset_to_ip, check_subnet):
    setattr(ip, function.__name__, function)
for name in ("get_current_ipaddr", "get_current_ipmask", "get_current_ipgw", "get_defaultroute"):
    setattr(ip, name, no_network)
xen, util = types.ModuleType("xen"), types.ModuleType("xen.util")
xen.util, util.ip, xen.__path__, util.__path__ = util, ip, [], []
sys.modules.update({"xen": xen, "xen.util": util, "xen.util.ip": ip})
space.update({name: getattr(ip, name) for name in dir(ip) if not name.startswith("_")})

def place(error):
    line = 1
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line

try:
    tree = ast.parse(text, file)
    places = {}
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        for target in targets:
            for name in ast.walk(target):
                if isinstance(name, ast.Name):
                    places[name.id] = (node.value.lineno, node.value.col_offset + 1)
    exec(compile(tree, file, "exec"), space)
except SyntaxError as e:
    answer(error=e.msg, line=e.lineno or 1, column=e.offset or 1)
except Wrong as e:
    answer(error=str(e), line=place(e), column=1)
except (Exception, SystemExit, KeyboardInterrupt) as e:
    name = type(e).__name__
    answer(error=name + ": " + str(e) if str(e) else name, line=place(e), column=1)

def plain(value, depth=0):
    if depth > 60:
        return False
    if type(value) in (list, tuple):
        return all(plain(item, depth + 1) for item in value)
    if type(value) is dict:
        return all(plain(item, depth + 1) for pair in value.items() for item in pair)
    return value is None or type(value) in (str, int, float, bool)

def typed(value):
    if type(value) is tuple:
        return {"t": [typed(item) for item in value]}
    if type(value) is list:
        return [typed(item) for item in value]
    if type(value) is dict:
        return {"d": [[typed(key), typed(item)] for key, item in value.items()]}
    if type(value) in (int, float) and not -2 ** 63 <= value < 2 ** 63:
        raise Wrong("the number %s is too large" % str(value)[:40])
    return value

names = [name for name in space if not name.startswith("_") and name not in ("xm_file", "xm_help", "xm_vars")]
# What gave lists in Python 2.
def listed(value):
    lists = (map, filter, zip, range, type({}.keys()), type({}.values()), type({}.items()))
    return list(value) if isinstance(value, lists) else value

variables = []
for name in names:
    line, column = places.get(name, (1, 1))
    try:
        value = listed(space[name])
        if plain(value):
            variables.append([name, line, column, typed(value)])
        elif name in places:
            variables.append([name, line, column, {"x": type(value).__name__}])
    except Wrong as e:
        answer(error=str(e), line=line, column=column)
answer(variables=variables)
)py";

}  // namespace config
