//! The proxy's own credential towards the API server: exactly one, or no request.
//!
//! Either every request carries one `Authorization`, or the connection was made with the proxy's client
//! certificate and then none does. A token in a file is read again as it rotates; a file that cannot be
//! read is an error at once, never a request without a credential.

use std::fmt;
use std::sync::Arc;

use gangplank_config::upstream::{Credential as Configured, Upstream};
use gangplank_config::{Fault, Token};
use http::HeaderValue;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::fault::CredentialError;
use crate::limits::{TOKEN_READ_DEADLINE, TOKEN_READ_PAUSE, TOKEN_READS};

/// Where the credential of a request comes from.
pub enum Credential {
    /// The client certificate of the connection: requests carry none.
    OfConnection,
    /// A token that does not change.
    Token(Token),
    /// A token in a file that someone else renews.
    File(TokenFile),
}

impl Credential {
    /// The credential for `upstream`; a token in a file is read again when the last reading is `age` old.
    pub fn of(upstream: &Upstream, age: Duration) -> Self {
        match &upstream.credential {
            Configured::ClientCertificate(_) => Self::OfConnection,
            Configured::Token(token) => Self::Token(token.clone()),
            Configured::TokenFile(file) => {
                let file = file.clone();
                Self::File(TokenFile::new(move || file.read(), age))
            }
        }
    }

    /// The value of `Authorization`, or `None` where the connection carries the credential.
    ///
    /// # Errors
    /// When there is no token: the request must not be sent then.
    pub async fn authorization(&self) -> Result<Option<HeaderValue>, CredentialError> {
        match self {
            Self::OfConnection => Ok(None),
            Self::Token(token) => bearer(token).map(Some),
            Self::File(file) => file.authorization().await.map(Some),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OfConnection => "OfConnection",
            Self::Token(_) => "Token",
            Self::File(_) => "File",
        })
    }
}

/// A token in a file, remembered for a moment.
pub struct TokenFile {
    read: Arc<dyn Fn() -> Result<Token, Fault> + Send + Sync>,
    age: Duration,
    last: Mutex<Option<Reading>>,
}

struct Reading {
    value: HeaderValue,
    at: Instant,
}

impl TokenFile {
    /// The token that `read` finds, asked again when the last reading is `age` old.
    pub fn new(
        read: impl Fn() -> Result<Token, Fault> + Send + Sync + 'static,
        age: Duration,
    ) -> Self {
        Self {
            read: Arc::new(read),
            age,
            last: Mutex::new(None),
        }
    }

    /// One reader at a time: who comes while the file is being read waits for that reading.
    async fn authorization(&self) -> Result<HeaderValue, CredentialError> {
        let mut last = self.last.lock().await;
        if let Some(reading) = last.as_ref()
            && reading.at.elapsed() < self.age
        {
            return Ok(reading.value.clone());
        }
        // A failed reading must not leave the old token usable.
        *last = None;
        let value = bearer(&self.read_patiently().await?)?;
        *last = Some(Reading {
            value: value.clone(),
            at: Instant::now(),
        });
        drop(last);
        Ok(value)
    }

    /// A file without a token may be one that is being written: it gets a moment.
    async fn read_patiently(&self) -> Result<Token, CredentialError> {
        let mut tries = TOKEN_READS;
        loop {
            tries -= 1;
            match self.read_once().await {
                Err(CredentialError::Unusable(_)) if tries > 0 => sleep(TOKEN_READ_PAUSE).await,
                result => return result,
            }
        }
    }

    async fn read_once(&self) -> Result<Token, CredentialError> {
        let read = Arc::clone(&self.read);
        match timeout(TOKEN_READ_DEADLINE, spawn_blocking(move || read())).await {
            Ok(Ok(result)) => result.map_err(CredentialError::Unusable),
            Ok(Err(_ended)) => Err(CredentialError::NotAToken),
            Err(_late) => Err(CredentialError::Late(TOKEN_READ_DEADLINE)),
        }
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile")
            .field("age", &self.age)
            .finish_non_exhaustive()
    }
}

/// `Bearer <token>`, never shown in a log and never put into HTTP/2's compression table.
fn bearer(token: &Token) -> Result<HeaderValue, CredentialError> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.secret()))
        .map_err(|_not_a_header| CredentialError::NotAToken)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use gangplank_config::Place;

    use super::*;

    async fn sent(credential: &Credential) -> String {
        let value = credential.authorization().await.unwrap().unwrap();
        assert!(value.is_sensitive());
        value.to_str().unwrap().to_owned()
    }

    fn in_file(path: &Path) -> Credential {
        let path = path.to_owned();
        let read = move || {
            let fault = || {
                Fault::new(
                    &path,
                    Place::WHOLE_FILE,
                    "BadToken",
                    "none here",
                    "write one",
                )
            };
            let text = fs::read_to_string(&path).map_err(|_unreadable| fault())?;
            Token::parse(&text).ok_or_else(fault)
        };
        Credential::File(TokenFile::new(read, Duration::from_secs(1)))
    }

    fn token_file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[tokio::test]
    async fn the_client_certificate_of_the_connection_comes_without_authorization() {
        assert_eq!(
            Credential::OfConnection.authorization().await.unwrap(),
            None
        );
    }

    #[tokio::test]
    async fn a_fixed_token_is_sent_as_it_is() {
        let credential = Credential::Token(Token::parse("abc").unwrap());
        assert_eq!(sent(&credential).await, "Bearer abc");
        assert!(!format!("{credential:?}").contains("abc"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rotated_token_is_used_after_its_age() {
        let (_folder, path) = token_file("first\n");
        let credential = in_file(&path);
        assert_eq!(sent(&credential).await, "Bearer first");
        fs::write(&path, "second").unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(sent(&credential).await, "Bearer second");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_vanished_is_not_used_any_longer() {
        let (_folder, path) = token_file("first");
        let credential = in_file(&path);
        assert_eq!(sent(&credential).await, "Bearer first");
        fs::remove_file(&path).unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        for _ in 0..2 {
            let error = credential.authorization().await.unwrap_err();
            assert_eq!(error.reason(), "CredentialUnusable");
        }
        fs::write(&path, "second").unwrap();
        assert_eq!(sent(&credential).await, "Bearer second");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_without_a_token_is_an_error() {
        let (_folder, path) = token_file("\n");
        let error = in_file(&path).authorization().await.unwrap_err();
        assert_eq!(error.reason(), "CredentialUnusable");
    }
}
