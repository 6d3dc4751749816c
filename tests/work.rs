//! What a request costs in work: heap blocks, heap bytes and datagrams, counted on fixed input and held
//! against recorded limits (`work/limits.rs`). Nothing is timed, so a loaded machine changes nothing.
//!
//! `make work` runs it. Relay, agent and proxy are processes of this program, one a part, each on a
//! single-threaded runtime and with an allocator that counts (dhat); the caller and the API server are the
//! process that asks, which counts nothing. A regression thus names its part. `make work PROFILE=1`
//! writes a profile a part and case, with the stack of every allocation.
//!
//! What it does not see: memory that C libraries take for themselves (aws-lc, a few per cent of a
//! connection), and the kernel's.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is what it is run for, and a part answers its gate on standard output"
)]

use std::path::Path;
use std::process::ExitCode;

#[path = "work/api_server.rs"]
mod api_server;
#[path = "work/caller.rs"]
mod caller;
#[path = "work/case.rs"]
mod case;
#[path = "work/count.rs"]
mod count;
#[path = "work/finding.rs"]
mod finding;
#[path = "work/gate.rs"]
mod gate;
#[path = "work/limits.rs"]
mod limits;
#[path = "work/measure.rs"]
mod measure;
#[path = "work/papers.rs"]
mod papers;
#[path = "work/part.rs"]
mod part;
#[path = "work/role.rs"]
mod role;
#[path = "work/site.rs"]
mod site;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [verb, role, config] if verb == part::VERB => {
            role::run(role, Path::new(config)).map(|()| ExitCode::SUCCESS)
        }
        wanted => gate::run(wanted),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("work: {error:#}");
        ExitCode::FAILURE
    })
}
