use std::fs;

use super::*;

fn config(folder: &tempfile::TempDir, keep: u64) -> audit::File {
    audit::File {
        path: folder.path().join("audit.log"),
        max_size: 20,
        keep,
    }
}

fn write(file: &mut RotatingFile, lines: &str) {
    let mut left = lines.as_bytes();
    while !left.is_empty() {
        let written = file.write(left).unwrap();
        assert!(written > 0);
        left = left.get(written..).unwrap();
    }
}

/// What each file of the folder holds, oldest last.
fn files(folder: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    names
        .iter()
        .map(|name| fs::read_to_string(name).unwrap())
        .collect()
}

#[test]
fn a_full_file_is_numbered_and_only_so_many_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = RotatingFile::open(config(&folder, 2)).unwrap();
    write(&mut file, "a 8 bytes\nb 8 bytes\nc 8 bytes\n");
    assert_eq!(files(&folder), ["c 8 bytes\n", "a 8 bytes\nb 8 bytes\n"]);
    write(&mut file, "d\ne\nf\ng\nh\ni\nj\nk\n");
    let (old, older) = ("c 8 bytes\nd\ne\nf\ng\nh\n", "a 8 bytes\nb 8 bytes\n");
    assert_eq!(files(&folder), ["i\nj\nk\n", old, older]);
    write(&mut file, "l 18 bytes xxxxxxxx\n");
    assert_eq!(
        files(&folder),
        ["l 18 bytes xxxxxxxx\n", "i\nj\nk\n", old],
        "the oldest is gone"
    );
}

#[test]
fn none_may_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = RotatingFile::open(config(&folder, 0)).unwrap();
    write(&mut file, "a 8 bytes\nb 8 bytes\nc 8 bytes\n");
    assert_eq!(files(&folder), ["c 8 bytes\n"]);
}

#[test]
fn an_earlier_file_is_continued_behind_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, 1);
    fs::write(&config.path, "whole\ntorn").unwrap();
    let mut file = RotatingFile::open(config.clone()).unwrap();
    write(&mut file, "next\n");
    drop(file);
    assert_eq!(files(&folder), ["whole\ntorn\nnext\n"]);
    let mut file = RotatingFile::open(config).unwrap();
    write(&mut file, "another\n");
    assert_eq!(files(&folder), ["another\n", "whole\ntorn\nnext\n"]);
}

#[test]
fn a_line_that_was_written_in_part_is_finished_where_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = RotatingFile::open(config(&folder, 1)).unwrap();
    write(&mut file, "a 8 bytes\n");
    // As a disk that is full leaves it.
    file.open.append(b"b 8").unwrap();
    write(&mut file, " bytes xxxxx\nc\n");
    assert_eq!(files(&folder), ["c\n", "a 8 bytes\nb 8 bytes xxxxx\n"]);
}

#[test]
fn a_file_that_was_moved_or_removed_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, 1);
    let mut file = RotatingFile::open(config.clone()).unwrap();
    write(&mut file, "a\n");
    fs::rename(&config.path, folder.path().join("elsewhere")).unwrap();
    write(&mut file, "b\n");
    assert_eq!(files(&folder), ["b\n", "a\n"]);
    fs::remove_file(&config.path).unwrap();
    write(&mut file, "c\n");
    assert_eq!(files(&folder), ["c\n", "a\n"]);
}

#[test]
fn the_owner_alone_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, 1);
    drop(RotatingFile::open(config.clone()).unwrap());
    let mode = fs::metadata(&config.path).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_no_file_is_refused() {
    let config = audit::File {
        path: "/dev/null".into(),
        max_size: 20,
        keep: 1,
    };
    assert!(RotatingFile::open(config).is_err());
}
