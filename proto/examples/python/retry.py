#!/usr/bin/env python3
"""Adds through a bad network, over three nodes that may be killed, and counts each add exactly once.

Between this client and each node stands a proxy that loses one answer in three, sends requests twice,
and delays them. The client keeps the rules of proto/README.md, and nothing else: it retries at the home of
its session, moves what is unanswered when it gives up on the home, and goes on in a new session. In the end
every node must say exactly what was added.

Whoever starts it may kill and restart the nodes meanwhile.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
import uuid

import grpc
from google.rpc import error_details_pb2, status_pb2

from proxy import Proxy
from stubs import Stubs

# Threads that add at the same time, all in one session.
WORKERS = 8
# An attempt is given up after this time, and an add as a whole after that, in seconds.
ATTEMPT_S = 1
DEADLINE_S = 40
# The most that may be under way at a time: the schema's window.
WINDOW = 1024
AGREEMENT_TIMEOUT_S = 30
# After these a refusal by the home is the last word (rule 8); here nothing of the kind is provoked.
FINAL = {"VALUE_OUT_OF_RANGE", "COUNTERS_EXHAUSTED", "REQUEST_REFUSED"}


class Lost(Exception):
    """The outcome of an add is unknown."""


def reason_of(error):
    """The tally.v1 reason of an error, or None where no node gave one."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info) and info.domain == "tally.v1":
                    return info.reason
    return None


class Session:
    """The books of one session: rules 2, 4 and 6."""

    def __init__(self, home, opaque):
        self.home, self.opaque = home, opaque
        self.lock = threading.Lock()
        self.next, self.unanswered, self.stopped_at = 1, set(), None

    def number(self):
        """A new number, or None when the session takes nothing new."""
        with self.lock:
            if self.stopped_at is not None or self.next - self.lowest() >= WINDOW:
                return None
            self.unanswered.add(self.next)
            self.next += 1
            return self.next - 1

    def lowest(self):
        """`answered_below`."""
        return self.stopped_at or min(self.unanswered, default=self.next)

    def head(self, stubs, number, node):
        """What the request says of itself on its way to this node."""
        with self.lock:
            return stubs.sessions.RequestHead(
                session=self.opaque, number=number, answered_below=self.lowest(),
                moved=node != self.home)

    def answered(self, number):
        with self.lock:
            self.unanswered.discard(number)

    def give_up(self):
        with self.lock:
            self.stopped_at = self.lowest()

    @property
    def is_given_up(self):
        return self.stopped_at is not None


class Client:
    """Adds that count once."""

    def __init__(self, stubs, addresses):
        self.stubs = stubs
        channels = [grpc.insecure_channel(address) for address in addresses]
        self.nodes = [stubs.CounterService(channel) for channel in channels]
        self.openers = [stubs.SessionService(channel) for channel in channels]
        self.lock = threading.Lock()
        self.session = None
        self.sessions = self.retries = self.moves = 0

    def open_session(self):
        """The present session, or a new one at whichever node opens it: rule 1."""
        with self.lock:
            deadline = time.monotonic() + DEADLINE_S
            while self.session is None or self.session.is_given_up:
                node = random.randrange(len(self.nodes))
                request = self.stubs.sessions.OpenSessionRequest()
                try:
                    answer = self.openers[node].OpenSession(request, timeout=ATTEMPT_S)
                    self.session = Session(node, answer.session)
                    self.sessions += 1
                except grpc.RpcError as error:
                    if time.monotonic() > deadline:
                        raise Lost(f"no session: {error.details()}") from error
                    time.sleep(0.05)  # nothing has changed: another node
            return self.session

    def add(self, counter, amount):
        """Adds once, or raises Lost."""
        number = None
        while number is None:
            session = self.open_session()
            number = session.number()
        node, attempts, deadline = session.home, 0, time.monotonic() + DEADLINE_S
        while True:
            head = session.head(self.stubs, number, node)
            request = self.stubs.counters.AddRequest(counter=counter, amount=amount, request=head)
            try:
                self.nodes[node].Add(request, timeout=ATTEMPT_S)
                return session.answered(number)  # rule 7
            except grpc.RpcError as error:
                reason = reason_of(error)
                if reason in FINAL and not head.moved and attempts == 0:
                    session.answered(number)
                    raise
            if time.monotonic() > deadline:
                raise Lost(f"request {number} of a session of node {session.home}: {reason}")
            attempts += 1
            self.retries += 1
            if not session.is_given_up and attempts < 4 and reason is None:
                continue  # rule 5: the home, at once
            if not session.is_given_up:
                session.give_up()  # rule 6
            others = [other for other in range(len(self.nodes)) if other != session.home]
            node = random.choice(others)
            self.moves += 1
            time.sleep(0.02 * random.random())

    def close(self):
        """Rule 9. Sessions that were given up are left to their homes."""
        session = self.session
        if session and not session.is_given_up and not session.unanswered:
            request = self.stubs.sessions.CloseSessionRequest(
                session=session.opaque, all_is_answered=True)
            self.openers[session.home].CloseSession(request, timeout=ATTEMPT_S)


def add_for(client, counter, seconds, total, failures):
    """One worker: adds until the time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        amount = random.choice([1, 2, 3, -1])
        try:
            client.add(counter, amount)
        except (Lost, grpc.RpcError) as error:
            failures.append(str(error))
            return
        with client.lock:
            total.append(amount)


def read(stubs, address, counter):
    """A node's value, or None while it cannot say."""
    with grpc.insecure_channel(address) as channel:
        request = stubs.counters.GetRequest(counter=counter)
        try:
            return stubs.CounterService(channel).Get(request, timeout=ATTEMPT_S).counter.value
        except grpc.RpcError:
            return None


def agree(stubs, addresses, counter, expected):
    """Waits until every node says what was added, and looks again after late copies have arrived."""
    deadline = time.monotonic() + AGREEMENT_TIMEOUT_S
    values = [None]
    while values != [expected] * len(addresses) and time.monotonic() < deadline:
        values = [read(stubs, address, counter) for address in addresses]
        time.sleep(0.1)
    time.sleep(1.5)
    return [read(stubs, address, counter) for address in addresses]


def main():
    """Parses the command line, adds, and exits non-zero unless every add counts exactly once."""
    parser = argparse.ArgumentParser(description="Add through a bad network, each add exactly once.")
    parser.add_argument(
        "--node", action="append", required=True, metavar="HOST:PORT", help="give it three times")
    parser.add_argument("--seconds", type=float, default=10, help="how long to add")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tally-stubs-") as directory:
        stubs = Stubs(directory)
        proxies = [Proxy(node, arguments.seed + i) for i, node in enumerate(arguments.node)]
        client = Client(stubs, [proxy.address for proxy in proxies])
        counter = f"python-retry-{uuid.uuid4().hex}"
        total, failures = [], []
        worker = (client, counter, arguments.seconds, total, failures)
        workers = [threading.Thread(target=add_for, args=worker) for _ in range(WORKERS)]
        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join()
        if not failures:
            client.close()
        lost, doubled = sum(p.lost for p in proxies), sum(p.doubled for p in proxies)
        print(f"{len(total)} adds in {client.sessions} sessions: {lost} answers lost, "
              f"{doubled} requests doubled, {client.retries} retries, {client.moves} moves")
        values = agree(stubs, arguments.node, counter, sum(total))
        for proxy in proxies:
            proxy.stop()
    for address, value in zip(arguments.node, values):
        verdict = "exact" if value == sum(total) else f"WRONG, expected {sum(total)}"
        print(f"  {address:<21} {value}  {verdict}")
    for failure in failures:
        print(f"  an add is in doubt: {failure}")
    sys.exit(0 if not failures and values == [sum(total)] * len(values) else 1)


if __name__ == "__main__":
    main()
