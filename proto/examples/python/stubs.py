"""Makes the stubs of tally.v1 from the schemas, when a program starts."""

import importlib
import pathlib
import sys

from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2]
SCHEMAS = ["counter_service", "session_service", "error_reason"]


class Stubs:
    """The messages and services of the schemas that counting needs."""

    def __init__(self, directory):
        arguments = ["protoc", f"--proto_path={PROTO}", f"--python_out={directory}",
                     f"--grpc_python_out={directory}"]
        arguments += [f"tally/v1/{schema}.proto" for schema in SCHEMAS]
        if protoc.main(arguments) != 0:
            sys.exit(f"cannot make stubs from {PROTO}/tally/v1; the reason is above")
        sys.path.insert(0, str(directory))
        load = lambda name: importlib.import_module(f"tally.v1.{name}")
        self.counters = load("counter_service_pb2")
        self.sessions = load("session_service_pb2")
        self.CounterService = load("counter_service_pb2_grpc").CounterServiceStub
        self.SessionService = load("session_service_pb2_grpc").SessionServiceStub
