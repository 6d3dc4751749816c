//! Leave to be taken for someone else.

use std::fmt::Write as _;

use gangplank_pki::Identity;

use super::wish::{ORIGINAL_USER, Wish};

/// What the API server said yes to, value by value, for one caller. Made by the reviews alone, so that
/// forgetting to ask does not compile.
#[derive(Debug)]
pub struct Grant {
    original: String,
    wish: Wish,
}

impl Grant {
    /// For `reviews` only, and behind the last yes.
    pub(super) fn new(identity: &Identity, wish: Wish) -> Self {
        Self {
            original: identity.username().to_owned(),
            wish,
        }
    }

    /// A grant as if it had been reviewed.
    #[cfg(test)]
    pub(crate) fn unreviewed(original: &str, wish: Wish) -> Self {
        Self {
            original: original.to_owned(),
            wish,
        }
    }

    /// Whose grant it is: the username that the caller's certificate has here.
    pub fn original(&self) -> &str {
        &self.original
    }

    /// The user that the caller is taken for.
    pub fn user(&self) -> &str {
        self.wish.user()
    }

    /// The header lines that say so, without the user's, in lower case; the last is who asked.
    pub fn lines_beside_user(&self) -> Vec<(String, &str)> {
        let uid = self.wish.uid().into_iter();
        let uid = uid.map(|uid| ("impersonate-uid".to_owned(), uid));
        let groups = self.wish.groups().iter();
        let groups = groups.map(|group| ("impersonate-group".to_owned(), group.as_str()));
        let extras = self.wish.extras().iter();
        let extras = extras.map(|(key, value)| (extra(key), value.as_str()));
        let original = (extra(ORIGINAL_USER), self.original.as_str());
        uid.chain(groups).chain(extras).chain([original]).collect()
    }
}

/// The header of an extra field, its key written so that every program on the way reads the name alike and
/// kube-apiserver decodes it to the same key.
fn extra(key: &str) -> String {
    let mut name = "impersonate-extra-".to_owned();
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' => name.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(name, "%{byte:02x}")),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_so_that_everyone_reads_them_alike() {
        assert_eq!(
            extra(ORIGINAL_USER),
            "impersonate-extra-gangplank.dev%2foriginal-user"
        );
        assert_eq!(extra("a_b%c"), "impersonate-extra-a%5fb%25c");
    }
}
