//! `pcopy job script`: what a scheduler is given to run a job. It is printed, and nothing
//! is submitted.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pcopy::Result;

use crate::cli::hint::shell_word;
use crate::cli::pages::help_end;
use crate::cli::render::usage;
use crate::cli::terminal::to_stdout;

/// Print a script that runs a job on a scheduler; nothing is submitted
#[derive(Args, Debug)]
#[command(after_help = help_end("script"))]
pub struct ScriptArgs {
    /// The folder of the job, on storage that every machine sees
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,

    /// What runs it
    #[arg(value_name = "SCHEDULER")]
    pub scheduler: Scheduler,

    /// How many processes
    #[arg(short = 'N', long, value_name = "N", default_value = "4")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub processes: u32,

    /// Options, SOURCE and DEST of the copy; or batch, MANIFEST and its options
    #[arg(value_name = "COPY", last = true, required = true)]
    pub words: Vec<OsString>,
}

/// What runs a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Scheduler {
    /// An array of jobs, for sbatch
    Slurm,
    /// An Indexed Job, for kubectl apply -f
    K8s,
    /// A line for mpirun or mpiexec
    Mpi,
    /// A line of GNU parallel
    Parallel,
}

/// Prints it.
///
/// # Errors
///
/// If the words do not name a copy.
pub fn run(args: &ScriptArgs) -> Result<()> {
    if args.words.len() < 2 {
        return Err(usage("after --, name SOURCE and DEST, with the options of the copy"));
    }
    let folder = std::path::absolute(&args.folder).unwrap_or_else(|_| args.folder.clone());
    let mut words: Vec<OsString> = vec!["pcopy".into()];
    let is_batch = args.words.first().is_some_and(|word| word == "batch");
    words.extend(args.words.iter().take(usize::from(is_batch)).cloned());
    words.extend(["--job".into(), folder.into()]);
    words.extend(args.words.iter().skip(usize::from(is_batch)).cloned());
    to_stdout(&match args.scheduler {
        Scheduler::Slurm => slurm(&words, args.processes),
        Scheduler::K8s => kubernetes(&words, args.processes),
        Scheduler::Mpi => mpi(&words, args.processes),
        Scheduler::Parallel => parallel(&words, args.processes),
    });
    Ok(())
}

fn line(words: &[OsString]) -> String {
    words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

fn slurm(words: &[OsString], processes: u32) -> String {
    format!(
        "\
#!/bin/bash
#SBATCH --job-name=pcopy
#SBATCH --array=0-{last}
#SBATCH --cpus-per-task=4
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@60
# On SIGTERM a process gives back its shard. To resume, submit this script again.
exec {line}",
        last = processes - 1,
        line = line(words)
    )
}

fn kubernetes(words: &[OsString], processes: u32) -> String {
    let word = |word: &OsString| {
        let text = word.to_string_lossy();
        format!("            - {}", serde_json::Value::from(&*text))
    };
    let command: Vec<String> = words.iter().map(word).collect();
    format!(
        "\
apiVersion: batch/v1
kind: Job
metadata:
  name: pcopy
spec:
  completionMode: Indexed
  completions: {processes}
  parallelism: {processes}
  backoffLimitPerIndex: 5
  maxFailedIndexes: {processes}
  podFailurePolicy:
    rules:
      # Usage, refused, mismatch: trying again does not help.
      - action: FailIndex
        onExitCodes:
          containerName: pcopy
          operator: In
          values: [2, 3, 4]
      - action: Ignore
        onPodConditions:
          - type: DisruptionTarget
            status: \"True\"
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: pcopy
          image: pcopy:latest  # yours
          command:
{command}
          volumeMounts:
            - name: data
              mountPath: /data  # where DIR, SOURCE and DEST are
      volumes:
        - name: data
          persistentVolumeClaim:
            claimName: data  # yours: ReadWriteMany",
        command = command.join("\n")
    )
}

fn mpi(words: &[OsString], processes: u32) -> String {
    format!(
        "\
#!/bin/bash
# If one process fails, mpirun ends all of them. The same line again goes on.
exec mpirun -n {processes} {}",
        line(words)
    )
}

fn parallel(words: &[OsString], processes: u32) -> String {
    let options = words.iter().position(|word| word == "--job").unwrap_or(1);
    let (program, rest) = words.split_at(options);
    let numbers = format!("{{1..{processes}}}");
    format!(
        "\
#!/bin/bash
exec parallel -q --jobs {processes} --retries 3 {} --shard {{}}/{processes} {} ::: {numbers}",
        line(program),
        line(rest)
    )
}
