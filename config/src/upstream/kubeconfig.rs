//! One context of a kubeconfig.
//!
//! Only what leads to one server, one authority and one credential is taken. Keys that would make the
//! connection something else (a proxy, another user, no verification) are refused rather than ignored.

use std::path::Path;

use crate::fault::Faults;
use crate::material::{Anchors, Material, Token};
use crate::scalar::{HostPort, quoted, server_name};
use crate::section::{Section, Written};
use crate::sheet::Sheet;
use crate::suggestion::{listed, nearest};
use crate::upstream::{Credential, Server, Upstream};
use crate::yaml::Node;

mod inline;

/// The upstream that a context means; `None` means the current one.
pub(super) fn read(path: &Path, context: Option<&str>) -> Result<Upstream, Faults> {
    Sheet::load(path, |sheet, root| {
        let file = sheet.open_section(root, "a kubeconfig")?;
        let context = context_named(&file, context)?;
        let cluster = named(
            &file,
            "clusters",
            "cluster",
            context.required_text("cluster")?,
        );
        let user = named(&file, "users", "user", context.required_text("user")?);
        let server = cluster.as_ref().and_then(server);
        let authorities = cluster.as_ref().and_then(authorities);
        let credential = user.as_ref().and_then(credential);
        Some(Upstream {
            server: server?,
            authorities: authorities?,
            credential: credential?,
        })
    })
}

fn context_named<'s>(file: &Section<'s>, wanted: Option<&str>) -> Option<Section<'s>> {
    let contexts = file.required_list("contexts")?;
    let names = names_of(file, contexts);
    let name = if let Some(name) = wanted {
        name
    } else {
        file.required_text("current-context")?.text
    };
    if let Some(context) = entry(file, contexts, "context", name) {
        return Some(context);
    }
    if names.contains(&name) {
        // It is there, and what is wrong with it was noted.
        return None;
    }
    let remedy = match nearest(name, &names) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the contexts here are {}", listed(&names)),
    };
    let message = format!("there is no context {}", quoted(name));
    let place = match wanted {
        None => file
            .optional("current-context")
            .map_or(file.place, |node| node.place),
        Some(_) => file
            .required("contexts")
            .map_or(file.place, |node| node.place),
    };
    file.sheet.fault(place, "NoSuchContext", message, remedy);
    None
}

/// The entry that a context refers to by name.
fn named<'s>(
    file: &Section<'s>,
    list: &str,
    key: &'static str,
    name: Written<'_>,
) -> Option<Section<'s>> {
    let items = file.required_list(list)?;
    if !names_of(file, items).contains(&name.text) {
        let message = format!(
            "the context refers to {}, which is not among the {list}",
            quoted(name.text)
        );
        let remedy = format!("add it to `{list}`, or correct the name");
        file.sheet.fault(name.place, "NoSuchEntry", message, remedy);
        return None;
    }
    entry(file, items, key, name.text)
}

fn entry<'s>(
    file: &Section<'s>,
    items: &'s [Node],
    key: &'static str,
    name: &str,
) -> Option<Section<'s>> {
    let entries = items
        .iter()
        .filter_map(|item| file.sheet.open_section(item, "an entry"));
    let mut matching = entries.filter(|entry| {
        entry
            .optional("name")
            .is_some_and(|node| node.as_text() == Some(name))
    });
    let entry = matching.next()?;
    file.sheet
        .open_section(entry.required(key)?, &format!("the {key}"))
}

fn names_of<'s>(file: &Section<'s>, items: &'s [Node]) -> Vec<&'s str> {
    let entries = items
        .iter()
        .filter_map(|item| file.sheet.open_section(item, "an entry"));
    entries
        .filter_map(|entry| entry.optional("name")?.as_text())
        .collect()
}

/// Keys that would make of the connection something other than it says here.
const REFUSED_OF_CLUSTERS: &[(&str, &str)] = &[
    (
        "insecure-skip-tls-verify",
        "the server is always verified: write `certificate-authority-data`",
    ),
    (
        "proxy-url",
        "the API server must be reached directly: run this program where it is",
    ),
];

fn server(cluster: &Section<'_>) -> Option<Server> {
    refuse(cluster, REFUSED_OF_CLUSTERS);
    let written = cluster.required_text("server")?;
    let refuse = |reason, message: String, remedy: &str| {
        cluster.sheet.fault(written.place, reason, message, remedy);
        None
    };
    if written.text.contains('@') {
        let message = "the server has a user or password in it".to_owned();
        return refuse(
            "BadAddress",
            message,
            "write `https://HOST:PORT`, and the credential under `users`",
        );
    }
    let Some(rest) = written.text.strip_prefix("https://") else {
        let message = format!(
            "the server {} is not an https:// address",
            quoted(written.text)
        );
        return refuse(
            "NotHttps",
            message,
            "write `https://HOST:PORT`; plain HTTP is never used",
        );
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        let message = format!(
            "the server {} has more than host and port",
            quoted(written.text)
        );
        return refuse(
            "BadAddress",
            message,
            "write `https://HOST:PORT` of the API server itself",
        );
    }
    let has_port = rest
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']'));
    let address = if has_port {
        HostPort::parse(rest)
    } else {
        HostPort::from_parts(rest, 443)
    };
    let address = cluster.sheet.accept(written.place, address)?;
    let name = if cluster.optional("tls-server-name").is_some() {
        let name = cluster.optional_text("tls-server-name")?;
        Some(cluster.sheet.accept(name.place, server_name(name.text))?)
    } else {
        None
    };
    cluster
        .sheet
        .accept(written.place, Server::new(&address, name))
}

fn authorities(cluster: &Section<'_>) -> Option<Material<Anchors>> {
    let (file, data) = ("certificate-authority", "certificate-authority-data");
    // As kubectl has it, data override a file.
    if cluster.optional(data).is_some() {
        return inline::authorities(cluster, data);
    }
    if cluster.optional(file).is_some() {
        return cluster.anchors(file);
    }
    let message = "the cluster names no certificate authority";
    let remedy = "add `certificate-authority-data`; authorities of the system are not used";
    cluster
        .sheet
        .fault(cluster.place, "MissingKey", message, remedy);
    None
}

const IMPERSONATION: &str =
    "remove it: this program impersonates by itself, and the API server must see who it is";
const OWN_CREDENTIAL: &str = "give this program a client certificate or a token of its own";
/// Credentials of people, which need a program or a dialogue; and impersonation.
const REFUSED_OF_USERS: &[(&str, &str)] = &[
    ("exec", OWN_CREDENTIAL),
    ("auth-provider", OWN_CREDENTIAL),
    ("username", OWN_CREDENTIAL),
    ("password", OWN_CREDENTIAL),
    ("as", IMPERSONATION),
    ("as-uid", IMPERSONATION),
    ("as-groups", IMPERSONATION),
    ("as-user-extra", IMPERSONATION),
];

fn credential(user: &Section<'_>) -> Option<Credential> {
    if refuse(user, REFUSED_OF_USERS) {
        return None;
    }
    let any = |keys: &[&str]| keys.iter().any(|key| user.optional(key).is_some());
    let certificate = any(&["client-certificate", "client-certificate-data"]);
    let key = any(&["client-key", "client-key-data"]);
    let kinds = [certificate || key, any(&["token"]), any(&["tokenFile"])];
    if kinds.into_iter().filter(|given| *given).count() > 1 {
        let message = "the user has more than one credential, but exactly one is used";
        let remedy = "keep a client certificate with its key, or `token`, or `tokenFile`";
        user.sheet
            .fault(user.place, "TwoCredentials", message, remedy);
        return None;
    }
    match kinds {
        [true, ..] => inline::client_certificate(user).map(Credential::ClientCertificate),
        [_, true, _] => inline::token(user).map(Credential::Token),
        [_, _, true] => {
            let written = user.optional_text("tokenFile")?;
            let token = Token::material(user.sheet.resolve(written.text));
            user.sheet.accept_referenced(written.place, token.read())?;
            Some(Credential::TokenFile(token))
        }
        _ => {
            let message = "the user has no credential";
            let remedy = "add a client certificate with its key, `token` or `tokenFile`";
            user.sheet
                .fault(user.place, "NoCredential", message, remedy);
            None
        }
    }
}

/// Notes each key of `refused` that is there; whether there was one.
fn refuse(section: &Section<'_>, refused: &[(&str, &str)]) -> bool {
    let mut found = false;
    for (key, remedy) in refused {
        // `insecure-skip-tls-verify: false` says what is done anyway.
        if let Some(node) = section.optional(key).filter(|node| !node.is_false()) {
            found = true;
            let message = format!("`{key}` is not supported here");
            section
                .sheet
                .fault(node.place, "UnsupportedKey", message, *remedy);
        }
    }
    found
}

#[cfg(test)]
mod tests;
