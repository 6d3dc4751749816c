//! YAML (and so JSON) as a tree in which every key and value knows its line and column.
//!
//! Reading into a tree first, instead of into structs, lets all faults of a file be told at once and in
//! the same words. What serde-saphyr says about broken syntax passes through; what stands in the file
//! never does, because it could be a secret.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::fault::{Fault, Place};

/// How deep a file may nest: a role file needs four levels, a Kubernetes object's metadata six.
const MAX_DEPTH: usize = 32;
/// How many documents one file may hold: 1 MiB of the smallest valid objects is about as many.
const MAX_DOCUMENTS: usize = 10_000;
/// How many nodes aliases may expand to in one file: many times what a person writes, and far below what
/// would be felt in memory.
const MAX_ALIAS_EVENTS: usize = 10_000;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

impl Node {
    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is the word `false`.
    pub(crate) fn is_false(&self) -> bool {
        matches!(self.value, Value::Bool(false))
    }
}

impl Node {
    /// The same tree without places: of an object that was never written into a file.
    pub(crate) fn of_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(*flag),
            Json::Number(number) => Value::Number(number.as_u64()),
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Self::of_json).collect()),
            Json::Object(entries) => {
                let entry = |(name, value): (&String, &Json)| {
                    let key = Key {
                        place: Place::WHOLE_FILE,
                        name: name.clone(),
                    };
                    (key, Self::of_json(value))
                };
                Value::Mapping(entries.iter().map(entry).collect())
            }
        };
        Self {
            place: Place::WHOLE_FILE,
            value,
        }
    }
}

/// A key and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) place: Place,
    pub(crate) name: String,
}

/// What a node is.
#[derive(Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// A whole number that is not negative, or another one, whose value nobody asks for.
    Number(Option<u64>),
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

impl Value {
    /// What it is, for "expected …, found …".
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

/// Says the kind only: the value may be a secret.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// The documents of a file; empty ones are left out.
///
/// # Errors
/// The first place where the text is not YAML: nothing behind it can be trusted to mean what it says.
pub(crate) fn documents(path: &Path, text: &str) -> Result<Vec<Node>, Fault> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_documents: MAX_DOCUMENTS,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_ALIAS_EVENTS,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options::<Node>(text, options)
        .map_err(|error| syntax_fault(path, &error))
}

fn syntax_fault(path: &Path, error: &serde_saphyr::Error) -> Fault {
    let mut error = error.without_snippet();
    while let serde_saphyr::Error::AliasError { error: within, .. } = error {
        error = within.without_snippet();
    }
    let place = error.location().map_or(Place::WHOLE_FILE, Place::from);
    let (reason, message, remedy) = match error {
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => {
            let key = key
                .as_deref()
                .map_or_else(String::new, |key| format!(" `{key}`"));
            (
                "DuplicateKey",
                format!("the key{key} stands here twice"),
                "remove one of the two",
            )
        }
        serde_saphyr::Error::InvalidUtf8Input => (
            "NotUtf8",
            "this is not UTF-8 text".to_owned(),
            "save the file as UTF-8",
        ),
        serde_saphyr::Error::Budget { .. }
        | serde_saphyr::Error::AliasReplayLimitExceeded { .. }
        | serde_saphyr::Error::AliasReplayStackDepthExceeded { .. } => (
            "TooLarge",
            "this nests deeper, or expands to more, than any file here needs".to_owned(),
            "write it out flat, without aliases",
        ),
        _ => (
            "NotYaml",
            "this is not valid YAML".to_owned(),
            "check indentation, quotes and colons at and above this line",
        ),
    };
    Fault::new(path, place, reason, message, remedy)
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            line: number(location.line()),
            column: number(location.column()),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            place: spanned.referenced.into(),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(u64::try_from(value).ok()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Number(u64::try_from(value).ok()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(Some(value)))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Number(u64::try_from(value).ok()))
    }

    fn visit_f64<E: de::Error>(self, _value: f64) -> Result<Value, E> {
        Ok(Value::Number(None))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Node>()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut mapping = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let key = Key {
                place: key.referenced.into(),
                name: key.value,
            };
            mapping.push((key, entries.next_value::<Node>()?));
        }
        Ok(Value::Mapping(mapping))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_value_knows_its_place() {
        let text = "a: 1\nb:\n  - x\n  - {c: yes, d: null}\n---\n\"e\": \"true\"\n";
        let documents = documents(Path::new("x.yaml"), text).unwrap();
        let Value::Mapping(first) = &documents[0].value else {
            panic!("{documents:?}")
        };
        assert_eq!(first[0].0.place, Place { line: 1, column: 1 });
        assert_eq!(first[0].1.place, Place { line: 1, column: 4 });
        assert_eq!(first[1].0.place, Place { line: 2, column: 1 });
        let Value::List(items) = &first[1].1.value else {
            panic!("{documents:?}")
        };
        assert_eq!(items[0].place, Place { line: 3, column: 5 });
        let Value::Mapping(inner) = &items[1].value else {
            panic!("{documents:?}")
        };
        assert_eq!(inner[0].0.place, Place { line: 4, column: 6 });
        assert!(matches!(&inner[0].1.value, Value::Text(text) if text == "yes"));
        assert!(matches!(&inner[1].1.value, Value::Null));
        let Value::Mapping(second) = &documents[1].value else {
            panic!("{documents:?}")
        };
        assert_eq!(second[0].0.place, Place { line: 6, column: 1 });
        assert!(matches!(&second[0].1.value, Value::Text(text) if text == "true"));
    }

    #[test]
    fn empty_documents_are_left_out() {
        for text in ["", "\n", "# only a comment\n", "---\n", "---\n---\n"] {
            assert_eq!(
                documents(Path::new("x.yaml"), text).unwrap().len(),
                0,
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_stands_in_the_file_is_never_quoted() {
        let text = "token: \"hunter2\n";
        let fault = documents(Path::new("x.yaml"), text).unwrap_err();
        assert!(!format!("{fault} {fault:?}").contains("hunter2"));
        let documents = documents(Path::new("x.yaml"), "token: hunter2\n").unwrap();
        assert!(!format!("{documents:?}").contains("hunter2"));
    }

    #[test]
    fn alias_bombs_and_deep_nesting_are_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..8 {
            let previous = format!("*a{}", level - 1);
            let items = vec![previous; 10].join(",");
            bomb += &format!("a{level}: &a{level} [{items}]\n");
        }
        assert_eq!(
            documents(Path::new("x.yaml"), &bomb).unwrap_err().reason(),
            "TooLarge"
        );
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert_eq!(
            documents(Path::new("x.yaml"), &deep).unwrap_err().reason(),
            "TooLarge"
        );
    }
}
