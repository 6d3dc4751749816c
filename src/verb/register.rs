//! The relay's register, opened from the command line beside a relay that may be running.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use gangplank_config::role;
use gangplank_enrolment::{Office, Register, RegisterFault};
use gangplank_pki::WithCauses;
use gangplank_pki::clock::SystemClock;

use crate::cli::RelayFile;
use crate::failure::Failure;

/// Does `work` in the office of the relay whose file is named.
///
/// # Errors
///
/// Those of the work, and when the relay's file or its register cannot be used.
pub(crate) fn with_office<T>(
    relay: &RelayFile,
    work: impl AsyncFnOnce(&Office) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let config = role::relay::load(&relay.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let office = Office::open(&config, Arc::new(SystemClock)).map_err(failure)?;
    let office = office.ok_or_else(|| {
        let file = relay.config.display();
        Failure::Usage(format!(
            "{file} has no `enrolment`, so that no cluster can join: add it (docs/joining.md)"
        ))
    })?;
    runtime.block_on(work(&office))
}

/// As [`with_office`], for what needs the register alone.
pub(crate) fn with_register<T>(
    relay: &RelayFile,
    work: impl AsyncFnOnce(&dyn Register) -> Result<T, Failure>,
) -> Result<T, Failure> {
    with_office(relay, async |office: &Office| {
        work(&**office.register()).await
    })
}

/// A fault of the register as the program's.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is the argument of `map_err`"
)]
pub(crate) fn failure(fault: RegisterFault) -> Failure {
    Failure::Running(anyhow!("{}", WithCauses(&fault)))
}

/// Says something to a person, beside what a script reads.
pub(crate) fn explain(text: &str) {
    // Without standard error there is nobody to explain it to.
    drop(writeln!(std::io::stderr(), "{text}"));
}
