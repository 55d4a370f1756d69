//! The four protocols of `lock_core` behind the methods that the world expects.
//!
//! Calls only: a request that the real machine refuses as a breach of the protocol ends the
//! search with a panic, because these worlds send none.

use lock_core::lease::{self, LeaseReply, LeaseRequest, LeaseServer, Millis};
use lock_core::lock::{self, LockServer, ValueTravels};
use lock_core::register::{self, Fencing, Register};
use lock_core::{Add, ContenderId, Effect, Value, database, naive};

use super::{BEGIN, Protocol};

/// Read, add, write, and no word to the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Naive;

/// One message that says "add".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Database;

/// One server at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lock(pub ValueTravels);

/// A lock that expires, and a register that may look at its tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease(pub Fencing);

const SENT_BY_CONTENDERS: &str = "contenders keep the protocol";
const SENT_BY_THE_SERVER: &str = "the server answers what was asked";

/// A read, with what it finds where that is known.
pub(super) fn reads(value: Option<i64>) -> String {
    value.map_or_else(|| "reads".to_owned(), |value| format!("reads {value}"))
}

fn describe_register(request: register::Request, value_before: Option<i64>) -> String {
    match request {
        register::Request::Read { .. } => reads(value_before),
        register::Request::Write { value, .. } => format!("writes {}", value.0),
        register::Request::Increment { amount } => format!("adds {} in place", amount.get()),
    }
}

fn describe_register_reply(reply: register::Reply) -> String {
    match reply {
        register::Reply::Value(value) => format!("learns that it is {}", value.0),
        register::Reply::Written | register::Reply::Incremented => {
            "acknowledges its add".to_owned()
        }
        register::Reply::StaleToken { .. } => "is refused: its lease is over".to_owned(),
        register::Reply::OutOfRange => "is refused: out of range".to_owned(),
    }
}

impl Protocol for Naive {
    type Contender = naive::Contender;
    type Server = Register;
    type Request = register::Request;
    type Reply = register::Reply;

    fn contender(&self) -> Self::Contender {
        naive::Contender::default()
    }

    fn server(&self) -> Register {
        Register::new(Fencing::None, Value(BEGIN))
    }

    fn start(contender: &mut Self::Contender, add: Add) -> Vec<Effect<Self::Request>> {
        contender.start(add)
    }

    fn receive(contender: &mut Self::Contender, reply: Self::Reply) -> Vec<Effect<Self::Request>> {
        contender.receive(reply).expect(SENT_BY_THE_SERVER)
    }

    fn serve(
        server: &mut Register,
        from: ContenderId,
        request: Self::Request,
    ) -> Vec<(ContenderId, Self::Reply)> {
        vec![(from, server.receive(request))]
    }

    fn expire(_server: &mut Register) -> Option<Vec<(ContenderId, Self::Reply)>> {
        None
    }

    fn value(server: &Register) -> i64 {
        server.value().0
    }

    fn describe_request(request: Self::Request, value_before: Option<i64>) -> String {
        describe_register(request, value_before)
    }

    fn describe_reply(reply: Self::Reply) -> String {
        describe_register_reply(reply)
    }
}

impl Protocol for Database {
    type Contender = database::Contender;
    type Server = Register;
    type Request = register::Request;
    type Reply = register::Reply;

    fn contender(&self) -> Self::Contender {
        database::Contender::default()
    }

    fn server(&self) -> Register {
        Naive.server()
    }

    fn start(contender: &mut Self::Contender, add: Add) -> Vec<Effect<Self::Request>> {
        contender.start(add)
    }

    fn receive(contender: &mut Self::Contender, reply: Self::Reply) -> Vec<Effect<Self::Request>> {
        contender.receive(reply).expect(SENT_BY_THE_SERVER)
    }

    fn serve(
        server: &mut Register,
        from: ContenderId,
        request: Self::Request,
    ) -> Vec<(ContenderId, Self::Reply)> {
        Naive::serve(server, from, request)
    }

    fn expire(_server: &mut Register) -> Option<Vec<(ContenderId, Self::Reply)>> {
        None
    }

    fn value(server: &Register) -> i64 {
        server.value().0
    }

    fn describe_request(request: Self::Request, value_before: Option<i64>) -> String {
        describe_register(request, value_before)
    }

    fn describe_reply(reply: Self::Reply) -> String {
        describe_register_reply(reply)
    }
}

impl Protocol for Lock {
    type Contender = lock::Contender;
    type Server = LockServer;
    type Request = lock::Request;
    type Reply = lock::Reply;

    fn contender(&self) -> Self::Contender {
        lock::Contender::new(self.0, 1)
    }

    fn server(&self) -> LockServer {
        LockServer::new(Value(BEGIN))
    }

    fn start(contender: &mut Self::Contender, add: Add) -> Vec<Effect<Self::Request>> {
        contender.start(add)
    }

    fn receive(contender: &mut Self::Contender, reply: Self::Reply) -> Vec<Effect<Self::Request>> {
        contender.receive(reply).expect(SENT_BY_THE_SERVER)
    }

    fn serve(
        server: &mut LockServer,
        from: ContenderId,
        request: Self::Request,
    ) -> Vec<(ContenderId, Self::Reply)> {
        server.receive(from, request).expect(SENT_BY_CONTENDERS)
    }

    fn expire(_server: &mut LockServer) -> Option<Vec<(ContenderId, Self::Reply)>> {
        None
    }

    fn value(server: &LockServer) -> i64 {
        server.register().value().0
    }

    fn describe_request(request: Self::Request, value_before: Option<i64>) -> String {
        match request {
            lock::Request::Acquire { .. } => "asks for the lock".to_owned(),
            lock::Request::Release { carried: None } => "releases the lock".to_owned(),
            lock::Request::Release {
                carried: Some(value),
            } => {
                format!("releases the lock with {}", value.0)
            }
            lock::Request::Register(request) => describe_register(request, value_before),
        }
    }

    fn describe_reply(reply: Self::Reply) -> String {
        match reply {
            lock::Reply::Granted { carried: None } => "gets the lock".to_owned(),
            lock::Reply::Granted {
                carried: Some(value),
            } => {
                format!("gets the lock with {}", value.0)
            }
            lock::Reply::Stored => "acknowledges its add".to_owned(),
            lock::Reply::Register(reply) => describe_register_reply(reply),
        }
    }
}

/// The lease server, the register beside it, and the lease server's clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseServers {
    leases: LeaseServer,
    register: Register,
    now: Millis,
}

/// A lease lasts for one tick of the world's clock, which ticks when one runs out.
const LEASE: Millis = Millis(1);

fn from_lease_server(
    replies: impl IntoIterator<Item = (ContenderId, LeaseReply)>,
) -> Vec<(ContenderId, lease::Reply)> {
    replies
        .into_iter()
        .map(|(to, it)| (to, lease::Reply::Lease(it)))
        .collect()
}

impl Protocol for Lease {
    type Contender = lease::Contender;
    type Server = LeaseServers;
    type Request = lease::Request;
    type Reply = lease::Reply;

    fn contender(&self) -> Self::Contender {
        lease::Contender::default()
    }

    fn server(&self) -> LeaseServers {
        LeaseServers {
            leases: LeaseServer::new(LEASE),
            register: Register::new(self.0, Value(BEGIN)),
            now: Millis(0),
        }
    }

    fn start(contender: &mut Self::Contender, add: Add) -> Vec<Effect<Self::Request>> {
        contender.start(add)
    }

    fn receive(contender: &mut Self::Contender, reply: Self::Reply) -> Vec<Effect<Self::Request>> {
        contender.receive(reply).expect(SENT_BY_THE_SERVER)
    }

    fn serve(
        server: &mut LeaseServers,
        from: ContenderId,
        request: Self::Request,
    ) -> Vec<(ContenderId, Self::Reply)> {
        match request {
            lease::Request::Lease(request) => from_lease_server(
                server
                    .leases
                    .receive(server.now, from, request)
                    .expect(SENT_BY_CONTENDERS),
            ),
            lease::Request::Register(request) => {
                vec![(
                    from,
                    lease::Reply::Register(server.register.receive(request)),
                )]
            }
        }
    }

    fn expire(server: &mut LeaseServers) -> Option<Vec<(ContenderId, Self::Reply)>> {
        server.leases.holder()?;
        server.now = Millis(server.now.0 + LEASE.0);
        Some(from_lease_server(server.leases.expire(server.now)))
    }

    fn value(server: &LeaseServers) -> i64 {
        server.register.value().0
    }

    fn describe_request(request: Self::Request, value_before: Option<i64>) -> String {
        match request {
            lease::Request::Lease(LeaseRequest::Acquire) => "asks for the lease".to_owned(),
            lease::Request::Lease(LeaseRequest::Release { .. }) => "releases the lease".to_owned(),
            lease::Request::Register(request) => describe_register(request, value_before),
        }
    }

    fn describe_reply(reply: Self::Reply) -> String {
        match reply {
            lease::Reply::Lease(LeaseReply::Granted { token }) => {
                format!("gets the lease, token {}", token.0)
            }
            lease::Reply::Register(reply) => describe_register_reply(reply),
        }
    }
}
