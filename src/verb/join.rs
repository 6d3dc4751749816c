//! `gangplank join`: a cluster's first step, from a token to a folder that an agent runs from.
//!
//! What the relay gives is the tunnel's certificate alone. The exit's own authority and certificate are made
//! here, because whoever has them could stand in for the cluster.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use gangplank_agent::enrolment::{
    self, Enrolled, EnrolmentError, Step, Steps, Vouched, join, look_at,
};
use gangplank_pki::clock::{Clock, SystemClock};
use gangplank_pki::{TunnelName, WithCauses, pem};
use gangplank_tunnel::wire::enrolment::JoinToken;
use rustls_pki_types::CertificateDer;
use serde_json::json;

use self::folder::{Folder, Joined};
use self::present::PresentAgent;
use self::relays::{RelayPlace, Relays};
use self::upstream::upstream;
use crate::cli::JoinArguments;
use crate::failure::{Failure, Outcome};
use crate::output::print;

mod folder;
mod owner;
mod present;
mod progress;
mod relays;
mod upstream;

/// Longest token file that is read.
const LONGEST_TOKEN: u64 = 8192;

/// Joins, and writes the folder.
pub(crate) fn run(arguments: &JoinArguments) -> Outcome {
    let relays = Relays::read(&arguments.relays)?;
    let proof = Proof::of(arguments, &relays.first.host)?;
    if arguments.again {
        return again(&relays, &proof, &arguments.directory);
    }
    let upstream = upstream(arguments)?;
    let folder = Folder::prepare(&arguments.directory)?;
    let enrolled = enrol(&relays, &proof, &arguments.directory)?;
    let (shown, server_name) = (proof.shown(), proof.server_name());
    let tunnel = shown.tunnel();
    let entry = |relay: &RelayPlace| json!({ "address": relay.to_string(), "serverName": server_name, "caFile": "relay-ca.crt" });
    let joined = Joined {
        enrolled: &enrolled,
        tunnel,
        relays: relays.all().map(entry).collect(),
        upstream,
    };
    let written = folder.write(&joined);
    written.map_err(|failure| proof.spent(failure))?;
    print(&format!(
        "{cluster} has joined at {relay}.\n\n  \
         gangplank agent --config {folder}/agent.yaml\n\n\
         Whom it believes stands in {folder}/trust, one TrustedIdentityProvider a file; while it is empty every caller is refused.\n\
         Callers need {folder}/exit-ca/ca.crt as the cluster's authority, and connect to {entrance}.",
        cluster = tunnel,
        relay = relays.first,
        folder = arguments.directory.display(),
        entrance = format_args!("{tunnel}.{}", enrolled.entrance_domain),
    ))
}

/// Gets a new certificate for an agent that is there.
fn again(relays: &Relays, proof: &Proof, directory: &Path) -> Outcome {
    if let Some(other) = relays.others.first() {
        return Err(Failure::Usage(format!(
            "`--again` leaves {}/agent.yaml as it is: name one relay, and write {other} into its `relays` yourself; the token was not used",
            directory.display()
        )));
    }
    let present = PresentAgent::of(directory, proof.shown().tunnel(), &relays.first)?;
    let enrolled = enrol(relays, proof, directory)?;
    let replaced = present.replace(&enrolled);
    replaced.map_err(|failure| proof.spent(failure))?;
    print(&format!(
        "{} has joined again at {}. A running agent takes the new certificate by itself; if none runs:\n\n  \
         gangplank agent --config {}/agent.yaml",
        proof.shown().tunnel(),
        relays.first,
        directory.display()
    ))
}

fn enrol(relays: &Relays, proof: &Proof, directory: &Path) -> Result<Enrolled, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(visit(relays, proof, directory))
}

/// Looks at the other relays, then joins at the first: what is wrong with one of them must not cost the token.
async fn visit(relays: &Relays, proof: &Proof, folder: &Path) -> Result<Enrolled, Failure> {
    let (unused, in_doubt) = (proof.unused(), proof.in_doubt());
    let (proof, clock): (_, Arc<dyn Clock>) = (proof.shown(), Arc::new(SystemClock));
    for relay in &relays.others {
        let steps = Steps::default();
        let look = look_at(relay.address(), proof, Arc::clone(&clock), &steps);
        let title = format!("Looking at {relay}{}", relay.way());
        let looked = progress::told(&title, &steps, look).await;
        looked.map_err(|error| {
            let remedy = format!(
                "{unused}; leave {relay} out for now, and write it into `relays` of {}/agent.yaml later",
                folder.display()
            );
            refused(&error, relay, &remedy)
        })?;
    }
    let (relay, steps) = (&relays.first, Steps::default());
    let title = format!("Joining as {} at {relay}{}", proof.tunnel(), relay.way());
    let joining = join(relay.address(), proof, clock, &steps);
    let joined = progress::told(&title, &steps, joining).await;
    joined.map_err(|error| {
        let remedy = match (&error, *steps.borrow()) {
            // It said itself what became of the proof.
            (EnrolmentError::Refused { .. }, _) => String::new(),
            (_, Step::Answer) => in_doubt.to_owned(),
            _ => format!("{unused}: run the same command again once this is mended"),
        };
        refused(&error, relay, &remedy)
    })
}

/// What the relay said no to is the command line's fault, the rest the world's.
fn refused(error: &EnrolmentError, relay: &RelayPlace, remedy: &str) -> Failure {
    let mut message = format!("{} (asked: {relay}{})", WithCauses(error), relay.way());
    if !remedy.is_empty() {
        message = format!("{message}\n{remedy}");
    }
    match error {
        EnrolmentError::Refused { .. } => Failure::Usage(message),
        _ => Failure::Running(anyhow!(message)),
    }
}

/// By what the cluster joins.
enum Proof {
    Token(JoinToken),
    Account {
        tunnel: TunnelName,
        token: Vec<u8>,
        server_name: String,
        authorities: Vec<CertificateDer<'static>>,
    },
}

impl Proof {
    fn of(arguments: &JoinArguments, host: &str) -> Result<Self, Failure> {
        let Some(file) = &arguments.service_account_token_file else {
            return token(arguments).map(Self::Token);
        };
        let written = arguments.cluster.as_deref().unwrap_or_default();
        let tunnel = crate::verb::token::cluster(written)?;
        let authority = arguments
            .relay_ca
            .as_deref()
            .unwrap_or_else(|| Path::new(""));
        let pem = fs::read(authority).map_err(|error| {
            Failure::Usage(format!("{} cannot be read: {error}", authority.display()))
        })?;
        let authorities = pem::certificates(&pem).map_err(|fault| {
            Failure::Usage(format!("{}:{}: {fault}", authority.display(), fault.line))
        })?;
        let server_name = arguments.server_name.clone();
        Ok(Self::Account {
            tunnel,
            token: read_token(file)?.trim().as_bytes().to_vec(),
            server_name: server_name.unwrap_or_else(|| host.to_owned()),
            authorities,
        })
    }

    /// As relays are shown it.
    fn shown(&self) -> enrolment::Proof<'_> {
        match self {
            Self::Token(token) => enrolment::Proof::Token(token),
            Self::Account {
                tunnel,
                token,
                server_name,
                authorities,
            } => enrolment::Proof::Vouched(Vouched {
                tunnel,
                token,
                server_name,
                authorities,
            }),
        }
    }

    /// What became of it when nothing was asked for by it.
    const fn unused(&self) -> &'static str {
        match self {
            Self::Token(_) => "the token was not used",
            Self::Account { .. } => "the cluster has not joined",
        }
    }

    /// Where one learns what became of it when no answer came.
    const fn in_doubt(&self) -> &'static str {
        match self {
            Self::Token(_) => {
                "the relay may have taken the token: `gangplank token list --config FILE` there says so"
            }
            Self::Account { .. } => {
                "the relay may have issued a certificate: run the same command again once this is mended"
            }
        }
    }

    /// What it takes after what was got by it could not be written.
    fn spent(&self, failure: Failure) -> Failure {
        let remedy = match self {
            Self::Token(token) => format!(
                "nothing of it was kept, and the token was used: once this is mended get another at the relay with \
                 `gangplank token create --config FILE --again --cluster {}`",
                token.tunnel
            ),
            Self::Account { .. } => {
                "nothing of it was kept: run the same command again once this is mended".to_owned()
            }
        };
        match failure {
            Failure::Usage(message) => Failure::Usage(format!("{message}\n{remedy}")),
            Failure::Running(error) => Failure::Running(anyhow!("{error:#}\n{remedy}")),
            Failure::Configuration(faults) => Failure::Configuration(faults),
        }
    }

    fn server_name(&self) -> &str {
        match self {
            Self::Token(token) => &token.relay,
            Self::Account { server_name, .. } => server_name,
        }
    }
}

fn token(arguments: &JoinArguments) -> Result<JoinToken, Failure> {
    let text = match (&arguments.token, &arguments.token_file) {
        (Some(text), _) => text.clone(),
        (None, Some(file)) => read_token(file)?,
        (None, None) => {
            let message = "give the token that `gangplank token create` printed at the relay: \
                           --token-file FILE (`-` for standard input), or --token";
            return Err(Failure::Usage(message.to_owned()));
        }
    };
    text.parse()
        .map_err(|fault| Failure::Usage(format!("this is no token: {fault}")))
}

fn read_token(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin()
            .take(LONGEST_TOKEN)
            .read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|opened| opened.take(LONGEST_TOKEN).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))?;
    Ok(text)
}
