//! Each oddity of a file system, one at a time, over the forms of a copy: to
//! there and from there. What a file system claims or refuses may end a copy; it
//! never makes a wrong file under a final name, nor an exit of 0 with one.

use serde_json::Value;

use crate::common::{Ended, Scene, assert_same};
use crate::odd::Odd;

/// What every claim and every refusal is tried with.
const LEN: usize = 200_000;
const OLD: &[u8] = b"what was there before";

/// All claims, and each call refused as a filter or a store refuses it.
fn oddities() -> Vec<String> {
    let claims = [
        "ino=path",
        "ino=lookup",
        "ino=mount",
        "blocks=0",
        "blocks=1",
        "size=0",
        "size=+4096",
        "size=-1",
        "direct",
        "times=now",
        "seek=holes",
        "seek=end",
        "seek=here",
        "seek=hole:4096:8192",
        "statfs=zero",
        "room=65536",
        "grow=zeros",
        "grow=65536",
        "write=append",
        "refuse=write:EIO:3",
        "refuse=read:EIO:1",
        "refuse=fsync:EIO",
        "refuse=rename:EIO",
    ];
    let calls = [
        "chmod",
        "chown",
        "utimes",
        "truncate",
        "fallocate",
        "statfs",
        "rename",
        "rename-flags",
        "link",
        "unlink",
        "mkdir",
        "create",
        "open",
        "opendir",
        "readdir",
        "read",
        "write",
        "fsync",
        "fsyncdir",
        "flush",
        "lseek",
        "flock",
        "getxattr",
        "setxattr",
        "listxattr",
    ];
    let refusals = calls.map(|call| format!("refuse={call}:EPERM"));
    claims.map(str::to_owned).into_iter().chain(refusals).collect()
}

/// Ended by itself, with one of the codes that a copy has.
#[track_caller]
fn code(ended: &Ended, what: &str) -> i32 {
    let code = ended.status.code().unwrap_or_else(|| panic!("{what}: {:?}", ended.status));
    assert!([0, 1, 3, 4, 5].contains(&code), "{what}: exit {code}: {}", ended.out());
    code
}

/// What has the name `name` in the folder itself is what it may be.
#[track_caller]
fn check_final(odd: &Odd, name: &str, bytes: &[u8], (code, what): (i32, &str)) {
    match std::fs::read(odd.below(name)) {
        Ok(found) if code != 0 && found == OLD => {}
        Ok(found) => assert_same(&found, bytes, what),
        Err(error) => assert!(code != 0, "{what}: exit 0 and no file: {error}"),
    }
}

#[test]
fn no_oddity_of_the_destination_makes_a_wrong_file() {
    for oddity in oddities() {
        let scene = Scene::new();
        let bytes = scene.source("source", LEN);
        let Some(odd) = Odd::new(&scene, "odd", &[&oddity]) else { return };
        for (options, name, old) in [
            ("", "new", false),
            ("--force", "old", true),
            ("--in-place", "place", true),
            ("--verify --sparse always", "verified", false),
            ("--also local -f", "also", false),
        ] {
            if old {
                std::fs::write(odd.below(name), OLD).expect("an old file");
            }
            let what = format!("{oddity}: {options}");
            let ended = scene.run(&format!("-t 2 --io-size 16KiB {options} source odd/{name}"));
            let code = code(&ended, &what);
            if options != "--in-place" || code == 0 {
                check_final(&odd, name, &bytes, (code, &what));
            }
            // Refused before the first byte, or complete whatever becomes of the odd one.
            if name == "also" && code != 3 {
                assert_same(&scene.read("local"), &bytes, &format!("{what}, exit {code}"));
            }
        }
        batch(&scene, &odd, &bytes, &oddity);
    }
}

fn batch(scene: &Scene, odd: &Odd, bytes: &[u8], oddity: &str) {
    scene.write("list", b"name,start,len\na,0,5000\nd/b,5000,90000\nc,150000,1\n");
    let ended = scene.run("batch list --source source --into odd/out --report report");
    let what = format!("{oddity}: batch");
    code(&ended, &what);
    let Ok(report) = std::fs::read_to_string(scene.path("report")) else { return };
    for line in report.lines() {
        let item: Value = serde_json::from_str(line).expect("a line of JSON");
        let (name, start) = (item["name"].as_str().unwrap(), item["start"].as_u64().unwrap());
        let end = item["end"].as_u64().or(item["len"].as_u64().map(|len| start + len)).unwrap();
        let code = if item["status"] == "complete" { 0 } else { 1 };
        let wanted = &bytes[start as usize..end as usize];
        check_final(odd, &format!("out/{name}"), wanted, (code, &format!("{what}: {name}")));
    }
}

#[test]
fn no_oddity_of_the_source_makes_a_wrong_copy() {
    for oddity in oddities() {
        let scene = Scene::new();
        let Some(odd) = Odd::new(&scene, "odd", &[&oddity]) else { return };
        let bytes = scene.source("true", LEN);
        std::fs::write(odd.below("source"), &bytes).expect("a source");
        for options in ["", "--verify --digest md5", "-t 1 --engine positioned --io-size 16KiB"] {
            let what = format!("{oddity}: {options}");
            let ended = scene.run(&format!("{options} --force odd/source copy"));
            match code(&ended, &what) {
                0 => assert_same(&scene.read("copy"), &bytes, &what),
                // Of what cannot be read, the rest is there.
                1 => assert!(oddity.starts_with("refuse=read"), "{what}: {}", ended.out()),
                _ => assert!(!scene.has("copy") || scene.read("copy") == bytes, "{what}"),
            }
            let _ = std::fs::remove_file(scene.path("copy"));
            for left in ["copy.pcopy-part", "copy.pcopy-map"] {
                let _ = std::fs::remove_file(scene.path(left));
            }
        }
    }
}
