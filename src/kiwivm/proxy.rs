//! The proxy between here and the API: its URL, and which failures are its own.

use std::fmt;

use reqwest::Url;

use super::leg::Leg;

/// The schemes of proxies and their default ports. The last one lets the proxy resolve the name of the API.
const SCHEMES: [(&str, u16); 4] = [
    ("http", 80),
    ("https", 443),
    ("socks5", 1080),
    ("socks5h", 1080),
];
/// A SOCKS request has room for these bytes beside the name of the API.
const LONGEST_SOCKS_CREDENTIALS: usize = 200;

/// The URL of a proxy. User name and password are in it and are not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(Url);

impl Proxy {
    /// Reads a URL such as `socks5h://user:password@127.0.0.1:1080`.
    ///
    /// # Errors
    ///
    /// In words that do not quote it: what is wrong and what to do.
    pub fn parse(url: &str) -> Result<Self, String> {
        let url = Url::parse(url.trim())
            .ok()
            .filter(|url| url.host_str().is_some_and(|host| !host.is_empty()));
        let Some(url) = url else {
            return Err("must be a URL such as socks5h://127.0.0.1:1080".to_owned());
        };
        if !SCHEMES.iter().any(|(scheme, _)| *scheme == url.scheme()) {
            return Err(format!(
                "unsupported scheme `{}`; use http, https, socks5 or socks5h",
                url.scheme()
            ));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("must have no path, query or fragment: leave them out".to_owned());
        }
        Self(url).checked()
    }

    /// The same with a password.
    ///
    /// # Errors
    ///
    /// In words: no user name to go with it, another password, or one that is too long.
    pub fn with_password(&self, password: &str) -> Result<Self, String> {
        let mut url = self.0.clone();
        if url.username().is_empty() {
            return Err("api.proxy has no user name: write it before an @ and the host".to_owned());
        }
        if url.password().is_some() {
            return Err("api.proxy has a password too: leave one of them out".to_owned());
        }
        // A percent sign would be taken for an encoded character.
        let password = password.replace('%', "%25");
        // It fails only for a URL without a host.
        let _ = url.set_password(Some(&password));
        Self(url).checked()
    }

    fn checked(self) -> Result<Self, String> {
        let length = self.0.username().len() + self.0.password().map_or(0, str::len);
        if self.0.scheme().starts_with("socks") && length > LONGEST_SOCKS_CREDENTIALS {
            return Err(format!(
                "user name and password are longer than {LONGEST_SOCKS_CREDENTIALS} bytes, more than SOCKS has room for"
            ));
        }
        Ok(self)
    }

    /// True if it has a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.0.password().is_some()
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// True if TLS is spoken with the proxy, and within it with the API.
    pub(super) fn speaks_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Host and port.
    pub(super) fn address(&self) -> String {
        let (_, default) = SCHEMES
            .into_iter()
            .find(|(scheme, _)| *scheme == self.0.scheme())
            .unwrap_or_default();
        let host = self.0.host_str().unwrap_or_default();
        format!("{host}:{}", self.0.port().unwrap_or(default))
    }

    /// Says that the proxy is the culprit if it is. `causes` are the words of the HTTP client, which has no types for
    /// them; `reached` is how far the call got.
    pub(super) fn blame(&self, causes: &str, reached: Option<Leg>) -> Option<String> {
        let says = |words: &str| causes.contains(words);
        if says("error resolving for socks proxy") {
            return Some(format!(
                "the name of the API cannot be resolved here; with socks5h the proxy resolves it: {causes}"
            ));
        }
        let address = self.address();
        let has_user = !self.0.username().is_empty();
        let wants_user = says("proxy authorization required")
            || says("credentials not accepted")
            || says("does not support user/pass authentication")
            || says("implements authentication incorrectly");
        if wants_user {
            return Some(if !has_user {
                format!("proxy {address} wants a user name and a password: set them in api.proxy")
            } else if says("does not support user/pass authentication") {
                format!("proxy {address} takes no user name: leave it out of api.proxy")
            } else {
                format!("proxy {address} refused the user name or the password of api.proxy")
            });
        }
        if says("tunnel error: unsuccessful") {
            // Some give another status than 407 to a wrong password.
            let or = if has_user {
                ", or refused the user name or the password of api.proxy"
            } else {
                ""
            };
            return Some(format!("proxy {address} refused to connect to the API{or}"));
        }
        let causes = causes.trim_start_matches("client error (Connect): ");
        let is_its = says("tunnel error") || says("SOCKS error") || says("socks proxy");
        (is_its || reached == Some(Leg::Proxy)).then(|| format!("proxy {address}: {causes}"))
    }
}

/// Without user name and password.
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
    fn a_proxy_is_a_url_whose_credentials_are_not_shown() {
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
        for (url, fault) in [
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
            let said = Proxy::parse(url).expect_err(url);
            assert!(
                said.starts_with(fault) && !said.contains("Canary"),
                "{url}: {said}"
            );
        }
    }

    #[test]
    fn a_password_comes_from_elsewhere_as_it_is() {
        let proxy = Proxy::parse("socks5h://user@h").expect("it is right");
        assert!(!proxy.has_password());
        let with = proxy.with_password("%41 :@/ä").expect("it is right");
        assert!(with.has_password());
        assert_eq!(with.url().password(), Some("%2541%20%3A%40%2F%C3%A4"));
        let error = with.with_password("x").expect_err("it has one");
        assert!(error.contains("has a password too"), "{error}");
        let error = Proxy::parse("http://h").and_then(|proxy| proxy.with_password("x"));
        assert!(
            error
                .expect_err("there is no user")
                .contains("has no user name")
        );
    }
}
