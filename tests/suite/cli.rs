//! The command line: exit codes, what is said where, and what is not.

use crate::common::{Scene, assert_same};

/// 130 and 143 are in `interrupt`, 1 needs a source with bad sectors.
#[test]
fn exit_codes() {
    let scene = Scene::new();
    scene.source("source", 1000);
    let check = |line: &str, code: i32| {
        scene.run(line).code(code);
    };
    check("source copy", 0);
    check("--help", 0);
    check("-h", 0);
    check("--version", 0);
    check("", 2);
    check("source", 2);
    check("--no-such-option source copy2", 2);
    check("--threads 0 source copy2", 2);
    check("--threads 1025 source copy2", 2);
    check("--threads many source copy2", 2);
    check("--io-size 1000 source copy2", 2);
    check("--stripe-size 3MiB source copy2", 2);
    check("--limit-rate 0 source copy2", 2);
    check("--retries -1 source copy2", 2);
    check("--on-read-error panic source copy2", 2);
    check("--force --in-place source copy", 2);
    check("--quiet --verbose source copy2", 2);
    check("--range 1..2 --length 5 source copy2", 2);
    check("--resume - copy2", 2);
    check("source copy", 3);
    assert_eq!(scene.names(), ["copy", "source"]);
}

#[test]
fn help_names_every_exit_code_and_every_form() {
    let scene = Scene::new();
    let help = scene.run("--help").code(0);
    assert_eq!(help.stderr, "");
    for text in ["130, 143", "refused", "A..B", "A..=B", "A+LEN", "--in-place", "--threads"] {
        assert!(help.out().contains(text), "{text} in {}", help.out());
    }
    let version = scene.run("--version").code(0).out();
    assert_eq!(version.trim(), concat!("pcopy ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_summary_goes_to_standard_error() {
    let scene = Scene::new();
    scene.source("source", 3000);
    let ended = scene.run("-r 1000.. source copy").code(0);
    assert_eq!(ended.out(), "");
    ended.says(&["copied", "1000..3000", "'source'", "'copy'", "syncing"]);
    scene.run("--no-sync -f source copy").code(0).says(&["not synced"]);
}

#[test]
fn quiet_says_nothing_but_errors() {
    let scene = Scene::new();
    scene.source("source", 3000);
    let ended = scene.run("--quiet source copy").code(0);
    assert_eq!((ended.out().as_str(), ended.stderr.as_str()), ("", ""));
    scene.run("--quiet source copy").code(3).says(&["exists"]);
}

#[test]
fn verbose_names_the_engine_and_why() {
    let scene = Scene::new();
    scene.source("source", 3000);
    scene.run("-v source copy").code(0).says(&["engine ", "threads", "stripes of", "requests of"]);
}

#[test]
fn a_dry_run_writes_nothing_and_refuses_what_the_run_would() {
    let scene = Scene::new();
    let source = scene.source("source", 3000);
    scene.run("-n -t 3 -r 10..20 source copy").code(0).says(&["10..20", "3 threads", "would copy"]);
    assert_eq!(scene.names(), ["source"]);
    let report = scene.run("-n --json source copy").code(0).report();
    assert_eq!(report["bytes"]["copied"], 0, "{report}");
    assert_eq!(report["durable"], false, "{report}");
    scene.run("-n -r 10..4000 source copy").code(3);
    scene.run("-n source source").code(3);
    scene.run("-n --in-place -r ..10 --dest-offset 100 source source").code(0);
    scene.write("copy.pcopy-part", b"half");
    scene.run("-n source copy").code(3).says(&["copy.pcopy-part"]);
    assert_same(&scene.read("source"), &source, "the source");
}

/// Nobody reading what is said is not a reason to fail: the exit code tells. A
/// report that is lost is one, but the copy is made.
#[cfg(unix)]
#[test]
fn closed_and_full_outputs_do_not_fail_a_copy() {
    for (redirection, code) in
        [(">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0), ("2>/dev/full", 0), (">/dev/full", 5)]
    {
        let scene = Scene::new();
        let bytes = scene.source("source", 100_000);
        let script = format!("exec \"$0\" --json -v -t 4 source copy {redirection}");
        let mut shell = scene.tool("sh", ["-c", &script]);
        shell.command.arg(crate::common::program());
        shell.run().code(code);
        assert_same(&scene.read("copy"), &bytes, redirection);
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_does_not_fail_a_copy() {
    let scene = Scene::new();
    let bytes = scene.source("source", 3 << 20);
    let arguments = "--json --progress json --limit-rate 8MiB source copy";
    let mut running = scene.pcopy(arguments.split_whitespace()).start();
    running.wait_until_copying();
    drop(running.child.stdout.take());
    running.end().code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

/// A limit on the size of files is known before the first byte, and not a death.
#[cfg(unix)]
#[test]
fn a_limit_on_the_size_of_files_is_a_refusal() {
    let scene = Scene::new();
    scene.source("source", 3 << 20);
    std::fs::create_dir(scene.path("folder")).unwrap();
    scene.write("small", b"small");
    scene.write("list.csv", b"name,start,len\na,0,10\nb,0,3000000\n");
    let names = scene.names();
    let limited = |line: &str| {
        let script = format!("ulimit -f 1024; exec \"$0\" {line}");
        let mut shell = scene.tool("sh", ["-c", &script]);
        shell.command.arg(crate::common::program());
        shell.run()
    };
    for line in [
        "-t 4 source copy",
        "-n source copy",
        "--also other source copy",
        "--in-place source small",
        "source small folder",
        "batch list.csv --source source --into folder",
        "batch -n list.csv --source source --into folder",
    ] {
        limited(line).code(3).says(&["would have", "ulimit -f"]);
        assert_eq!(scene.names(), names, "{line}");
        assert_eq!(std::fs::read_dir(scene.path("folder")).unwrap().count(), 0, "{line}");
    }
    limited("-r ..1000 source copy").code(0);
    assert_eq!(scene.read("small"), b"small");
}

#[test]
fn the_order_of_options_and_names_is_free() {
    let scene = Scene::new();
    let bytes = scene.source("source", 1000);
    scene.run("source --threads 2 copy --range ..100").code(0);
    assert_same(&scene.read("copy"), &bytes[..100], "options between the names");
}

/// What is typed out of habit is answered with what to type.
#[test]
fn the_operands_of_dd_are_told_apart_from_files() {
    let scene = Scene::new();
    scene.source("source", 1000);
    scene.run("if=source of=copy bs=1M").code(2).says(&["dd's operands", "SOURCE DEST"]);
    scene.run("if=source copy").code(2).says(&["--offset"]);
    scene.write("if=source", b"a file of that name");
    scene.run("if=source copy").code(0);
    assert_eq!(scene.read("copy"), b"a file of that name");
}

#[test]
fn the_folder_of_cp_is_told_apart_from_a_range() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path("folder")).expect("a folder");
    scene.run("-r folder copy").code(2).says(&["-R copies a folder"]);
    assert!(!scene.run("-r other copy").code(2).stderr.contains("-R"));
}

#[test]
fn an_expectation_that_failed_is_not_advised_again() {
    let scene = Scene::new();
    let bytes = scene.source("source", 1000);
    let zeros = "0".repeat(64);
    let ended = scene.run(&format!("--expect sha256:{zeros} source copy")).code(4);
    assert!(!ended.stderr.contains("to go on from here"), "{}", ended.stderr);
    ended.says(&["leave --expect out and add --resume"]);
    scene.run("--resume source copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "kept even so");
}

#[test]
fn manual_pages_and_completions() {
    let scene = Scene::new();
    scene.run("man new/folder").code(0);
    let page = String::from_utf8(scene.read("new/folder/pcopy-batch.1")).unwrap();
    assert!(page.contains(".TH pcopy-batch 1"), "{page}");
    assert!(scene.run("man").code(0).out().contains("dest\\-offset"));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = scene.run(&format!("completions {shell}")).code(0).out();
        assert!(text.contains("dest-offset") && text.contains("batch"), "{shell}: {text}");
    }
    let bash = scene.run("completions bash").code(0).out();
    for words in [
        "auto 1 2 4 8 16",
        "auto 64KiB",
        "blake3: sha256:",
        "auto positioned direct",
        "csv tsv jsonl",
        "+ ? * / -",
        "512 4096",
        "slurm k8s mpi parallel",
    ] {
        assert!(bash.contains(words), "{words}");
    }
    let has = |page: &str, section: &str| page.contains(&format!(".SH \"{section}\""));
    for section in ["FILES", "ENVIRONMENT"] {
        assert!(has(&page, section), "{section} in {page}");
    }
    let pages = std::fs::read_dir(scene.path("new/folder")).unwrap();
    let pages: Vec<_> = pages.map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() >= 14, "{pages:?}");
    for path in pages {
        let page = std::fs::read_to_string(&path).unwrap();
        for section in ["EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
            assert!(has(&page, section), "{section} in {}", path.display());
        }
    }
    assert!(page.contains("pcopy(1)") && page.contains("pcopy\\-verify(1)"), "{page}");
    for name in ["pcopy", "pcopy-verify", "pcopy-schema", "pcopy-man"] {
        assert!(scene.has(format!("new/folder/{name}.1")), "{name}");
    }
    scene.write("file", b"");
    scene.run("man file/folder").code(5).says(&["cannot write the manual pages to"]);
}

/// What the help shows is understood: it may be refused, and makes sense.
#[test]
#[cfg(target_os = "linux")]
fn the_examples_of_the_help_are_understood() {
    let mut seen = 0;
    for command in [
        "",
        "batch",
        "bench",
        "verify",
        "patch",
        "map",
        "devices",
        "schema",
        "completions",
        "man",
        "job",
        "job status",
        "job finish",
        "job script",
    ] {
        let scene = Scene::new();
        let help = scene.run(&format!("{command} --help")).code(0).out();
        let (_, examples) = help.split_once("\nExamples:\n").expect("examples at the end");
        for line in examples.lines().filter_map(|line| line.strip_prefix("  pcopy ")) {
            seen += 1;
            let line = line.split(" | ").next().unwrap_or(line).replace("/dev/", "nowhere/");
            let line = line.replace("/shared/", "nowhere/");
            let ended = scene.run(&line);
            let code = ended.status.code();
            assert!(matches!(code, Some(0 | 3)), "{line}: {code:?} {}", ended.stderr);
        }
    }
    assert!(seen > 15, "only {seen} examples");
}

#[test]
fn devices_are_listed_for_people_and_for_programs() {
    let scene = Scene::new();
    let list = scene.run("devices --json").code(0).report();
    assert_eq!(list["schema"], "pcopy.devices/1", "{list}");
    let devices = list["devices"].as_array().unwrap();
    let table = scene.run("devices").code(0).out();
    assert!(table.starts_with("DEVICE"), "{table}");
    for field in ["path", "size", "model", "serial", "logical_sector", "rotational", "mounted"] {
        assert!(devices.iter().all(|device| device.get(field).is_some()), "{field} in {list}");
    }
}

/// What cannot be kept is refused; what is the default can be said.
#[test]
fn units_may_be_named_and_must_make_sense() {
    let scene = Scene::new();
    let bytes = scene.source("source", 100_000);
    for options in ["--io-size auto --stripe-size auto -t auto", "--io-size 512 --stripe-size 512"]
    {
        scene.run(&format!("-f {options} source copy")).code(0);
        assert_same(&scene.read("copy"), &bytes, options);
    }
    for (options, says) in [
        ("--io-size some", "--io-size"),
        ("--io-size 300", "power of two"),
        ("--stripe-size 768", "power of two"),
        ("--sparse always --io-size 512", "--io-size must be at least 4096"),
        ("--sparse always --stripe-size 2KiB", "--stripe-size must be at least 4096"),
    ] {
        scene.run(&format!("-f {options} source copy")).code(2).says(&[says]);
    }
    assert_same(&scene.read("copy"), &bytes, "none of them did anything");
}

/// Only one source goes to standard output; elsewhere a file of that name is
/// meant by nobody who types a dash.
#[test]
fn a_dash_is_no_file() {
    let scene = Scene::new();
    scene.source("a", 1000);
    scene.source("b", 1000);
    for line in [
        "a b -",
        "--also - a copy",
        "--digest sha256 --digest-file - a copy",
        "verify --digest sha256 --digest-file - a b",
        "batch list --source a --into out --report -",
        "bench --svg - a null:",
        "bench a -",
        "bench - null:",
    ] {
        scene.run(line).code(2).says(&["./-"]);
    }
    assert_eq!(scene.names(), ["a", "b"]);
}

#[test]
fn what_is_written_beside_the_copy_replaces_no_end_of_it() {
    let scene = Scene::new();
    let bytes = scene.source("source", 100_000);
    let bench = "bench --rounds 1 -t 1 --io-size 64KiB --engine positioned --svg";
    scene.run(&format!("{bench} source source")).code(2).says(&["--svg", "replace", "source"]);
    scene.run(&format!("{bench} ./copy source copy")).code(2).says(&["--svg", "replace", "copy"]);
    assert_same(&scene.read("source"), &bytes, "the source");
    assert_eq!(scene.names(), ["source"]);
}

/// A report that is lost must not look like success.
#[cfg(target_os = "linux")]
#[test]
fn standard_output_that_takes_nothing_is_a_failure() {
    let scene = Scene::new();
    scene.source("source", 1000);
    for line in [
        "-f --json source copy",
        "-f --digest sha256 source copy",
        "verify --json source copy",
        "devices",
        "devices --json",
        "man",
        "completions bash",
        "bench --rounds 1 -t 1 --io-size 64KiB --engine positioned source",
    ] {
        let mut shell = scene.tool("sh", ["-c", "exec \"$0\" \"$@\" > /dev/full"]);
        shell.command.arg(crate::common::program()).args(line.split(' '));
        shell.run().code(5).says(&["standard output", "No space left"]);
    }
}

/// As of one file, with the names they have there.
#[test]
fn digests_of_several_files_are_printed_as_those_of_one() {
    let scene = Scene::new();
    let content = [scene.source("a", 1000), scene.source("b", 70_000)];
    std::fs::create_dir(scene.path("dir")).unwrap();
    let ended = scene.run("--digest sha256 --digest crc32c a b dir").code(0);
    let text = ended.out();
    // A backslash in a name is escaped, and one in front of the line says so.
    let plain = |line: &str| line.trim_start_matches('\\').replace("\\\\", "/");
    let mut lines: Vec<String> = text.lines().map(plain).collect();
    lines.sort_unstable();
    let mut expected = Vec::new();
    for (name, bytes) in ["a", "b"].iter().zip(&content) {
        scene.write("one", bytes);
        let text = scene.run("-f --digest sha256 --digest crc32c one two").code(0).out();
        expected.extend(text.lines().map(|line| line.replace("two", &format!("dir/{name}"))));
    }
    expected.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(scene.run("-f -q --json --digest sha256 a b dir").code(0).out().lines().count(), 1);
}

#[test]
fn files_that_would_get_one_name_are_told_by_their_own() {
    let scene = Scene::new();
    for folder in ["one", "two", "to"] {
        std::fs::create_dir(scene.path(folder)).unwrap();
    }
    scene.write("one/a", b"1");
    scene.write("two/a", b"2");
    let ended = scene.run("one/a two/a to").code(2);
    ended.says(&["one/a", "two/a", "would both be"]);
    let ended = scene.run("one/a missing to").code(3).says(&["missing"]);
    assert!(!ended.stderr.contains("line"), "there is no list: {}", ended.stderr);
    assert_eq!(std::fs::read_dir(scene.path("to")).unwrap().count(), 0);
}
