//! The KiwiVM API: the table of read calls, the client, lenient decoding, errors and the key type.
//!
//! [`Call`] lists every call this program can make. KiwiVM has no read-only keys, so leaving out the calls that change
//! something is the only protection an owner has.

mod body;
mod call;
mod client;
mod decode;
mod error;
mod key;
mod lenient;
pub mod model;
mod outcome;
mod per_call;
mod phase;
mod proxy;
mod raw;
mod redact;
mod refusal;
mod reuse;
mod transport;

pub use call::Call;
pub use client::{Client, ClientError, ClientOptions, Response, is_loopback};
pub use decode::{DecodeError, Decoded, UsageStream, decode};
pub use error::{CallError, Reason};
pub use key::ApiKey;
pub use per_call::PerCall;
pub use phase::Phase;
pub use proxy::{Proxy, ProxyError};
pub use raw::{RawClient, RawResponse};
pub(crate) use redact::contains_issued_key;

use std::fmt;

/// The identifier of one VPS in KiwiVM (`veid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Veid(pub u64);

impl fmt::Display for Veid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The finaliser of splitmix64: maps neighbouring VEIDs to unrelated numbers.
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let mixed = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
