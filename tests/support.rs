//! What the tests stand on: a real cluster, the program itself, organisations with certificates, callers.

pub(crate) mod agent_by_hand;
pub(crate) mod audit;
pub(crate) mod caller;
pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod connection;
pub(crate) mod curl;
pub(crate) mod entrance;
pub(crate) mod fake_api_server;
pub(crate) mod gangplank;
pub(crate) mod held;
pub(crate) mod hello;
pub(crate) mod kubectl;
pub(crate) mod manual;
pub(crate) mod noise;
pub(crate) mod own_answer;
pub(crate) mod path;
pub(crate) mod pod;
pub(crate) mod raw_api_server;
pub(crate) mod raw_http2;
pub(crate) mod running;
pub(crate) mod wait;
pub(crate) mod wire;
