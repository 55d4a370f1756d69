//! Ports for servers that are about to be started.
//!
//! A port that the system picks (port 0) could be taken again, for an outgoing connection of a load
//! generator, before the server that it is meant for listens on it. So ports are looked for below
//! those that systems use for outgoing connections.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::processes::ProcessError;

/// Ports tried: above those of well-known services, below those of outgoing connections.
const PORTS: Range<u16> = 12_000..32_000;

/// Loopback addresses that nobody listens on, and that this process has not given before.
pub(crate) fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, ProcessError> {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    // Where the search begins differs by process, so that two runs rarely meet.
    let begin = u16::try_from(std::process::id() % u32::from(PORTS.end - PORTS.start))
        .expect("less than the number of ports");
    let mut found = Vec::with_capacity(count);
    for _ in PORTS {
        if found.len() == count {
            break;
        }
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + begin.wrapping_add(tried) % (PORTS.end - PORTS.start);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            found.push(address);
        }
    }
    if found.len() < count {
        let none = io::Error::new(io::ErrorKind::AddrInUse, format!("{PORTS:?} are taken"));
        return Err(ProcessError::io("looking for a free port")(none));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_addresses_differ() {
        let mut addresses = free_addresses(20).expect("loopback has free ports");
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 20);
    }
}
