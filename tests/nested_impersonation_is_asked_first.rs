//! An exit with `nestedImpersonation: Authorize` lets a caller act as someone else only after the API server has said
//! yes to every value of the wish, and then sends on exactly that wish. Whatever else is said, nothing goes on.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::{AnswerBody, Arrived, FakeApiServer, TOKEN, ok, whole};
use crate::support::own_answer::{self, OwnAnswer};
use crate::support::path::{Site, WAYS, Way};
use crate::support::{caller, wait};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// The extra field that says who asked, as it is on the wire.
const ORIGINAL: &str = "impersonate-extra-gangplank.dev%2foriginal-user";

/// An API server that answers reviews as the name says that is asked about, and everything else with an object.
struct Reviewer {
    fake: FakeApiServer,
    /// The specs of all reviews.
    asked: Arc<Mutex<Vec<Value>>>,
    /// Lets those answer that wait.
    gate: Arc<Semaphore>,
}

impl Reviewer {
    async fn start() -> Self {
        let (asked, gate) = (
            Arc::<Mutex<Vec<Value>>>::default(),
            Arc::new(Semaphore::new(0)),
        );
        let (seen, opened) = (Arc::clone(&asked), Arc::clone(&gate));
        let fake = FakeApiServer::start(&["h2", "http/1.1"], move |request| {
            let (seen, opened) = (Arc::clone(&seen), Arc::clone(&opened));
            Box::pin(async move {
                if request.uri().path() != REVIEWS {
                    return ok("{}");
                }
                review(request, &seen, &opened).await
            })
        })
        .await;
        Self { fake, asked, gate }
    }

    fn kubeconfig(&self) -> PathBuf {
        self.fake.kubeconfig()
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().clone()
    }

    /// What arrived besides reviews.
    fn others(&self) -> Vec<Arrived> {
        let arrived = self.fake.arrived().into_iter();
        arrived.filter(|it| it.target != REVIEWS).collect()
    }
}

async fn review(
    request: Request<Incoming>,
    seen: &Mutex<Vec<Value>>,
    gate: &Semaphore,
) -> Response<AnswerBody> {
    let text = request.into_body().collect().await.expect("a question");
    let question: Value = serde_json::from_slice(&text.to_bytes()).expect("JSON");
    assert_eq!(question["kind"], "SubjectAccessReview");
    assert_eq!(question["apiVersion"], "authorization.k8s.io/v1");
    let spec = &question["spec"];
    seen.lock().push(spec.clone());
    let review = |status: Value| {
        let mut review = question.clone();
        review["status"] = status;
        review.to_string()
    };
    let name = spec["resourceAttributes"]["name"].as_str().expect("a name");
    let (status, text) = match name {
        "silent" => std::future::pending().await,
        "waiting" => {
            gate.acquire().await.expect("open").forget();
            (201, review(json!({ "allowed": true })))
        }
        "denied" => (
            201,
            review(json!({ "allowed": false, "reason": "not today" })),
        ),
        "both" => (201, review(json!({ "allowed": true, "denied": true }))),
        "nothing" => (201, review(json!({}))),
        "unreviewed" => (201, question.to_string()),
        "another" => (
            201,
            r#"{"kind":"Status","apiVersion":"v1","status":{"allowed":true}}"#.to_owned(),
        ),
        "nonsense" => (201, "yes".to_owned()),
        "endless" => (
            201,
            format!(
                "{}{}",
                " ".repeat(1 << 20),
                review(json!({ "allowed": true }))
            ),
        ),
        "moved" => (302, review(json!({ "allowed": true }))),
        "forbidden" => (403, review(json!({ "allowed": true }))),
        "unauthorized" => (401, String::new()),
        "busy" => (429, review(json!({ "allowed": true }))),
        "broken" => (500, review(json!({ "allowed": true }))),
        "cut" => return cut(review(json!({ "allowed": true }))),
        _ => (201, review(json!({ "allowed": true }))),
    };
    let answer = Response::builder()
        .status(status)
        .header("location", "/elsewhere");
    answer.body(whole(text)).expect("a response")
}

/// All that is asked for, and then an error in the place of the end.
fn cut(text: String) -> Response<AnswerBody> {
    let frames = [
        Ok(Frame::data(Bytes::from(text))),
        Err(std::io::Error::other("cut")),
    ];
    let body = StreamBody::new(stream::iter(frames));
    Response::builder()
        .status(201)
        .body(BodyExt::boxed(body))
        .expect("a response")
}

fn site(way: Way, reviewer: &Reviewer, organisation: &Organisation) -> Site {
    let site = Site::start(way, &reviewer.kubeconfig(), &[organisation]);
    site.with_exit_line("nestedImpersonation: Authorize")
}

fn request(path: &str, lines: &[(&str, &str)]) -> Request<caller::AnyBody> {
    let mut request = Request::get(path);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.body(caller::body("")).expect("a request")
}

async fn told(site: &Site, caller: &Organisation, lines: &[(&str, &str)]) -> OwnAnswer {
    let papers = caller.caller("a");
    let mut connection = Connection::open(site, Some(&papers), Protocol::Two).await;
    let answer = connection.send(request("/wish", lines)).await;
    own_answer::read(answer.expect("an answer")).await
}

fn identity_lines(arrived: &Arrived) -> Vec<(&str, String)> {
    let lines = arrived.headers.iter();
    lines
        .filter(|(name, _)| name.starts_with("impersonate-") || name.starts_with("x-remote"))
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value).into_owned()))
        .collect()
}

/// What the wish of the test below is made of.
const WISH: [(&str, &str); 5] = [
    ("Impersonate-Group", "auditors"),
    ("impersonate-user", "bob"),
    ("Impersonate-Extra-acme.com%2FProject", "x,y"),
    ("Impersonate-Uid", "7"),
    ("Impersonate-Group", "a b"),
];

fn questions(username: &str) -> Vec<Value> {
    let core = ["", "users", "bob"];
    let question = |[group, resource, name]: [&str; 3]| {
        json!({
            "user": username,
            "groups": ["partners", "system:authenticated"],
            "resourceAttributes": { "verb": "impersonate", "group": group, "version": "v1", "resource": resource, "name": name },
        })
    };
    let mut extra = question(["authentication.k8s.io", "userextras", "x,y"]);
    extra["resourceAttributes"]["subresource"] = "acme.com/project".into();
    vec![
        question(core),
        question(["authentication.k8s.io", "uids", "7"]),
        question(["", "groups", "auditors"]),
        question(["", "groups", "a b"]),
        extra,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_value_is_asked_and_exactly_that_goes_on() {
    for way in WAYS {
        let reviewer = Reviewer::start().await;
        let organisation = Organisation::new("acme");
        let site = site(way, &reviewer, &organisation);
        let generation = site.generation();
        let manifest = format!("{}  groups: [partners]\n", organisation.provider());
        std::fs::write(site.trust_file(&organisation), manifest).expect("written");
        wait::until("the provider's groups", || {
            (site.generation() > generation).then_some(())
        });
        for protocol in PROTOCOLS {
            let papers = organisation.caller("a");
            let mut connection = Connection::open(&site, Some(&papers), protocol).await;
            let answer = connection.send(request("/as-bob", &WISH)).await;
            assert_eq!(
                answer.expect("an answer").status(),
                200,
                "{way:?} {protocol:?}"
            );
        }
        let mut connection =
            Connection::open(&site, Some(&organisation.caller("a")), Protocol::One).await;
        let mut upgrade = request("/as-bob", &WISH);
        let headers = upgrade.headers_mut();
        // It cannot take away what decides who the user is.
        let connection_options = http::HeaderValue::from_static("Upgrade, Impersonate-Group");
        headers.insert("connection", connection_options);
        headers.insert("upgrade", http::HeaderValue::from_static("SPDY/3.1"));
        connection.send(upgrade).await.expect("an answer");

        let username = organisation.username("a");
        assert_eq!(
            reviewer.asked(),
            questions(&username),
            "{way:?}: each once, the later requests know the answers"
        );
        let arrived = reviewer.others();
        assert_eq!(arrived.len(), 3, "{way:?}");
        for arrived in arrived {
            let mut lines = identity_lines(&arrived);
            lines.sort();
            let mut expected = vec![
                ("impersonate-extra-acme.com%2fproject", "x,y".to_owned()),
                (ORIGINAL, username.clone()),
                ("impersonate-group", "a b".to_owned()),
                ("impersonate-group", "auditors".to_owned()),
                ("impersonate-uid", "7".to_owned()),
                ("impersonate-user", "bob".to_owned()),
            ];
            expected.sort();
            assert_eq!(lines, expected, "{way:?} {arrived:?}");
            assert_eq!(arrived.values("impersonate-group"), ["auditors", "a b"]);
            assert_eq!(arrived.values("authorization"), [format!("Bearer {TOKEN}")]);
        }
        for review in reviewer.fake.arrived_at(REVIEWS) {
            assert_eq!(identity_lines(&review), [], "{way:?}");
            assert_eq!(review.values("authorization"), [format!("Bearer {TOKEN}")]);
            assert_eq!(review.method, "POST");
        }
    }
}

/// Who does not ask to be someone else costs no question and is who they are.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_asked_about() {
    let reviewer = Reviewer::start().await;
    let organisation = Organisation::new("acme");
    let site = site(Way::Direct, &reviewer, &organisation);
    let mut connection =
        Connection::open(&site, Some(&organisation.caller("a")), Protocol::Two).await;
    let lines = [("X-Remote-User", "root"), ("Impersonate_User", "root")];
    let answer = connection.send(request("/plain", &lines)).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_eq!(reviewer.asked(), Vec::<Value>::new());
    let arrived = reviewer.fake.arrived_at("/plain");
    let own = vec![("impersonate-user", organisation.username("a"))];
    assert_eq!(
        arrived.iter().map(identity_lines).collect::<Vec<_>>(),
        [own]
    );
}

/// What is said of a name, and what the caller is told then.
const NO_YES: [(&str, u16, &str); 14] = [
    ("silent", 503, "ReviewUnanswered"),
    ("denied", 403, "ImpersonationDenied"),
    ("both", 403, "ImpersonationDenied"),
    ("nothing", 502, "ReviewUnreadable"),
    ("unreviewed", 502, "ReviewUnreadable"),
    ("another", 502, "ReviewUnreadable"),
    ("nonsense", 502, "ReviewUnreadable"),
    ("endless", 503, "ReviewUnanswered"),
    ("moved", 502, "ReviewUnreadable"),
    ("forbidden", 500, "ReviewRefused"),
    ("unauthorized", 500, "ReviewRefused"),
    ("broken", 503, "ReviewUnanswered"),
    ("busy", 503, "ReviewUnanswered"),
    ("cut", 503, "ReviewUnanswered"),
];

#[tokio::test(flavor = "multi_thread")]
async fn without_a_plain_yes_nothing_goes_on() {
    let reviewer = Reviewer::start().await;
    let organisation = Organisation::new("acme");
    let site = site(Way::Direct, &reviewer, &organisation);
    let (site, organisation) = (&site, &organisation);
    let telling = NO_YES.map(|(name, status, class)| async move {
        // As the last of several as well as alone: all must be allowed.
        for lines in [
            &[("impersonate-user", name)][..],
            &[
                ("impersonate-user", "bob"),
                ("impersonate-group", "b"),
                ("impersonate-extra-a", name),
            ],
        ] {
            let answer = told(site, organisation, lines).await;
            assert_eq!(
                (answer.code, answer.class.as_str()),
                (status, class),
                "{name}: {answer:?}"
            );
            assert_eq!(answer.retry_after, status == 503, "{name}");
        }
    });
    join_all(telling).await;
    assert_eq!(
        shown(&reviewer.others()),
        Vec::<String>::new(),
        "nothing went on"
    );
    let denied = told(site, organisation, &[("impersonate-user", "denied")]).await;
    let sentence = format!(
        "users \"denied\" is forbidden: User \"{}\" cannot impersonate resource \"users\" in API group \"\" at the \
         cluster scope: not today",
        organisation.username("a")
    );
    assert_eq!(denied.message, sentence);
    let reviews = |outcome: &str| {
        let line = format!("gangplank_exit_impersonation_reviews_total{{outcome=\"{outcome}\"}} ");
        site.exit.metric(&line).unwrap_or_default()
    };
    assert!(reviews("Failed") >= 20.0 && reviews("Denied") >= 4.0 && reviews("Allowed") >= 2.0);
    assert_eq!(
        site.exit
            .log()
            .matches("takes no reviews from this exit's account")
            .count(),
        1,
        "the operator is told once"
    );
}

fn shown(arrived: &[Arrived]) -> Vec<String> {
    arrived.iter().map(|it| format!("{it:?}")).collect()
}

const BOB: (&str, &str) = ("impersonate-user", "bob");

/// What no right makes possible.
const NEVER: [&[(&str, &str)]; 7] = [
    &[("impersonate-user", "system:masters")],
    &[("impersonate-user", "system:node:a")],
    &[BOB, ("impersonate-group", "system:masters")],
    &[BOB, ("impersonate-group", "system:nodes")],
    &[("impersonate-user", "system:serviceaccount:a")],
    &[BOB, (ORIGINAL, "root")],
    &[
        BOB,
        ("impersonate-extra-gangplank%2Edev%2Foriginal-user", "root"),
    ],
];

/// What is nobody.
const MISSTATED: [&[(&str, &str)]; 7] = [
    &[("impersonate-group", "a")],
    &[("impersonate-uid", "a")],
    &[("impersonate-extra-a", "a")],
    &[("impersonate-user", "")],
    &[BOB, BOB],
    &[BOB, ("impersonate-of-tomorrow", "a")],
    &[BOB, ("impersonate-extra-%41", "a")],
];

/// The API server is not even asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_be_granted_is_refused_unasked() {
    let reviewer = Reviewer::start().await;
    let organisation = Organisation::new("acme");
    let site = site(Way::Direct, &reviewer, &organisation);
    let long = "x".repeat(9000);
    let many = vec![("impersonate-group", "a"); 64];
    let denied = NEVER.map(|lines| (lines.to_vec(), 403, "ImpersonationDenied"));
    let misstated = MISSTATED.map(|lines| (lines.to_vec(), 400, "ImpersonationMisstated"));
    let too_much = [
        [vec![BOB], many].concat(),
        vec![BOB, ("impersonate-group", &long)],
    ]
    .map(|lines| (lines, 431, "ImpersonationMisstated"));
    let cases = denied.into_iter().chain(misstated).chain(too_much);
    for (lines, status, class) in cases {
        let answer = told(&site, &organisation, &lines).await;
        let shown = &lines[..lines.len().min(2)];
        assert_eq!(
            (answer.code, answer.class.as_str()),
            (status, class),
            "{shown:?}: {answer:?}"
        );
    }
    assert_eq!(shown(&reviewer.fake.arrived()), Vec::<String>::new());
}

/// A review takes time, in which the caller's own right may end.
#[tokio::test(flavor = "multi_thread")]
async fn who_loses_their_right_meanwhile_is_nobody() {
    let organisation = Organisation::new("acme");
    let papers = organisation.caller("a");
    for protocol in PROTOCOLS {
        let reviewer = Reviewer::start().await;
        let site = site(Way::Direct, &reviewer, &organisation);
        let mut connection = Connection::open(&site, Some(&papers), protocol).await;
        let asking = connection.send(request("/wish", &[("impersonate-user", "waiting")]));
        let ending = async {
            wait::until_async("the review", || async {
                (!reviewer.asked().is_empty()).then_some(())
            })
            .await;
            let generation = site.generation();
            site.distrust(&organisation);
            wait::until_async("the new trust", || async {
                (site.generation() > generation).then_some(())
            })
            .await;
            reviewer.gate.add_permits(1);
        };
        // It is told so, or its connection ends first.
        let (answer, ()) = tokio::join!(asking, ending);
        let status = answer.map(|it| it.status().as_u16()).unwrap_or(401);
        assert_eq!(status, 401, "{protocol:?}");
        assert_eq!(
            shown(&reviewer.others()),
            Vec::<String>::new(),
            "nothing went on"
        );
    }
}

/// What was said of a caller is not believed of the same name under another version of its provider.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_provider_is_asked_about_anew() {
    let reviewer = Reviewer::start().await;
    let organisation = Organisation::new("acme");
    let site = site(Way::Direct, &reviewer, &organisation);
    let papers = organisation.caller("a");
    let wish = [("impersonate-user", "bob")];
    let groups = |spec: &Value| spec["groups"].clone();
    for groups in ["", "  groups: [partners]\n"] {
        let generation = site.generation();
        let manifest = format!("{}{groups}", organisation.provider());
        if !groups.is_empty() {
            std::fs::write(site.trust_file(&organisation), manifest).expect("written");
            wait::until("the change", || {
                (site.generation() > generation).then_some(())
            });
        }
        for _ in 0..2 {
            let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
            let answer = connection.send(request("/as-bob", &wish)).await;
            assert_eq!(answer.expect("an answer").status(), 200);
        }
    }
    let asked: Vec<Value> = reviewer.asked().iter().map(groups).collect();
    assert_eq!(
        asked,
        [
            json!(["system:authenticated"]),
            json!(["partners", "system:authenticated"])
        ]
    );
}
