//! `exit.limits`: how much of an exit one organisation, and one caller, may use.

use crate::scalar::quoted;
use crate::section::Section;
use crate::yaml::Value;

/// How much of an exit one organisation, and one caller, may use. What was switched `off` is the largest
/// number that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests a second of all callers of one provider together, in the long run.
    pub requests_per_second: u64,
    /// How many of them may come at once after a quiet time.
    pub request_burst: u64,
    /// Requests of one provider under way at a time, watches among them.
    pub requests_at_once: u64,
    /// Upgraded connections (exec, attach, port-forward) of one provider at a time.
    pub upgrades: u64,
    /// Connections of one certificate at a time.
    pub connections: u64,
    /// Connections of all callers of one provider at a time.
    pub provider_connections: u64,
}

impl Default for Limits {
    /// Requests: an exit on two cores carries some 18,000 small reads a second and a kube-apiserver beside it
    /// fewer; one organisation gets about a quarter of that. A thousand programs that start together with ten
    /// lists each are one burst.
    ///
    /// Requests at once: half of the 25,600 that an exit has under way at its API server at most, so that one
    /// organisation's watches do not take them all.
    ///
    /// Upgrades: each is a connection of its own to the API server and one more to a kubelet; a quarter of the
    /// 4,096 file descriptors that a small container has.
    ///
    /// Connections: a quarter of the callers that one tunnel takes, so that one certificate alone does not
    /// fill it. Idle they hold 160 MiB here. A provider has twice as many, half of a tunnel's, whatever number of
    /// certificates it has.
    fn default() -> Self {
        Self {
            requests_per_second: 5000,
            request_burst: 10_000,
            requests_at_once: 12_800,
            upgrades: 1024,
            connections: 4096,
            provider_connections: 8192,
        }
    }
}

/// What is not bounded.
const OFF: u64 = u64::MAX;

/// The largest number that may be written; above it `off` is meant.
const MOST: u64 = 1_000_000;

/// The `limits` block of an exit; the default where something is missing.
pub(crate) fn read(exit: &Section<'_>) -> Option<Limits> {
    let usual = Limits::default();
    if exit.optional("limits").is_none() {
        return Some(usual);
    }
    let section = exit.optional_section("limits", &["provider", "caller"])?;
    let (provider, caller) = (of_provider(&section, usual), of_caller(&section, usual));
    let (provider, connections) = (provider?, caller?);
    Some(Limits {
        connections,
        ..provider
    })
}

fn of_provider(section: &Section<'_>, usual: Limits) -> Option<Limits> {
    if section.optional("provider").is_none() {
        return Some(usual);
    }
    let keys = [
        "requestsPerSecond",
        "burst",
        "requestsAtOnce",
        "upgrades",
        "connections",
    ];
    let provider = section.optional_section("provider", &keys)?;
    let rate = bound(&provider, "requestsPerSecond", usual.requests_per_second);
    let burst = burst(&provider, rate.unwrap_or(usual.requests_per_second));
    let at_once = bound(&provider, "requestsAtOnce", usual.requests_at_once);
    let upgrades = bound(&provider, "upgrades", usual.upgrades);
    let connections = bound(&provider, "connections", usual.provider_connections);
    Some(Limits {
        requests_per_second: rate?,
        request_burst: burst?,
        requests_at_once: at_once?,
        upgrades: upgrades?,
        provider_connections: connections?,
        ..usual
    })
}

fn of_caller(section: &Section<'_>, usual: Limits) -> Option<u64> {
    if section.optional("caller").is_none() {
        return Some(usual.connections);
    }
    let caller = section.optional_section("caller", &["connections"])?;
    bound(&caller, "connections", usual.connections)
}

/// As many as come in two seconds, unless said otherwise.
fn burst(provider: &Section<'_>, rate: u64) -> Option<u64> {
    let Some(node) = provider.optional("burst") else {
        return Some(rate.saturating_mul(2));
    };
    if rate == OFF {
        let message = "`burst` says nothing as long as `requestsPerSecond` is `off`";
        let remedy = "write a number of requests a second, or remove it";
        provider
            .sheet
            .fault(node.place, "UselessKey", message, remedy);
        return None;
    }
    provider.number("burst", 1..=MOST, rate.saturating_mul(2))
}

/// A number, or `off`.
fn bound(section: &Section<'_>, key: &str, missing: u64) -> Option<u64> {
    match section.optional(key).map(|node| (node, &node.value)) {
        Some((_, Value::Text(word))) if word == "off" => Some(OFF),
        Some((node, Value::Text(word))) => {
            let message = format!("`{key}` cannot be {}", quoted(word));
            let remedy = format!("write a number such as `{missing}`, or `off`");
            section
                .sheet
                .fault(node.place, "UnknownWord", message, remedy);
            None
        }
        _ => section.number(key, 1..=MOST, missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Workplace;
    use crate::role::proxy;
    use crate::upstream::InCluster;

    fn told_of(limits: &str) -> Result<Limits, String> {
        let place = Workplace::furnished();
        place.write("token", "s3cret\n");
        place.edit(
            "proxy.yaml",
            "exit:\n",
            &format!("exit:\n  limits: {limits}\n"),
        );
        let loaded = proxy::load(&place.path("proxy.yaml"), &InCluster::absent());
        match loaded {
            Ok(proxy) => Ok(proxy.exit.limits),
            Err(faults) => Err(place.told(&faults)),
        }
    }

    #[test]
    fn what_is_not_written_is_usual() {
        let usual = Limits::default();
        assert_eq!(told_of("{}").unwrap(), usual);
        let some = told_of("{ provider: { upgrades: 3 }, caller: {} }").unwrap();
        assert_eq!(
            some,
            Limits {
                upgrades: 3,
                ..usual
            }
        );
    }

    #[test]
    fn each_may_be_written_or_off() {
        let written = "{ provider: { requestsPerSecond: 7, burst: 9, requestsAtOnce: 3, upgrades: 2, connections: 6 }, caller: { connections: 5 } }";
        let meant = Limits {
            requests_per_second: 7,
            request_burst: 9,
            requests_at_once: 3,
            upgrades: 2,
            connections: 5,
            provider_connections: 6,
        };
        assert_eq!(told_of(written).unwrap(), meant);
        let off = "{ provider: { requestsPerSecond: off, requestsAtOnce: off, upgrades: off, connections: off }, caller: { connections: off } }";
        let meant = Limits {
            requests_per_second: OFF,
            request_burst: OFF,
            requests_at_once: OFF,
            upgrades: OFF,
            connections: OFF,
            provider_connections: OFF,
        };
        assert_eq!(told_of(off).unwrap(), meant);
    }

    #[test]
    fn a_burst_is_two_seconds_worth() {
        let some = told_of("{ provider: { requestsPerSecond: 40 } }").unwrap();
        assert_eq!(some.request_burst, 80);
    }

    #[test]
    fn faults_are_told() {
        let said: String = [
            "{ provider: { requestsPerSecond: 0 } }",
            "{ provider: { requestsPerSecond: none } }",
            "{ provider: { requestsPerSecond: off, burst: 5 } }",
            "{ provider: { requestsAtOnce: 0 } }",
            "{ caller: { connections: 2000000 } }",
            "{ callers: { connections: 5 } }",
        ]
        .map(|written| format!("{}\n\n", told_of(written).unwrap_err()))
        .concat();
        insta::assert_snapshot!(said);
    }
}
