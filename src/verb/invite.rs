//! `gangplank invite`: a line for another administrator, who may then ask to call this cluster.

use gangplank_config::letter::{Invitation, Letter, Offer};
use gangplank_objects::installation::SERVING_AUTHORITY;
use gangplank_pki::TrustAnchor;
use serde::Serialize;

use crate::cli::InviteArguments;
use crate::failure::{Failure, Outcome};
use crate::output::show;
use crate::verb::compare::{Authority, authorities, shown_invitation, told_fingerprint};
use crate::verb::reach::{Own, installation, on_runtime, running};
use crate::verb::register::explain;

/// An invitation for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    invitation: String,
    fingerprint: String,
    spoken: String,
    cluster: String,
    server: String,
    authorities: Vec<Authority>,
    namespace: String,
    roles: Vec<String>,
}

/// Makes the invitation and prints it; changes nothing.
pub(crate) fn run(arguments: &InviteArguments) -> Outcome {
    let invitation = on_runtime(invitation(arguments))?;
    let letter = Letter::Invitation(invitation.clone());
    let shown = shown(&letter, &invitation);
    show(&shown, arguments.output, |shown| shown.invitation.clone())?;
    let offer = invitation.offer();
    let roles: String = offer
        .roles()
        .iter()
        .map(|role| format!(" --role {role}"))
        .collect();
    explain(&format!(
        "\n{}\n\nSend the line to the other administrator. Nothing in it is secret, and it grants nothing. They run\n\n  \
         gangplank accept INVITATION --namespace THEIR-NAMESPACE\n\nand compare with you, by another way than the line took:\n\n{}\n\n\
         Their answer is applied here by\n\n  gangplank accept ANSWER --namespace {}{roles}\n",
        shown_invitation(&invitation),
        told_fingerprint(&letter.fingerprint()),
        offer.namespace(),
    ));
    Ok(())
}

async fn invitation(arguments: &InviteArguments) -> Result<Invitation, Failure> {
    let usage = |fault: gangplank_config::letter::FieldFault| Failure::Usage(fault.to_string());
    let offer = Offer::new(&arguments.namespace, &arguments.role).map_err(usage)?;
    let own = Own {
        access: &arguments.access,
        names: &arguments.own,
    };
    let complete = arguments.own.cluster.is_some()
        && arguments.own.certificate_authority.is_some()
        && arguments.server.is_some();
    let facts = own.facts(!complete).await?;
    let cluster = own.cluster(&facts)?;
    let server = arguments.server.clone().or(facts.server).ok_or_else(|| {
        Failure::Usage(
            "the installation does not say where this cluster is reached: name it with --server https://HOST".to_owned(),
        )
    })?;
    let authorities: Vec<TrustAnchor> = own.authorities(SERVING_AUTHORITY).await?;
    if !complete {
        let installation = installation(&arguments.access)?;
        installation.has(&offer).await.map_err(running)?;
    }
    Invitation::new(cluster, &server, authorities, offer).map_err(usage)
}

fn shown(letter: &Letter, invitation: &Invitation) -> Shown {
    Shown {
        invitation: letter.text(),
        fingerprint: letter.fingerprint().to_string(),
        spoken: letter.fingerprint().spoken(),
        cluster: invitation.cluster().to_string(),
        server: invitation.server().to_owned(),
        authorities: authorities(invitation.authorities()),
        namespace: invitation.offer().namespace().to_owned(),
        roles: invitation.offer().roles().to_vec(),
    }
}
