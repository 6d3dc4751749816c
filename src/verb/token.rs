//! `gangplank token`: the right to join, made at the relay.

use std::time::Duration;

use gangplank_config::role;
use gangplank_enrolment::{Office, TokenError, TokenId, TokenRecord};
use gangplank_pki::clock::{Clock as _, SystemClock, rfc3339};
use gangplank_pki::{TunnelName, WithCauses};
use rustls_pki_types::UnixTime;
use serde::Serialize;

use crate::cli::{TokenCreateArguments, TokenDeleteArguments, TokenListArguments};
use crate::failure::{Failure, Outcome};
use crate::output::{columns, print, show};
use crate::verb::register;

/// Makes a token and prints it, alone on standard output: a script can take it.
pub(crate) fn create(arguments: &TokenCreateArguments) -> Outcome {
    let tunnel = cluster(&arguments.cluster)?;
    let made = register::with_office(&arguments.relay, async |office: &Office| {
        let lifetime = Duration::from_secs(arguments.ttl);
        office
            .make_token(&tunnel, lifetime, arguments.again)
            .await
            .map_err(|error| match error {
                TokenError::Joined { .. } => Failure::Usage(error.to_string()),
                other => Failure::Running(anyhow::anyhow!("{}", WithCauses(&other))),
            })
    })?;
    print(&made.token.text())?;
    let relay = role::relay::load(&arguments.relay.config)?;
    let in_its_folder = "Where DIR has this cluster's agent already add `--again`, and nothing but its certificate is replaced.\n";
    register::explain(&format!(
        "This token makes a cluster {tunnel}, once, until {}. Keep it secret, and there (without `--kubeconfig` in a pod):\n\n  \
         gangplank join {}:{} --token-file FILE --directory DIR --kubeconfig FILE\n{}",
        rfc3339(made.expires),
        relay.tunnel.server_name,
        relay.listen.port(),
        if arguments.again { in_its_folder } else { "" }
    ));
    Ok(())
}

/// A token for programs and people, without its secret.
#[derive(Serialize)]
struct Shown {
    id: String,
    cluster: String,
    created: String,
    expires: String,
    state: &'static str,
}

/// Lists tokens.
pub(crate) fn list(arguments: &TokenListArguments) -> Outcome {
    let tokens = register::with_register(&arguments.relay, async |register| {
        register.tokens().await.map_err(register::failure)
    })?;
    let now = SystemClock.now();
    let shown: Vec<Shown> = tokens.iter().map(|token| shown(token, now)).collect();
    show(&shown, arguments.output, |shown| table(shown))
}

fn shown(token: &TokenRecord, now: UnixTime) -> Shown {
    let state = match token.used {
        Some(_) => "used",
        None if now >= token.expires => "expired",
        None => "open",
    };
    Shown {
        id: hex(&token.id),
        cluster: token.tunnel.to_string(),
        created: rfc3339(token.created),
        expires: rfc3339(token.expires),
        state,
    }
}

fn table(tokens: &[Shown]) -> String {
    let mut rows = vec![
        ["ID", "CLUSTER", "EXPIRES", "STATE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(tokens.iter().map(|token| {
        vec![
            token.id.clone(),
            token.cluster.clone(),
            token.expires.clone(),
            token.state.to_owned(),
        ]
    }));
    columns(&rows)
}

/// Forgets a token.
pub(crate) fn delete(arguments: &TokenDeleteArguments) -> Outcome {
    let id = token_id(&arguments.id).ok_or_else(|| {
        let message = "a token's ID has 32 hexadecimal digits, as `gangplank token list --config FILE` prints it";
        Failure::Usage(message.to_owned())
    })?;
    let there = register::with_register(&arguments.relay, async |register| {
        register.forget_token(id).await.map_err(register::failure)
    })?;
    if !there {
        return Err(Failure::Usage("there is no token of this ID: `gangplank token list --config FILE` shows which there are".to_owned()));
    }
    print(&format!("token {} deleted", arguments.id))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn token_id(text: &str) -> Option<TokenId> {
    let value = u128::from_str_radix(text, 16).ok()?;
    (text.len() == 32 && !text.starts_with('+')).then(|| value.to_be_bytes())
}

/// Reads a cluster's name from the command line.
pub(crate) fn cluster(written: &str) -> Result<TunnelName, Failure> {
    TunnelName::parse(written).map_err(|fault| Failure::Usage(format!("{written}: {fault}")))
}
