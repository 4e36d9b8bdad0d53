//! The log for people: a line for each thing, so that two logs can be compared.

use super::drive::HiddenArea;
use super::{Acquisition, Drive, Fill, HEADING, Reading};
use crate::devices::Device;
use crate::digest::Digest;
use crate::error::escaped;
use crate::range::ByteRange;
use crate::report::{Kind, Report};
use crate::size::human;

/// Columns before what a line says.
const COLUMN: usize = 22;

/// What is shown where nothing was given.
const NOT_GIVEN: &str = "(not given)";

/// What is shown where nothing could be found out.
const NOT_DETERMINED: &str = "not determined";

/// Lines, each a name and what it says.
#[derive(Default)]
struct Page(String);

impl Page {
    fn title(&mut self, text: &str) {
        self.0 += &format!("\n{text}\n{}\n", "-".repeat(text.len()));
    }

    fn line(&mut self, name: &str, says: &str) {
        let name = format!("{name}:");
        // What comes from outside must not look like a line of its own.
        self.0 += &format!("{name:COLUMN$}{}\n", escaped(says));
    }

    fn optional(&mut self, name: &str, says: Option<&str>, otherwise: &str) {
        self.line(name, says.unwrap_or(otherwise));
    }

    fn size(&mut self, name: &str, bytes: Option<u64>) {
        let text = bytes.map(|bytes| format!("{bytes} bytes ({})", human(bytes)));
        self.optional(name, text.as_deref(), NOT_DETERMINED);
    }
}

/// The whole log.
pub(super) fn of(acquired: &Acquisition<'_>) -> String {
    let mut page = Page(format!("{HEADING}\n{}\n\n", "=".repeat(HEADING.len())));
    head(&mut page, acquired);
    source(&mut page, acquired);
    destinations(&mut page, acquired);
    let report = acquired.report;
    page.title("Result");
    page.line("Verdict", &acquired.verdict);
    if let Some(error) = &report.error {
        page.line("Error", error);
    }
    bytes(&mut page, report);
    unreadable(&mut page, acquired);
    digests(&mut page, acquired);
    if !report.mismatches.is_empty() {
        page.title("Ranges that differ");
        report.mismatches.iter().for_each(|range| page.0 += &format!("{range}\n"));
    }
    earlier(&mut page, acquired);
    page.0
}

fn head(page: &mut Page, acquired: &Acquisition<'_>) {
    let (case, tool) = (&acquired.case, &acquired.tool);
    page.optional("Case number", case.number.as_deref(), NOT_GIVEN);
    page.optional("Evidence number", case.evidence.as_deref(), NOT_GIVEN);
    page.optional("Operator", case.operator.as_deref(), NOT_GIVEN);
    case.notes.iter().for_each(|note| page.line("Note", note));
    page.line("Begun (UTC)", &acquired.begun);
    page.line("Ended (UTC)", &acquired.ended);
    page.line("Tool", &format!("{} {}", tool.name, tool.version));
    let system = [&tool.kernel, &tool.kernel_release, &tool.machine];
    let system: Vec<&str> = system.into_iter().flatten().map(String::as_str).collect();
    let system = (!system.is_empty()).then(|| system.join(" "));
    page.optional("System", system.as_deref(), NOT_DETERMINED);
    page.optional("Host", tool.host.as_deref(), NOT_DETERMINED);
    if let Some(user) = tool.user {
        page.line("User", &format!("{user}{}", if user == 0 { " (root)" } else { "" }));
    }
    page.optional("Folder", acquired.folder.as_deref(), NOT_DETERMINED);
    page.line("Command", &acquired.command);
}

fn source(page: &mut Page, acquired: &Acquisition<'_>) {
    let source = &acquired.report.source;
    page.title("Source");
    page.line("Name", &source.path.to_string_lossy());
    page.line("Kind", kind(source.kind));
    page.size("Size", source.size);
    let protection = &acquired.protection;
    let text = match &protection.why_not {
        None => "no program could write to it when the copy began".to_owned(),
        Some(why) => format!("NOT PROTECTED: {why}"),
    };
    page.line("Write protection", &text);
    page.line("Protection required", if protection.required { "yes" } else { "no" });
    if let Some(drive) = &acquired.drive {
        of_drive(page, drive);
    }
}

fn of_drive(page: &mut Page, drive: &Drive) {
    device(page, &drive.device);
    if let Some(disk) = &drive.disk {
        page.line("Part of", &disk.path.to_string_lossy());
        device(page, disk);
    }
    let smart = &drive.smart;
    let health = match smart.passed {
        Some(true) => "passed".to_owned(),
        Some(false) => "FAILED".to_owned(),
        None => not_determined(smart.why_not.as_deref()),
    };
    let by = smart.by.as_ref().map(|by| format!(" (by {by})")).unwrap_or_default();
    page.line("SMART", &format!("{health}{by}"));
    let words = [
        ("SMART model", &smart.model),
        ("SMART serial", &smart.serial),
        ("SMART firmware", &smart.firmware),
    ];
    for (name, text) in words {
        text.iter().for_each(|text| page.line(name, text));
    }
    let numbers = [
        ("Power-on hours", smart.power_on_hours),
        ("Reallocated sectors", smart.reallocated_sectors),
        ("Pending sectors", smart.pending_sectors),
        ("Uncorrectable", smart.uncorrectable_sectors),
        ("Media errors", smart.media_errors),
    ];
    for (name, number) in numbers {
        number.iter().for_each(|number| page.line(name, &number.to_string()));
    }
    page.line("HPA", &hidden(&drive.hidden.hpa));
    page.line("DCO", &hidden(&drive.hidden.dco));
}

fn not_determined(why: Option<&str>) -> String {
    why.map_or_else(|| NOT_DETERMINED.to_owned(), |why| format!("{NOT_DETERMINED}: {why}"))
}

fn hidden(area: &HiddenArea) -> String {
    match (area.present, area.hidden_sectors()) {
        (Some(false), _) => "none".to_owned(),
        (Some(true), Some(sectors)) => {
            format!("PRESENT: it hides {sectors} sectors, which are not in the copy")
        }
        (Some(true), None) => "PRESENT: what it hides is not in the copy".to_owned(),
        (None, _) => not_determined(area.why_not.as_deref()),
    }
}

fn device(page: &mut Page, device: &Device) {
    page.optional("Model", device.model.as_deref(), NOT_DETERMINED);
    page.optional("Serial number", device.serial.as_deref(), NOT_DETERMINED);
    page.optional("WWN", device.wwn.as_deref(), NOT_DETERMINED);
    page.optional("Firmware", device.firmware.as_deref(), NOT_DETERMINED);
    page.size("Device size", device.size);
    let sectors = match (device.logical_sector, device.physical_sector) {
        (Some(logical), Some(physical)) => Some(format!("{logical} logical, {physical} physical")),
        (Some(logical), None) => Some(format!("{logical} logical")),
        _ => None,
    };
    page.optional("Sector bytes", sectors.as_deref(), NOT_DETERMINED);
}

fn destinations(page: &mut Page, acquired: &Acquisition<'_>) {
    let report = acquired.report;
    let also = report.also.iter().map(|also| (&also.destination, also.error.as_deref()));
    let all = std::iter::once((&report.destination, None)).chain(also);
    for (number, (destination, error)) in all.enumerate() {
        page.title("Destination");
        page.line("Name", &destination.path.to_string_lossy());
        page.line("Kind", kind(destination.kind));
        for segment in &destination.segments {
            page.line("File", &format!("{} {}", segment.path.to_string_lossy(), segment.range));
        }
        if let Some(Some(found)) = acquired.written.get(number) {
            device(page, found);
        }
        error.iter().for_each(|error| page.line("Error", error));
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::BlockDevice => "block device",
        Kind::Stream => "stream",
        Kind::Http => "object on a server (HTTP)",
        Kind::S3 => "object of S3",
        Kind::Other => "not determined",
    }
}

fn bytes(page: &mut Page, report: &Report) {
    page.line("Range", &format!("{} ({} bytes)", report.range, report.range.len()));
    page.line("Written from byte", &report.dest_offset.to_string());
    let bytes = &report.bytes;
    page.size("Copied", Some(bytes.copied));
    page.size("Kept as holes", Some(bytes.holes));
    page.size("Of an earlier run", Some(bytes.resumed));
    page.size("Unreadable", Some(bytes.failed));
    let verified = match report.verified {
        Some(true) => "read back, and equal",
        Some(false) => "read back, and DIFFERENT",
        None => "not asked for",
    };
    page.line("Verified", verified);
    page.line("On the disk", if report.durable { "yes" } else { "not synced" });
    page.line("Engine", &format!("{}, {} threads", report.engine, report.threads));
    page.line("Seconds", &format!("{:.3}", report.seconds.total));
    report.notes.iter().for_each(|note| page.line("Remark", note));
}

fn unreadable(page: &mut Page, acquired: &Acquisition<'_>) {
    let Some(fill) = acquired.fill else { return };
    page.title("Ranges that could not be read");
    let fill = match fill {
        Fill::Zeros => "zeros (holes in a new file)",
        Fill::Unchanged => "nothing: the destination has there what it had before",
        Fill::Ended => "nothing: the stream ends before the first of them",
    };
    page.line("Filled with", fill);
    for part in &acquired.report.failed {
        let bytes = part.end - part.start;
        let line = format!("{}..{} ({bytes} bytes) {}", part.start, part.end, part.error);
        page.0 += &format!("{}\n", escaped(&line));
    }
}

fn digests(page: &mut Page, acquired: &Acquisition<'_>) {
    let report = acquired.report;
    page.title("Digests");
    let of_reading = |page: &mut Page, when: &str, reading: &Option<Reading>| {
        let Some(reading) = reading else { return };
        let says = match &reading.error {
            Some(error) => format!("FAILED: {error}"),
            None if reading.unreadable > 0 => {
                format!("no digest: {} bytes could not be read", reading.unreadable)
            }
            None => format!("read from {} to {}", reading.begun, reading.ended),
        };
        page.line(when, &says);
        list(page, &reading.digests);
    };
    of_reading(page, "Source before", &acquired.source_before);
    let says = match report.digests.is_empty() {
        false => "as the bytes were copied",
        true if !report.failed.is_empty() => "no digest: some bytes could not be read",
        true => "none were asked for",
    };
    page.line("Acquired", says);
    list(page, &report.digests);
    of_reading(page, "Source after", &acquired.source_after);
    if !acquired.is_source_the_same() {
        page.line("Comparison", "THE SOURCE GAVE OTHER BYTES WHEN IT WAS READ AGAIN");
    }
    for piece in &report.pieces {
        pieces(page, piece.range, &piece.digests);
    }
}

fn list(page: &mut Page, digests: &[Digest]) {
    for digest in digests {
        page.line(&format!("  {}", digest.algorithm()), &digest.to_string());
    }
}

fn pieces(page: &mut Page, range: ByteRange, digests: &[Digest]) {
    if digests.is_empty() {
        page.0 += &format!("{range} no digest: some bytes could not be read\n");
    }
    for digest in digests {
        page.0 += &format!("{range} {} {digest}\n", digest.algorithm());
    }
}

fn earlier(page: &mut Page, acquired: &Acquisition<'_>) {
    if acquired.earlier.is_empty() {
        return;
    }
    page.title("Earlier runs, which this one resumed");
    for run in &acquired.earlier {
        let text = |name: &str| run[name].as_str().unwrap_or("?");
        let line = format!("{} to {}: {}", text("begun"), text("ended"), text("verdict"));
        page.0 += &format!("{}\n", escaped(&line));
    }
}
