//! `gangplank status`: what a running role sees, read from its admin endpoint.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::cli::StatusArguments;
use crate::failure::Outcome;
use crate::output::{columns, show};
use crate::status::{
    AgentStatus, CertificateStatus, ControllerStatus, ExitStatus, OfflineStatus, ProviderStatus,
    RegisterStatus, RelayStatus, Status,
};

/// A local endpoint that has not answered by then does not work.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than ten thousand tunnels take; a stranger on that port cannot fill the memory.
const LARGEST_ANSWER: u64 = 16 * 1024 * 1024;

/// Asks the role and prints its answer.
pub(crate) fn run(arguments: &StatusArguments) -> Outcome {
    let page = ask(arguments.admin).with_context(|| {
        format!(
            "no status from {}: is a role running with `admin.listen` there? (`--admin` or GANGPLANK_ADMIN name another)",
            arguments.admin
        )
    })?;
    let status: Status = serde_json::from_str(&page).with_context(|| {
        format!(
            "{} answered, but not as a gangplank of this version does",
            arguments.admin
        )
    })?;
    show(&status, arguments.output, table)
}

/// One plain HTTP/1.1 request; the endpoint is ours and on this host.
fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    write!(
        socket,
        "GET /status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    socket.take(LARGEST_ANSWER).read_to_string(&mut answer)?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("the answer is not HTTP")
    };
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("the answer is {}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

fn table(status: &Status) -> String {
    let ready = if status.unready.is_empty() {
        "ready".to_owned()
    } else {
        format!("not ready: {}", status.unready.join("; "))
    };
    let mut rows = vec![
        vec![
            "Role:".to_owned(),
            format!("{} ({})", status.role, status.version),
        ],
        vec!["Up:".to_owned(), span(status.uptime_seconds)],
        vec!["State:".to_owned(), ready],
    ];
    let warnings = status.warnings.iter();
    rows.extend(warnings.map(|warning| vec!["Warning:".to_owned(), warning.clone()]));
    let mut parts = vec![columns(&rows)];
    parts.extend(status.relay.as_ref().map(relay));
    parts.extend(status.agent.as_ref().map(agent));
    parts.extend(status.exit.as_ref().map(exit));
    parts.extend(status.controller.as_ref().map(controller));
    if !status.certificates.is_empty() {
        parts.push(certificates("CERTIFICATE", &status.certificates));
    }
    parts.join("\n\n")
}

fn relay(relay: &RelayStatus) -> String {
    let title = format!(
        "Entrances: *.{} at {}{}",
        relay.domain,
        relay.listen,
        register(relay.register.as_ref())
    );
    let offline = offline(&relay.offline);
    if relay.tunnels.is_empty() {
        return format!("{title}\nNo tunnel: no agent is connected{offline}");
    }
    let mut rows = vec![header(&[
        "TUNNEL",
        "INSTANCE",
        "SLOT",
        "TRANSPORT",
        "AGENT",
        "AGE",
        "RTT",
        "STREAMS",
        "SENT",
        "RECEIVED",
        "LAST ERROR",
    ])];
    rows.extend(relay.tunnels.iter().map(|tunnel| {
        vec![
            tunnel.name.clone(),
            tunnel.instance.chars().take(8).collect(),
            tunnel.slot.to_string(),
            tunnel.transport.clone(),
            tunnel.remote.clone(),
            span(tunnel.age_seconds),
            round_trip(tunnel.rtt_micros),
            tunnel.streams.to_string(),
            bytes(tunnel.traffic.sent_bytes),
            bytes(tunnel.traffic.received_bytes),
            tunnel.last_error.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }));
    format!("{title}\n{}{offline}", columns(&rows))
}

/// Where clusters' rights are kept, on a line of its own.
fn register(register: Option<&RegisterStatus>) -> String {
    let Some(register) = register else {
        return "\nRegister: none, no cluster can join".to_owned();
    };
    let lost = register.lost_seconds.map(|seconds| {
        let why = register.last_error.as_deref().unwrap_or("no reason known");
        format!(" (lost for {}: {why})", span(seconds))
    });
    format!("\nRegister: {}{}", register.place, lost.unwrap_or_default())
}

/// Clusters that had a tunnel, if there are any.
fn offline(clusters: &[OfflineStatus]) -> String {
    if clusters.is_empty() {
        return String::new();
    }
    let mut rows = vec![header(&["OFFLINE", "SINCE", "LAST ERROR"])];
    rows.extend(clusters.iter().map(|cluster| {
        let since = span(cluster.since_seconds);
        vec![cluster.name.clone(), since, cluster.last_error.clone()]
    }));
    format!("\n{}", columns(&rows))
}

fn agent(agent: &AgentStatus) -> String {
    let mut rows = vec![header(&[
        "RELAY",
        "STATE",
        "SINCE",
        "RTT",
        "STREAMS",
        "SENT",
        "RECEIVED",
        "LAST ERROR",
    ])];
    rows.extend(agent.relays.iter().map(|relay| {
        vec![
            relay.relay.clone(),
            relay.state.clone(),
            relay.age_seconds.map_or_else(|| "-".to_owned(), span),
            round_trip(relay.rtt_micros),
            relay.streams.to_string(),
            bytes(relay.traffic.sent_bytes),
            bytes(relay.traffic.received_bytes),
            relay.last_error.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }));
    let renewal = agent.renewal.as_ref().map_or_else(String::new, |renewal| {
        let fault = renewal.last_error.as_ref();
        let fault = fault.map_or_else(String::new, |fault| format!("; last error: {fault}"));
        let since = if renewal.due { "due since " } else { "" };
        let trying = if renewal.due { ", retrying" } else { "" };
        format!("\nRenewal: {since}{}{trying}{fault}", renewal.next)
    });
    format!("Tunnel: {}\n{}{renewal}", agent.tunnel, columns(&rows))
}

fn controller(controller: &ControllerStatus) -> String {
    let leader = controller.leader.as_ref();
    let leader = leader.map_or_else(String::new, |leader| format!(", {leader} leads"));
    let title = format!("Controller: {}{leader}", controller.standing);
    if controller.objects.is_empty() {
        return title;
    }
    let mut rows = vec![header(&["KIND", "READY", "NOT READY", "FAILING"])];
    rows.extend(controller.objects.iter().map(|objects| {
        vec![
            objects.kind.clone(),
            objects.ready.to_string(),
            objects.unready.to_string(),
            objects.failing.to_string(),
        ]
    }));
    format!("{title}\n{}", columns(&rows))
}

fn exit(exit: &ExitStatus) -> String {
    let mut text = format!(
        "API server: {}\nTrust: {} (generation {})",
        exit.upstream,
        trust(exit),
        exit.bundle.generation
    );
    if !exit.bundle.providers.is_empty() {
        let mut rows = vec![header(&[
            "PROVIDER",
            "PREFIX",
            "AUTHORITY",
            "GOOD UNTIL",
            "FINGERPRINT",
        ])];
        for provider in &exit.bundle.providers {
            rows.extend(provider.authorities.iter().map(|authority| {
                vec![
                    provider.name.clone(),
                    provider.prefix.clone(),
                    authority.name.clone(),
                    good_until(authority),
                    authority.fingerprint.clone(),
                ]
            }));
        }
        text = format!("{text}\n{}", columns(&rows));
    }
    text.push_str(&revocations(&exit.bundle.providers));
    for fault in &exit.bundle.faults {
        text = format!("{text}\nFault: {fault}");
    }
    text
}

/// What is revoked, if anything is.
fn revocations(providers: &[ProviderStatus]) -> String {
    let mut rows = vec![header(&[
        "REVOKED BY",
        "PROVIDER",
        "LIST",
        "CERTIFICATES",
        "NEXT BY",
    ])];
    for provider in providers {
        rows.extend(provider.revocation_lists.iter().map(|list| {
            vec![
                list.authority.clone(),
                provider.name.clone(),
                list.number.clone().unwrap_or_else(|| "-".to_owned()),
                list.revoked.to_string(),
                list.next_update.clone(),
            ]
        }));
        if provider.denied > 0 {
            let name = provider.name.clone();
            let denied = provider.denied.to_string();
            rows.push(vec![
                "this exit".to_owned(),
                name,
                "-".to_owned(),
                denied,
                "-".to_owned(),
            ]);
        }
    }
    if rows.len() == 1 {
        return String::new();
    }
    format!("\n{}", columns(&rows))
}

fn trust(exit: &ExitStatus) -> String {
    match exit.bundle.providers.len() {
        0 => "nobody, every caller is refused".to_owned(),
        1 => "1 provider".to_owned(),
        many => format!("{many} providers"),
    }
}

fn certificates(title: &str, certificates: &[CertificateStatus]) -> String {
    let mut rows = vec![header(&[title, "GOOD UNTIL", "FINGERPRINT"])];
    rows.extend(certificates.iter().map(|shown| {
        vec![
            match &shown.subject {
                Some(subject) => format!("{} ({subject})", shown.name),
                None => shown.name.clone(),
            },
            good_until(shown),
            shown.fingerprint.clone(),
        ]
    }));
    columns(&rows)
}

fn good_until(certificate: &CertificateStatus) -> String {
    let state = match (certificate.expired, certificate.due) {
        (true, _) => " (over)",
        (false, true) => " (renew)",
        (false, false) => "",
    };
    format!("{}{state}", certificate.not_after)
}

fn header(titles: &[&str]) -> Vec<String> {
    titles.iter().map(ToString::to_string).collect()
}

fn round_trip(micros: Option<u64>) -> String {
    match micros {
        None => "-".to_owned(),
        Some(micros) if micros < 1000 => format!("{micros}us"),
        Some(micros) => format!("{}.{}ms", micros / 1000, micros % 1000 / 100),
    }
}

/// Bytes as kubectl prints memory.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes}B"),
        10_240..10_485_760 => format!("{}Ki", bytes >> 10),
        10_485_760..10_737_418_240 => format!("{}Mi", bytes >> 20),
        _ => format!("{}Gi", bytes >> 30),
    }
}

/// A time span as kubectl prints ages.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
