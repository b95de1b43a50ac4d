//! The proxy in front of the API: its URL, and the error messages of its failures.

use std::fmt;

use reqwest::Url;
use thiserror::Error;

use super::phase::Phase;

/// Supported proxy schemes and their default ports. With `socks5h`, the proxy resolves the name of the API.
const SCHEMES: [(&str, u16); 4] = [
    ("http", 80),
    ("https", 443),
    ("socks5", 1080),
    ("socks5h", 1080),
];
/// Bytes that a SOCKS request has left for the credentials beside the name of the API.
const LONGEST_SOCKS_CREDENTIALS: usize = 200;

/// The reason why a proxy cannot be used, with the fix. The message does not quote the URL.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The text is not a URL with a host.
    #[error("must be a URL such as socks5h://127.0.0.1:1080")]
    NotUrl,
    /// The URL has another scheme than those of proxies.
    #[error("unsupported scheme `{0}`; use http, https, socks5 or socks5h")]
    UnsupportedScheme(String),
    /// The URL has a part that proxies ignore.
    #[error("must have no path, query or fragment: remove them")]
    UnusedPart,
    /// There is a password, but the URL has no user name.
    #[error("api.proxy has no user name: add it before the host, as in user@host")]
    NoUserName,
    /// There is a password, but the URL has one too.
    #[error("api.proxy has a password too: remove one of them")]
    SecondPassword,
    /// The credentials do not fit into a SOCKS request.
    #[error(
        "user name and password are longer than {LONGEST_SOCKS_CREDENTIALS} bytes, the limit of SOCKS"
    )]
    LongCredentials,
}

/// The URL of a proxy. `Display` and `Debug` hide the user name and the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(Url);

impl Proxy {
    /// Parses a URL such as `socks5h://user:password@127.0.0.1:1080`.
    ///
    /// # Errors
    ///
    /// If the text is not the URL of a supported proxy.
    pub fn parse(url: &str) -> Result<Self, ProxyError> {
        let url = Url::parse(url.trim())
            .ok()
            .filter(|url| url.host_str().is_some_and(|host| !host.is_empty()));
        let Some(url) = url else {
            return Err(ProxyError::NotUrl);
        };
        if !SCHEMES.iter().any(|(scheme, _)| *scheme == url.scheme()) {
            return Err(ProxyError::UnsupportedScheme(url.scheme().to_owned()));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(ProxyError::UnusedPart);
        }
        Self(url).checked()
    }

    /// Returns the proxy with a password added.
    ///
    /// # Errors
    ///
    /// If the URL has no user name or already has a password, or the password is too long.
    pub fn with_password(&self, password: &str) -> Result<Self, ProxyError> {
        let mut url = self.0.clone();
        if url.username().is_empty() {
            return Err(ProxyError::NoUserName);
        }
        if url.password().is_some() {
            return Err(ProxyError::SecondPassword);
        }
        // `set_password` encodes everything else, but takes a percent sign for an encoded character.
        let password = password.replace('%', "%25");
        // Fails only for a URL without a host.
        let _ = url.set_password(Some(&password));
        Self(url).checked()
    }

    fn checked(self) -> Result<Self, ProxyError> {
        let length = self.0.username().len() + self.0.password().map_or(0, str::len);
        if self.0.scheme().starts_with("socks") && length > LONGEST_SOCKS_CREDENTIALS {
            return Err(ProxyError::LongCredentials);
        }
        Ok(self)
    }

    /// Returns true if the URL has a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.0.password().is_some()
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// Returns true if the connection to the proxy uses TLS. TLS with the API is nested in it.
    pub(super) fn uses_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The host and the port.
    pub(super) fn address(&self) -> String {
        let (_, default) = SCHEMES
            .into_iter()
            .find(|(scheme, _)| *scheme == self.0.scheme())
            .unwrap_or_default();
        let host = self.0.host_str().unwrap_or_default();
        format!("{host}:{}", self.0.port().unwrap_or(default))
    }

    /// Returns an error message if the proxy caused the failure. `causes` is the error text of the HTTP client, which
    /// has no types for proxy errors. `reached` is the last phase of the call.
    pub(super) fn failure_message(&self, causes: &str, reached: Option<Phase>) -> Option<String> {
        let mentions = |words: &str| causes.contains(words);
        if mentions("error resolving for socks proxy") {
            return Some(format!(
                "the name of the API cannot be resolved on this machine; use socks5h to let the proxy resolve it: {causes}"
            ));
        }
        let address = self.address();
        let has_user = !self.0.username().is_empty();
        let needs_user = mentions("proxy authorization required")
            || mentions("credentials not accepted")
            || mentions("does not support user/pass authentication")
            || mentions("implements authentication incorrectly");
        if needs_user {
            return Some(if !has_user {
                format!(
                    "proxy {address} requires a user name and a password: set them in api.proxy"
                )
            } else if mentions("does not support user/pass authentication") {
                format!(
                    "proxy {address} does not support authentication: remove the user name from api.proxy"
                )
            } else {
                format!("proxy {address} rejected the user name or password in api.proxy")
            });
        }
        if mentions("tunnel error: unsuccessful") {
            // Some proxies return a status other than 407 for a wrong password.
            let suffix = if has_user {
                ", or rejected the user name or password in api.proxy"
            } else {
                ""
            };
            return Some(format!(
                "proxy {address} refused to connect to the API{suffix}"
            ));
        }
        let causes = causes.trim_start_matches("client error (Connect): ");
        let is_proxy_error =
            mentions("tunnel error") || mentions("SOCKS error") || mentions("socks proxy");
        (is_proxy_error || reached == Some(Phase::Proxy))
            .then(|| format!("proxy {address}: {causes}"))
    }
}

/// Shows the URL without the user name and the password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.address())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_urls_and_hides_credentials() {
        for (url, shown) in [
            (
                "http://proxy.example.com:3128",
                "http://proxy.example.com:3128",
            ),
            ("http://proxy.example.com/", "http://proxy.example.com:80"),
            (
                "https://user@proxy.example.com",
                "https://proxy.example.com:443",
            ),
            ("socks5://[::1]:1081", "socks5://[::1]:1081"),
            (
                " socks5h://user:Canary@127.0.0.1\n",
                "socks5h://127.0.0.1:1080",
            ),
        ] {
            let proxy = Proxy::parse(url).expect(url);
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(format!("{proxy:?}"), format!("Proxy({shown})"));
        }
        let long = format!("socks5://user:{}@h", "Canary".repeat(50));
        for (url, message) in [
            ("", "must be a URL"),
            ("127.0.0.1:1080", "must be a URL"),
            ("user:Canary@127.0.0.1:1080", "must be a URL"),
            ("socks5h:user:Canary@127.0.0.1", "must be a URL"),
            ("socks5h://user:Canary@", "must be a URL"),
            (
                "ftp://user:Canary@h",
                "unsupported scheme `ftp`; use http, https, socks5 or socks5h",
            ),
            ("socks4://h", "unsupported scheme `socks4`"),
            ("http://h/Canary", "must have no path"),
            ("socks5://h?Canary", "must have no path"),
            (&long, "user name and password are longer"),
        ] {
            let error = Proxy::parse(url).expect_err(url).to_string();
            assert!(
                error.starts_with(message) && !error.contains("Canary"),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn adds_a_password_verbatim() {
        let proxy = Proxy::parse("socks5h://user@h").expect("valid proxy");
        assert!(!proxy.has_password());
        let with = proxy.with_password("%41 :@/ä").expect("valid proxy");
        assert!(with.has_password());
        assert_eq!(with.url().password(), Some("%2541%20%3A%40%2F%C3%A4"));
        let error = with.with_password("x").expect_err("there is a password");
        assert!(matches!(error, ProxyError::SecondPassword), "{error}");
        let proxy = Proxy::parse("http://h").expect("valid proxy");
        let error = proxy.with_password("x").expect_err("there is no user name");
        assert!(matches!(error, ProxyError::NoUserName), "{error}");
    }
}
