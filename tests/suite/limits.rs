//! Too little of something: the program makes do with fewer workers or says
//! what is missing. It never panics and never aborts.

use crate::common::{Scene, assert_same, has_tools, is_root, program, wait_until};
use crate::inject::{Target, can_inject};

const LEN: usize = 2 << 20;

/// What a Rust program ends with when it panics, aborts or overflows its stack.
const CRASHES: [i32; 2] = [101, 134];

#[track_caller]
fn check_no_crash(ended: &crate::common::Ended, what: &str) {
    let code = ended.status.code();
    assert!(
        code.is_some_and(|code| !CRASHES.contains(&code)),
        "{what}: {}\n{}",
        ended.status,
        ended.stderr
    );
    assert!(!ended.stderr.contains("panicked"), "{what}: {}", ended.stderr);
}

/// From a limit at which the program cannot even be loaded to one that is
/// ample, in small steps: at every one it copies or says why not.
fn sweep(limit: &str, values: impl Iterator<Item = u64>) -> (u32, u32) {
    let (mut copied, mut refused) = (0, 0);
    for value in values {
        let what = format!("--{limit}={value}");
        let scene = Scene::new();
        let bytes = scene.source("source", LEN);
        let limited = |words: &str| {
            let mut limited = scene.tool("prlimit", [&what]);
            limited.command.arg(program()).args(words.split(' '));
            limited.run()
        };
        // Below that, the kernel or the loader cannot even start it.
        if !limited("--version").status.success() {
            continue;
        }
        let ended = limited("-t 8 --stripe-size 64KiB source copy");
        if ended.status.code() == Some(0) {
            copied += 1;
            assert_same(&scene.read("copy"), &bytes, &what);
        } else {
            check_no_crash(&ended, &what);
            refused += 1;
            assert!(!scene.has("copy"), "{what}");
        }
    }
    (copied, refused)
}

#[test]
fn few_file_descriptors() {
    if !has_tools(&["prlimit"]) {
        return;
    }
    let (copied, refused) = sweep("nofile", (3..24).step_by(1));
    assert!(copied > 0 && refused > 0, "{copied} copied, {refused} refused");
    println!("measured: limits on open files: {copied} copied, {refused} said why not, 0 panics");
}

#[test]
fn little_memory() {
    if !has_tools(&["prlimit"]) {
        return;
    }
    let (copied, refused) = sweep("as", (4..96).step_by(4).map(|mib| mib << 20));
    assert!(copied > 0, "{copied} copied, {refused} refused");
    println!(
        "measured: limits on memory: {copied} copied, {refused} said why not, 0 panics, 0 aborts"
    );
}

/// Many workers are wanted, of every form of a copy: there are fewer, or none
/// and an error. Under the smallest of these the program can just be loaded.
#[test]
fn many_workers_in_little_memory() {
    if !has_tools(&["prlimit"]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let mut list = "name,start,len\n".to_owned();
    for number in 0..1100 {
        list += &format!("{}/{number},{},600\n", number % 7, number * 600);
    }
    scene.write("list.csv", list.as_bytes());
    let jobs = [
        "batch -t 32 --no-sync list.csv --source source --into out --digest blake3",
        "-t 64 --stripe-size 64KiB source copy",
        "-t 64 --io-size 1MiB --verify --digest sha256 source copy",
        "-t 64 --also other source copy",
        "-t 64 source -",
    ];
    let (mut copied, mut refused) = (0, 0);
    for job in jobs {
        for mib in [12, 16, 20, 24, 32, 40, 48, 64, 100, 300] {
            let what = format!("{mib} MiB: {job}");
            let limit = format!("--as={}", mib << 20);
            let limited = |words: &str| {
                let mut limited = scene.tool("prlimit", [&limit]);
                limited.command.arg(program()).args(words.split(' '));
                limited.run()
            };
            if !limited("--version").status.success() {
                continue;
            }
            let ended = limited(job);
            check_no_crash(&ended, &what);
            match ended.status.code() {
                Some(0) => {
                    copied += 1;
                    if job.ends_with("copy") {
                        assert_same(&scene.read("copy"), &bytes, &what);
                    }
                }
                Some(3 | 5) => refused += 1,
                code => panic!("{what}: {code:?}\n{}", ended.stderr),
            }
            for name in scene.names() {
                let path = scene.path(&name);
                match name.as_str() {
                    "source" | "list.csv" => {}
                    "out" => std::fs::remove_dir_all(path).expect("removed"),
                    _ => std::fs::remove_file(path).expect("removed"),
                }
            }
        }
    }
    assert!(copied > 0, "{refused} said why not");
    println!("measured: many workers, little memory: {copied} copied, {refused} said why not");
}

/// A user with no more than so many threads: a list that is worth a pool of
/// threads is checked too, and skipped items are read.
#[test]
fn few_threads_for_a_list() {
    if !has_tools(&["prlimit", "setpriv"]) || !is_root() {
        return;
    }
    // Nobody else is this user, so nobody else counts.
    const USER: &str = "64997";
    let scene = Scene::new();
    scene.source("source", LEN);
    let digest = "0".repeat(64);
    let mut list = "name,start,len,sha256\n".to_owned();
    for number in 0..1200 {
        list += &format!("{number},{number},1,{}\n", if number == 7 { &digest } else { "" });
    }
    scene.write("list.csv", list.as_bytes());
    let open = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::create_dir(scene.path("out")).expect("a folder");
    for name in [".", "out", "source", "list.csv"] {
        std::fs::set_permissions(scene.path(name), open(0o777)).expect("a mode");
    }
    for threads in [1, 2, 3, 4, 8] {
        scene.write("out/7", b"x");
        for options in ["", "--resume"] {
            let mut limited = scene.tool("prlimit", [format!("--nproc={threads}")]);
            let user = format!("--reuid={USER}");
            let command = &mut limited.command;
            command.args(["setpriv", &user, "--clear-groups"]).arg(program());
            command.args(
                format!("batch list.csv --source source --into out {options}").split_whitespace(),
            );
            let ended = limited.run();
            check_no_crash(&ended, &format!("{threads} threads {options}"));
        }
    }
}

/// Threads that cannot be had: fewer workers, or an error when there is none.
#[test]
fn no_threads() {
    if !can_inject() {
        return;
    }
    let mut kinds = (0, 0);
    for when in ["1", "2", "3", "4", "1+", "2+", "3+", "5+"] {
        let target = Target::new();
        let mut strace =
            target.scene.tool("strace", ["-f", "-qqq", "-o", "/dev/null", "-e", "trace=clone3"]);
        strace.command.arg("-e").arg(format!("inject=clone3:error=EAGAIN:when={when}"));
        let words = "-t 4 --io-size 64KiB --stripe-size 64KiB source copy";
        strace.command.arg(program()).args(words.split(' '));
        let ended = strace.run();
        check_no_crash(&ended, when);
        match ended.status.code() {
            Some(0) => {
                kinds.0 += 1;
                assert_same(&target.scene.read("copy"), &target.bytes, when);
            }
            _ => {
                kinds.1 += 1;
                assert_eq!(ended.status.code(), Some(5), "{when}: {}", ended.stderr);
                assert!(ended.stderr.contains("thread"), "{when}: {}", ended.stderr);
            }
        }
    }
    assert!(kinds.0 > 0, "with one thread it goes on");
    println!("measured: failing threads: {} copied, {} said why not, 0 panics", kinds.0, kinds.1);
}

/// A limit on the size of files is known before the first byte. One that comes
/// later is an error of a write, not a death.
#[test]
fn a_limit_on_the_size_of_files() {
    if !has_tools(&["prlimit"]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let limited = |words: &str| {
        let mut limited = scene.tool("prlimit", ["--fsize=1048576"]);
        limited.command.arg(program()).args(words.split(' '));
        limited.run()
    };
    limited("source copy").code(3).says(&["would have 2097152 bytes"]);
    assert_eq!(scene.names(), ["source"], "nothing was written, nothing is left");
    scene.write("copy", &vec![0; LEN]);
    limited("--in-place source copy").code(3).says(&["would have 2097152 bytes"]);
    assert_same(&scene.read("copy"), &vec![0; LEN], "refused");
    limited("--in-place -r ..1MiB source copy").code(0);

    let words = "--in-place -t 1 --io-size 64KiB --stripe-size 64KiB --limit-rate 256KiB \
                 --progress json source copy";
    let mut running = scene.pcopy(words.split_whitespace()).start();
    running.wait_until_copying();
    let process = running.child.id().to_string();
    scene.tool("prlimit", ["--fsize=1048576", "--pid", &process]).run().code(0);
    running.end().code(5).says(&["cannot write bytes 1048576..", "File too large"]);
    scene.run("--resume --in-place source copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "resumed without the limit");
    assert_eq!(scene.names(), ["copy", "source"]);
}

/// Nothing but the job itself is there to hear a signal where no thread can be
/// had to show its progress.
#[test]
fn a_job_without_a_progress_thread_hears_signals() {
    if !can_inject() {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 16 << 20);
    // The first thread that is made is the one that watches.
    let mut strace = scene.tool("strace", ["-f", "-qqq", "-o", "log", "-e"]);
    let command = &mut strace.command;
    command.args(["inject=clone3:error=EAGAIN:when=1", "sh", "-c"]);
    command.arg("echo pid $$ >&2; exec \"$0\" \"$@\"").arg(program());
    command.args("-t 1 --limit-rate 1MiB --io-size 64KiB source copy".split(' '));
    let mut running = strace.start();
    let line = running.wait_for_line(|line| line.starts_with("pid "));
    let pid = rustix::process::Pid::from_raw(line["pid ".len()..].parse().unwrap()).unwrap();
    wait_until("the copy has begun", || scene.has("copy.pcopy-part"));
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    running.end().says(&["interrupted", "--resume"]);
    let log = String::from_utf8_lossy(&scene.read("log")).into_owned();
    assert!(log.contains("clone3") && log.contains("(INJECTED)"), "{log}");
    assert!(log.contains("killed by SIGINT"), "{log}");
    assert!(!scene.has("copy"));
}
