//! `gangplank join`: a cluster's first step, from a token to a folder that an agent runs from.
//!
//! What the relay gives is the tunnel's certificate alone. The exit's own authority and certificate are made
//! here, because whoever has them could stand in for the cluster.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use gangplank_agent::enrolment::{Address, Enrolled, EnrolmentError, Vouched, join, join_vouched};
use gangplank_config::ProxyEnvironment;
use gangplank_pki::clock::SystemClock;
use gangplank_pki::{TunnelName, WithCauses, pem};
use gangplank_tunnel::wire::enrolment::JoinToken;
use rustls_pki_types::CertificateDer;
use serde_json::json;

use self::folder::{Folder, Joined};
use self::upstream::upstream;
use crate::cli::JoinArguments;
use crate::failure::{Failure, Outcome};
use crate::output::print;

mod folder;
mod upstream;

/// Longest token file that is read.
const LONGEST_TOKEN: u64 = 8192;

/// Joins, and writes the folder.
pub(crate) fn run(arguments: &JoinArguments) -> Outcome {
    let (host, port) = host_and_port(&arguments.relay)?;
    let proof = Proof::of(arguments, &host)?;
    let upstream = upstream(arguments)?;
    let folder = Folder::prepare(&arguments.directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let relay = written(&host, port);
    let environment = ProxyEnvironment::read(|name| std::env::var(name).ok());
    let proxy = environment.map_err(Failure::Usage)?.on_the_way_to(&host);
    let address = Address {
        host: &host,
        port,
        proxy: proxy.as_ref(),
    };
    let enrolled = runtime
        .block_on(proof.join(address))
        .map_err(|error| told(&error))?;
    let (tunnel, server_name) = (proof.tunnel(), proof.server_name());
    let joined = Joined {
        enrolled: &enrolled,
        tunnel,
        relay: json!({ "address": relay, "serverName": server_name, "caFile": "relay-ca.crt" }),
        upstream,
    };
    folder.write(&joined)?;
    print(&format!(
        "{cluster} has joined at {relay}.\n\n  \
         gangplank agent --config {folder}/agent.yaml\n\n\
         Whom it believes stands in {folder}/trust, one TrustedIdentityProvider a file; nobody yet.\n\
         Callers need {folder}/exit-ca/ca.crt as the cluster's authority, and connect to {entrance}.",
        cluster = tunnel,
        relay = relay,
        folder = arguments.directory.display(),
        entrance = format_args!("{tunnel}.{}", enrolled.entrance_domain),
    ))
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

    async fn join(&self, address: Address<'_>) -> Result<Enrolled, EnrolmentError> {
        let clock = Arc::new(SystemClock);
        match self {
            Self::Token(token) => join(address, token, clock).await,
            Self::Account {
                tunnel,
                token,
                server_name,
                authorities,
            } => {
                let vouched = Vouched {
                    tunnel,
                    token,
                    server_name,
                    authorities,
                };
                join_vouched(address, &vouched, clock).await
            }
        }
    }

    fn tunnel(&self) -> &TunnelName {
        match self {
            Self::Token(token) => &token.tunnel,
            Self::Account { tunnel, .. } => tunnel,
        }
    }

    fn server_name(&self) -> &str {
        match self {
            Self::Token(token) => &token.relay,
            Self::Account { server_name, .. } => server_name,
        }
    }
}

/// What the relay said to the command line is at fault, the rest is the world.
fn told(error: &EnrolmentError) -> Failure {
    let message = WithCauses(error).to_string();
    match error {
        EnrolmentError::Refused { .. } => Failure::Usage(message),
        _ => Failure::Running(anyhow!(message)),
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

/// `relay.example.com` is at port 443.
fn host_and_port(written: &str) -> Result<(String, u16), Failure> {
    let unbracketed = |host: &str| {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        bare.unwrap_or(host).to_owned()
    };
    let whole_host = written.starts_with('[') && written.ends_with(']');
    match written.rsplit_once(':').filter(|_| !whole_host) {
        None if !written.is_empty() => Ok((unbracketed(written), 443)),
        Some((host, port)) if !host.is_empty() => {
            let port = port.parse().map_err(|_no_number| wrong_relay(written))?;
            Ok((unbracketed(host), port))
        }
        _ => Err(wrong_relay(written)),
    }
}

/// A relay as an agent's file has it.
fn written(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn wrong_relay(written: &str) -> Failure {
    Failure::Usage(format!(
        "`{written}` is no address of a relay: write a host and a port, such as `relay.example.com:8443`"
    ))
}
