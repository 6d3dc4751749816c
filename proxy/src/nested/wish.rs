//! What a caller asks for: whom to be taken for.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use super::claim::{Claim, Kind};
use super::limits::{BYTES, VALUES};

/// How the names of all these headers begin.
const BEGINNING: &str = "impersonate-";

/// The same, of extra fields; the field's key follows.
const EXTRA: &str = "impersonate-extra-";

/// The extra field in which the API server, its audit log and its admission plugins find who asked: the
/// username that the caller's certificate has here. In the form that constrained impersonation demands of
/// keys, a domain and a path.
pub(super) const ORIGINAL_USER: &str = "gangplank.dev/original-user";

/// Extra fields that begin so are ours to set.
const OURS: &str = "gangplank.dev/";

/// Whom a caller wants to be taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    user: String,
    uid: Option<String>,
    groups: Vec<String>,
    /// Key and value; a key may come several times.
    extras: Vec<(String, String)>,
}

/// Why it cannot be understood, or be granted by nobody.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum WishFault {
    /// Something else than a user alone.
    #[error("a group, uid or extra field is to be impersonated without a user")]
    NoUser,
    /// The API server would take the first and forget the second.
    #[error("{0} stands there more than once")]
    Twice(&'static str),
    /// A header of tomorrow, or misspelt.
    #[error("the header {0} is none that says whom to impersonate")]
    UnknownHeader(HeaderName),
    /// An extra field's key.
    #[error("the header {0} names no extra field in lower-case ASCII")]
    Key(HeaderName),
    /// A value that is empty, begins or ends with a blank, or is no text.
    #[error("the value of {0} is no name")]
    Value(HeaderName),
    /// An extra field in which the exit says something.
    #[error("extra fields that begin with `{OURS}` are the exit's own")]
    Reserved,
    /// See [`VALUES`] and [`BYTES`].
    #[error("it impersonates with more than {VALUES} values or {BYTES} bytes of them")]
    TooMuch,
}

impl Wish {
    /// What these headers ask for, if anything.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Result<Self, WishFault>> {
        let is_one = |name: &HeaderName| name.as_str().starts_with(BEGINNING);
        headers.keys().any(is_one).then(|| Self::read(headers))
    }

    fn read(headers: &HeaderMap) -> Result<Self, WishFault> {
        let (mut user, mut uid) = (None, None);
        let (mut groups, mut extras) = (Vec::new(), Vec::new());
        let mut room = Room::default();
        for (name, value) in headers {
            let Some(what) = name.as_str().strip_prefix(BEGINNING) else {
                continue;
            };
            let value = text(name, value)?;
            room.take(value.len())?;
            match what {
                "user" => once(&mut user, value, "Impersonate-User")?,
                "uid" => once(&mut uid, value, "Impersonate-Uid")?,
                "group" => groups.push(value),
                _ => {
                    let key = key(name)?;
                    room.take_bytes(key.len())?;
                    extras.push((key, value));
                }
            }
        }
        Ok(Self {
            user: user.ok_or(WishFault::NoUser)?,
            uid,
            groups,
            extras,
        })
    }

    /// The user.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// The uid, if one is wanted.
    pub(crate) fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    /// The groups, in the caller's order.
    pub(crate) fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The extra fields, in the caller's order.
    pub(crate) fn extras(&self) -> &[(String, String)] {
        &self.extras
    }

    /// Each value with the right that it takes, in kube-apiserver's order.
    pub(super) fn claims(&self) -> Vec<Claim<'_>> {
        let user = Claim::of_user(&self.user);
        let uid = self.uid.iter().map(|uid| Claim::of(Kind::Uid, uid));
        let groups = self.groups.iter();
        let groups = groups.map(|group| Claim::of(Kind::Group, group));
        let extras = self.extras.iter();
        let extras = extras.map(|(key, value)| Claim::of(Kind::Extra(key), value));
        [user]
            .into_iter()
            .chain(uid)
            .chain(groups)
            .chain(extras)
            .collect()
    }
}

/// Counts what a wish holds.
#[derive(Default)]
struct Room {
    values: usize,
    bytes: usize,
}

impl Room {
    fn take(&mut self, bytes: usize) -> Result<(), WishFault> {
        self.values = self.values.saturating_add(1);
        if self.values > VALUES {
            return Err(WishFault::TooMuch);
        }
        self.take_bytes(bytes)
    }

    fn take_bytes(&mut self, bytes: usize) -> Result<(), WishFault> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > BYTES {
            return Err(WishFault::TooMuch);
        }
        Ok(())
    }
}

fn once(place: &mut Option<String>, value: String, name: &'static str) -> Result<(), WishFault> {
    if place.replace(value).is_some() {
        return Err(WishFault::Twice(name));
    }
    Ok(())
}

/// What is reviewed must be what the API server will read: bytes that are no text, and blanks at the ends,
/// which one reader trims and another does not, are not.
fn text(name: &HeaderName, value: &HeaderValue) -> Result<String, WishFault> {
    let text = str::from_utf8(value.as_bytes()).ok();
    let is_name = |text: &&str| {
        !text.is_empty() && text.trim().len() == text.len() && !text.chars().any(char::is_control)
    };
    let text = text.filter(is_name);
    text.map(str::to_owned)
        .ok_or_else(|| WishFault::Value(name.clone()))
}

/// The key of an extra field. kube-apiserver decodes `%2f` and its like, so that what was compared with our own
/// keys must be what it makes of them; capital letters, which it would see only behind a `%`, it refuses itself
/// where impersonation is constrained.
fn key(name: &HeaderName) -> Result<String, WishFault> {
    let Some(written) = name.as_str().strip_prefix(EXTRA) else {
        return Err(WishFault::UnknownHeader(name.clone()));
    };
    let decoded = decoded(written).filter(|key| !key.is_empty());
    let key = decoded.ok_or_else(|| WishFault::Key(name.clone()))?;
    // Not even nearly ours: who reads the API server's log should not have to look twice.
    if key.starts_with(OURS) || key == OURS.trim_end_matches('/') {
        return Err(WishFault::Reserved);
    }
    Ok(key)
}

fn decoded(written: &str) -> Option<String> {
    let mut bytes = written.bytes();
    let mut key = String::new();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        };
        if !byte.is_ascii_graphic() || byte.is_ascii_uppercase() {
            return None;
        }
        key.push(char::from(byte));
    }
    Some(key)
}

#[cfg(test)]
mod tests;
