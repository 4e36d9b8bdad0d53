//! `--json` prints one document, whatever goes wrong and whenever, and says in a
//! word what that was.

use serde_json::Value;

use crate::common::{Ended, Scene};

fn scene() -> Scene {
    let scene = Scene::new();
    scene.source("source", 10_000);
    scene.write("there", b"there");
    scene.write("list.csv", b"name,start,len\na,0,10\n");
    scene.write("odd.csv", b"name,what\na,1\n");
    scene.write("beyond.csv", b"name,start,len\na,9000,2000\n");
    std::fs::create_dir(scene.path("dir")).expect("a folder can be made");
    scene
}

/// The document of `ended`, which says that nothing went wrong or that `kind` did.
#[track_caller]
fn check(ended: &Ended, line: &str, schema: &str, kind: Option<&str>) -> Value {
    let out = ended.out();
    let document: Value = serde_json::from_str(&out)
        .unwrap_or_else(|error| panic!("{line}: not one document, {error}: {out:?}"));
    assert_eq!(document["schema"], schema, "{line}: {document}");
    let fields = document.as_object().expect("an object");
    assert!(fields.contains_key("error") && fields.contains_key("error_kind"), "{line}: {out}");
    assert_eq!(document["error_kind"].as_str(), kind, "{line}: {document}");
    assert_eq!(document["error"].is_null(), kind.is_none(), "{line}: {document}");
    // What the command itself refuses names its flags.
    let error = document["error"].as_str().filter(|_| kind != Some("usage")).unwrap_or_default();
    assert!(!error.contains("--"), "a flag in a document: {line}: {error}");
    document
}

const REPORT: &str = "pcopy.report/1";
const BATCH: &str = "pcopy.batch/1";
const BENCH: &str = "pcopy.bench/1";
const DEVICES: &str = "pcopy.devices/1";

#[test]
fn every_form_prints_one_document_however_it_ends() {
    let cases = [
        // A copy.
        ("--json source copy", 0, REPORT, None),
        ("--json -n source copy", 0, REPORT, None),
        ("--json --quiet source there", 3, REPORT, Some("exists")),
        ("--json missing copy", 3, REPORT, Some("cannot_open")),
        ("--json -r 5..20000 source copy", 3, REPORT, Some("outside")),
        ("--json -r 5..20000 -n source copy", 3, REPORT, Some("outside")),
        ("--json --force source source", 3, REPORT, Some("same_file")),
        ("--json --in-place source copy", 3, REPORT, Some("nothing_in_place")),
        ("--json --to-device source there", 3, REPORT, Some("not_a_device")),
        ("--json --map source source copy", 3, REPORT, Some("map_in_the_way")),
        (
            "--json --expect md5:00000000000000000000000000000000 source copy",
            4,
            REPORT,
            Some("digest_mismatch"),
        ),
        ("--json --io-size 1000 source copy", 2, REPORT, Some("usage")),
        ("--json --map m --also other source copy", 2, REPORT, Some("usage")),
        ("--json --digest md5 --digest-file source source copy", 2, REPORT, Some("usage")),
        (
            "--json --digest md5 --digest-file none/sums source copy",
            3,
            REPORT,
            Some("cannot_write"),
        ),
        ("--json source", 2, REPORT, Some("usage")),
        ("--json if=source copy", 2, REPORT, Some("usage")),
        ("--json --progress json source there", 3, REPORT, Some("exists")),
        // Several files.
        ("--json source there dir", 0, BATCH, None),
        ("--json -n source there dir", 0, BATCH, None),
        ("--json --in-place source there dir", 2, BATCH, Some("usage")),
        ("--json source there none", 3, BATCH, Some("no_such_directory")),
        ("--json source ./source dir", 2, BATCH, Some("usage")),
        // A batch.
        ("batch --json list.csv --source source --into o", 0, BATCH, None),
        ("batch --json -n list.csv --source source --into o", 0, BATCH, None),
        ("batch --json none.csv --source source --into o", 3, BATCH, Some("cannot_read")),
        ("batch --json odd.csv --source source --into o", 2, BATCH, Some("bad_list")),
        ("batch --json list.csv --into o", 2, BATCH, Some("bad_list")),
        ("batch --json beyond.csv --source source --into o", 3, BATCH, Some("list")),
        ("batch --json beyond.csv -n --source source --into o", 3, BATCH, Some("list")),
        ("batch --json --areas x list.csv --source source --into o", 2, BATCH, Some("usage")),
        ("batch --json --jobs 0 list.csv --source source --into o", 2, BATCH, Some("usage")),
        ("batch --json --report source list.csv --source source --into o", 2, BATCH, Some("usage")),
        (
            "batch --json --report none/r list.csv --source source --into o",
            3,
            BATCH,
            Some("cannot_write"),
        ),
        ("batch --json --io-size 3 list.csv --source source --into o", 2, BATCH, Some("usage")),
        // Of one destination, it is a copy.
        ("batch --json list.csv --source source --into-file o", 0, REPORT, None),
        ("batch --json -n list.csv --source source --into-file o", 0, REPORT, None),
        ("batch --json none.csv --source source --into-file o", 3, REPORT, Some("cannot_read")),
        ("batch --json odd.csv --source source --into-file=o", 2, REPORT, Some("bad_list")),
        ("batch --json list.csv --into-file o --bogus", 2, REPORT, Some("usage")),
        ("batch --json list.csv --source source --into-device o", 2, REPORT, Some("usage")),
        // A comparison.
        ("verify --json source source", 3, REPORT, Some("same_file")),
        ("verify --json source there", 4, REPORT, Some("verify_mismatch")),
        ("verify --json source none", 3, REPORT, Some("cannot_open")),
        ("verify --json --digest md5 --digest-file source source there", 2, REPORT, Some("usage")),
        // A measurement.
        (
            "bench --json --rounds 1 -t 1 --io-size 64KiB --engine positioned source null:",
            0,
            BENCH,
            None,
        ),
        ("bench --json zero: null:", 2, BENCH, Some("usage")),
        ("bench --json -r 1.. zero: copy", 2, BENCH, Some("usage")),
        ("bench --json --engine none source null:", 2, BENCH, Some("usage")),
        ("bench --json none null:", 3, BENCH, Some("cannot_open")),
        ("bench --json --svg source source null:", 2, BENCH, Some("usage")),
        (
            "bench --json --rounds 1 -t 1 --engine mmap source null:",
            5,
            BENCH,
            Some("engine_unsuitable"),
        ),
        // What the parser refuses.
        ("--json --bogus source copy", 2, REPORT, Some("usage")),
        ("--json -r 5-10 source copy", 2, REPORT, Some("usage")),
        ("--json -f --in-place source copy", 2, REPORT, Some("usage")),
        ("--json", 2, REPORT, Some("usage")),
        ("batch --json --bogus list.csv", 2, BATCH, Some("usage")),
        ("batch --json", 2, BATCH, Some("usage")),
        ("verify --json source", 2, REPORT, Some("usage")),
        ("bench --json --rounds 0 source", 2, BENCH, Some("usage")),
        ("devices --json --bogus", 2, DEVICES, Some("usage")),
        ("devices --json", 0, DEVICES, None),
    ];
    for (line, code, schema, kind) in cases {
        let ended = scene().run(line).code(code);
        let document = check(&ended, line, schema, kind);
        if code == 2 && schema == REPORT {
            assert_eq!(document["outcome"], "refused", "{line}");
        }
        if kind.is_some() {
            assert!(!ended.stderr.is_empty(), "{line}: people are told, too");
        }
    }
}

#[test]
fn nothing_but_bytes_goes_where_bytes_were_wanted() {
    for line in ["--json source -", "--json --bogus source -", "--json missing -"] {
        let ended = scene().run(line).code(2);
        assert_eq!(ended.out(), "", "{line}");
    }
    // Without --json nothing is printed there either.
    for line in ["source there", "--bogus", "batch list.csv --into o", "verify source none"] {
        assert_eq!(scene().run(line).out(), "", "{line}");
    }
}

/// What helps is said by flags, on the line that says what is wrong.
#[test]
fn the_command_names_the_flags_that_help() {
    let cases = [
        (
            "source there",
            "pcopy: destination 'there' exists; --force replaces it, --in-place \
          writes into it",
        ),
        ("--in-place source none", "so there is nothing to write into; leave --in-place out"),
        ("--to-device source there", "is not a block device; leave --to-device out"),
        ("-r 5..20000 source copy", "; --clamp copies what exists of it"),
        (
            "--map source source copy",
            "source' is what the copy itself reads or writes; --map \
          names another place",
        ),
        ("--io-size 1000 source copy", "pcopy: --io-size must be a power of two"),
        ("--sparse always --io-size 512 source copy", "pcopy: --io-size must be at least"),
        ("--also other --map m source copy", "pcopy: --map with --also has no meaning: each"),
        (
            "--engine positioned --reflink always source copy",
            "and reflink is always; leave --reflink always out",
        ),
        ("--also other --engine mmap source copy", "--engine with --also can only be positioned"),
        ("--preserve -r 1.. source copy", "pcopy: --preserve is for a whole file"),
        ("--in-place source -", "pcopy: --in-place has no meaning for a stream"),
        ("--reflink always source -", "pcopy: --reflink always has no meaning for a stream"),
        ("batch beyond.csv --source source --into o", "pcopy: --skip-outside leaves out"),
        ("batch beyond.csv --source source --into o", "lies outside, --clamp cuts it"),
        ("batch odd.csv --source source --into o", "pcopy: --columns FIELD=COLUMN,... says"),
        ("batch odd.csv --source source --into o", "which, --ignore-columns skips unknown ones"),
        ("batch list.csv --into o", "pcopy: --source names the source"),
        ("batch --io-size 3 list.csv --source source --into o", "pcopy: --io-size must be"),
        ("bench -r 1.. zero: copy", "pcopy: --range has no meaning: zeros have no range"),
        ("bench --engine none source null:", "pcopy: --engine must be"),
    ];
    for (line, says) in cases {
        let ended = scene().run(line);
        assert!(ended.stderr.contains(says), "{line}: {says:?} is not in {}", ended.stderr);
    }
    let scene = scene();
    scene.write("dir/a", b"old");
    let line = "batch list.csv --source source --into dir";
    let says = "exists; --resume keeps what has its full length, --force replaces it";
    scene.run(line).code(3).says(&[says]);
}
