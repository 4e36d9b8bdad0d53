//! The one way out to standard error and standard output. Whatever is said to
//! people passes through here, so that nothing from outside can reach the
//! terminal as anything but text.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

use pcopy::error::{escaped_json, escaped_lines, plain};
use serde_json::Value;

/// Says `text` on standard error. Nobody listening is not a reason to stop.
pub fn to_stderr(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", escaped_lines(text));
}

/// Writes one event a line on standard error.
pub fn event_to_stderr(event: &Value) {
    let _ = writeln!(std::io::stderr().lock(), "{}", escaped_json(event.to_string()));
}

/// Replaces the last line of a terminal, which has not ended.
pub fn over_last_line(text: &str) {
    let _ = write!(std::io::stderr().lock(), "\r\x1b[K{}", escaped_lines(text));
}

/// Prints `text` for people on standard output.
pub fn to_stdout(text: &str) {
    write_stdout(format!("{}\n", escaped_lines(text)).as_bytes());
}

/// Prints a JSON document on standard output.
pub fn json_to_stdout(document: String) {
    write_stdout(format!("{}\n", escaped_json(document)).as_bytes());
}

/// Prints lines that other programs read, byte for byte; to a terminal, as text.
pub fn lines_to_stdout(lines: &[u8]) {
    if std::io::stdout().is_terminal() {
        write_stdout(escaped_lines(&String::from_utf8_lossy(lines)).as_bytes());
    } else {
        write_stdout(lines);
    }
}

/// The same for a line that must have been said before something is done.
///
/// # Errors
///
/// If it could not be written.
pub fn line_to_stdout(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", escaped_lines(line))?;
    stdout.flush()
}

/// The same on standard error.
///
/// # Errors
///
/// If it could not be written.
pub fn line_to_stderr(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr().lock(), "{}", escaped_lines(line))
}

/// Writes to standard output. Nobody reading is not a reason to fail: the exit
/// code tells. Anything else is, in the end; see [`unwritten`].
pub fn write_stdout(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            UNWRITTEN.get_or_init(|| plain(&error));
        }
        _ => {}
    }
}

/// Why standard output has not got everything, if it has not: a report that is
/// lost on a full disk must not look like success.
pub fn unwritten() -> Option<&'static str> {
    UNWRITTEN.get().map(String::as_str)
}

static UNWRITTEN: OnceLock<String> = OnceLock::new();
