#!/usr/bin/env python3
"""Checks whether a client program keeps the rules of proto/README.md.

It starts a proxy in front of each node, which loses answers, doubles requests and delays them, and for a
while lets nothing pass to one of them. Then it runs your program against the proxies, reads every request
that passes, and compares it with the rules:

    python3 conformance.py --node HOST:PORT --node HOST:PORT --node HOST:PORT -- PROGRAM [ARGUMENT ...]

`{nodes}` in the arguments becomes the proxies' addresses, with commas between them. Let the program add for
some seconds, several requests at a time, and end with 0 when every add was answered.

It ends with 0 when no rule was broken and something was checked. What it cannot see: whether your program
tells its caller the truth, and how it restarts.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time

from proxy import ADDS, INGEST, Proxy, Watcher
from stubs import Stubs

WINDOW = 1024
# The first node is deaf from the first of these times to the second, in seconds.
DEAF_S = (1.5, 3.5)
# What was on its way to a home when it was given up may arrive for so long, in seconds.
GRACE_S = 1
# Rules that were broken are printed up to this many times.
SHOWN_MAX = 20


class Session:
    """What was seen of one session."""

    def __init__(self, home):
        self.home = home
        self.adds = {}  # by number: what the request adds
        self.at_home = set()
        self.moved = set()
        self.answered = set()
        self.stopped_at = None  # `answered_below` of the first moved request, and when it came
        self.stopped_since = 0
        self.highest_below = 0


class Rules(Watcher):
    """The rules, over all proxies."""

    def __init__(self, stubs):
        self.stubs = stubs
        self.lock = threading.Lock()
        self.sessions = {}
        self.broken = []
        self.requests = self.again = self.moves = self.plain = 0

    def at(self, node):
        """The watcher of one proxy."""
        return _AtNode(self, node)

    def breaks(self, rule, what):
        """Notes that a rule was broken."""
        self.broken.append(f"rule {rule}: {what}")

    def opened(self, node, session):
        """A session was opened, and the client knows it."""
        self.sessions.setdefault(session, Session(node))

    def closed(self, node, request):
        """A session is to be closed."""
        session = self.sessions.get(request.session)
        if session is None:
            return self.breaks(9, "a session is closed that was not opened here")
        if session.home != node:
            self.breaks(9, "a session is closed at a node that is not its home")
        if request.all_is_answered and session.moved:
            self.breaks(9, "all_is_answered, although requests were moved")

    def request(self, node, head, adds):
        """A request arrived; the session and number that its answer is for."""
        if not head.number and not head.session:
            self.plain += 1
            return None
        session = self.sessions.get(head.session)
        if session is None:
            return self.breaks(1, "a request of a session that was not opened here")
        number, below = head.number, max(head.answered_below, 1)
        what = f"request {number}"
        self.requests += 1
        self.again += number in session.adds
        self.moves += head.moved
        if number == 0:
            self.breaks(2, "a request has number 0")
        if session.adds.setdefault(number, adds) != adds:
            self.breaks(3, f"{what} was sent with other adds than before")
        if not below <= number < below + WINDOW:
            self.breaks(4, f"{what} with answered_below {below} is outside of the window")
        open_below = [it for it in session.adds if it < below and it in session.moved]
        if any(it not in session.answered for it in open_below):
            self.breaks(4, f"answered_below {below} passes a moved request without an answer")
        if head.moved == (node == session.home):
            self.breaks(6, f"{what} has moved={head.moved} {'at' if head.moved else 'away from'} home")
        is_stopped = session.stopped_at is not None
        if is_stopped and below > session.stopped_at:
            self.breaks(6, f"answered_below rose to {below} after the first move")
        is_late = is_stopped and time.monotonic() - session.stopped_since > GRACE_S
        if is_late and not head.moved and number not in session.at_home | session.moved:
            self.breaks(6, f"{what} is new at a home that was given up")
        if head.moved:
            session.moved.add(number)
            if session.stopped_at is None:
                session.stopped_at = max(below, session.highest_below)
                session.stopped_since = time.monotonic()
        else:
            session.at_home.add(number)
            session.highest_below = max(below, session.highest_below)
        return session, number


class _AtNode(Watcher):
    """Parses what passes one proxy."""

    def __init__(self, rules, node):
        self.rules, self.node = rules, node
        self.names, self.session = {}, {}

    def asked(self, method, request):
        counters, sessions = self.rules.stubs.counters, self.rules.stubs.sessions
        with self.rules.lock:
            if method == ADDS[0]:
                add = counters.AddRequest.FromString(request)
                return self.rules.request(self.node, add.request, [(add.counter, add.amount)])
            if method == ADDS[1]:
                batch = counters.BatchAddRequest.FromString(request)
                adds = [(item.counter, item.amount) for item in batch.items]
                return self.rules.request(self.node, batch.request, adds)
            if method == INGEST:
                return self.message(counters.IngestRequest.FromString(request))
            if method.endswith("/CloseSession"):
                self.rules.closed(self.node, sessions.CloseSessionRequest.FromString(request))
            return sessions.OpenSessionResponse if method.endswith("/OpenSession") else None

    def message(self, message):
        """One message of a stream. Streams have dictionaries of their own."""
        thread = threading.get_ident()
        if message.sequence == 1:
            self.names[thread], self.session[thread] = [], b""
        names = self.names.setdefault(thread, [])
        names.extend(message.introduced)
        if not message.HasField("request"):
            self.rules.plain += bool(message.counters)
            return None
        head = message.request
        head.session = head.session or self.session.get(thread, b"")
        self.session[thread] = head.session
        amounts = message.amounts or [1] * len(message.counters)
        adds = [(names[index], amount) for index, amount in zip(message.counters, amounts)]
        return message.sequence, self.rules.request(self.node, head, adds)

    def answered(self, seen, answer, error):
        with self.rules.lock:
            if isinstance(seen, list) and answer is not None:
                response = self.rules.stubs.counters.IngestResponse.FromString(answer)
                for entry in filter(None, list(seen)):
                    if entry[1] and entry[0] <= response.acknowledged_sequence:
                        entry[1][0].answered.add(entry[1][1])
            elif isinstance(seen, tuple) and answer is not None:
                seen[0].answered.add(seen[1])
            elif isinstance(seen, type) and answer is not None:
                self.rules.opened(self.node, seen.FromString(answer).session)


def deafen(proxy, stop):
    """Lets nothing pass to a node for a while."""
    if not stop.wait(DEAF_S[0]):
        proxy.is_deaf = True
        stop.wait(DEAF_S[1] - DEAF_S[0])
        proxy.is_deaf = False


def main():
    """Parses the command line, runs the program, and exits non-zero when a rule was broken."""
    parser = argparse.ArgumentParser(description="Check whether a client keeps the rules.")
    parser.add_argument(
        "--node", action="append", required=True, metavar="HOST:PORT", help="give it at least twice")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--timeout", type=float, default=120, help="of the program, in seconds")
    parser.add_argument("program", nargs="+", help="and its arguments, after --")
    arguments = parser.parse_args()
    if len(arguments.node) < 2:
        parser.error("--node was given once; a request cannot be moved with one node")
    with tempfile.TemporaryDirectory(prefix="tally-stubs-") as directory:
        rules = Rules(Stubs(directory))
        proxies = [Proxy(node, arguments.seed + place, rules.at(place))
                   for place, node in enumerate(arguments.node)]
        nodes = ",".join(proxy.address for proxy in proxies)
        program = [word.replace("{nodes}", nodes) for word in arguments.program]
        stop = threading.Event()
        threading.Thread(target=deafen, args=(proxies[0], stop), daemon=True).start()
        began = time.monotonic()
        try:
            code = subprocess.run(program, timeout=arguments.timeout, check=False).returncode
        except subprocess.TimeoutExpired:
            sys.exit(f"{program[0]} did not end within {arguments.timeout:.0f} s")
        stop.set()
        for proxy in proxies:
            proxy.stop()
    print(f"{rules.requests} requests in {len(rules.sessions)} sessions, {rules.again} of them sent again, "
          f"{rules.moves} moved, in {time.monotonic() - began:.1f} s; {rules.plain} adds without a request")
    for broken in rules.broken[:SHOWN_MAX]:
        print(f"  {broken}")
    if len(rules.broken) > SHOWN_MAX:
        print(f"  and {len(rules.broken) - SHOWN_MAX} more")
    if code != 0:
        print(f"  the program ended with {code}, expected 0")
    if not rules.again or not rules.moves:
        print("  nothing was sent again, or nothing was moved: let the program add for some seconds")
    is_kept = not rules.broken and code == 0 and rules.again and rules.moves
    print("the rules are kept" if is_kept else "NOT CONFORMING")
    sys.exit(0 if is_kept else 1)


if __name__ == "__main__":
    main()
