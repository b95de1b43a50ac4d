//! Whole responses on the wire: status, headers, encodings, and a body that may be cut off anywhere.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use kiwivm_exporter::kiwivm::{Call, Client, ClientOptions, Reason, Veid};
use reqwest::Url;

use crate::decode::body;
use crate::dice::Dice;
use crate::keys::Key;
use crate::run;

const RETRY_AFTER: [&str; 16] = [
    "0",
    "1",
    "30",
    " 120 ",
    "86401",
    "-1",
    "1.5",
    "soon",
    "",
    "99999999999999999999999999",
    "Wed, 21 Oct 2015 07:28:00 GMT",
    "Wed, 21 Oct 2099 07:28:00 GMT",
    "Wednesday, 21-Oct-99 07:28:00 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Wed, 32 Oct 2099 25:61:00 GMT",
    "0x10",
];
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Sends the same bytes in response to every request, then closes the connection.
struct Server {
    endpoint: Url,
    response: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        let response: Arc<Mutex<Vec<u8>>> = Arc::default();
        let sent = response.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                // Requests are far smaller than the buffer and arrive in one or two pieces.
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                while !request.windows(8).any(|window| window == b"api_key=") {
                    match stream.read(&mut piece) {
                        Ok(0) | Err(_) => break,
                        Ok(read) => request.extend_from_slice(&piece[..read]),
                    }
                }
                let bytes = sent.lock().unwrap().clone();
                let _ = stream.write_all(&bytes);
            }
        });
        Self {
            endpoint: Url::parse(&format!("http://{address}/v1")).expect("it is a URL"),
            response,
        }
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("writes to memory succeed");
    encoder.finish().expect("writes to memory succeed")
}

/// The status and the bytes of a response.
fn response(call: Call, key: &Key, dice: &mut Dice) -> (u16, Vec<u8>) {
    const STATUS: [u16; 12] = [200, 200, 200, 200, 429, 503, 500, 404, 302, 204, 401, 299];
    let status = STATUS[dice.below(STATUS.len())];
    let mut body = body(call, dice, key);
    let mut head = format!("HTTP/1.1 {status} {}\r\n", dice.pick(&["OK", "", "X Y"]));
    if dice.chance(40) {
        let _ = write!(head, "Retry-After: {}\r\n", dice.pick(&RETRY_AFTER));
    }
    if dice.chance(5) {
        let query = key.form(dice).replace('\\', "");
        let _ = write!(head, "Location: http://127.0.0.1:1/?{query}\r\n");
    }
    if dice.chance(20) {
        head += "Content-Encoding: gzip\r\n";
        if dice.chance(80) {
            body = gzip(&body);
        }
        if dice.chance(20) {
            dice.damage(&mut body);
        }
    }
    match dice.below(4) {
        0 => {
            head += "Transfer-Encoding: chunked\r\n";
            let mut chunked = Vec::new();
            for chunk in body.chunks(1 + dice.below(2000)) {
                chunked.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                chunked.extend_from_slice(chunk);
                chunked.extend(b"\r\n");
            }
            chunked.extend(b"0\r\n\r\n");
            body = chunked;
        }
        // The body ends with the connection.
        1 => {}
        more => {
            // Sometimes the length is up to two bytes too large.
            let length = body.len() + if more == 2 { dice.below(3) } else { 0 };
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
    }
    let mut bytes = head.into_bytes();
    bytes.extend(b"Connection: close\r\n\r\n");
    bytes.extend(body);
    if dice.chance(10) {
        dice.damage(&mut bytes);
    }
    (status, bytes)
}

#[test]
fn wire() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("there is a runtime");
    let server = Server::start();
    let options = ClientOptions {
        endpoint: server.endpoint.clone(),
        proxy: None,
    };
    let client = Client::new(options).expect("loopback is allowed");
    run("wire", |dice| {
        let call = Call::ALL[dice.below(Call::ALL.len())];
        let key = Key::any(dice);
        let (status, bytes) = response(call, &key, dice);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        server.response.lock().unwrap().clone_from(&bytes);
        let response = runtime.block_on(client.call(Veid(1), &key.key, call, &mut |_| {}));
        key.assert_hidden_in(&format!("{:?}", response.result), &shown);
        let damaged = !shown.starts_with(&format!("HTTP/1.1 {status} "));
        match &response.result {
            Ok(_) => assert!(status == 200 || damaged, "{shown}"),
            Err(error) => {
                key.assert_hidden_in(&error.to_string(), &shown);
                assert!(
                    error
                        .retry_after
                        .is_none_or(|wait| wait <= LONGEST_RETRY_AFTER),
                    "{error:?}"
                );
                let paused = error.reason == Reason::Auth;
                assert!(
                    !paused || status == 200 || damaged,
                    "{status} pauses a VPS: {error}\nof {shown}"
                );
            }
        }
    });
}
