//! The few things in a query that say what a request is. It is read for them and never kept.

use std::borrow::Cow;

/// A request's query, still encoded.
#[derive(Clone, Copy, Debug)]
pub(in crate::audit) struct Query<'q>(pub(in crate::audit) Option<&'q str>);

impl<'q> Query<'q> {
    /// Whether it asks for `name`, by kube-apiserver's reading of a flag: the first one counts, and anything
    /// but 0 and false means yes.
    pub(in crate::audit) fn asks(self, name: &str) -> bool {
        self.first(name)
            .is_some_and(|value| *value != *b"0" && !value.eq_ignore_ascii_case(b"false"))
    }

    /// The one object of a collection that the field selector asks for, as `kubectl get NAME --watch` does.
    pub(super) fn selected_name(self) -> Option<Vec<u8>> {
        let selector = self.first("fieldSelector")?;
        let name = exact_match(&selector, b"metadata.name")?;
        let is_path_segment =
            name != b"." && name != b".." && !name.iter().any(|byte| matches!(byte, b'/' | b'%'));
        is_path_segment.then_some(name)
    }

    /// The first value of a key. Pairs that are encoded wrongly, or have a semicolon, count as absent, as
    /// in Go's net/url.
    fn first(self, name: &str) -> Option<Cow<'q, [u8]>> {
        let pairs = self.0?.split('&').filter(|pair| !pair.contains(';'));
        let mut values = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = unescape(key.as_bytes(), Plus::IsBlank)?;
            if *key == *name.as_bytes() {
                unescape(value.as_bytes(), Plus::IsBlank)
            } else {
                None
            }
        });
        values.next()
    }
}

/// What a plus stands for: itself in a path, a blank in a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plus {
    IsPlus,
    IsBlank,
}

/// Undoes percent-encoding; `None` where it is broken.
pub(super) fn unescape(text: &[u8], plus: Plus) -> Option<Cow<'_, [u8]>> {
    let is_blank = |byte: u8| byte == b'+' && plus == Plus::IsBlank;
    if !text.iter().any(|byte| *byte == b'%' || is_blank(*byte)) {
        return Some(Cow::Borrowed(text));
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'%' => {
                let [high, low, behind @ ..] = rest else {
                    return None;
                };
                plain.push((nibble(*high)? << 4) | nibble(*low)?);
                rest = behind;
            }
            byte if is_blank(*byte) => plain.push(b' '),
            byte => plain.push(*byte),
        }
    }
    Some(Cow::Owned(plain))
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|it| u8::try_from(it).ok())
}

/// The value that a field selector demands of `field`. A selector with a mistake demands nothing. Of several
/// demands the first in the order of bytes counts, since kube-apiserver sorts them.
fn exact_match(selector: &[u8], field: &[u8]) -> Option<Vec<u8>> {
    let mut found: Option<(&[u8], Vec<u8>)> = None;
    for written in terms(selector).filter(|term| !term.is_empty()) {
        let term = Term::read(written)?;
        let value = unescape_value(term.value)?;
        let is_first = found.as_ref().is_none_or(|(first, _)| written < *first);
        if term.demands_equality && term.field == field && is_first {
            found = Some((written, value));
        }
    }
    found.map(|(_, value)| value)
}

/// The terms between commas that no backslash makes data.
fn terms(selector: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_escaped = false;
    selector.split(move |byte| {
        let ends = *byte == b',' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })
}

/// One demand of a selector, its value still escaped.
struct Term<'s> {
    field: &'s [u8],
    demands_equality: bool,
    value: &'s [u8],
}

impl<'s> Term<'s> {
    /// Parts a term at its first operator: `=`, `==` or `!=`.
    fn read(term: &'s [u8]) -> Option<Self> {
        let operator = term.iter().position(|byte| *byte == b'=')?;
        let (field, demands_equality, value) = match term.split_at(operator) {
            ([field @ .., b'!'], [b'=', value @ ..]) => (field, false, value),
            (field, [b'=', b'=', value @ ..] | [b'=', value @ ..]) => (field, true, value),
            _ => return None,
        };
        Some(Self {
            field,
            demands_equality,
            value,
        })
    }
}

fn unescape_value(written: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(written.len());
    let mut bytes = written.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(escaped @ (b'\\' | b',' | b'=')) => value.push(*escaped),
                _ => return None,
            },
            b',' | b'=' => return None,
            byte => value.push(*byte),
        }
    }
    Some(value)
}
