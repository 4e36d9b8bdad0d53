//! `pcopy schema`: what programs can rely on in the documents that this one prints.
//!
//! The schemas are files of the repository, and part of the program. This room
//! knows their names only; the tests hold real output against them.

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::exit::Exit;
use super::terminal::{to_stdout, write_stdout};

/// Print the JSON Schema of a document, or list the schemas
#[derive(Args, Debug)]
#[command(after_help = super::pages::help_end("schema"))]
pub struct SchemaArgs {
    /// Which one; without it, all are listed
    #[arg(value_parser = PossibleValuesParser::new(SCHEMAS.iter().map(|schema| schema.name)))]
    pub name: Option<String>,
}

struct Schema {
    name: &'static str,
    about: &'static str,
    text: &'static str,
}

/// The schemas by the names of their files, and what each describes.
macro_rules! schemas {
    ($($name:literal: $about:literal,)+) => {
        [$(Schema {
            name: $name,
            about: $about,
            text: include_str!(concat!("../../docs/schemas/", $name, ".json")),
        },)+]
    };
}

const SCHEMAS: &[Schema] = &schemas! {
    "report": "--json of a copy, and of verify and patch",
    "events": "a line of --progress json",
    "batch": "--json of batch, and of copies of several files or folders",
    "batch-line": "a line of batch --report",
    "bench": "--json of bench",
    "devices": "--json of devices",
    "evidence": "FILE.json of --log FILE",
    "job-status": "--json of job status",
};

/// Prints one schema, or their names.
pub fn run(args: &SchemaArgs) -> Exit {
    match SCHEMAS.iter().find(|schema| Some(schema.name) == args.name.as_deref()) {
        Some(schema) => write_stdout(schema.text.as_bytes()),
        None => {
            let line = |schema: &Schema| format!("{:<12}{}", schema.name, schema.about);
            to_stdout(&SCHEMAS.iter().map(line).collect::<Vec<String>>().join("\n"));
        }
    }
    Exit::Success
}
