//! What the tests stand on: a real cluster, the program itself, organisations with certificates, callers.

pub mod audit;
pub mod caller;
pub mod certificates;
pub mod cluster;
pub mod connection;
pub mod fake_api_server;
pub mod gangplank;
pub mod held;
pub mod kubectl;
pub mod own_answer;
pub mod path;
pub mod pod;
pub mod raw_api_server;
pub mod running;
pub mod wait;
pub mod wire;
