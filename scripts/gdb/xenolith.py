# SPDX-License-Identifier: Apache-2.0
"""gdb's commands for a running Xenolith: domains, vCPUs, frames, the log. `./run --gdb` prints how to attach.

Loaded by `gdb -x scripts/gdb/xenolith.py`; `help xenolith` lists the commands. They only read memory, so they work while the
machine is stopped anywhere: in the hypervisor, in a guest's kernel or its user mode (without page-table isolation, whose
guests do not have the hypervisor's data mapped: continue to an entry then).
"""
import gdb

PAGE_TYPES = ["none", "l1", "l2", "l3", "l4", "segdesc", "writable"]
RUN_STATES = ["running", "runnable", "blocked", "offline"]
PAGE_BITS = {63: "allocated", 62: "hypervisor's", 61: "free", 60: "broken"}
TYPE_BITS = {60: "pinned", 59: "validated", 58: "partial", 57: "leaving"}


def value(expression):
    return gdb.parse_and_eval(expression)


def number(v):
    """A plain number out of an integer, an atomic or one of our strong types."""
    while v.type.strip_typedefs().code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        fields = [f for f in v.type.strip_typedefs().fields() if hasattr(f, "bitpos")]  # not the static ones
        v = v[fields[0]]
    return int(v)


def domains():
    """Every domain in order of id: dom0 is the first of the list."""
    d = value("hv::dom0")
    while int(d) != 0:
        yield d.dereference()
        d = d["next"]


def vcpus(domain):
    for i in range(int(domain["limits"]["max_vcpus"])):
        v = domain["vcpus"][i]
        if int(v) != 0:
            yield v.dereference()


def domain_by_id(text):
    wanted = int(text, 0)
    for d in domains():
        if number(d["id"]) == wanted:
            return d
    raise gdb.GdbError(f"no domain {wanted}: xenolith-domains lists them")


def bits(word, names):
    return " ".join(name for bit, name in names.items() if word >> bit & 1)


class Command(gdb.Command):
    def __init__(self, name):
        super().__init__(name, gdb.COMMAND_DATA)


class Domains(Command):
    """xenolith-domains: id, pages, vCPUs and state of every domain."""

    def invoke(self, argument, from_tty):
        print(f"{'id':>5} {'pages':>9} {'vcpus':>5} {'pauses':>6} {'refs':>6}  state")
        for d in domains():
            state = ["alive", "dying", "dead"][number(d["dying"])]
            if number(d["shut_down"]):
                state += f", shut down with code {number(d['shutdown_code'])}"
            print(f"{number(d['id']):>5} {int(d['tot_pages']):>9} {sum(1 for _ in vcpus(d)):>5} {int(d['pause_count']):>6} "
                  f"{number(d['references']):>6}  {state}")


class Vcpus(Command):
    """xenolith-vcpus [DOMID]: where each vCPU is, its run state, and the registers of those that run nowhere."""

    def invoke(self, argument, from_tty):
        chosen = [domain_by_id(argument)] if argument.strip() else list(domains())
        for d in chosen:
            for v in vcpus(d):
                on = number(v["running_on"])
                place = f"on CPU {on}" if on >= 0 else f"queue of CPU {number(v['cpu'])}"
                state = RUN_STATES[number(v["runstate"]["state_"]) & 3]
                line = f"d{number(d['id'])}v{number(v['id'])} {state}, {place}, pause flags {number(v['pause_flags']):#x}"
                if on < 0:
                    line += f", rip {int(v['regs']['rip']):#x} rsp {int(v['regs']['rsp']):#x}"
                print(line)


class Page(Command):
    """xenolith-page MFN: owner, counts and type of a machine frame."""

    def invoke(self, argument, from_tty):
        mfn = int(value(argument))
        if mfn >= int(value("hv::max_frame")):
            raise gdb.GdbError(f"frame {mfn:#x} is beyond the frame table")
        p = value("hv::frame_table")[mfn]
        count, kind = number(p["count"]), number(p["type"])
        print(f"frame {mfn:#x}: owner {number(p['owner'])}, {count & 0xffffffff} references {bits(count, PAGE_BITS)}")
        print(f"  type {PAGE_TYPES[kind >> 61 & 7]}, {kind & 0xffffffff} users {bits(kind, TYPE_BITS)}, stamp {number(p['stamp'])}")
        print(f"  guest frame {int(value('hv::machine_to_phys')[mfn]):#x}")


class Log(Command):
    """xenolith-log [LINES]: the end of the hypervisor's log, as `xm dmesg` shows it (all of it without LINES)."""

    def invoke(self, argument, from_tty):
        name = "'hv::(anonymous namespace)::{}'"
        size = int(value(name.format("ring_size")))
        start, end = int(value(name.format("ring_start"))), int(value(name.format("ring_end")))
        base = int(value(name.format("ring")))
        memory = gdb.selected_inferior()
        first, length = start % size, (end - start) % 2**32
        text = bytes(memory.read_memory(base + first, min(length, size - first)))
        if length > size - first:
            text += bytes(memory.read_memory(base, length - (size - first)))
        lines = text.decode(errors="replace").splitlines()
        wanted = int(argument) if argument.strip() else len(lines)
        print("\n".join(lines[-wanted:]))


class Help(Command):
    """xenolith: what this script adds: xenolith-domains, xenolith-vcpus [DOMID], xenolith-page MFN, xenolith-log [LINES]."""

    def invoke(self, argument, from_tty):
        for command in (Domains, Vcpus, Page, Log):
            print(command.__doc__)


for command in (Domains, Vcpus, Page, Log):
    command("xenolith-" + command.__name__.lower())
Help("xenolith")
