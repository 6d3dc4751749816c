//! The side-by-side suite: Gangplank and what its user would take instead, before the same upstream, under the
//! same load, in one run on one machine. `make bench`; docs/performance.md says how to read it.
//!
//! One program with several roles, so that each part has a process, and with it CPU time, of its own: the
//! suite itself, the `upstream`, the `load` generator, a `flotilla` of agents, and a `watchdog` that ends what the
//! suite leaves behind.
#![expect(
    clippy::print_stdout,
    reason = "the table is the suite's product, and a role's words to the suite go the same way"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod attendant;
mod circumstances;
mod clock;
mod flotilla;
mod footprint;
mod free_port;
mod lanes;
mod load;
mod median;
mod papers;
mod process;
mod report;
mod row;
mod site;
mod stack;
mod suite;
mod target;
mod tls;
mod upstream;
mod watchdog;
mod way;

/// What one run is asked to do.
#[derive(Debug, Parser)]
#[command(about = "Gangplank beside its peers", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    wanted: Wanted,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// Which part of the suite this process is.
#[derive(Debug, Subcommand)]
enum Role {
    /// The server that all stacks reach
    #[command(hide = true)]
    Upstream(upstream::Serving),
    /// The load generator: a job on standard input, a result on standard output
    #[command(hide = true)]
    Load,
    /// Thousands of agents: a job and orders on standard input, answers on standard output
    #[command(hide = true)]
    Flotilla,
    /// Ends process groups when the suite has ended
    #[command(hide = true)]
    Watchdog,
}

/// How much is measured.
#[derive(Debug, Args)]
struct Wanted {
    /// Fewer stacks, shorter windows, fewer watches: five minutes at most
    #[arg(long)]
    quick: bool,
    /// Only these rows
    #[arg(long, value_delimiter = ',', value_name = "ROW,…")]
    rows: Vec<String>,
    /// Only these stacks
    #[arg(long, value_delimiter = ',', value_name = "STACK,…")]
    stacks: Vec<String>,
    /// Seconds that one run of a row is measured
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Rounds: every stack has its turn once in each
    #[arg(long)]
    rounds: Option<usize>,
    /// Idle watches
    #[arg(long)]
    watches: Option<u32>,
    /// Idle tunnels on one relay; a tenth of them weather the storm
    #[arg(long)]
    tunnels: Option<u32>,
    /// Where the JSON goes
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/bench/side_by_side.json"
    )]
    json: PathBuf,
    /// Keep configurations, certificates and logs here instead of a throwaway folder
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Name rows and stacks, and measure nothing
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.role {
        Some(Role::Upstream(serving)) => upstream::run(&serving),
        Some(Role::Load) => load::run(),
        Some(Role::Flotilla) => flotilla::run(),
        Some(Role::Watchdog) => watchdog::run(),
        None => suite::run(&cli.wanted),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
