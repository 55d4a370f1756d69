"""A proxy in front of one node that loses answers, doubles requests and delays them.

It passes gRPC calls on as bytes and knows nothing of what they mean; whoever starts it may watch them.
"""

import concurrent.futures
import random
import threading
import time

import grpc

# Calls that a node may take twice without harm to anybody but a client that breaks the rules.
ADDS = ("/tally.v1.CounterService/Add", "/tally.v1.CounterService/BatchAdd")
INGEST = "/tally.v1.CounterService/Ingest"
# How long a call may take behind the proxy, in seconds.
CALL_TIMEOUT_S = 5
# The longest delay of a request, and of its copy, in seconds.
DELAY_S_MAX = 0.05
COPY_DELAY_S_MAX = 1.0


class Watcher:
    """Sees what passes. Each call has a place for it in the order in which calls arrived."""

    def asked(self, method, request):
        """A request arrived from the client; what is returned is given to `answered`."""

    def answered(self, seen, answer, error):
        """The client is told this answer, or this error."""


class Proxy:
    """Listens on a port of its own, and passes calls on to a node."""

    def __init__(self, node, seed, watcher=None, losses=1 / 3, doubles=1 / 5, delays=1 / 3):
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.watcher = watcher or Watcher()
        self.losses, self.doubles, self.delays = losses, doubles, delays
        self.lost = self.doubled = self.delayed = 0
        self.is_deaf = False
        # A node that was killed is looked for again at once: its channel must not back off.
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
        self.channel = grpc.insecure_channel(node, options=options)
        workers = concurrent.futures.ThreadPoolExecutor(max_workers=64)
        self.server = grpc.server(workers, handlers=[_Handler(self)])
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def stop(self):
        """Ends all calls."""
        self.server.stop(None)
        self.channel.close()

    def happens(self, probability):
        """Whether a fault happens now."""
        with self.lock:
            return self.random.random() < probability

    def forward(self, method, request):
        """One unary call to the node, as bytes."""
        return self.channel.unary_unary(method)(request, timeout=CALL_TIMEOUT_S)

    def unary(self, method, request, context):
        """Passes a call on, with what goes wrong on the way."""
        seen = self.watcher.asked(method, request)
        is_add = method in ADDS
        if self.is_deaf:
            self.fail(seen, context, grpc.StatusCode.UNAVAILABLE, "nothing passes")
        if is_add and self.happens(self.delays):
            self.delayed += 1
            time.sleep(DELAY_S_MAX * random.random())
        if is_add and self.happens(self.doubles):
            self.doubled += 1
            copy = threading.Timer(COPY_DELAY_S_MAX * random.random(), self.copy, (method, request))
            copy.daemon = True
            copy.start()
        try:
            answer = self.forward(method, request)
        except grpc.RpcError as error:
            self.watcher.answered(seen, None, error)
            context.set_trailing_metadata(error.trailing_metadata() or ())
            context.abort(error.code(), error.details())
        if is_add and self.happens(self.losses):
            self.lost += 1
            self.fail(seen, context, grpc.StatusCode.UNAVAILABLE, "the answer got lost")
        self.watcher.answered(seen, answer, None)
        return answer

    def copy(self, method, request):
        """A late copy of a request; nobody waits for its answer."""
        try:
            self.forward(method, request)
        except (grpc.RpcError, ValueError):
            pass  # the node is down, or the proxy was stopped

    def fail(self, seen, context, code, details):
        """The call ends without the node's word."""
        self.watcher.answered(seen, None, None)
        context.abort(code, details)

    def ingest(self, method, requests, context):
        """Passes a stream on. An answer that is lost takes the stream with it."""
        seen = []

        def watched():
            for request in requests:
                seen.append(self.watcher.asked(method, request))
                yield request

        if self.is_deaf:
            context.abort(grpc.StatusCode.UNAVAILABLE, "nothing passes")
        try:
            for answer in self.channel.stream_stream(method)(watched()):
                if self.happens(self.losses / 10):
                    self.lost += 1
                    context.abort(grpc.StatusCode.UNAVAILABLE, "the answer got lost")
                self.watcher.answered(seen, answer, None)
                yield answer
        except grpc.RpcError as error:
            context.set_trailing_metadata(error.trailing_metadata() or ())
            context.abort(error.code(), error.details())


class _Handler(grpc.GenericRpcHandler):
    """Takes every method as bytes."""

    def __init__(self, proxy):
        self.proxy = proxy

    def service(self, details):
        method = details.method
        if method == INGEST:
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, context: self.proxy.ingest(method, requests, context))
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.proxy.unary(method, request, context))
