//! What a letter says, for a person; and whether that person has compared it.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stdin};

use anyhow::Context as _;
use gangplank_config::letter::{Answer, Invitation, Offer};
use gangplank_pki::clock::rfc3339;
use gangplank_pki::{Fingerprint, TrustAnchor};
use serde::Serialize;

use crate::cli::Compared;
use crate::failure::{Failure, Outcome};
use crate::output::columns;
use crate::verb::register::explain;

/// An authority, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Authority {
    pub(crate) fingerprint: String,
    subject: String,
    not_after: String,
}

/// Authorities, for programs.
pub(crate) fn authorities(anchors: &[TrustAnchor]) -> Vec<Authority> {
    let authority = |anchor: &TrustAnchor| Authority {
        fingerprint: anchor.fingerprint().to_string(),
        subject: printable(anchor.subject_text()),
        not_after: rfc3339(anchor.not_after()),
    };
    anchors.iter().map(authority).collect()
}

/// An invitation, for a person.
pub(crate) fn shown_invitation(invitation: &Invitation) -> String {
    let mut rows = vec![
        row("Cluster", invitation.cluster().as_str()),
        row("Server", invitation.server()),
        row("Offers", &offered(invitation.offer())),
    ];
    rows.extend(authority_rows(
        "Its exit's authority",
        invitation.authorities(),
    ));
    columns(&rows)
}

/// An answer, for a person.
pub(crate) fn shown_answer(answer: &Answer) -> String {
    let mut rows = vec![
        row("Cluster", answer.cluster().as_str()),
        row("Will call", &answer.common_name()),
        row("Answers", answer.inviter().as_str()),
        row("Asks for", &offered(answer.offer())),
    ];
    rows.extend(authority_rows(
        "Its identities' authority",
        answer.authorities(),
    ));
    columns(&rows)
}

/// Roles in a namespace, for a person.
pub(crate) fn offered(offer: &Offer) -> String {
    let kind = match offer.roles() {
        [_one] => "ClusterRole",
        _ => "ClusterRoles",
    };
    format!(
        "{kind} {} in namespace {}",
        offer.roles().join(", "),
        offer.namespace()
    )
}

fn row(title: &str, value: &str) -> Vec<String> {
    vec![format!("{title}:"), value.to_owned()]
}

fn authority_rows(title: &str, anchors: &[TrustAnchor]) -> Vec<Vec<String>> {
    let rows = anchors.iter().flat_map(|anchor| {
        let subject = printable(anchor.subject_text());
        let until = rfc3339(anchor.not_after());
        let told = format!("{subject}, good until {until}");
        [
            row(title, &told),
            vec![String::new(), anchor.fingerprint().to_string()],
        ]
    });
    rows.collect()
}

/// A fingerprint in both forms.
pub(crate) fn told_fingerprint(fingerprint: &Fingerprint) -> String {
    let words: Vec<String> = fingerprint.spoken().split(' ').map(str::to_owned).collect();
    let lines = words.chunks(8).map(|line| format!("  {}", line.join(" ")));
    format!("  {fingerprint}\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// Text of a stranger's certificate, without what could rewrite the screen.
pub(crate) fn printable(text: &str) -> String {
    let visible = |c: char| c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric();
    text.chars()
        .map(|c| if visible(c) { c } else { '?' })
        .collect()
}

/// Comes back only when the letter of this fingerprint was compared.
///
/// # Errors
/// When it is another one, was not compared, or nobody can be asked.
pub(crate) fn require(compared: &Compared, fingerprint: &Fingerprint) -> Outcome {
    if let Some(written) = &compared.fingerprint {
        return match_fingerprint(written, fingerprint);
    }
    if compared.yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err(Failure::Usage(
            "nobody can be asked, because standard input is no terminal: compare the fingerprint above with the other \
             administrator, and give theirs with --fingerprint (or say --yes); nothing was changed"
                .to_owned(),
        ));
    }
    ask(fingerprint)
}

/// Does a person's fingerprint say the same?
pub(crate) fn match_fingerprint(written: &str, fingerprint: &Fingerprint) -> Outcome {
    let between = |c: char| c.is_whitespace() || c == '-';
    let words: Vec<&str> = written
        .split(between)
        .filter(|word| !word.is_empty())
        .collect();
    let same = written.trim().parse() == Ok(*fingerprint)
        || words.join(" ").to_lowercase() == fingerprint.spoken();
    if same {
        return Ok(());
    }
    Err(Failure::Usage(
        "that is not the fingerprint of what was given here: it was altered on the way, or another one is meant; have it sent \
         again by another way; nothing was changed"
            .to_owned(),
    ))
}

fn ask(fingerprint: &Fingerprint) -> Outcome {
    let mut error = std::io::stderr();
    // Without standard error the question is not seen, and not answered with yes.
    drop(write!(
        error,
        "Does the other administrator see the same? (yes, or their fingerprint) "
    ));
    drop(error.flush());
    let mut line = String::new();
    stdin()
        .lock()
        .read_line(&mut line)
        .context("the answer cannot be read")?;
    match line.trim() {
        "yes" => Ok(()),
        written if written.contains(['-', ' ', ':']) => match_fingerprint(written, fingerprint),
        _ => {
            explain("");
            Err(Failure::Usage(
                "it was not accepted; nothing was changed".to_owned(),
            ))
        }
    }
}
