//! What `--help` and the manual pages say below the options: examples, exit codes,
//! numbers, files. Each is written once, here; how it is laid out is for `args` and
//! `manual`.

/// A command line, and what it does.
#[derive(Clone, Copy)]
pub struct Example {
    pub line: &'static str,
    pub does: &'static str,
}

const fn example(line: &'static str, does: &'static str) -> Example {
    Example { line, does }
}

const COPY: &[Example] = &[
    example("pcopy -r 1MiB..5MiB /dev/sdb file.bin", "bytes 1 MiB to 5 MiB of a drive"),
    example("pcopy -r 63s+2048s disk.img part.img", "2048 sectors from sector 63 on"),
    example("pcopy --resume /dev/sdb disk.img", "resume what was interrupted"),
    example("pcopy --verify --to-device image.iso /dev/sdX", "write a stick and read it back"),
    example(
        "pcopy --require-read-only --log a.log --digest sha256 /dev/sdb a.dd",
        "evidence: an image, and a log of how it was made",
    ),
    example("pcopy -r 0..1GiB disk.img - | sha256sum", "into a pipe, in order"),
];

const BATCH: &[Example] = &[
    example("pcopy batch files.csv --source disk.img --into out", "every range of a list"),
    example(
        "pcopy batch index.xml --source /dev/sdb --into out --report r.jsonl",
        "the files that fiwalk found, with a report",
    ),
    example(
        "pcopy batch --retry r.jsonl --source /dev/sdb --into out --resume",
        "copy what is not complete yet",
    ),
    example(
        "pcopy batch image.bmap --source image.raw --into-device /dev/sdX --to-device",
        "the blocks that a bmap names",
    ),
];

const BENCH: &[Example] = &[
    example("pcopy bench /dev/sdb", "how fast a drive can be read"),
    example("pcopy bench disk.img new.img --cache warm", "copies of a file that is in memory"),
    example("pcopy bench disk.img new.img --svg bench.svg", "the same, cold, with a picture"),
];

const VERIFY: &[Example] = &[
    example("pcopy verify disk.img copy.img", "equal, or a line for each range that differs"),
    example("pcopy verify -r 1MiB..5MiB /dev/sdb file.bin", "a copy of a part of a drive"),
    example("pcopy verify -R folder /mnt/copy", "folders with everything in them"),
];

const PATCH: &[Example] = &[
    example(
        "pcopy patch disk.img 12345678 --hex 2a --print-old",
        "one byte; prints how to undo it",
    ),
    example("pcopy patch disk.img 0x1fe --hex 55aa --expect-old 0000", "only if zeros are there"),
];

const DEVICES: &[Example] = &[
    example("pcopy devices", "a table for people"),
    example("pcopy devices --json", "one JSON document"),
];

const SCHEMA: &[Example] = &[
    example("pcopy schema", "list the schemas"),
    example("pcopy schema report", "the schema of what --json prints"),
];

const MAP: &[Example] = &[
    example("pcopy map rescue.map", "a summary and cells for a terminal"),
    example("pcopy map rescue.map --html map.html", "one page, readable without a script"),
];

const JOB_STATUS: &[Example] = &[
    example("pcopy job status /shared/job1", "how far it is, for people"),
    example("pcopy job status --json /shared/job1", "one JSON document"),
];

const JOB_FINISH: &[Example] = &[example(
    "pcopy job finish /shared/job1",
    "the file gets its name, or the missing shards are listed (exit 75)",
)];

const JOB_SCRIPT: &[Example] = &[
    example(
        "pcopy job script -N 16 /shared/job1 slurm -- /shared/big.img /scratch/big.img",
        "a script for sbatch that starts 16 processes",
    ),
    example(
        "pcopy job script /shared/job2 mpi -- batch --source big.img --into out list.csv",
        "a line for mpirun that carves the files of a list",
    ),
];

const JOB: &[Example] = &[
    example("pcopy --job /shared/job1 big.img copy.img", "take part: the same line on every node"),
    JOB_STATUS[0],
    JOB_FINISH[0],
    JOB_SCRIPT[0],
];

const COMPLETIONS: &[Example] = &[
    example("pcopy completions bash", "for ~/.local/share/bash-completion/completions/pcopy"),
    example("pcopy completions zsh", "for a file _pcopy in a folder of $fpath"),
];

const MAN: &[Example] = &[
    example("pcopy man | man -l -", "read the page"),
    example("pcopy man share/man/man1", "write all pages to a folder"),
];

/// The examples of a command; of a plain copy for any other name.
pub fn examples(command: &str) -> &'static [Example] {
    match command {
        "batch" => BATCH,
        "bench" => BENCH,
        "verify" => VERIFY,
        "patch" => PATCH,
        "devices" => DEVICES,
        "schema" => SCHEMA,
        "map" => MAP,
        "job" => JOB,
        "status" => JOB_STATUS,
        "finish" => JOB_FINISH,
        "script" => JOB_SCRIPT,
        "completions" => COMPLETIONS,
        "man" => MAN,
        _ => COPY,
    }
}

/// Exit codes, the same for every command.
pub const CODES: [(&str, &str); 8] = [
    ("0", "every requested byte copied, durable unless --no-sync"),
    ("1", "partial: some source ranges could not be read; everything else is copied"),
    ("2", "usage"),
    ("3", "refused: nothing was written"),
    ("4", "verification or --expect mismatch"),
    ("5", "failed: the job stopped"),
    ("75", "pcopy job finish: some shards are not there yet"),
    ("130, 143", "interrupted: the process dies by the signal"),
];

/// How sizes and ranges are written.
pub const NUMBERS: &str = "\
SIZE is decimal or 0x hexadecimal, then K M G T P E or KiB MiB ... (1024),
kB MB ... (1000), B, or s (logical sectors of the source).
RANGE is A..B (B exclusive), A..=B (B inclusive), A+LEN, A.., ..B or -LEN (the last LEN bytes).";

/// Files that `command` makes or reads besides those that are named.
#[cfg(feature = "manual")]
pub fn files(command: &str) -> Vec<(&'static str, &'static str)> {
    let (made, read): (&[_], &[_]) = match command {
        "pcopy" | "batch" => (&MADE, &READ),
        "verify" | "bench" | "finish" => (&[], &READ),
        _ => (&[], &[]),
    };
    [made, read].concat()
}

/// Variables that `command` looks at.
#[cfg(feature = "manual")]
pub fn environment(command: &str) -> &'static [(&'static str, &'static str)] {
    match command {
        "pcopy" | "batch" | "verify" | "bench" | "finish" => &ENVIRONMENT,
        _ => &[],
    }
}

/// Files with credentials for servers.
#[cfg(feature = "manual")]
const READ: [(&str, &str); 2] = [
    ("~/.netrc", "names and passwords for servers, one line each"),
    ("~/.aws/credentials, ~/.aws/config", "keys, regions and addresses for S3, by --profile"),
];

#[cfg(feature = "manual")]
const ENVIRONMENT: [(&str, &str); 6] = [
    ("http_proxy, https_proxy, all_proxy, no_proxy", "proxies, as curl understands them"),
    ("SSL_CERT_FILE", "certificates to trust instead of those that are built in"),
    ("NETRC", "a file to read instead of ~/.netrc"),
    ("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN", "keys for S3"),
    ("AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL", "as --profile, --region and --endpoint-url"),
    ("NO_COLOR, TERM", "no colours; with TERM=dumb, progress in plain lines"),
];

/// Files that a copy makes beside its destination.
#[cfg(feature = "manual")]
const MADE: [(&str, &str); 3] = [
    ("DEST.pcopy-part", "the copy until it is complete; kept after an interruption"),
    (
        "DEST.pcopy-map",
        "which bytes are on the disk, in the format of ddrescue; removed when the copy is complete",
    ),
    ("NAME.pcopy-map", "the same for a device, in the working directory"),
];

/// The end of `--help` of a command.
pub fn help_end(command: &str) -> String {
    let mut text = "Examples:".to_owned();
    for Example { line, does } in examples(command) {
        text += &format!("\n  {line}\n      {does}");
    }
    text
}

/// The end of `--help` of a copy.
pub fn help_end_of_copy() -> String {
    let codes: String =
        CODES.iter().map(|(code, meaning)| format!("\n  {code:<8}  {meaning}")).collect();
    format!("Exit codes:{codes}\n\nNumbers: {NUMBERS}\n\n{}", help_end(""))
}
