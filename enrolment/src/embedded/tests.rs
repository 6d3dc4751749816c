use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

fn name(text: &str) -> TunnelName {
    TunnelName::parse(text).unwrap()
}

fn token_of(tunnel: &str, id: u8) -> TokenRecord {
    TokenRecord {
        id: [id; 16],
        secret: Fingerprint::of(&[id]),
        tunnel: name(tunnel),
        created: at(100),
        expires: at(200),
        used: None,
    }
}

fn certificate_of(tunnel: &str, number: u8) -> CertificateRecord {
    CertificateRecord {
        fingerprint: Fingerprint::of(&[number]),
        tunnel: name(tunnel),
        issued: at(150),
        not_after: at(1000),
        revoked: None,
    }
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// As another process would.
    fn open(&self) -> EmbeddedRegister {
        EmbeddedRegister::open(&self.0.path().join("register")).unwrap()
    }
}

#[tokio::test]
async fn what_was_written_is_there_for_others_and_later() {
    let folder = Folder::new();
    let (one, other) = (folder.open(), folder.open());
    let token = token_of("edge-1.acme", 1);
    one.keep_token(token.clone()).await.unwrap();
    assert_eq!(other.token([1; 16]).await.unwrap(), Some(token.clone()));
    assert_eq!(other.token([2; 16]).await.unwrap(), None);
    let certificate = certificate_of("edge-1.acme", 7);
    assert!(other.redeem([1; 16], certificate.clone()).await.unwrap());
    drop((one, other));
    let again = folder.open();
    let used = TokenRecord {
        used: Some(at(150)),
        ..token
    };
    assert_eq!(again.tokens().await.unwrap(), [used]);
    assert_eq!(
        again.certificates().await.unwrap(),
        std::slice::from_ref(&certificate)
    );
    let known = again
        .certificate(certificate.tunnel.clone(), certificate.fingerprint)
        .await
        .unwrap();
    assert_eq!(known, Some(certificate));
}

#[tokio::test]
async fn a_token_is_used_once_however_many_try_at_once() {
    let folder = Folder::new();
    let registers = [folder.open(), folder.open(), folder.open(), folder.open()];
    let [first, ..] = &registers;
    first.keep_token(token_of("edge-1.acme", 1)).await.unwrap();
    let mut tries = tokio::task::JoinSet::new();
    for (number, register) in (0..).zip(registers) {
        tries.spawn(async move {
            let certificate = certificate_of("edge-1.acme", number);
            register.redeem([1; 16], certificate).await.unwrap()
        });
    }
    let outcomes = tries.join_all().await;
    assert_eq!(outcomes.iter().filter(|redeemed| **redeemed).count(), 1);
    assert_eq!(folder.open().certificates().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_revoked_certificate_has_no_successor_and_revocations_count() {
    let folder = Folder::new();
    let register = folder.open();
    register
        .keep_token(token_of("edge-1.acme", 1))
        .await
        .unwrap();
    register
        .keep_token(token_of("edge-1.acme", 2))
        .await
        .unwrap();
    let first = certificate_of("edge-1.acme", 1);
    assert!(register.redeem([1; 16], first.clone()).await.unwrap());
    let second = certificate_of("edge-1.acme", 2);
    assert!(
        register
            .succeed(first.fingerprint, second.clone())
            .await
            .unwrap()
    );
    let other = certificate_of("edge-2.acme", 3);
    assert!(
        !register.succeed(first.fingerprint, other).await.unwrap(),
        "another name"
    );
    let before = register.revision().await.unwrap();
    let revoked = folder
        .open()
        .revoke(name("edge-1.acme"), at(160))
        .await
        .unwrap();
    assert_eq!(revoked, 2);
    assert!(register.revision().await.unwrap() > before);
    let both = [first.fingerprint, second.fingerprint];
    assert_eq!(
        register.snapshot().await.unwrap().revoked,
        both.into_iter().collect()
    );
    let third = certificate_of("edge-1.acme", 4);
    assert!(!register.succeed(second.fingerprint, third).await.unwrap());
    assert_eq!(
        register.token([2; 16]).await.unwrap(),
        None,
        "unused tokens go too"
    );
    assert_eq!(
        folder
            .open()
            .revoke(name("edge-1.acme"), at(170))
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn a_revoked_name_is_admitted_again_only_after_a_token() {
    let folder = Folder::new();
    let register = folder.open();
    assert!(
        register
            .admit(certificate_of("edge-1.acme", 1))
            .await
            .unwrap()
    );
    assert!(
        register
            .admit(certificate_of("edge-1.acme", 2))
            .await
            .unwrap()
    );
    register.revoke(name("edge-1.acme"), at(150)).await.unwrap();
    assert!(
        !register
            .admit(certificate_of("edge-1.acme", 3))
            .await
            .unwrap()
    );
    assert!(
        register
            .admit(certificate_of("edge-2.acme", 4))
            .await
            .unwrap()
    );
    register
        .keep_token(token_of("edge-1.acme", 1))
        .await
        .unwrap();
    assert!(
        register
            .redeem([1; 16], certificate_of("edge-1.acme", 5))
            .await
            .unwrap()
    );
    assert!(
        register
            .admit(certificate_of("edge-1.acme", 6))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn what_ended_long_ago_is_forgotten() {
    let folder = Folder::new();
    let register = folder.open();
    register
        .keep_token(token_of("edge-1.acme", 1))
        .await
        .unwrap();
    let certificate = certificate_of("edge-1.acme", 1);
    assert!(register.redeem([1; 16], certificate).await.unwrap());
    register
        .keep_token(token_of("edge-1.acme", 2))
        .await
        .unwrap();
    assert_eq!(register.token([1; 16]).await.unwrap(), None);
    assert_eq!(register.certificates().await.unwrap().len(), 1);
    assert!(register.forget_token([2; 16]).await.unwrap());
    assert!(!register.forget_token([2; 16]).await.unwrap());
    let token = TokenRecord {
        expires: at(3000),
        ..token_of("edge-1.acme", 3)
    };
    register.keep_token(token).await.unwrap();
    assert_eq!(register.certificates().await.unwrap(), []);
}

#[test]
fn a_register_is_its_owners_alone() {
    let folder = Folder::new();
    let _register = folder.open();
    for entry in fs::read_dir(folder.0.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
    }
}

#[test]
fn what_is_no_register_is_left_alone_and_named() {
    let folder = Folder::new();
    let file = folder.0.path().join("other");
    fs::write(
        &file,
        "these are the last words of somebody, and longer than a header of SQLite's",
    )
    .unwrap();
    let before = fs::read(&file).unwrap();
    let refused = EmbeddedRegister::open(&file).unwrap_err();
    assert!(
        refused.to_string().contains("other cannot be opened"),
        "{refused}"
    );
    assert_eq!(fs::read(&file).unwrap(), before);
    assert!(EmbeddedRegister::open(&folder.0.path().join("no/folder")).is_err());
    drop(folder.open());
    let later = Connection::open(folder.0.path().join("register")).unwrap();
    later.pragma_update(None, "user_version", 2).unwrap();
    drop(later);
    let refused = EmbeddedRegister::open(&folder.0.path().join("register")).unwrap_err();
    assert!(
        refused.cause.to_string().contains("later version"),
        "{}",
        refused.cause
    );
}
