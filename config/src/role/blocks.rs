//! The blocks that every role's file may have: where to be observed, how to log, how to end.

use std::net::SocketAddr;
use std::time::Duration;

use crate::scalar;
use crate::section::Section;
use crate::yaml::Value;

/// How to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important level that is written.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The least important level that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// A person must act.
    Error,
    /// Something is degraded.
    Warn,
    /// Lifecycle and denials.
    #[default]
    Info,
    /// Every connection.
    Debug,
    /// Every frame.
    Trace,
}

impl LogLevel {
    /// The level as a filter of `tracing` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// What decides how many bytes a tunnel over QUIC has under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CongestionControl {
    /// The rate at which the path delivers and its shortest round trip, both measured.
    #[default]
    DeliveryRate,
    /// Until a packet is lost, then less.
    Cubic,
    /// Experimental.
    Bbr,
}

/// How a role ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long the role goes on as before after readiness turned false, so that load balancers notice.
    pub settle: Duration,
    /// How long what still runs may take afterwards, before it is aborted.
    pub limit: Duration,
}

impl Default for Drain {
    /// 2 s to settle: a kubelet's probe and an endpoint's removal usually fit in. 60 s to finish: most
    /// requests are short, and twice Kubernetes' default grace period is as long as operators expect.
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(2),
            limit: Duration::from_secs(60),
        }
    }
}

/// `admin: { listen: … }`; none when the block is missing.
pub(crate) fn admin(section: &Section<'_>) -> Option<SocketAddr> {
    section
        .optional_section("admin", &["listen"])?
        .listen_address("listen")
}

/// `log: { format: …, level: … }`.
pub(crate) fn log(section: &Section<'_>) -> Option<Log> {
    if section.optional("log").is_none() {
        return Some(Log::default());
    }
    let log = section.optional_section("log", &["format", "level"])?;
    let formats = [
        ("auto", LogFormat::Auto),
        ("text", LogFormat::Text),
        ("json", LogFormat::Json),
    ];
    let levels = [
        LogLevel::Error,
        LogLevel::Warn,
        LogLevel::Info,
        LogLevel::Debug,
        LogLevel::Trace,
    ]
    .map(|level| (level.as_str(), level));
    let format = log.word("format", &formats, LogFormat::default());
    let level = log.word("level", &levels, LogLevel::default());
    Some(Log {
        format: format?,
        level: level?,
    })
}

/// `congestionControl: DeliveryRate` in the block of the tunnel.
pub(crate) fn congestion_control(tunnel: &Section<'_>) -> Option<CongestionControl> {
    let known = [
        ("DeliveryRate", CongestionControl::DeliveryRate),
        ("Cubic", CongestionControl::Cubic),
        ("Bbr", CongestionControl::Bbr),
    ];
    tunnel.word("congestionControl", &known, CongestionControl::default())
}

/// `drain: { settle: …, limit: … }`.
pub(crate) fn drain(section: &Section<'_>) -> Option<Drain> {
    if section.optional("drain").is_none() {
        return Some(Drain::default());
    }
    let drain = section.optional_section("drain", &["settle", "limit"])?;
    let settle = duration(&drain, "settle", Drain::default().settle);
    let limit = duration(&drain, "limit", Drain::default().limit);
    Some(Drain {
        settle: settle?,
        limit: limit?,
    })
}

/// A duration; `missing` when the key is not there.
pub(crate) fn duration(section: &Section<'_>, key: &str, missing: Duration) -> Option<Duration> {
    let Some(node) = section.optional(key) else {
        return Some(missing);
    };
    if let Value::Number(Some(number)) = &node.value {
        // YAML reads `24` as a number: told as any other duration without a unit.
        return section
            .sheet
            .accept(node.place, scalar::duration(&number.to_string()));
    }
    let written = section.optional_text(key)?;
    section
        .sheet
        .accept(written.place, scalar::duration(written.text))
}
