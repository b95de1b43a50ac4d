//! Listening sockets: bound to addresses here, or inherited from systemd.

use std::fmt;
use std::io;

use listenfd::ListenFd;
use tokio::net::TcpListener;

/// An address that cannot be bound.
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
        return Err(InheritError(
            "systemd passed no socket; start the service by its .socket unit or omit --web.systemd-socket"
                .to_owned(),
        ));
    }
    (0..sockets.len())
        .map(|index| {
            take(&mut sockets, index).map_err(|problem| {
                InheritError(format!(
                    "systemd socket {} {problem}; the .socket unit needs ListenStream= with a TCP port and Accept=no",
                    index + 1
                ))
            })
        })
        .collect()
}

fn take(sockets: &mut ListenFd, index: usize) -> Result<TcpListener, String> {
    let not_tcp = || "is not a TCP socket".to_owned();
    let listener = sockets
        .take_tcp_listener(index)
        .map_err(|_| not_tcp())?
        .ok_or_else(not_tcp)?;
    if !is_listening(&listener) {
        return Err("is not listening".to_owned());
    }
    listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener))
        .map_err(|error| format!("cannot be used: {error}"))
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

/// A problem with the sockets passed by systemd.
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
