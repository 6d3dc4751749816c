//! An HTTP proxy on the way to a relay: what the file or the environment says of it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::scalar::{Complaint, HostPort};

/// Where a URL without a port leads.
const USUAL_PORT: &str = "80";

/// Bytes of name and password together: proxies take some kilobytes of headers in all.
const MAX_CREDENTIALS: usize = 1024;

/// An HTTP proxy that is asked with CONNECT.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpProxy {
    address: HostPort,
    /// As it stands behind `Basic`. Secret.
    credentials: Option<String>,
    /// The variable of the environment that names it, if no file does.
    variable: Option<&'static str>,
}

impl HttpProxy {
    /// Its host: looked up at every attempt.
    pub fn host(&self) -> &str {
        self.address.host()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What stands behind `Basic` in `Proxy-Authorization`, if anything. Secret.
    pub fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    /// Reads `http://[name[:password]@]host[:port]`.
    pub(crate) fn parse(written: &str) -> Result<Self, Complaint> {
        // What was written is not repeated: a password may be in it.
        let refuse = |why: &str| Complaint {
            reason: "BadHttpProxy",
            message: format!("this is not the URL of an HTTP proxy: {why}"),
            remedy: "write `http://HOST:PORT`, or `http://NAME:PASSWORD@HOST:PORT`".to_owned(),
        };
        let rest = match written.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(refuse("TLS towards the proxy itself is not supported"));
            }
            Some(_) => return Err(refuse("only the scheme `http` is supported")),
            None => written,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, host) = match rest.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, rest),
        };
        let has_port = host
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.ends_with(']'));
        let address = if has_port {
            HostPort::parse(host)
        } else {
            HostPort::parse(&format!("{host}:{USUAL_PORT}"))
        };
        let address = address.map_err(|complaint| refuse(&complaint.message))?;
        let credentials = credentials
            .map(|credentials| {
                let (name, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                let (name, password) = (percent_decoded(name), percent_decoded(password));
                let (Some(name), Some(password)) = (name, password) else {
                    return Err(refuse(
                        "a `%` in it is not followed by two hexadecimal digits",
                    ));
                };
                if name.contains(&b':') || name.len() + password.len() > MAX_CREDENTIALS {
                    return Err(refuse("its name or password cannot be sent"));
                }
                Ok(STANDARD.encode([name, b":".to_vec(), password].concat()))
            })
            .transpose()?;
        Ok(Self {
            address,
            credentials,
            variable: None,
        })
    }
}

/// Its address, and the variable that names it: who reads of a proxy in an error may not know that there is one.
impl fmt::Display for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        match self.variable {
            Some(variable) => write!(f, " (of {variable})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpProxy")
            .field("address", &self.address)
            .field("credentials", &self.credentials.is_some())
            .finish_non_exhaustive()
    }
}

/// `%41` is `A`; `None` for a `%` that nothing sensible follows.
fn percent_decoded(written: &str) -> Option<Vec<u8>> {
    let mut bytes = written.bytes();
    let mut decoded = Vec::with_capacity(written.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
        decoded.push(u8::try_from(high? * 16 + low?).ok()?);
    }
    Some(decoded)
}

/// What the environment says of proxies: `HTTPS_PROXY` and `NO_PROXY`, in capitals or not.
#[derive(Debug, Clone, Default)]
pub struct ProxyEnvironment {
    proxy: Option<HttpProxy>,
    exceptions: String,
}

impl ProxyEnvironment {
    /// Asks `variable` for each name.
    ///
    /// # Errors
    /// What is wrong with the proxy's URL, for a person.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let found = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                let value = variable(name).filter(|value| !value.is_empty())?;
                Some((name, value))
            })
        };
        let proxy = found(["HTTPS_PROXY", "https_proxy"]).map(|(name, url)| {
            let parsed = HttpProxy::parse(&url).map_err(|complaint| {
                let Complaint {
                    message, remedy, ..
                } = complaint;
                format!("{name}: {message}; {remedy}, or unset it")
            })?;
            Ok::<_, String>(HttpProxy {
                variable: Some(name),
                ..parsed
            })
        });
        Ok(Self {
            proxy: proxy.transpose()?,
            exceptions: found(["NO_PROXY", "no_proxy"])
                .map(|(_name, value)| value)
                .unwrap_or_default(),
        })
    }

    /// The proxy on the way to `host`, if there is one.
    pub fn on_the_way_to(&self, host: &str) -> Option<HttpProxy> {
        let host = host.to_ascii_lowercase();
        let excepted = self.exceptions.split(',').any(|exception| {
            let exception = exception.trim().to_ascii_lowercase();
            let bare = exception.trim_start_matches("*.").trim_start_matches('.');
            // A name means itself and all below it.
            let below = || {
                let rest = host.strip_suffix(bare);
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };
            exception == "*" || (!bare.is_empty() && below())
        });
        self.proxy.clone().filter(|_| !excepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(written: &str) -> (String, Option<String>) {
        let proxy = HttpProxy::parse(written).expect("a proxy");
        (proxy.to_string(), proxy.credentials)
    }

    #[test]
    fn urls_of_proxies() {
        let basic = |text: &str| Some(STANDARD.encode(text));
        for (written, address, credentials) in [
            (
                "http://proxy.example.com:3128",
                "proxy.example.com:3128",
                None,
            ),
            ("HTTP://proxy.example.com/", "proxy.example.com:80", None),
            ("proxy.example.com:3128", "proxy.example.com:3128", None),
            ("http://[2001:db8::1]:3128", "[2001:db8::1]:3128", None),
            (
                "http://me:pa%3Ass@p.example:1",
                "p.example:1",
                basic("me:pa:ss"),
            ),
            ("http://me@p.example:1", "p.example:1", basic("me:")),
            (
                "http://me:p@ss@p.example:1",
                "p.example:1",
                basic("me:p@ss"),
            ),
        ] {
            assert_eq!(
                parsed(written),
                (address.to_owned(), credentials),
                "{written}"
            );
        }
    }

    #[test]
    fn what_is_no_proxy_is_told_without_its_password() {
        for written in [
            "https://p.example:1",
            "socks5://p.example:1",
            "http://",
            "http://p.example:99999",
            "http://a:secret%zz@p.example",
            "http://a:secret@p .example",
            "http://a%3ab:secret@p.example",
        ] {
            let complaint = HttpProxy::parse(written).expect_err(written);
            assert!(!complaint.message.contains("secret"), "{complaint:?}");
        }
        let shown = format!("{:?}", HttpProxy::parse("http://a:secret@p.example"));
        assert!(!shown.contains("secret") && !shown.contains(&STANDARD.encode("a:secret")));
    }

    #[test]
    fn exceptions_are_names_and_what_lies_below_them() {
        let environment = |exceptions: &'static str| {
            ProxyEnvironment::read(move |name| match name {
                "https_proxy" => Some("http://p.example:1".to_owned()),
                "NO_PROXY" => Some(exceptions.to_owned()),
                _ => None,
            })
        };
        for (exceptions, host, straight) in [
            ("", "relay.example.com", false),
            ("example.com", "relay.example.com", true),
            (".example.com", "relay.example.com", true),
            ("*.example.com, other", "RELAY.example.com", true),
            ("example.com", "badexample.com", false),
            ("example.com", "example.com.evil", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("*", "anything", true),
            (",,", "anything", false),
        ] {
            let found = environment(exceptions).expect("good").on_the_way_to(host);
            assert_eq!(found.is_none(), straight, "{exceptions} {host}");
            let told = found.map_or_else(String::new, |proxy| proxy.to_string());
            assert!(straight || told == "p.example:1 (of https_proxy)", "{told}");
        }
        let bad = ProxyEnvironment::read(|_| Some("ftp://x".to_owned()));
        assert!(bad.expect_err("told").starts_with("HTTPS_PROXY"));
    }
}
