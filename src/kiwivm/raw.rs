//! Responses as they arrive, for recordings.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use reqwest::header::CONTENT_ENCODING;

use super::body::{Content, ResponseBody};
use super::outcome::Head;
use super::transport::TransportFailure;
use super::{
    ApiKey, Call, CallError, Client, ClientError, ClientOptions, Decoded, Reason, Veid, phase,
};

/// The headers that say something about the API, or about what stands in front of it.
const HEADERS: [&str; 7] = [
    "content-type",
    "content-encoding",
    "content-length",
    "transfer-encoding",
    "retry-after",
    "server",
    "connection",
];

/// A response before anything is read from it. Secrets are in it.
pub struct RawResponse {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body, decompressed.
    pub body: Vec<u8>,
    /// Bytes of the body on the way.
    pub received: usize,
}

/// A client that keeps responses whole.
#[derive(Debug)]
pub struct RawClient(Client);

impl RawClient {
    /// A client for one endpoint.
    ///
    /// # Errors
    ///
    /// As for [`Client::new`].
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        Ok(Self(Client::build(options, false)?))
    }

    /// Makes one call. Returns the response, if there was one, and what the exporter makes of it.
    pub async fn call(
        &self,
        veid: Veid,
        key: &ApiKey,
        call: Call,
    ) -> (Option<RawResponse>, Result<Decoded, CallError>) {
        let failed = |error: TransportFailure| error.into_call_error(veid, call, key);
        let (sent, _) = phase::watch(self.0.send(veid, key, call)).await;
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => return (None, Err(failed(error))),
        };
        let head = Head::of(&response);
        let mut body = ResponseBody {
            received: 0,
            content: Content::Whole(Vec::new()),
        };
        let arrived = body.receive(&mut response, call.row(), &mut |_| {}).await;
        let received = body.received;
        let bytes = match body.content {
            Content::Whole(bytes) => bytes,
            _ => Vec::new(),
        };
        let arrived = arrived.and_then(|()| decompressed(&response, &bytes, call.row().body_limit));
        let header = |name: &&'static str| {
            let value = response.headers().get(*name)?;
            Some((
                *name,
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            ))
        };
        let mut raw = RawResponse {
            status: head.status.as_u16(),
            headers: HEADERS.iter().filter_map(header).collect(),
            body: bytes,
            received,
        };
        let result = match arrived {
            Ok(body) => {
                raw.body = body.unwrap_or(raw.body);
                let decoded = super::decode(call, key, &raw.body, &mut |_| {});
                head.outcome(veid, call, decoded)
            }
            Err(error) => Err(failed(error)),
        };
        (Some(raw), result)
    }
}

/// The body without compression; `None` if it had none.
fn decompressed(
    response: &reqwest::Response,
    body: &[u8],
    limit: usize,
) -> Result<Option<Vec<u8>>, TransportFailure> {
    if response
        .headers()
        .get(CONTENT_ENCODING)
        .is_none_or(|coding| coding != "gzip")
    {
        return Ok(None);
    }
    let mut whole = Vec::new();
    let read = MultiGzDecoder::new(body)
        .take(limit as u64)
        .read_to_end(&mut whole);
    match read {
        Ok(_) => Ok(Some(whole)),
        Err(error) => Err(TransportFailure::new(
            Reason::NotJson,
            format!("the response cannot be decompressed: {error}"),
        )),
    }
}
