//! Addresses: where to listen, and how to ask whoever listens there.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    address: String,
    error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        write!(
            f,
            "cannot listen on {address}: {error}; choose another with --web.listen-address"
        )
    }
}

impl std::error::Error for BindError {}

/// Listens on every address. `:PORT` is every interface, IPv6 and IPv4.
///
/// # Errors
///
/// The first address that cannot be listened on.
pub async fn bind(addresses: &[String]) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let listener = match address.strip_prefix(':') {
            Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
                // Machines without IPv6.
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    TcpListener::bind(format!("0.0.0.0:{port}")).await
                }
                bound => bound,
            },
            None => TcpListener::bind(address).await,
        };
        listeners.push(listener.map_err(|error| BindError {
            address: address.clone(),
            error,
        })?);
    }
    Ok(listeners)
}

/// Asks the exporter that listens on an address whether it is well.
///
/// # Errors
///
/// Why it is not, or that nobody answers.
pub async fn healthcheck(address: &str) -> Result<(), String> {
    let address = reachable(address);
    let ask = async {
        let mut stream = TcpStream::connect(&address).await?;
        let request =
            format!("GET /-/healthy HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    match tokio::time::timeout(HEALTHCHECK_TIMEOUT, ask).await {
        Err(_) => Err(format!(
            "{address} does not answer within {} s",
            HEALTHCHECK_TIMEOUT.as_secs()
        )),
        Ok(Err(error)) => Err(format!("{address} does not answer: {error}")),
        Ok(Ok(answer)) if answer.starts_with(b"HTTP/1.1 200 ") => Ok(()),
        Ok(Ok(_)) => Err(format!("{address} answers, but not that it is healthy")),
    }
}

/// Where an address that stands for every interface can be reached from this machine.
fn reachable(address: &str) -> String {
    let port = address
        .strip_prefix("0.0.0.0:")
        .or_else(|| address.strip_prefix("[::]:"))
        .or_else(|| address.strip_prefix(':'));
    port.map_or_else(|| address.to_owned(), |port| format!("localhost:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_is_reached_by_loopback() {
        for (address, expected) in [
            (":10064", "localhost:10064"),
            ("0.0.0.0:1", "localhost:1"),
            ("[::]:1", "localhost:1"),
            ("192.0.2.1:1", "192.0.2.1:1"),
        ] {
            assert_eq!(reachable(address), expected);
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_named_with_a_remedy() {
        let first = bind(&["127.0.0.1:0".to_owned()])
            .await
            .expect("there is a port");
        let address = first[0].local_addr().expect("it is bound").to_string();
        let error = bind(std::slice::from_ref(&address))
            .await
            .expect_err("it is in use")
            .to_string();
        assert!(
            error.contains(&address) && error.contains("--web.listen-address"),
            "{error}"
        );
        drop(first);
        assert!(healthcheck(&address).await.is_err());
    }
}
