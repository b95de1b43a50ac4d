//! Listening sockets: bound to addresses here, or inherited from systemd.

use std::io;

use listenfd::ListenFd;
use thiserror::Error;
use tokio::net::TcpListener;

/// An address that cannot be bound.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {error}; choose another with --web.listen-address")]
pub struct BindError {
    address: String,
    error: io::Error,
}

/// The reason why the sockets passed by systemd cannot be used.
#[derive(Debug, Error)]
pub enum InheritError {
    /// There is no socket.
    #[error(
        "systemd passed no socket; start the service by its .socket unit or omit --web.systemd-socket"
    )]
    NoSocket,
    /// One of the sockets, counted from 1, is of the wrong kind.
    #[error(
        "systemd socket {0} {1}; the .socket unit needs ListenStream= with a TCP port and Accept=no"
    )]
    Unusable(usize, SocketError),
}

/// The reason why a socket cannot be used as a listener.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The socket is of another kind.
    #[error("is not a TCP socket")]
    NotTcp,
    /// The socket is a connection.
    #[error("is not listening")]
    NotListening,
    /// The runtime cannot use the socket.
    #[error("cannot be used: {0}")]
    Io(#[from] io::Error),
}

/// Listens on all addresses. `:PORT` means all interfaces, IPv6 and IPv4.
///
/// # Errors
///
/// Returns the first address that cannot be bound.
pub async fn bind(addresses: &[String]) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let listener = match address.strip_prefix(':') {
            Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
                // The machine may have no IPv6.
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

/// Returns the listening sockets that systemd passed to this process from a socket unit.
///
/// # Errors
///
/// Fails if there is no socket, or one that is not a TCP listener.
pub fn inherited() -> Result<Vec<TcpListener>, InheritError> {
    let mut sockets = ListenFd::from_env();
    if sockets.len() == 0 {
        return Err(InheritError::NoSocket);
    }
    (0..sockets.len())
        .map(|index| {
            take(&mut sockets, index).map_err(|error| InheritError::Unusable(index + 1, error))
        })
        .collect()
}

fn take(sockets: &mut ListenFd, index: usize) -> Result<TcpListener, SocketError> {
    let listener = sockets
        .take_tcp_listener(index)
        .ok()
        .flatten()
        .ok_or(SocketError::NotTcp)?;
    if !is_listening(&listener) {
        return Err(SocketError::NotListening);
    }
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener)?)
}

/// Returns true if the socket is listening.
#[cfg(not(target_vendor = "apple"))]
fn is_listening(listener: &std::net::TcpListener) -> bool {
    let socket = socket2::SockRef::from(listener);
    socket.is_listener().unwrap_or(false)
}

/// Returns true: Apple's systems do not implement `SO_ACCEPTCONN`, so accepting fails instead.
#[cfg(target_vendor = "apple")]
fn is_listening(_: &std::net::TcpListener) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bind_error_names_the_address_and_the_flag() {
        let first = bind(&["127.0.0.1:0".to_owned()])
            .await
            .expect("a free port");
        let address = first[0].local_addr().expect("a bound socket").to_string();
        let error = bind(std::slice::from_ref(&address))
            .await
            .expect_err("the address is in use")
            .to_string();
        assert!(
            error.contains(&address) && error.contains("--web.listen-address"),
            "{error}"
        );
    }
}
