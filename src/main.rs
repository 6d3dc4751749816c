//! The program `gangplank`: parse the command line, compose the parts, turn failures into exit codes.
//!
//! Everything that decides anything lives in the crates below; here they are joined.

mod admin;
mod certificate_metrics;
mod cli;
mod exit;
mod failure;
mod logging;
mod output;
mod role;
mod secret_file;
mod service_manager;
mod signals;
mod status;
mod trust_metrics;
mod verb;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, ClusterVerb, PkiVerb, TokenVerb, TrustVerb, Verb};
use crate::failure::Outcome;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If standard error is gone too, the exit code still says what happened.
            drop(writeln!(std::io::stderr(), "{}", failure.describe()));
            failure.exit_code()
        }
    }
}

fn run(cli: &Cli) -> Outcome {
    match &cli.verb {
        Verb::Relay(arguments) => verb::relay::run(arguments),
        Verb::Agent(arguments) => verb::agent::run(arguments),
        Verb::Proxy(arguments) => verb::proxy::run(arguments),
        Verb::Controller(arguments) => verb::controller::run(arguments),
        Verb::Dev(arguments) => verb::dev::run(arguments),
        Verb::Join(arguments) => verb::join::run(arguments),
        Verb::Token(TokenVerb::Create(arguments)) => verb::token::create(arguments),
        Verb::Token(TokenVerb::List(arguments)) => verb::token::list(arguments),
        Verb::Token(TokenVerb::Delete(arguments)) => verb::token::delete(arguments),
        Verb::Cluster(ClusterVerb::List(arguments)) => verb::cluster::list(arguments),
        Verb::Cluster(ClusterVerb::Revoke(arguments)) => verb::cluster::revoke(arguments),
        Verb::Invite(arguments) => verb::invite::run(arguments),
        Verb::Accept(arguments) => verb::accept::run(arguments),
        Verb::Revoke(arguments) => verb::revoke::run(arguments),
        Verb::Trust(TrustVerb::Add(arguments)) => verb::trust::add(arguments),
        Verb::Trust(TrustVerb::List(arguments)) => verb::trust::list(arguments),
        Verb::Trust(TrustVerb::Remove(arguments)) => verb::trust::remove(arguments),
        Verb::Pki(PkiVerb::Init(arguments)) => verb::pki::init(arguments),
        Verb::Pki(PkiVerb::Issue(arguments)) => verb::pki::issue(arguments),
        Verb::Pki(PkiVerb::Inspect(arguments)) => verb::pki::inspect::run(arguments),
        Verb::Kubeconfig(arguments) => verb::kubeconfig::run(arguments),
        Verb::Credential(arguments) => verb::credential::run(arguments),
        Verb::Status(arguments) => verb::status::run(arguments),
    }
}
