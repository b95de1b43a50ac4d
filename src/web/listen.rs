//! Where to listen: on addresses, or on sockets that somebody else has bound.

use std::fmt;
use std::io;

use listenfd::ListenFd;
use tokio::net::TcpListener;

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

/// The listening sockets that systemd made for this process, as a socket unit tells it to.
///
/// # Errors
///
/// That there is none, or one that is no TCP listener.
pub fn inherited() -> Result<Vec<TcpListener>, InheritError> {
    let mut sockets = ListenFd::from_env();
    if sockets.len() == 0 {
        return Err(InheritError(
            "systemd passed no socket: start the service by its .socket unit, or leave out --web.systemd-socket"
                .to_owned(),
        ));
    }
    (0..sockets.len())
        .map(|index| {
            take(&mut sockets, index).map_err(|what| {
                InheritError(format!(
                    "socket {} of systemd {what}; the .socket unit needs ListenStream= with a TCP port, and Accept=no",
                    index + 1
                ))
            })
        })
        .collect()
}

fn take(sockets: &mut ListenFd, index: usize) -> Result<TcpListener, String> {
    let not_tcp = || "is no TCP socket".to_owned();
    let listener = sockets
        .take_tcp_listener(index)
        .map_err(|_| not_tcp())?
        .ok_or_else(not_tcp)?;
    if !listens(&listener) {
        return Err("does not listen".to_owned());
    }
    listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener))
        .map_err(|error| format!("cannot be used: {error}"))
}

/// Asks the system whether a socket was made to listen.
#[cfg(not(target_vendor = "apple"))]
fn listens(listener: &std::net::TcpListener) -> bool {
    let socket = socket2::SockRef::from(listener);
    socket.is_listener().unwrap_or(false)
}

/// Apple's systems declare `SO_ACCEPTCONN` and do not implement it: accepting fails there instead.
#[cfg(target_vendor = "apple")]
fn listens(_: &std::net::TcpListener) -> bool {
    true
}

/// What is wrong with the sockets of systemd.
#[derive(Debug)]
pub struct InheritError(String);

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InheritError {}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
