//! The gate: runs the cases one by one and holds what they cost against the recorded prices.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{sleep, timeout};

use crate::api_server::ApiServer;
use crate::caller::Callers;
use crate::case::{CASES, Case};
use crate::count::Count;
use crate::finding::Finding;
use crate::measure::MEASURES;
use crate::papers::Papers;
use crate::part::Part;
use crate::site::{Running, Site};

/// The folder that profiles go to; none are made without it.
const PROFILES: &str = "WORK_PROFILES";

/// Between two looks whether the parts have come to rest: longer than QUIC puts an acknowledgement off.
const REST_INTERVAL: Duration = Duration::from_millis(60);

/// How long one run of a case may take on a loaded machine: a bound against hanging.
const PATIENCE: Duration = Duration::from_secs(180);

/// Looks after which a part that is not at rest never will be.
const REST_LOOKS: u32 = 500;

/// Times that a case is run when it is too dear. A busy machine can add to one run: an acknowledgement that was
/// due before the answer it would have travelled with, a packet sent again. What the code does is in every run.
const RUNS: u32 = 3;

/// What asking a part costs it, at most; more blocks between two looks mean that it still works.
const BLOCKS_OF_A_LOOK: u64 = 16;

/// Runs the cases whose names contain one of `wanted`, or all of them.
///
/// # Errors
///
/// When a path does not carry its case.
pub(crate) fn run(wanted: &[String]) -> anyhow::Result<ExitCode> {
    let words: Vec<&String> = wanted.iter().filter(|it| !it.starts_with('-')).collect();
    let chosen = |case: &&Case| words.is_empty() || words.iter().any(|it| case.name.contains(*it));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let findings = runtime.block_on(async {
        let papers = Papers::issue()?;
        let mut gate = Gate {
            api_server: ApiServer::start(&papers.api_server).await?,
            papers,
            profiles: std::env::var_os(PROFILES).map(PathBuf::from),
        };
        let site = Site::write(&gate.papers, gate.api_server.address)?;
        let mut findings = Vec::new();
        for case in CASES.iter().filter(chosen) {
            let found = gate.least(case, &site).await;
            findings.extend(found.with_context(|| format!("case {}", case.name))?);
        }
        anyhow::Ok(findings)
    })?;
    Ok(verdict(&findings))
}

/// Says what has become dearer, and what cheaper.
fn verdict(findings: &[Finding]) -> ExitCode {
    for finding in findings.iter().filter(|it| it.is_cheaper()) {
        println!("cheaper: {finding}; record it in tests/work/limits.rs, so that it stays");
    }
    let dearer: Vec<&Finding> = findings.iter().filter(|it| it.is_dearer()).collect();
    for finding in &dearer {
        println!("DEARER: {finding}");
    }
    let Some(first) = dearer.first() else {
        return ExitCode::SUCCESS;
    };
    println!(
        "\nTo see where it comes from, compare two profiles, one of before and one of now:\n\n    \
         make work PROFILE=1 CASES={}\n\nwrites target/work/{}.json; \
         https://nnethercote.github.io/dh_view/dh_view.html shows it, sorted by blocks or bytes.\n\
         If the new price is right, record it in tests/work/limits.rs and say in the commit what it buys.",
        first.case.name,
        profile_name(first.case, first.part.name()),
    );
    ExitCode::FAILURE
}

/// What all cases need.
struct Gate {
    papers: Papers,
    api_server: ApiServer,
    profiles: Option<PathBuf>,
}

impl Gate {
    /// What a case costs at the least, of as many runs as it takes to be within its limits.
    async fn least(&mut self, case: &'static Case, site: &Site) -> anyhow::Result<Vec<Finding>> {
        let mut least = self.measure_in_time(case, site).await?;
        for _further in 1..RUNS {
            if !least.iter().any(Finding::is_dearer) {
                break;
            }
            let again = self.measure_in_time(case, site).await?;
            for (least, again) in least.iter_mut().zip(again) {
                least.each = least.each.min(again.each);
            }
        }
        for finding in &least {
            println!("{}", finding.row());
        }
        Ok(least)
    }

    async fn measure_in_time(
        &mut self,
        case: &'static Case,
        site: &Site,
    ) -> anyhow::Result<Vec<Finding>> {
        let measured = timeout(PATIENCE, self.measure(case, site)).await;
        measured.context("it takes too long")?
    }

    /// Runs one case on a path of its own.
    async fn measure(&mut self, case: &'static Case, site: &Site) -> anyhow::Result<Vec<Finding>> {
        let Running { mut parts, address } = site.start(case.way)?;
        let callers = Callers::new(&self.papers, address, case.http)?;
        let mut open = case.work.prepare(&callers, &mut self.api_server).await?;
        at_rest(&mut parts).await?;
        if let Some(folder) = &self.profiles {
            begin_profiles(folder, case, &mut parts)?;
        }
        let before = counts(&mut parts)?;
        case.work
            .run(&callers, &mut self.api_server, &mut open)
            .await?;
        let after = at_rest(&mut parts).await?;
        if self.profiles.is_some() {
            parts.iter_mut().try_for_each(Part::end_profile)?;
        }
        drop(open);
        Ok(findings(case, &parts, &before, &after))
    }
}

fn findings(
    case: &'static Case,
    parts: &[Part],
    before: &[Count],
    after: &[Count],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ((part, before), after) in parts.iter().zip(before).zip(after) {
        findings.extend(MEASURES.map(|measure| Finding {
            case,
            part: part.role,
            measure,
            each: measure.between(before, after) / f64::from(case.work.times()),
        }));
    }
    findings
}

fn begin_profiles(folder: &Path, case: &Case, parts: &mut [Part]) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    for part in parts {
        let name = profile_name(case, part.role.name());
        part.begin_profile(&folder.join(name).with_extension("json"))?;
    }
    Ok(())
}

fn profile_name(case: &Case, part: &str) -> String {
    format!("{}-{part}", case.name)
}

fn counts(parts: &mut [Part]) -> anyhow::Result<Vec<Count>> {
    parts.iter_mut().map(Part::count).collect()
}

/// Waits until the counts stand still: acknowledgements have been sent, closed connections forgotten.
async fn at_rest(parts: &mut [Part]) -> anyhow::Result<Vec<Count>> {
    let mut last = counts(parts)?;
    for _ in 0..REST_LOOKS {
        sleep(REST_INTERVAL).await;
        let now = counts(parts)?;
        if last
            .iter()
            .zip(&now)
            .all(|(last, now)| stand_still(last, now))
        {
            return Ok(now);
        }
        last = now;
    }
    anyhow::bail!("the parts do not come to rest")
}

fn stand_still(last: &Count, now: &Count) -> bool {
    now.datagrams == last.datagrams && now.blocks - last.blocks <= BLOCKS_OF_A_LOOK
}
