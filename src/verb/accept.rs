//! `gangplank accept`: another administrator's letter becomes objects here, once a person has compared it.
//!
//! An invitation becomes the half of the cluster that calls, and an answer is printed. An answer becomes the half of the
//! cluster that is called; what is granted is said here, by a person, and never by the answer alone.

mod placing;

use std::io::Read as _;

use anyhow::{Context as _, anyhow};
use gangplank_config::letter::{self, Answer, FieldFault, Invitation, LONGEST, Letter, Offer};
use gangplank_objects::halves::{Caller, Grant, called, calling};
use gangplank_objects::installation::{Facts, IDENTITY_AUTHORITY};
use gangplank_objects::parting::list;
use gangplank_objects::{Identity, KnownCluster, TrustedIdentityProvider};
use gangplank_pki::{Prefix, TunnelName};
use kube::Api;
use serde::Serialize;

use self::placing::{Placed, Placing, dry_run, rows};
use crate::cli::{AcceptArguments, DryRun, OutputFormat};
use crate::failure::{Failure, Outcome};
use crate::output::show;
use crate::verb::compare::{
    match_fingerprint, offered, require, shown_answer, shown_invitation, told_fingerprint,
};
use crate::verb::reach::{Own, installation, on_runtime, running};
use crate::verb::register::explain;

/// The Identity that a Kubeconfig uses when it names none.
const DEFAULT_IDENTITY: &str = "default";

/// What came of an invitation, for programs.
#[derive(Serialize)]
struct Answered {
    answer: String,
    fingerprint: String,
    spoken: String,
    objects: Vec<Placed>,
}

/// What came of an answer, for programs.
#[derive(Serialize)]
struct Granted {
    username: String,
    objects: Vec<Placed>,
}

/// Reads the letter and does what it is for.
pub(crate) fn run(arguments: &AcceptArguments) -> Outcome {
    let text = letter_text(&arguments.letter)?;
    let letter = Letter::parse(&text).map_err(|fault| Failure::Usage(fault.to_string()))?;
    let accepting = Accepting {
        arguments,
        letter: &letter,
    };
    match &letter {
        Letter::Invitation(invitation) => on_runtime(accepting.invitation(invitation)),
        Letter::Answer(answer) => on_runtime(accepting.answer(answer)),
    }
}

/// The letter as it was given, or what standard input has.
fn letter_text(given: &str) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_mul(2);
    std::io::stdin()
        .take(most)
        .read_to_string(&mut text)
        .context("standard input cannot be read")?;
    Ok(text)
}

/// A letter, and what was said about accepting it.
struct Accepting<'a> {
    arguments: &'a AcceptArguments,
    letter: &'a Letter,
}

impl Accepting<'_> {
    async fn invitation(&self, invitation: &Invitation) -> Outcome {
        let arguments = self.arguments;
        if !arguments.role.is_empty() || arguments.prefix.is_some() {
            return Err(usage(
                "this is an invitation: --role and --prefix are for the one who invites; leave them out",
            ));
        }
        let namespace = arguments.namespace.as_deref().ok_or_else(|| {
            usage("this is an invitation: say which namespace here will call, with --namespace")
        })?;
        self.tell(&shown_invitation(invitation))?;
        let own = self.own();
        let facts = own.facts(arguments.own.cluster.is_none()).await?;
        let cluster = own.cluster(&facts)?;
        if cluster == *invitation.cluster() {
            return Err(usage(
                "this cluster made this invitation: it is for the administrator of another one",
            ));
        }
        let authorities = own.authorities(IDENTITY_AUTHORITY).await?;
        let identity = (namespace, arguments.identity.as_str());
        let answer = Answer::to(invitation, cluster, authorities, identity).map_err(field)?;
        let caller = self.caller(invitation, namespace).await?;
        let known: Vec<KnownCluster> = self.there().await?;
        let manifests = calling(invitation, &caller, &known).map_err(running)?;
        let answer = Letter::Answer(answer);
        if arguments.dry_run.is_some() {
            dry_run(arguments.output, &manifests)?;
            tell_answer(&answer, invitation.offer(), Some(&answer.text()));
            return Ok(());
        }
        let placing = Placing::look(installation(&arguments.access)?.client, &manifests).await?;
        placing.announce();
        require(&arguments.compared, &self.letter.fingerprint())?;
        let objects = placing.bring_about().await?;
        let answered = Answered {
            answer: answer.text(),
            fingerprint: answer.fingerprint().to_string(),
            spoken: answer.fingerprint().spoken(),
            objects,
        };
        if arguments.output == OutputFormat::Table {
            explain(&format!("\n{}\n", rows(&answered.objects)));
        }
        show(&answered, arguments.output, |answered| {
            answered.answer.clone()
        })?;
        tell_answer(&answer, invitation.offer(), None);
        Ok(())
    }

    async fn answer(&self, answer: &Answer) -> Outcome {
        let arguments = self.arguments;
        if arguments.name.is_some() || arguments.identity != DEFAULT_IDENTITY {
            return Err(usage(
                "this is an answer: --name and --identity are for the one who was invited; leave them out",
            ));
        }
        self.tell(&shown_answer(answer))?;
        let own = self.own();
        // Whose answer it is not is the only thing that the name is good for here.
        let asked = arguments.own.cluster.is_none() && arguments.dry_run != Some(DryRun::Client);
        let facts = own.facts(asked).await?;
        let cluster = own.known_cluster(&facts)?;
        refuse_misdirected(answer, cluster.as_ref(), &facts)?;
        let offer = self.granted(answer)?;
        let prefix = arguments.prefix.as_deref().map(Prefix::parse).transpose();
        let grant = Grant {
            namespace: offer.namespace().to_owned(),
            roles: offer.roles().to_vec(),
            prefix: prefix.map_err(|fault| usage(&format!("--prefix: {fault}")))?,
            installation: arguments.access.installation_namespace.clone(),
            own_account: cluster.map(|cluster| cluster.account().to_owned()),
        };
        let known: Vec<KnownCluster> = self.there().await?;
        let providers: Vec<TrustedIdentityProvider> = self.there().await?;
        let half = called(answer, &grant, &known, &providers).map_err(running)?;
        let told = format!("{} will act as {}", half.username, offered(&offer));
        if arguments.dry_run.is_some() {
            dry_run(arguments.output, &half.manifests)?;
            explain(&told);
            return Ok(());
        }
        let client = installation(&arguments.access)?.client;
        let placing = Placing::look(client, &half.manifests).await?;
        placing.announce();
        explain(&format!("{told}\n"));
        require(&arguments.compared, &self.letter.fingerprint())?;
        let granted = Granted {
            username: half.username,
            objects: placing.bring_about().await?,
        };
        show(&granted, arguments.output, |granted| rows(&granted.objects))
    }

    fn own(&self) -> Own<'_> {
        Own {
            access: &self.arguments.access,
            names: &self.arguments.own,
        }
    }

    /// Shows the letter and what is to be compared; a fingerprint that was given is compared at once.
    fn tell(&self, shown: &str) -> Outcome {
        let fingerprint = self.letter.fingerprint();
        explain(&format!(
            "{shown}\n\nCompare with the other administrator, by another way than this came:\n\n{}\n",
            told_fingerprint(&fingerprint)
        ));
        match &self.arguments.compared.fingerprint {
            Some(written) => match_fingerprint(written, &fingerprint),
            None => Ok(()),
        }
    }

    /// The objects of a kind that are there, unless nothing is to be looked at.
    async fn there<O>(&self) -> Result<Vec<O>, Failure>
    where
        O: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        if self.arguments.dry_run == Some(DryRun::Client) {
            return Ok(Vec::new());
        }
        let client = installation(&self.arguments.access)?.client;
        list(&client).await.map_err(running)
    }

    async fn caller(&self, invitation: &Invitation, namespace: &str) -> Result<Caller, Failure> {
        let arguments = self.arguments;
        let name = arguments.name.as_deref();
        let name = name.unwrap_or_else(|| invitation.cluster().cluster());
        let certificate_secret = match arguments.identity.as_str() {
            DEFAULT_IDENTITY => None,
            named => Some(self.certificate_secret(namespace, named).await?),
        };
        Ok(Caller {
            namespace: letter::namespace(namespace).map_err(field)?,
            name: letter::object_name(name).map_err(field)?,
            certificate_secret,
        })
    }

    /// Where the certificate of an Identity is.
    async fn certificate_secret(&self, namespace: &str, name: &str) -> Result<String, Failure> {
        let client = installation(&self.arguments.access)?.client;
        let api: Api<Identity> = Api::namespaced(client, namespace);
        let identity = api.get_opt(name).await.map_err(running)?;
        identity.map(|identity| identity.spec.secret_name).ok_or_else(|| {
            Failure::Running(anyhow!(
                "there is no Identity {name} in namespace {namespace}: make it first, or leave --identity out"
            ))
        })
    }

    /// What is granted: what the person says, or what the answer says where the person is asked.
    fn granted(&self, answer: &Answer) -> Result<Offer, Failure> {
        let arguments = self.arguments;
        let asked_for = answer.offer();
        let namespace = arguments.namespace.as_deref();
        let said = Offer::new(
            namespace.unwrap_or_else(|| asked_for.namespace()),
            match arguments.role.as_slice() {
                [] => asked_for.roles(),
                roles => roles,
            },
        )
        .map_err(field)?;
        if said != *asked_for {
            return Err(usage(&format!(
                "the answer asks for {}, and you say {}: it was altered on the way, or answers another invitation; nothing was \
                 changed",
                offered(asked_for),
                offered(&said)
            )));
        }
        let compared = &arguments.compared;
        let unasked = compared.yes || compared.fingerprint.is_some() || arguments.dry_run.is_some();
        if unasked && (namespace.is_none() || arguments.role.is_empty()) {
            return Err(usage(
                "an answer does not decide what is granted: say what you offered, with --namespace and --role",
            ));
        }
        Ok(said)
    }
}

/// An answer to somebody else's invitation, or of this very cluster, means nothing here.
fn refuse_misdirected(
    answer: &Answer,
    cluster: Option<&TunnelName>,
    facts: &Facts,
) -> Result<(), Failure> {
    let Some(cluster) = cluster else {
        if facts == &Facts::default() {
            explain(
                "Which cluster this is, the installation does not say: see that the answer is to your invitation.",
            );
        }
        return Ok(());
    };
    if answer.inviter() != cluster {
        return Err(usage(&format!(
            "this answers an invitation of {}, and this is {cluster}: apply it there (--context)",
            answer.inviter()
        )));
    }
    Ok(())
}

/// What to do with the answer.
fn tell_answer(answer: &Letter, offer: &Offer, text: Option<&str>) {
    let roles: String = offer
        .roles()
        .iter()
        .map(|role| format!(" --role {role}"))
        .collect();
    let text = text.map_or_else(String::new, |text| format!("\nThe answer:\n\n{text}\n"));
    explain(&format!(
        "{text}\nSend the answer to the other administrator. Nothing in it is secret, and it grants nothing. They run\n\n  \
         gangplank accept ANSWER --namespace {}{roles}\n\nand compare with you, by another way than the line took:\n\n{}\n",
        offer.namespace(),
        told_fingerprint(&answer.fingerprint())
    ));
}

fn usage(message: &str) -> Failure {
    Failure::Usage(message.to_owned())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is the argument of `map_err`"
)]
fn field(fault: FieldFault) -> Failure {
    Failure::Usage(fault.to_string())
}
