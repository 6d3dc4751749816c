//! What counts after which change, looked at by hand.

use super::*;

#[test]
fn an_empty_directory_refuses_everyone_and_is_legal() {
    let looked = Looked::empty();
    assert!(
        open(&looked.place)
            .unwrap()
            .0
            .current()
            .providers()
            .is_empty()
    );
}

/// F6, F9: at the start there is no last good version, so every fault is an error.
#[test]
fn at_the_start_every_fault_is_an_error() {
    type Planted = (&'static str, &'static str, fn(&Workplace));
    let planted: &[Planted] = &[
        ("no directory", "NoSuchDirectory", |at| {
            fs::remove_dir(at.path("trust")).unwrap();
        }),
        ("a file instead", "NotADirectory", |at| {
            fs::remove_dir(at.path("trust")).unwrap();
            at.write("trust", "");
        }),
        ("not YAML", "NotYaml", |at| {
            at.write("trust/a.yaml", "a: \"");
        }),
        ("empty", "Empty", |at| at.write("trust/a.yaml", "")),
        ("an unknown key", "UnknownKey", |at| {
            at.write("trust/a.yaml", provider("a").replace("prefix", "prefx"));
        }),
        ("another kind", "UnknownKind", |at| {
            at.write(
                "trust/a.json",
                provider("a").replace("TrustedIdentityProvider", "Pod"),
            );
        }),
        ("a directory", "NotAFile", |at| {
            fs::create_dir(at.path("trust/x.yaml")).unwrap();
        }),
        ("a FIFO", "NotAFile", |at| {
            let made = std::process::Command::new("mkfifo")
                .arg(at.path("trust/x.yaml"))
                .status();
            assert!(made.unwrap().success());
        }),
        ("a link to itself", "LinkLoop", |at| {
            std::os::unix::fs::symlink("x.yml", at.path("trust/x.yml")).unwrap();
        }),
        ("a link to nothing", "NoSuchFile", |at| {
            std::os::unix::fs::symlink("..data/x.yml", at.path("trust/x.yml")).unwrap();
        }),
        ("100 MB", "TooLarge", |at| {
            let file = fs::File::create(at.path("trust/x.yaml")).unwrap();
            file.set_len(100 * 1024 * 1024).unwrap();
        }),
        ("the same object twice", "DuplicateObject", |at| {
            at.write("trust/a.yaml", provider("a"));
            at.write("trust/b.yaml", provider("a"));
        }),
    ];
    for (what, reason, plant) in planted {
        let place = Workplace::empty();
        fs::create_dir(place.path("trust")).unwrap();
        plant(&place);
        let faults = open(&place).expect_err(what);
        assert_eq!(faults.reason(), *reason, "{what}: {faults}");
    }
}

#[test]
fn files_that_are_not_objects_are_not_looked_at() {
    let looked = Looked::with(|at| {
        fs::create_dir(at.path("trust/..2026")).unwrap();
        fs::create_dir(at.path("trust/folder")).unwrap();
        for name in [
            "README.md",
            ".a.yaml.swp",
            ".hidden.yaml",
            "a.yaml~",
            "a.yaml.bak",
            "yaml",
        ] {
            at.write(&format!("trust/{name}"), "a: \"");
        }
        at.write("trust/a.yaml", provider("a"));
    });
    assert_eq!(looked.prefixes(), ["spiffe://a/"]);
}

#[test]
fn a_broken_object_costs_only_itself() {
    let (a, b) = (provider("a"), with_prefix("b", "spiffe://new-b/"));
    let mut looked = Looked::with(|at| {
        at.write("trust/a.yaml", format!("{a}---\n{}", provider("b")));
        at.write("trust/c.yaml", provider("c"));
    });
    looked.place.write(
        "trust/a.yaml",
        format!("{}---\n{b}", a.replace("prefix", "prefx")),
    );
    looked
        .place
        .write("trust/c.yaml", with_prefix("c", "spiffe://new-c/"));
    looked.clock.set(at(200));
    assert_eq!(looked.look(), ["UnknownKey"]);
    assert_eq!(
        looked.prefixes(),
        ["spiffe://a/", "spiffe://new-b/", "spiffe://new-c/"]
    );
    assert_eq!(looked.kept(), [("namespace-a/a".to_owned(), 200)]);

    looked.clock.set(at(300));
    looked.look();
    assert_eq!(
        looked.kept(),
        [("namespace-a/a".to_owned(), 200)],
        "since when does not move"
    );

    looked.place.write("trust/a.yaml", format!("{a}---\n{b}"));
    assert!(looked.look().is_empty());
    assert!(looked.kept().is_empty());
}

/// F2: whatever part of a file is there, nothing that was good is lost, and nothing new is believed.
#[test]
fn a_file_cut_off_anywhere_keeps_what_it_held() {
    let whole = format!("{}---\n{}", provider("a"), provider("b"));
    let first_document = whole.find("---").unwrap();
    let mut looked = Looked::with(|at| at.write("trust/x.yaml", &whole));
    for length in (0..whole.len() - 1).step_by(7) {
        if (first_document - 1..=first_document + 4).contains(&length) {
            // A file that was meant to be just the first document cannot be told from this half.
            continue;
        }
        looked.place.write("trust/x.yaml", whole.split_at(length).0);
        let reasons = looked.look();
        // Less than the last line break of the PEM in it says the same as the whole.
        assert!(!reasons.is_empty() || length + 8 > whole.len(), "{length}");
        assert_eq!(
            looked.prefixes(),
            ["spiffe://a/", "spiffe://b/"],
            "{length}: {reasons:?}"
        );
        assert_eq!(looked.generation(), 1, "{length}: {reasons:?}");
    }
    looked.place.write("trust/x.yaml", &whole);
    assert!(looked.look().is_empty());
    assert_eq!(looked.generation(), 1);
}

#[test]
fn deletion_always_removes() {
    let (a, b) = (provider("a"), provider("b"));
    let mut looked = Looked::with(|at| {
        at.write("trust/x.yaml", format!("{a}---\n{b}"));
        at.write("trust/c.yaml", provider("c"));
        at.write("trust/d.yaml", provider("d"));
    });
    // A document out of a file, while another file is broken.
    looked.place.write("trust/d.yaml", "{");
    looked.place.write("trust/x.yaml", &b);
    assert_eq!(looked.look(), ["NotYaml"]);
    assert_eq!(
        looked.prefixes(),
        ["spiffe://b/", "spiffe://c/", "spiffe://d/"]
    );
    // A document out of a file in which another one breaks.
    looked.place.write("trust/x.yaml", format!("{b}---\n{a}"));
    looked.look();
    let rest = format!("{}---\n{}", b.replace("prefix", "prefx"), provider("e"));
    looked.place.write("trust/x.yaml", rest);
    assert_eq!(looked.look(), ["NotYaml", "UnknownKey"]);
    let left = ["spiffe://b/", "spiffe://c/", "spiffe://d/", "spiffe://e/"];
    assert_eq!(looked.prefixes(), left);
    // All of a file, turned into comments.
    let comments: String = b.lines().map(|line| format!("# {line}\n")).collect();
    looked.place.write("trust/x.yaml", comments);
    looked.look();
    assert_eq!(looked.prefixes(), ["spiffe://c/", "spiffe://d/"]);
    // A broken file, and a good one.
    looked.place.remove("trust/d.yaml");
    looked.place.remove("trust/c.yaml");
    assert!(looked.look().is_empty());
    assert!(looked.prefixes().is_empty());
}

#[test]
fn an_object_that_moves_to_another_file_is_the_same_object() {
    let mut looked = Looked::with(|at| at.write("trust/a.yaml", provider("a")));
    fs::rename(
        looked.place.path("trust/a.yaml"),
        looked.place.path("trust/b.yaml"),
    )
    .unwrap();
    assert!(looked.look().is_empty());
    assert_eq!((looked.prefixes().len(), looked.generation()), (1, 1));
    // The file it came from says nothing about it any more.
    looked.place.write("trust/a.yaml", "{");
    looked.place.remove("trust/b.yaml");
    looked.look();
    assert!(looked.prefixes().is_empty());
}

#[test]
fn an_object_written_twice_keeps_the_version_that_was_good() {
    let mut looked = Looked::with(|at| at.write("trust/a.yaml", provider("a")));
    looked
        .place
        .write("trust/0.yaml", with_prefix("a", "spiffe://b/"));
    assert_eq!(looked.look(), ["DuplicateObject", "DuplicateObject"]);
    assert_eq!(
        (looked.prefixes(), looked.generation()),
        (vec!["spiffe://a/".to_owned()], 1)
    );
    looked.place.remove("trust/a.yaml");
    assert!(looked.look().is_empty());
    assert_eq!(looked.prefixes(), ["spiffe://b/"]);
}

#[test]
fn each_place_of_an_object_written_twice_is_named() {
    let place = Workplace::empty();
    fs::create_dir(place.path("trust")).unwrap();
    place.write(
        "trust/a.yaml",
        format!("{}---\n{}", provider("b"), provider("a")),
    );
    place.write("trust/c.yaml", provider("a"));
    insta::assert_snapshot!(place.told(&open(&place).unwrap_err()));
}

/// Files have no age: while running, the holder keeps.
#[test]
fn while_running_the_holder_keeps_against_newcomers_and_edits() {
    let both = ["spiffe://a/", "spiffe://b/"];
    let mut looked = Looked::with(|at| {
        at.write("trust/a.yaml", provider("a"));
        at.write("trust/b.yaml", provider("b"));
    });
    looked
        .place
        .write("trust/0.yaml", with_prefix("newcomer", "spiffe://a/sub/"));
    looked
        .place
        .write("trust/b.yaml", with_prefix("b", "spiffe://a"));
    assert_eq!(looked.look(), ["PrefixConflict", "PrefixConflict"]);
    assert_eq!(
        (looked.prefixes(), looked.generation()),
        (both.map(String::from).to_vec(), 1)
    );
    assert_eq!(looked.kept(), [("namespace-a/b".to_owned(), 100)]);
    // Looking again changes nothing.
    assert_eq!(looked.look().len(), 2);
    assert_eq!(looked.generation(), 1);
    // A refused edit that then breaks keeps what was accepted, not what was refused.
    looked.place.write("trust/b.yaml", "{");
    looked.look();
    assert_eq!(looked.prefixes(), both);
    // Deletion lets the newcomer in, and removes what a refused edit had kept.
    looked.place.remove("trust/b.yaml");
    looked.place.remove("trust/a.yaml");
    assert!(looked.look().is_empty());
    assert_eq!(looked.prefixes(), ["spiffe://a/sub/"]);
}

#[test]
fn at_a_cold_start_all_that_conflict_are_refused_and_the_rest_serves() {
    let place = Workplace::empty();
    fs::create_dir(place.path("trust")).unwrap();
    let shared = authority_pem("shared");
    place.write("trust/a.yaml", with_prefix("a", "spiffe://corp/"));
    place.write("trust/b.yaml", with_prefix("b", "spiffe://corp/eu/"));
    place.write("trust/c.yaml", provider_yaml("c", "spiffe://c/", &shared));
    place.write("trust/d.yaml", provider_yaml("d", "spiffe://d/", &shared));
    place.write("trust/e.yaml", provider("e"));
    let (source, _watcher) = open(&place).unwrap();
    assert_eq!(prefixes(&source.current()), ["spiffe://e/"]);
    let report = source.report();
    let reasons: Vec<_> = report.faults.iter().map(Fault::reason).collect();
    assert_eq!(
        reasons,
        [
            "PrefixConflict",
            "PrefixConflict",
            "KeyConflict",
            "KeyConflict"
        ]
    );
    let told: Vec<String> = report
        .faults
        .iter()
        .map(|fault| place.told(fault))
        .collect();
    insta::assert_snapshot!(without_fingerprints(&told.join("\n")));
}

/// Without the digits of fingerprints: keys are new in every run.
fn without_fingerprints(told: &str) -> String {
    let digit = |c: char| c.is_ascii_hexdigit();
    let mut parts = told.split("sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |told, part| {
        told + "sha256:…" + part.trim_start_matches(digit)
    })
}

/// F4: the directory is renamed away, and comes back.
#[test]
fn a_directory_that_vanished_keeps_everything() {
    let mut looked = Looked::with(|at| at.write("trust/a.yaml", provider("a")));
    let (trust, elsewhere) = (looked.place.path("trust"), looked.place.path("elsewhere"));
    fs::rename(&trust, &elsewhere).unwrap();
    looked.clock.set(at(200));
    assert_eq!(looked.look(), ["NoSuchDirectory"]);
    looked.clock.set(at(300));
    looked.look();
    assert_eq!(looked.prefixes(), ["spiffe://a/"]);
    assert_eq!(
        looked.state.report(Vec::new()).vanished_since,
        Some(at(200))
    );
    fs::rename(&elsewhere, &trust).unwrap();
    assert!(looked.look().is_empty());
    assert_eq!(looked.state.report(Vec::new()).vanished_since, None);
    assert_eq!(looked.generation(), 1);
}

/// F12: neither size nor times are believed.
#[test]
fn other_content_of_the_same_size_and_time_is_noticed() {
    let mut looked = Looked::with(|at| at.write("trust/a.yaml", provider("a")));
    let path = looked.place.path("trust/a.yaml");
    let stamp = || {
        let metadata = fs::metadata(&path).unwrap();
        (metadata.len(), metadata.modified().unwrap())
    };
    let before = stamp();
    looked
        .place
        .edit("trust/a.yaml", "spiffe://a/", "spiffe://z/");
    let times = fs::FileTimes::new().set_modified(before.1);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_times(times)
        .unwrap();
    assert_eq!(before, stamp());
    looked.look();
    assert_eq!(
        (looked.prefixes(), looked.generation()),
        (vec!["spiffe://z/".to_owned()], 2)
    );
}

/// F9: a file that turns into something else keeps what it held.
#[test]
fn a_file_that_becomes_unreadable_keeps_what_it_held() {
    let mut looked = Looked::with(|at| at.write("trust/a.yaml", provider("a")));
    let file = looked.place.path("trust/a.yaml");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(looked.look(), ["NotAFile"]);
    assert_eq!(looked.prefixes(), ["spiffe://a/"]);
    fs::remove_dir(&file).unwrap();
    std::os::unix::fs::symlink("a.yaml", &file).unwrap();
    assert_eq!(looked.look(), ["LinkLoop"]);
    assert_eq!(looked.prefixes(), ["spiffe://a/"]);
    fs::remove_file(&file).unwrap();
    fs::File::create(&file)
        .unwrap()
        .set_len(100 * 1024 * 1024)
        .unwrap();
    assert_eq!(looked.look(), ["TooLarge"]);
    assert_eq!(looked.prefixes(), ["spiffe://a/"]);
    fs::remove_file(&file).unwrap();
    assert!(looked.look().is_empty());
    assert!(looked.prefixes().is_empty());
}

#[test]
fn an_authority_that_expired_is_told_and_stops_nothing() {
    let mut looked = Looked::with(|at| at.write("trust/a.yaml", provider("a")));
    let end = looked.state.bundle().providers()[0].anchors()[0].not_after();
    looked.clock.set(end);
    assert!(looked.look().is_empty());
    looked.clock.set(at(end.as_secs() + 1));
    assert_eq!(looked.look(), ["AuthorityExpired"]);
    assert_eq!((looked.prefixes().len(), looked.generation()), (1, 1));
}
