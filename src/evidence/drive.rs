//! What smartctl and hdparm say of a drive, taken apart.
//!
//! Nothing is assumed: what a program did not say, or was not there to say, is not
//! determined, and the reason stands beside it.

use serde::Serialize;
use serde_json::Value;

/// What a program that was asked has answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// What it wrote on standard output, then on standard error.
    Said(String),
    /// Why it could not be asked.
    NotAsked(String),
}

/// How a drive is, by its own account.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Smart {
    /// Whether it says that it is well; `None` is not determined.
    pub passed: Option<bool>,
    /// Why that is not determined.
    pub why_not: Option<String>,
    /// What said it.
    pub by: Option<String>,
    /// Model, as the drive says it through whatever bridge it is behind.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Version of the firmware.
    pub firmware: Option<String>,
    /// Hours that it has run.
    pub power_on_hours: Option<u64>,
    /// Sectors that it has replaced (attribute 5).
    pub reallocated_sectors: Option<u64>,
    /// Sectors that it could not read and may replace (attribute 197).
    pub pending_sectors: Option<u64>,
    /// Sectors that it could neither read nor replace (attribute 198).
    pub uncorrectable_sectors: Option<u64>,
    /// Errors of the medium that an NVMe drive counted.
    pub media_errors: Option<u64>,
    /// Degrees Celsius.
    pub temperature: Option<i64>,
}

/// An area that a drive hides from every program.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct HiddenArea {
    /// Whether there is one; `None` is not determined.
    pub present: Option<bool>,
    /// Why that is not determined.
    pub why_not: Option<String>,
    /// Sectors that the drive shows.
    pub visible_sectors: Option<u64>,
    /// Sectors that it has without this area.
    pub native_sectors: Option<u64>,
}

/// Both kinds of hidden areas of an ATA drive.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Hidden {
    /// Host protected area.
    pub hpa: HiddenArea,
    /// Device configuration overlay.
    pub dco: HiddenArea,
}

impl Smart {
    /// From the output of `smartctl --json --all`.
    pub fn of(answer: &Answer) -> Smart {
        let text = match answer {
            Answer::Said(text) => text,
            Answer::NotAsked(why) => return Smart::not_determined(why.clone()),
        };
        let Some(said) = document(text) else {
            return Smart::not_determined(first_line(text, "smartctl said nothing"));
        };
        let text = |pointer: &str| said.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let number = |pointer: &str| said.pointer(pointer).and_then(Value::as_u64);
        let version = said.pointer("/smartctl/version").and_then(Value::as_array);
        let version = version.map(|parts| {
            let parts: Vec<String> = parts.iter().map(Value::to_string).collect();
            format!("smartctl {}", parts.join("."))
        });
        let passed = said.pointer("/smart_status/passed").and_then(Value::as_bool);
        let message = text("/smartctl/messages/0/string");
        let why_not = || message.unwrap_or_else(|| "the drive does not say".to_owned());
        Smart {
            why_not: passed.is_none().then(why_not),
            passed,
            by: version,
            model: text("/model_name"),
            serial: text("/serial_number"),
            firmware: text("/firmware_version"),
            power_on_hours: number("/power_on_time/hours"),
            reallocated_sectors: attribute(&said, 5),
            pending_sectors: attribute(&said, 197),
            uncorrectable_sectors: attribute(&said, 198),
            media_errors: number("/nvme_smart_health_information_log/media_errors"),
            temperature: said.pointer("/temperature/current").and_then(Value::as_i64),
        }
    }

    fn not_determined(why: String) -> Smart {
        Smart { why_not: Some(why), ..Smart::default() }
    }
}

/// The raw value of an attribute of an ATA drive.
fn attribute(said: &Value, id: u64) -> Option<u64> {
    let table = said.pointer("/ata_smart_attributes/table")?.as_array()?;
    let found = table.iter().find(|attribute| attribute["id"].as_u64() == Some(id))?;
    found.pointer("/raw/value")?.as_u64()
}

/// The JSON document that begins `text`, whatever follows it.
fn document(text: &str) -> Option<Value> {
    serde_json::Deserializer::from_slice(text.as_bytes())
        .into_iter()
        .next()?
        .ok()
        .filter(Value::is_object)
}

impl Hidden {
    /// From the outputs of `hdparm -N` and `hdparm --dco-identify`.
    pub fn of(max: &Answer, identify: &Answer) -> Hidden {
        let hpa = match max {
            Answer::Said(text) => hpa(text),
            Answer::NotAsked(why) => HiddenArea::not_determined(why.clone()),
        };
        let dco = match identify {
            Answer::Said(text) => dco(text, hpa.native_sectors),
            Answer::NotAsked(why) => HiddenArea::not_determined(why.clone()),
        };
        Hidden { hpa, dco }
    }
}

impl HiddenArea {
    fn not_determined(why: String) -> HiddenArea {
        HiddenArea { why_not: Some(why), ..HiddenArea::default() }
    }

    fn of(visible: u64, native: u64) -> HiddenArea {
        HiddenArea {
            present: Some(visible < native),
            why_not: None,
            visible_sectors: Some(visible),
            native_sectors: Some(native),
        }
    }

    /// Sectors that it hides.
    pub fn hidden_sectors(&self) -> Option<u64> {
        self.native_sectors?.checked_sub(self.visible_sectors?)
    }
}

/// `max sectors   = 78125000/156301488, HPA is enabled`.
fn hpa(text: &str) -> HiddenArea {
    let read = |line: &str| {
        let (_, value) = line.split_once("max sectors")?;
        let (visible, rest) = value.trim_start_matches([' ', '=', '\t']).split_once('/')?;
        let digits = |c: char| c.is_ascii_digit();
        let native: String = rest.chars().take_while(|c| digits(*c)).collect();
        // What hdparm doubts itself has the other number in brackets.
        let is_certain = !rest[native.len()..].starts_with('(');
        let area = HiddenArea::of(visible.trim().parse().ok()?, native.parse().ok()?);
        is_certain.then_some(area)
    };
    let found = text.lines().find_map(read);
    found.unwrap_or_else(|| HiddenArea::not_determined(failure(text)))
}

/// `Real max sectors: 156301488`, against what the drive has without an HPA.
fn dco(text: &str, native: Option<u64>) -> HiddenArea {
    let read = |line: &str| line.trim().strip_prefix("Real max sectors:")?.trim().parse().ok();
    match (text.lines().find_map(read), native) {
        (Some(real), Some(native)) => HiddenArea::of(native, real),
        (Some(real), None) => HiddenArea {
            native_sectors: Some(real),
            ..HiddenArea::not_determined("how many sectors the drive shows is not known".to_owned())
        },
        (None, _) => HiddenArea::not_determined(failure(text)),
    }
}

/// What hdparm says of why it failed: the first line that is not the name of the drive.
fn failure(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.ends_with(':'));
    lines.next().unwrap_or("the drive does not say").to_owned()
}

fn first_line(text: &str, otherwise: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.next().unwrap_or(otherwise).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Answer {
        Answer::Said(text.to_owned())
    }

    #[test]
    fn what_smartctl_says_of_a_disk_is_taken() {
        let smart = Smart::of(&said(
            r#"{"smartctl": {"version": [7, 3], "exit_status": 0}, "model_name": "ACME 1",
            "serial_number": "S1", "firmware_version": "F2", "smart_status": {"passed": true},
            "power_on_time": {"hours": 12}, "temperature": {"current": 31},
            "ata_smart_attributes": {"table": [
                {"id": 5, "raw": {"value": 3}}, {"id": 197, "raw": {"value": 2}},
                {"id": 198, "raw": {"value": 1}}]}}
            trailing words"#,
        ));
        assert_eq!((smart.passed, smart.why_not.as_deref()), (Some(true), None));
        assert_eq!(smart.by.as_deref(), Some("smartctl 7.3"));
        assert_eq!(smart.serial.as_deref(), Some("S1"));
        assert_eq!((smart.power_on_hours, smart.temperature), (Some(12), Some(31)));
        let sectors =
            [smart.reallocated_sectors, smart.pending_sectors, smart.uncorrectable_sectors];
        assert_eq!(sectors, [Some(3), Some(2), Some(1)]);
    }

    #[test]
    fn what_was_not_said_is_not_determined() {
        let check = |answer: Answer, why: &str| {
            let smart = Smart::of(&answer);
            assert_eq!((smart.passed, smart.why_not.as_deref()), (None, Some(why)));
        };
        check(
            said(
                r#"{"smartctl": {"version": [7, 3], "messages": [
                {"string": "/dev/loop0: Unable to detect device type"}]}}"#,
            ),
            "/dev/loop0: Unable to detect device type",
        );
        check(said(r#"{"smartctl": {}}"#), "the drive does not say");
        check(said("smartctl: permission denied\n"), "smartctl: permission denied");
        check(said(""), "smartctl said nothing");
        check(Answer::NotAsked("smartctl is not installed".into()), "smartctl is not installed");
    }

    #[test]
    fn hidden_areas_are_the_difference_of_what_hdparm_says() {
        let check = |max: &str, identify: &str, hpa: Option<u64>, dco: Option<u64>| {
            let hidden = Hidden::of(&said(max), &said(identify));
            let found = [&hidden.hpa, &hidden.dco].map(HiddenArea::hidden_sectors);
            assert_eq!(found, [hpa, dco], "{hidden:?}");
            for area in [&hidden.hpa, &hidden.dco] {
                assert_eq!(area.present, area.hidden_sectors().map(|count| count > 0));
                assert_eq!(area.present.is_none(), area.why_not.is_some(), "{area:?}");
            }
        };
        let none = "\n/dev/sda:\n max sectors   = 1000/1000, HPA is disabled\n";
        let some = "\n/dev/sda:\n max sectors   = 900/1000, HPA is enabled\n";
        let doubt = "\n/dev/sda:\n max sectors   = 900/1(1000?), HPA setting seems invalid\n";
        let real = "\n/dev/sda:\nDCO Revision: 0x0002\n\tReal max sectors: 1000\n";
        let more = "\n/dev/sda:\nDCO Revision: 0x0002\n\tReal max sectors: 1100\n";
        let failed = "\n/dev/loop0:\n HDIO_DRIVE_CMD(dco_identify) failed: Not a typewriter\n";
        check(none, real, Some(0), Some(0));
        check(some, real, Some(100), Some(0));
        check(none, more, Some(0), Some(100));
        check(none, failed, Some(0), None);
        check(doubt, real, None, None);
        check(failed, failed, None, None);
        let hidden = Hidden::of(&said(failed), &said(failed));
        let why = Some("HDIO_DRIVE_CMD(dco_identify) failed: Not a typewriter");
        assert_eq!(hidden.hpa.why_not.as_deref(), why);
    }
}
