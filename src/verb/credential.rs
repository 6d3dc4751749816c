//! `gangplank credential`: an exec credential plugin (client.authentication.k8s.io). kubectl, and every client that is made
//! of client-go, runs it for a certificate, and again when that one is over: so a certificate that is renewed in its
//! files is followed without a restart.

use std::fs;
use std::path::Path;

use gangplank_pki::clock::{Clock as _, SystemClock, rfc3339};
use gangplank_pki::inspect::{KindGuess, inspect_der};
use gangplank_pki::pem;
use serde::Deserialize;
use serde_json::json;

use crate::cli::CredentialArguments;
use crate::failure::{Failure, Outcome};
use crate::output::print;

/// What a client tells a plugin (`KUBERNETES_EXEC_INFO`), as far as it matters here.
const ASKED: &str = "KUBERNETES_EXEC_INFO";

/// The versions that are spoken. What is asked and answered here is the same in both.
const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];

/// The question.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    api_version: String,
    kind: String,
}

/// Prints the credential.
pub(crate) fn run(arguments: &CredentialArguments) -> Outcome {
    let version = version(std::env::var(ASKED).ok().as_deref())?;
    let certificate = read(&arguments.certificate, "--certificate")?;
    let key = read(&arguments.key, "--key")?;
    let until = check(arguments, &certificate, &key)?;
    let answer = json!({
        "apiVersion": version,
        "kind": "ExecCredential",
        "status": {
            "expirationTimestamp": until,
            "clientCertificateData": certificate,
            "clientKeyData": key,
        },
    });
    print(&answer.to_string())
}

/// The version to answer in: that of the question; without one, as when a person tries it, the newest.
fn version(asked: Option<&str>) -> Result<&'static str, Failure> {
    let [newest, _older] = VERSIONS;
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return Ok(newest);
    };
    let question: Question = serde_json::from_str(asked).map_err(|error| {
        Failure::Usage(format!(
            "{ASKED} is not what a Kubernetes client asks ({error}): unset it to try this by hand"
        ))
    })?;
    let spoken = VERSIONS
        .into_iter()
        .find(|version| *version == question.api_version && question.kind == "ExecCredential");
    spoken.ok_or_else(|| {
        Failure::Usage(format!(
            "{} {} is not spoken here: set `apiVersion: {newest}` in the kubeconfig's `exec`",
            question.api_version, question.kind
        ))
    })
}

/// Both files belong together, and are a caller's that is valid now. Answers its last moment.
fn check(arguments: &CredentialArguments, certificate: &str, key: &str) -> Result<String, Failure> {
    let broken = |file: &Path, fault: &pem::PemFault| {
        Failure::Usage(format!("{}:{}: {fault}", file.display(), fault.line))
    };
    let (file, key_file) = (&arguments.certificate, &arguments.key);
    let chain = pem::certificates(certificate.as_bytes()).map_err(|fault| broken(file, &fault))?;
    let key = pem::private_key(key.as_bytes()).map_err(|fault| broken(key_file, &fault))?;
    let said = |why: String| Failure::Usage(format!("{}: {why}", file.display()));
    let leaf = chain
        .first()
        .and_then(|leaf| Some((leaf, inspect_der(leaf)?)));
    let (leaf, summary) = leaf.ok_or_else(|| said("there is no certificate in it".to_owned()))?;
    pem::key_matches(leaf, &key)
        .map_err(|fault| said(format!("with {}: {fault}", key_file.display())))?;
    if matches!(summary.kind, KindGuess::Authority | KindGuess::Server) {
        let why = "this is not a caller's certificate: mount the Secret of an Identity";
        return Err(said(why.to_owned()));
    }
    let until = rfc3339(summary.not_after);
    if summary.not_after < SystemClock.now() {
        let why = format!(
            "it ended at {until}: see why it was not renewed with `kubectl describe identities`, and whether the \
             Secret is still mounted here"
        );
        return Err(said(why));
    }
    Ok(until)
}

fn read(file: &Path, flag: &str) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| {
        Failure::Usage(format!(
            "{} cannot be read ({error}): give `{flag}` the mounted file",
            file.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_in_the_version_of_the_question() {
        for spoken in VERSIONS {
            let asked = format!(
                r#"{{"apiVersion":"{spoken}","kind":"ExecCredential","spec":{{"interactive":false}}}}"#
            );
            assert_eq!(version(Some(&asked)).expect("spoken"), spoken);
        }
        assert_eq!(version(None).expect("by hand"), VERSIONS[0]);
        for asked in [
            r#"{"apiVersion":"client.authentication.k8s.io/v1alpha1","kind":"ExecCredential"}"#,
            r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"Other"}"#,
            "{",
        ] {
            let refused = version(Some(asked)).expect_err(asked).describe();
            assert_eq!(refused.lines().count(), 1, "{refused}");
        }
    }
}
