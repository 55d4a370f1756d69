#!/usr/bin/env python3
"""Counts 1,000 likes through three Tally nodes, and sees the same total on each of them.

A client needs nothing from Tally but the schemas in proto/: this program makes its stubs from
them when it starts, and uses each of the three ways to add once.

    Add        100 likes, one call each                      first node
    BatchAdd   400 likes, 4 calls of 100 items               second node
    Ingest     500 likes, one stream, 5 messages of 100      third node

It then asks every node. It ends with 0 if each of them says 1000, and with 1 otherwise.

What it leaves out: retries. An add whose answer got lost may have counted, so asking again could
count it twice; this program stops instead. retry.py asks again.
"""

import argparse
import sys
import tempfile
import time
import uuid

import grpc

from stubs import Stubs

ADD_CALLS = 100
BATCHES, BATCH_ITEMS = 4, 100
MESSAGES, MESSAGE_LIKES = 5, 100
EXPECTED = ADD_CALLS + BATCHES * BATCH_ITEMS + MESSAGES * MESSAGE_LIKES

# No call may take longer, in seconds. A healthy node answers in milliseconds.
CALL_TIMEOUT_S = 10
# The nodes must agree within this time, in seconds. They need about one network trip.
AGREEMENT_TIMEOUT_S = 30
# Between two looks at a node that does not know everything yet, in seconds.
POLL_INTERVAL_S = 0.02
# Before the nodes are asked once more, in seconds: long enough for a like that would be counted
# twice to show.
SETTLING_S = 0.5


def add_one_by_one(v1, node, counter):
    """One like a call. The last answer's token stands for that node's adds up to it."""
    for _ in range(ADD_CALLS):
        request = v1.AddRequest(counter=counter, amount=1)
        answer = node.Add(request, timeout=CALL_TIMEOUT_S)
    return answer.token


def add_in_batches(v1, node, counter):
    """Several likes a call, all or none of them."""
    item = v1.BatchAddItem(counter=counter, amount=1)
    for _ in range(BATCHES):
        request = v1.BatchAddRequest(items=[item] * BATCH_ITEMS)
        answer = node.BatchAdd(request, timeout=CALL_TIMEOUT_S)
    return answer.token


def add_by_stream(v1, node, counter):
    """A stream of messages; every like is one entry in them.

    The first message introduces the counter's name. It is the stream's first name, so from then on
    it is the number 0.
    """

    def messages():
        for sequence in range(1, MESSAGES + 1):
            yield v1.IngestRequest(
                sequence=sequence,
                introduced=[counter] if sequence == 1 else [],
                counters=[0] * MESSAGE_LIKES,
            )

    acknowledged = 0
    for answer in node.Ingest(messages(), timeout=CALL_TIMEOUT_S):
        acknowledged = answer.acknowledged_sequence
    # The node ends the stream after its last acknowledgement. What is not acknowledged by then
    # may not be on its disk.
    if acknowledged != MESSAGES:
        sys.exit(f"Ingest: {acknowledged} messages were acknowledged, expected {MESSAGES}")


def read(v1, node, counter, tokens):
    """The counter's value on a node, once it knows of every add behind the tokens."""
    for token in tokens:
        request = v1.GetRequest(counter=counter, token=token)
        answer = node.Get(request, timeout=CALL_TIMEOUT_S)
    return answer.counter.value


def wait_for_total(v1, node, counter, tokens):
    """Waits for the stream's likes too, which have no token, or until it has taken too long."""
    deadline = time.monotonic() + AGREEMENT_TIMEOUT_S
    while read(v1, node, counter, tokens) < EXPECTED and time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL_S)


def timed(label, address, function, *arguments):
    """Calls the function and prints how long it took."""
    start = time.monotonic()
    result = function(*arguments)
    print(f"  {label:<36} {address:<21} {time.monotonic() - start:6.3f} s")
    return result


def count(v1, stub, addresses):
    """Adds through all nodes and asks all of them. Returns whether all say the same and right."""
    channels = [grpc.insecure_channel(address) for address in addresses]
    nodes = [stub(channel) for channel in channels]
    # A name of its own, so that the total is this run's alone.
    counter = f"python-{uuid.uuid4().hex}"
    print(f"{counter}: adding {EXPECTED} likes")

    first, second, third = zip(nodes, addresses)
    tokens = [
        timed(f"Add, {ADD_CALLS} calls", first[1], add_one_by_one, v1, first[0], counter),
        timed(
            f"BatchAdd, {BATCHES} calls of {BATCH_ITEMS}",
            second[1], add_in_batches, v1, second[0], counter,
        ),
    ]
    timed(
        f"Ingest, {MESSAGES} messages of {MESSAGE_LIKES}",
        third[1], add_by_stream, v1, third[0], counter,
    )

    print("asking every node")
    for node in nodes:
        wait_for_total(v1, node, counter, tokens)
    time.sleep(SETTLING_S)
    is_right = True
    for node, address in zip(nodes, addresses):
        value = read(v1, node, counter, tokens)
        is_right = is_right and value == EXPECTED
        verdict = "exact" if value == EXPECTED else f"WRONG, expected {EXPECTED}"
        print(f"  {address:<21} {value:>6}  {verdict}")
    for channel in channels:
        channel.close()
    return is_right


def main():
    """Parses the command line, counts, and exits non-zero if anything is not as it should be."""
    parser = argparse.ArgumentParser(
        description="Count 1,000 likes through three Tally nodes and check the total on each."
    )
    parser.add_argument(
        "--node", action="append", required=True, metavar="HOST:PORT", help="give it three times"
    )
    addresses = parser.parse_args().node
    if len(addresses) != 3:
        parser.error(f"--node was given {len(addresses)} times, expected 3")
    with tempfile.TemporaryDirectory(prefix="tally-stubs-") as directory:
        stubs = Stubs(directory)
        try:
            is_right = count(stubs.counters, stubs.CounterService, addresses)
        except grpc.RpcError as error:
            sys.exit(f"a node refused or did not answer: {error.code().name}: {error.details()}")
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
