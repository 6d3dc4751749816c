//! Names of objects that are made of other names, so that no two makers make the same.
//!
//! The rule, and every name that comes of it, is that of Admiralty's `pkg/name`: what it made is found again.

use gangplank_pki::Fingerprint;

/// The longest name of most kinds (RFC 1123 subdomain).
pub(crate) const SUBDOMAIN: usize = 253;

/// Hex digits of the hash that tells alike names apart.
const HASH_DIGITS: usize = 10;

/// One part of a name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'t> {
    /// The same in all names of this shape.
    Constant(&'t str),
    /// Somebody's choice.
    Variable(&'t str),
    /// Somebody's choice, and may be empty.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "a part of the rule, which vectors hold")
    )]
    Optional(&'t str),
}

impl<'t> Part<'t> {
    const fn text(self) -> &'t str {
        match self {
            Self::Constant(text) | Self::Variable(text) | Self::Optional(text) => text,
        }
    }

    const fn is_constant(self) -> bool {
        matches!(self, Self::Constant(_))
    }
}

/// The parts joined by `-`, with a hash of them behind where the join alone could be somebody else's as well, or is
/// longer than `limit` bytes.
pub(crate) fn joined(limit: usize, parts: &[Part<'_>]) -> String {
    let texts: Vec<&str> = parts.iter().map(|part| part.text()).collect();
    let written: Vec<&str> = texts
        .iter()
        .copied()
        .filter(|text| !text.is_empty())
        .collect();
    let plain = written.join("-");
    if !is_ambiguous(parts) && plain.len() <= limit {
        return plain;
    }
    let hash = Fingerprint::of(texts.join("/").as_bytes());
    let mut digits: String = hash
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    digits.truncate(HASH_DIGITS);
    let room = limit.saturating_sub(HASH_DIGITS + 1);
    let kept: String = plain.chars().take(room).collect();
    format!("{}-{digits}", kept.trim_end_matches('-'))
}

/// Could other parts give the same join?
fn is_ambiguous(parts: &[Part<'_>]) -> bool {
    let variable = || parts.iter().filter(|part| !part.is_constant());
    let hyphens = variable().any(|part| part.text().contains('-'));
    let optional = || {
        parts
            .iter()
            .filter(|part| matches!(part, Part::Optional(_)))
    };
    let empty = optional().any(|part| part.text().is_empty());
    (hyphens && variable().count() > 1) || (empty && optional().count() > 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Part::{Constant, Optional, Variable};
    use super::*;

    #[test]
    fn names_are_those_that_admiralty_makes() {
        let two = |first, second| joined(63, &[Variable(first), Variable(second)]);
        assert_eq!(two("default", "foo-bar"), "default-foo-bar-b1f5f88a38");
        assert_eq!(two("default-foo", "bar"), "default-foo-bar-ce0b03a405");
        let three = [
            Variable("admiralty"),
            Variable("plm-c7ff8eb6"),
            Variable("target-cluster"),
        ];
        assert_eq!(
            joined(63, &three),
            "admiralty-plm-c7ff8eb6-target-cluster-3e3933bad4"
        );
    }

    #[test]
    fn an_empty_part_among_several_that_may_be_is_told_by_the_hash() {
        let left = joined(63, &[Optional("a"), Optional("")]);
        let right = joined(63, &[Optional(""), Optional("a")]);
        assert_ne!(left, right);
        assert_eq!(joined(63, &[Variable("a"), Optional("")]), "a");
    }

    #[test]
    fn a_long_name_is_cut_and_stays_a_name() {
        let long = "a".repeat(60);
        let name = joined(63, &[Constant("admiralty-source"), Variable(&long)]);
        assert_eq!(name.len(), 63);
        let cut_at_a_hyphen = format!("{}-{}", "a".repeat(51), "b".repeat(30));
        let name = joined(63, &[Variable(&cut_at_a_hyphen)]);
        assert!(!name.contains("--"), "{name}");
    }

    proptest! {
        /// Two makers never make the same name, whatever they are called.
        #[test]
        fn different_parts_make_different_names(
            one in "[a-z0-9]([-a-z0-9]{0,70}[a-z0-9])?", two in "[a-z0-9]([-a-z0-9]{0,70}[a-z0-9])?",
            three in "[a-z0-9]([-a-z0-9]{0,70}[a-z0-9])?", four in "[a-z0-9]([-a-z0-9]{0,70}[a-z0-9])?",
        ) {
            prop_assume!((&one, &two) != (&three, &four));
            let name = |a: &str, b: &str| joined(63, &[Constant("x"), Variable(a), Variable(b)]);
            prop_assert_ne!(name(&one, &two), name(&three, &four));
        }
    }
}
