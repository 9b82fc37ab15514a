//! Waiting for servers and asking them, as the host sees them.

pub mod http;
pub mod tls;
pub mod uri;
pub mod wait_for;
