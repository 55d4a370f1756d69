//! Nodes without sockets: adds, batches and limits.
