//! The practical limit: hyper serving bodies from memory on one thread.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::mpsc::channel;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kiwivm_exporter::exposition::format::Format;
use tokio::net::TcpListener;

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    Gzip,
}

/// Runs a server until the process ends.
pub fn start<S: Future<Output = ()>>(
    serve: impl FnOnce(TcpListener) -> S + Send + 'static,
) -> SocketAddr {
    let (sender, address) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let bound = listener.local_addr().expect("a bound socket");
            sender.send(bound).expect("the caller waits");
            serve(listener).await;
        });
    });
    address.recv().expect("a bound socket")
}

/// Starts a plain hyper server that calls `body` for each request.
pub fn bare(form: Form, body: impl Fn() -> Bytes + Clone + Send + 'static) -> SocketAddr {
    start(move |listener| async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let body = body.clone();
            let service = service_fn(move |_: Request<Incoming>| {
                let mut response = Response::new(Full::new(body()));
                let headers = response.headers_mut();
                let content_type = Format::OpenMetrics1.content_type().parse();
                headers.insert(CONTENT_TYPE, content_type.expect("a valid header"));
                if form == Form::Gzip {
                    let encoding = "gzip".parse().expect("a valid header");
                    headers.insert(CONTENT_ENCODING, encoding);
                }
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move {
                let _ = connection.await;
            });
        }
    })
}

/// Starts a server that sends the same bytes from memory, the practical limit.
pub fn from_memory(form: Form, body: Bytes) -> SocketAddr {
    bare(form, move || body.clone())
}
