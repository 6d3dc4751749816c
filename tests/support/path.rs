//! The path under test, as processes: a relay and an agent, or `proxy` alone.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::certificates::{Authority, Organisation, Papers};
use super::cluster::Cluster;
use super::gangplank::{Gangplank, Surroundings};
use super::kubectl::Kubectl;
use super::wait;

/// The entrance domain of every relay under test.
pub(crate) const DOMAIN: &str = "tunnels.test";

/// The relay's own host name.
pub(crate) const RELAY_NAME: &str = "relay.test";

/// The cluster of a site that needs no name of its own.
const NAME: &str = "harbour.acme";

/// How callers reach the exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through a relay and a tunnel.
    Tunnel,
    /// Straight at the `proxy` verb.
    Direct,
}

/// Both ways, for tests of what must hold on each.
pub(crate) const WAYS: [Way; 2] = [Way::Tunnel, Way::Direct];

/// A relay with its authorities.
#[derive(Debug)]
pub(crate) struct Relay {
    folder: TempDir,
    /// The process; a test may end it and start another on the same port.
    pub(crate) process: Gangplank,
    /// Where callers and agents connect.
    pub(crate) address: SocketAddr,
    authority: Arc<Authority>,
    agents: Arc<Authority>,
    /// What its file has beside the usual.
    further: String,
}

impl Relay {
    /// A relay on a port of the kernel's choice.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// A relay with further lines in its file.
    pub(crate) fn start_with(further: &str) -> Self {
        Self::start_at(&Surroundings::default(), Ipv4Addr::LOCALHOST, further)
    }

    /// A relay in surroundings of the test's own, which agents find at this address, with further lines in its file.
    pub(crate) fn start_in(surroundings: &Surroundings, address: Ipv4Addr, further: &str) -> Self {
        let mut relay = Self::start_at(surroundings, Ipv4Addr::UNSPECIFIED, further);
        relay.address.set_ip(address.into());
        relay
    }

    /// Another relay of the same name and with the same authorities.
    pub(crate) fn start_beside(&self, further: &str) -> Self {
        let authorities = (Arc::clone(&self.authority), Arc::clone(&self.agents));
        let surroundings = Surroundings::default();
        Self::start_of(&surroundings, Ipv4Addr::LOCALHOST, further, authorities)
    }

    fn start_at(surroundings: &Surroundings, listen: Ipv4Addr, further: &str) -> Self {
        let authorities = ["relay CA", "agents CA"].map(|name| Arc::new(Authority::new(name)));
        Self::start_of(surroundings, listen, further, authorities.into())
    }

    fn start_of(
        surroundings: &Surroundings,
        listen: Ipv4Addr,
        further: &str,
        (authority, agents): (Arc<Authority>, Arc<Authority>),
    ) -> Self {
        let folder = folder("relay");
        authority.relay(RELAY_NAME).write(folder.path(), "relay");
        for (name, text) in [
            ("agents-ca.crt", agents.pem()),
            ("agents-ca.key", agents.key_pem()),
            ("relay-ca.crt", authority.pem()),
        ] {
            fs::write(folder.path().join(name), text).expect("written");
        }
        write_relay_config(folder.path(), SocketAddr::from((listen, 0)), further);
        let file = folder.path().join("relay.yaml");
        let process = Gangplank::start_in(surroundings, "relay", &file, &[]);
        let address = process.address.expect("a relay listens");
        Self {
            folder,
            process,
            address,
            authority,
            agents,
            further: further.to_owned(),
        }
    }

    /// Another relay of the same name and authorities, with the same lines in its file.
    pub(crate) fn start_sibling(&self) -> Self {
        let folder = folder("relay");
        copy_files(self.folder.path(), folder.path());
        write_relay_config(
            folder.path(),
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            &self.further,
        );
        let process = Gangplank::start("relay", &folder.path().join("relay.yaml"));
        Self {
            address: process.address.expect("a relay listens"),
            folder,
            process,
            authority: Arc::clone(&self.authority),
            agents: Arc::clone(&self.agents),
            further: self.further.clone(),
        }
    }

    /// A relay where clusters join, and get certificates for so many seconds.
    pub(crate) fn start_enrolling(seconds: u64) -> Self {
        let enrolment = Self::enrolment("{ file: enrolment.db }");
        Self::start_with(&format!("{enrolment}  certificateLifetime: {seconds}s\n"))
    }

    /// The block for a relay where clusters join, with this register.
    pub(crate) fn enrolment(register: &str) -> String {
        format!(
            "enrolment:\n  certificateFile: agents-ca.crt\n  keyFile: agents-ca.key\n  relayCAFile: relay-ca.crt\n  \
             register: {register}\n"
        )
    }

    /// A token for a cluster.
    pub(crate) fn token(&self, name: &str) -> String {
        let config = self.folder.path().join("relay.yaml").display().to_string();
        let token =
            super::gangplank::run(&["token", "create", "--config", &config, "--cluster", name]);
        token.expect_success().text().trim().to_owned()
    }

    /// Revokes a cluster that has joined.
    pub(crate) fn revoke(&self, name: &str) {
        let config = self.folder.path().join("relay.yaml").display().to_string();
        super::gangplank::run(&["cluster", "revoke", "--config", &config, name]).expect_success();
    }

    /// Makes a token for a cluster and joins as it, into a new folder.
    pub(crate) fn enrol(&self, name: &str, kubeconfig: &Path) -> TempDir {
        let (joined, said) = self.join(&self.token(name), kubeconfig);
        said.expect_success();
        joined
    }

    /// Joins by a token, into a new folder.
    pub(crate) fn join(&self, token: &str, kubeconfig: &Path) -> (TempDir, super::kubectl::Said) {
        let joined = folder("joined");
        let file = joined.path().join("token");
        fs::write(&file, token).expect("written");
        let text = |path: &Path| path.display().to_string();
        let said = super::gangplank::run(&[
            "join",
            &self.address.to_string(),
            "--token-file",
            &text(&file),
            "--directory",
            &text(joined.path()),
            "--kubeconfig",
            &text(kubeconfig),
        ]);
        (joined, said)
    }

    /// Starts it anew on the same port after it was ended.
    pub(crate) fn restart(&mut self) {
        let listen = self.process.address.expect("a relay listens");
        write_relay_config(self.folder.path(), listen, &self.further);
        let file = self.folder.path().join("relay.yaml");
        let surroundings = self.process.surroundings().clone();
        self.process = Gangplank::start_in(&surroundings, "relay", &file, &[]);
    }

    /// The folder with everything the relay has.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The authority of the relay's own certificate.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The authority of the agents.
    pub(crate) fn agents(&self) -> &Authority {
        &self.agents
    }

    /// Whether a tunnel of that name is registered.
    pub(crate) fn has_tunnel(&self, name: &str) -> bool {
        self.tunnels(name) > 0
    }

    /// How many tunnels of that name are registered.
    pub(crate) fn tunnels(&self, name: &str) -> usize {
        let tunnels = self.process.tunnels();
        let of_name = tunnels.iter().filter(|tunnel| tunnel["name"] == name);
        of_name.count()
    }

    /// Waits until its tunnels are so many, carried so.
    pub(crate) fn await_carriers(&self, carriers: &[&str]) {
        wait::until(&format!("the relay to have {carriers:?}"), || {
            let tunnels = self.process.tunnels();
            let found = tunnels.iter().map(|tunnel| &tunnel["transport"]);
            found.eq(carriers).then_some(())
        });
    }
}

fn write_relay_config(folder: &Path, listen: SocketAddr, further: &str) {
    let text = format!(
        "listen: \"{listen}\"\ndomain: {DOMAIN}\ntunnel:\n  serverName: {RELAY_NAME}\n  certificateFile: relay.crt\n  \
         keyFile: relay.key\n  clientCAFile: agents-ca.crt\nadmin: {{ listen: \"127.0.0.1:0\" }}\n{further}"
    );
    fs::write(folder.join("relay.yaml"), text).expect("written");
}

/// Everything that `gangplank proxy` needs, before it is started.
#[derive(Debug)]
pub(crate) struct Prepared {
    folder: TempDir,
    authority: Authority,
}

impl Prepared {
    /// A folder with `proxy.yaml` and what it names.
    pub(crate) fn proxy(listen: &str, upstream: &Path, trusted: &[&Organisation]) -> Self {
        let (folder, authority) = exit_folder(NAME, upstream, trusted);
        let text = format!("listen: \"{listen}\"\n{}", exit_block());
        fs::write(folder.path().join("proxy.yaml"), text).expect("written");
        Self { folder, authority }
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// How an agent gets to its relay.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    address: String,
    further: String,
}

impl Course {
    /// It dials this address.
    pub(crate) fn by(address: SocketAddr) -> Self {
        Self {
            address: address.to_string(),
            further: String::new(),
        }
    }

    /// It looks this name up.
    pub(crate) fn by_name(name: &str, port: u16) -> Self {
        Self {
            address: format!("{name}:{port}"),
            further: String::new(),
        }
    }

    /// With a further line about the relay in its file.
    pub(crate) fn with(mut self, line: &str) -> Self {
        self.further.push_str(&format!("    {line}\n"));
        self
    }

    /// And to another relay of the same authority, by this transport alone.
    pub(crate) fn and(mut self, address: SocketAddr, transport: &str) -> Self {
        self.further.push_str(&format!(
            "  - address: \"{address}\"\n    serverName: {RELAY_NAME}\n    caFile: relay-ca.crt\n    \
             transport: {transport}\n"
        ));
        self
    }
}

/// An exit before a cluster, and the way to it.
#[derive(Debug)]
pub(crate) struct Site {
    folder: TempDir,
    /// The agent or proxy; a test may end it and start another.
    pub(crate) exit: Gangplank,
    /// The relay before it, if any.
    pub(crate) relay: Option<Arc<Relay>>,
    /// Where callers connect.
    pub(crate) address: SocketAddr,
    /// The name callers ask for.
    pub(crate) entrance: String,
    authority: Arc<Authority>,
    role: &'static str,
    kubectl: Option<PathBuf>,
}

impl Site {
    /// The way asked for, before a real cluster, trusting these organisations.
    pub(crate) fn before(cluster: &Cluster, way: Way, trusted: &[&Organisation]) -> Self {
        Self::start(way, &cluster.facts.proxy_kubeconfig, trusted).with_kubectl(cluster)
    }

    /// The way asked for, before the API server of a kubeconfig, trusting these organisations.
    pub(crate) fn start(way: Way, upstream: &Path, trusted: &[&Organisation]) -> Self {
        match way {
            Way::Tunnel => Self::tunnel(&Arc::new(Relay::start()), NAME, upstream, trusted),
            Way::Direct => Self::direct(upstream, trusted),
        }
    }

    /// The same site, its callers using the kubectl that was built with a cluster.
    pub(crate) fn with_kubectl(mut self, cluster: &Cluster) -> Self {
        self.kubectl = Some(cluster.facts.kubectl.clone());
        self
    }

    /// An agent of that name at a relay, before the API server of a kubeconfig.
    pub(crate) fn tunnel(
        relay: &Arc<Relay>,
        name: &str,
        upstream: &Path,
        trusted: &[&Organisation],
    ) -> Self {
        let course = Course::by(relay.address);
        Self::tunnel_on(relay, name, (upstream, trusted), &course)
    }

    /// The same in surroundings of the test's own, and on another course.
    pub(crate) fn tunnel_in(
        surroundings: &Surroundings,
        relay: &Arc<Relay>,
        name: &str,
        exit: (&Path, &[&Organisation]),
        course: &Course,
    ) -> Self {
        Self::agent_from(surroundings, relay, name, exit, course).registered(name)
    }

    /// The same on another course than the straight one.
    pub(crate) fn tunnel_on(
        relay: &Arc<Relay>,
        name: &str,
        exit: (&Path, &[&Organisation]),
        course: &Course,
    ) -> Self {
        Self::agent_alone(relay, name, exit, course).registered(name)
    }

    /// The same, which need not get through.
    pub(crate) fn agent_alone(
        relay: &Arc<Relay>,
        name: &str,
        exit: (&Path, &[&Organisation]),
        course: &Course,
    ) -> Self {
        Self::agent_from(&Surroundings::default(), relay, name, exit, course)
    }

    fn agent_from(
        surroundings: &Surroundings,
        relay: &Arc<Relay>,
        name: &str,
        (upstream, trusted): (&Path, &[&Organisation]),
        course: &Course,
    ) -> Self {
        let (folder, authority) = exit_folder(name, upstream, trusted);
        relay.agents.agent(name).write(folder.path(), "agent");
        let tunnel = "{ certificateFile: agent.crt, keyFile: agent.key }";
        let exit = (folder, authority);
        Self::agent_in(surroundings, exit, (relay, course), (name, tunnel))
    }

    /// An agent of that name at two sibling relays, with this line in its file; it has its tunnels when it is ready.
    pub(crate) fn at_both(
        relays: [&Relay; 2],
        name: &str,
        (upstream, trusted): (&Path, &[&Organisation]),
        line: &str,
    ) -> Self {
        let [first, second] = relays;
        let (folder, authority) = exit_folder(name, upstream, trusted);
        first.agents.agent(name).write(folder.path(), "agent");
        fs::write(folder.path().join("relay-ca.crt"), first.authority.pem()).expect("written");
        let relay = |relay: &Relay| {
            let address = relay.address;
            format!(
                "  - {{ address: \"{address}\", serverName: {RELAY_NAME}, caFile: relay-ca.crt }}\n"
            )
        };
        let text = format!(
            "relays:\n{}{}tunnel: {{ certificateFile: agent.crt, keyFile: agent.key }}\n{line}{}",
            relay(first),
            relay(second),
            exit_block()
        );
        fs::write(folder.path().join("agent.yaml"), text).expect("written");
        Self {
            exit: Gangplank::start("agent", &folder.path().join("agent.yaml")),
            folder,
            relay: None,
            address: first.address,
            entrance: format!("{name}.{DOMAIN}"),
            authority: Arc::new(authority),
            role: "agent",
            kubectl: None,
        }
    }

    /// Another agent with the same files.
    pub(crate) fn start_replica(&self) -> Self {
        let folder = folder("replica");
        copy_files(self.folder.path(), folder.path());
        fs::create_dir(folder.path().join("trust")).expect("a folder");
        copy_files(
            &self.folder.path().join("trust"),
            &folder.path().join("trust"),
        );
        let file = folder.path().join(format!("{}.yaml", self.role));
        Self {
            exit: Gangplank::start(self.role, &file),
            folder,
            relay: self.relay.clone(),
            address: self.address,
            entrance: self.entrance.clone(),
            authority: Arc::clone(&self.authority),
            role: self.role,
            kubectl: self.kubectl.clone(),
        }
    }

    /// Waits until the relay has its tunnel.
    fn registered(self, name: &str) -> Self {
        let relay = self.relay.as_ref().expect("an agent has a relay");
        wait::until("the tunnel to be registered", || {
            relay.has_tunnel(name).then_some(())
        });
        self
    }

    /// The same, of a cluster that joined by a token, and renews its certificate by itself.
    pub(crate) fn joined(
        relay: &Arc<Relay>,
        name: &str,
        upstream: &Path,
        trusted: &[&Organisation],
    ) -> Self {
        let course = Course::by(relay.address);
        Self::joined_on(relay, name, (upstream, trusted), &course)
    }

    /// The same on another course than the straight one.
    pub(crate) fn joined_on(
        relay: &Arc<Relay>,
        name: &str,
        (upstream, trusted): (&Path, &[&Organisation]),
        course: &Course,
    ) -> Self {
        let joined = relay.enrol(name, upstream);
        Self::of_joined(relay, (name, joined.path()), (upstream, trusted), course)
    }

    /// An agent that runs with what `gangplank join` wrote into this folder.
    pub(crate) fn of_joined(
        relay: &Arc<Relay>,
        (name, joined): (&str, &Path),
        (upstream, trusted): (&Path, &[&Organisation]),
        course: &Course,
    ) -> Self {
        let (folder, authority) = exit_folder(name, upstream, trusted);
        let identity = folder.path().join("agent.pem");
        fs::copy(joined.join("agent.pem"), identity).expect("join wrote it");
        let tunnel = "{ identityFile: agent.pem, renewal: Automatic }";
        let exit = (folder, authority);
        Self::agent_in(
            &Surroundings::default(),
            exit,
            (relay, course),
            (name, tunnel),
        )
        .registered(name)
    }

    fn agent_in(
        surroundings: &Surroundings,
        (folder, authority): (TempDir, Authority),
        (relay, course): (&Arc<Relay>, &Course),
        (name, tunnel): (&str, &str),
    ) -> Self {
        fs::write(folder.path().join("relay-ca.crt"), relay.authority.pem()).expect("written");
        let text = format!(
            "relays:\n  - address: \"{}\"\n    serverName: {RELAY_NAME}\n    caFile: relay-ca.crt\n{}\
             tunnel: {tunnel}\n{}",
            course.address,
            course.further,
            exit_block()
        );
        fs::write(folder.path().join("agent.yaml"), text).expect("written");
        let file = folder.path().join("agent.yaml");
        let exit = Gangplank::start_in(surroundings, "agent", &file, &[]);
        Self {
            folder,
            exit,
            relay: Some(Arc::clone(relay)),
            address: relay.address,
            entrance: format!("{name}.{DOMAIN}"),
            authority: Arc::new(authority),
            role: "agent",
            kubectl: None,
        }
    }

    /// `gangplank proxy` before the API server of a kubeconfig.
    pub(crate) fn direct(upstream: &Path, trusted: &[&Organisation]) -> Self {
        let prepared = Prepared::proxy("127.0.0.1:0", upstream, trusted);
        Self::direct_from(prepared, &Surroundings::default())
    }

    /// The same in surroundings, where callers come to it at this address.
    pub(crate) fn direct_in(
        surroundings: &Surroundings,
        address: Ipv4Addr,
        upstream: &Path,
        trusted: &[&Organisation],
    ) -> Self {
        let prepared = Prepared::proxy(&format!("{address}:0"), upstream, trusted);
        Self::direct_from(prepared, surroundings)
    }

    /// The same with its audit trail as this block says.
    pub(crate) fn direct_with_audit(
        upstream: &Path,
        trusted: &[&Organisation],
        audit: &str,
    ) -> Self {
        Self::direct_audited(Prepared::proxy("127.0.0.1:0", upstream, trusted), audit)
    }

    /// A prepared one with its audit trail as this block says.
    pub(crate) fn direct_audited(prepared: Prepared, audit: &str) -> Self {
        Self::direct_set(prepared, &format!("audit: {audit}"))
    }

    /// `gangplank proxy` with this line in its `exit` block.
    pub(crate) fn direct_with(upstream: &Path, trusted: &[&Organisation], line: &str) -> Self {
        Self::direct_set(Prepared::proxy("127.0.0.1:0", upstream, trusted), line)
    }

    /// `gangplank proxy` that reads whom it trusts from the API server, whose account is this one.
    pub(crate) fn trusting_cluster(upstream: &Path, account: &str) -> Self {
        let prepared = Prepared::proxy("127.0.0.1:0", upstream, &[]);
        let file = prepared.folder().join("proxy.yaml");
        let text = fs::read_to_string(&file).expect("readable");
        let (of_files, of_cluster) = (
            "trust: { directory: trust }",
            format!("trust: {{ cluster: true, account: {account} }}"),
        );
        assert!(text.contains(of_files), "{text}");
        fs::write(&file, text.replace(of_files, &of_cluster)).expect("written");
        Self::direct_from(prepared, &Surroundings::default())
    }

    fn direct_set(prepared: Prepared, line: &str) -> Self {
        let file = prepared.folder().join("proxy.yaml");
        let text = fs::read_to_string(&file).expect("readable");
        let text = text.replacen("exit:\n", &format!("exit:\n  {line}\n"), 1);
        fs::write(&file, text).expect("written");
        Self::direct_from(prepared, &Surroundings::default())
    }

    fn direct_from(prepared: Prepared, surroundings: &Surroundings) -> Self {
        let Prepared { folder, authority } = prepared;
        let file = folder.path().join("proxy.yaml");
        let exit = Gangplank::start_in(surroundings, "proxy", &file, &[]);
        let address = exit.address.expect("a proxy listens");
        Self {
            folder,
            exit,
            relay: None,
            address,
            entrance: format!("{NAME}.{DOMAIN}"),
            authority: Arc::new(authority),
            role: "proxy",
            kubectl: None,
        }
    }

    /// The same with a further line in its exit's block; the exit is started anew.
    pub(crate) fn with_exit_line(mut self, line: &str) -> Self {
        self.exit.kill();
        let file = self.folder.path().join(format!("{}.yaml", self.role));
        let text = fs::read_to_string(&file).expect("its file");
        let text = text.replacen("exit:\n", &format!("exit:\n  {line}\n"), 1);
        fs::write(&file, text).expect("written");
        self.restart_exit();
        self.exit.await_ready();
        self
    }

    /// Starts the exit anew after it was ended. A `proxy` gets another port.
    pub(crate) fn restart_exit(&mut self) {
        let file = self.folder.path().join(format!("{}.yaml", self.role));
        let surroundings = self.exit.surroundings().clone();
        self.exit = Gangplank::start_in(&surroundings, self.role, &file, &[]);
        if let Some(address) = self.exit.address {
            self.address = address;
        }
    }

    /// The folder with everything the exit has.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The exit's authority, which callers trust.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Trusts an organisation, or changes the trust in it: its file is renamed into place.
    pub(crate) fn trust(&self, organisation: &Organisation) {
        write_provider(self.folder.path(), organisation);
    }

    /// Withdraws the trust in an organisation: its file goes.
    pub(crate) fn distrust(&self, organisation: &Organisation) {
        fs::remove_file(provider_file(self.folder.path(), organisation))
            .expect("its file was there");
    }

    /// Where the exit looks for whom it trusts.
    pub(crate) fn trust_file(&self, organisation: &Organisation) -> PathBuf {
        provider_file(self.folder.path(), organisation)
    }

    /// The trust bundle's generation at the exit.
    pub(crate) fn generation(&self) -> u64 {
        self.exit.status()["exit"]["bundle"]["generation"]
            .as_u64()
            .expect("a generation")
    }

    /// A kubeconfig for a caller, written by `gangplank kubeconfig`.
    pub(crate) fn kubeconfig(&self, caller: &Papers) -> PathBuf {
        let papers = tempfile::Builder::new()
            .prefix("caller-")
            .tempdir_in(self.folder.path())
            .expect("a folder")
            .keep();
        caller.write(&papers, "caller");
        fs::write(papers.join("exit-ca.crt"), self.authority.pem()).expect("written");
        let file = papers.join("kubeconfig");
        let name = self
            .entrance
            .strip_suffix(DOMAIN)
            .expect("it ends with it")
            .trim_end_matches('.');
        let path = |name: &str| papers.join(name).display().to_string();
        super::gangplank::run(&[
            "kubeconfig",
            "--cluster",
            name,
            "--domain",
            DOMAIN,
            "--connect",
            &self.address.to_string(),
            "--certificate-authority",
            &path("exit-ca.crt"),
            "--client-certificate",
            &path("caller.crt"),
            "--client-key",
            &path("caller.key"),
            "--out",
            &path("kubeconfig"),
        ])
        .expect_success();
        file
    }

    /// kubectl as a caller.
    pub(crate) fn kubectl(&self, caller: &Papers) -> Kubectl {
        let program = self
            .kubectl
            .clone()
            .unwrap_or_else(|| PathBuf::from("kubectl"));
        Kubectl::new(&program, &self.kubeconfig(caller))
    }
}

fn folder(name: &str) -> TempDir {
    tempfile::Builder::new()
        .prefix(&format!("gangplank-{name}-"))
        .tempdir()
        .expect("a temporary folder")
}

/// Copies the files of a folder, but none of the folders in it.
fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let file = entry.expect("an entry").path();
        if let (true, Some(name)) = (file.is_file(), file.file_name()) {
            fs::copy(&file, to.join(name)).expect("copied");
        }
    }
}

fn exit_folder(name: &str, upstream: &Path, trusted: &[&Organisation]) -> (TempDir, Authority) {
    let folder = folder(name);
    let authority = Authority::new(&format!("{name} exit CA"));
    authority.exit(name, DOMAIN).write(folder.path(), "exit");
    fs::create_dir(folder.path().join("trust")).expect("a folder");
    for organisation in trusted {
        write_provider(folder.path(), organisation);
    }
    fs::copy(upstream, folder.path().join("upstream.kubeconfig"))
        .expect("the kubeconfig is readable");
    (folder, authority)
}

fn exit_block() -> &'static str {
    "exit:\n  servingCertificate: { certificateFile: exit.crt, keyFile: exit.key }\n  trust: { directory: trust }\n  \
     upstream: { kubeconfig: upstream.kubeconfig }\nadmin: { listen: \"127.0.0.1:0\" }\n"
}

fn provider_file(folder: &Path, organisation: &Organisation) -> PathBuf {
    folder
        .join("trust")
        .join(format!("{}.yaml", organisation.name))
}

fn write_provider(folder: &Path, organisation: &Organisation) {
    let written = folder.join(format!("{}.new", organisation.name));
    fs::write(&written, organisation.provider()).expect("written");
    fs::rename(&written, provider_file(folder, organisation)).expect("renamed");
}
