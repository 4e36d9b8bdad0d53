//! `pcopy devices`: what could be copied from or to.

use clap::Args;
use pcopy::Refusal;
use pcopy::devices::{self, Device};
use pcopy::error::{escaped, plain};
use pcopy::size::human;

use super::exit::Exit;
use super::terminal::{json_to_stdout, to_stderr, to_stdout};

/// List block devices: model, serial, size, sectors, where mounted
#[derive(Args, Debug)]
#[command(after_help = super::pages::help_end("devices"))]
pub struct DevicesArgs {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Prints the list.
pub fn run(args: &DevicesArgs) -> Exit {
    match devices::list() {
        Ok(found) if args.json => json_to_stdout(devices::to_json(&found)),
        Ok(found) => to_stdout(&table(&found)),
        Err(error) => {
            let message = format!("cannot list the devices: {}", plain(&error));
            to_stderr(&format!("pcopy: {message}"));
            if args.json {
                json_to_stdout(devices::to_json_of_error(&Refusal::Other(message).into()));
            }
            return Exit::Failed;
        }
    }
    Exit::Success
}

const HEAD: [&str; 7] = ["DEVICE", "SIZE", "BYTES", "SECTOR", "KIND", "MOUNTED", "MODEL"];

/// The list in columns, parts set in below their disk.
fn table(devices: &[Device]) -> String {
    let head = HEAD.map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(devices.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..HEAD.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            // Numbers end where their column ends.
            if matches!(column, 1 | 2) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:width$}")
            }
        });
        cells.collect::<Vec<String>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<String>>().join("\n")
}

fn row(device: &Device) -> [String; 7] {
    let indent = if device.part_of.is_some() { "  " } else { "" };
    let name = |path: &std::path::Path| escaped(&path.to_string_lossy()).into_owned();
    let sector = match (device.logical_sector, device.physical_sector) {
        (Some(logical), Some(physical)) if logical != physical => format!("{logical}/{physical}"),
        (Some(logical), _) => logical.to_string(),
        (None, _) => "?".to_owned(),
    };
    let mut kind = match device.rotational {
        Some(true) => "spins",
        Some(false) => "ssd",
        None => "?",
    }
    .to_owned();
    if device.read_only == Some(true) {
        kind.push_str(" (ro)");
    }
    let mounted: Vec<String> = device.mounted.iter().map(|point| name(point)).collect();
    let words =
        [device.model.clone(), device.serial.as_ref().map(|serial| format!("serial {serial}"))];
    let words: Vec<String> = words.into_iter().flatten().collect();
    [
        format!("{indent}{}", name(&device.path)),
        device.size.map_or_else(|| "?".to_owned(), human),
        device.size.map_or_else(|| "?".to_owned(), |size| size.to_string()),
        sector,
        kind,
        if mounted.is_empty() { "-".to_owned() } else { mounted.join(" ") },
        escaped(&words.join(", ")).into_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_set_in_and_what_is_not_known_is_a_question() {
        let disk = Device {
            path: "/dev/sda".into(),
            size: Some(1_024_000),
            logical_sector: Some(512),
            physical_sector: Some(4096),
            rotational: Some(true),
            model: Some("ACME".into()),
            serial: Some("1".into()),
            ..Device::default()
        };
        let part = Device {
            path: "/dev/sda1".into(),
            part_of: Some("/dev/sda".into()),
            mounted: vec!["/".into(), "/two\nlines".into()],
            read_only: Some(true),
            ..Device::default()
        };
        assert_eq!(
            table(&[disk, part]),
            "\
DEVICE           SIZE    BYTES  SECTOR    KIND    MOUNTED        MODEL
/dev/sda     1000 KiB  1024000  512/4096  spins   -              ACME, serial 1
  /dev/sda1         ?        ?  ?         ? (ro)  / /two\\nlines"
        );
    }
}
