//! Promise: Ctrl-C and Ctrl-Break ask a copy to stop. It ends between requests
//! with 130, leaves no final name, and can be resumed.
//!
//! Windows sends both to all processes of a console, or to one group of them.
//! A group can be sent Ctrl-Break alone: that one is sent here.

use std::os::windows::process::CommandExt;

use windows_sys::Win32::System::Console::{AllocConsole, GetConsoleWindow};
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent};
use windows_sys::Win32::System::Threading::CREATE_NEW_PROCESS_GROUP;

use crate::common::{Running, Scene, assert_same, skip};

/// Sends Ctrl-Break to the group of `running`.
#[allow(unsafe_code)]
fn send_break(running: &Running) -> std::io::Result<()> {
    // SAFETY: a call with plain numbers.
    let sent = unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, running.child.id()) };
    if sent == 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes sure that there is a console, which a test that runs in the background has not.
#[allow(unsafe_code)]
fn have_console() {
    // SAFETY: calls without arguments. It is not an error to have one already.
    unsafe {
        if GetConsoleWindow().is_null() {
            AllocConsole();
        }
    }
}

#[test]
fn an_interrupted_copy_ends_with_130_and_goes_on_from_there() {
    have_console();
    let scene = Scene::new();
    let bytes = scene.source("source", 16 << 20);
    let line = "--limit-rate 4MiB --io-size 64KiB --progress json --json -t 2 source copy";
    let mut run = scene.pcopy(line.split_whitespace());
    run.command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    let mut running = run.start();
    running.wait_until_copying();
    if let Err(error) = send_break(&running) {
        running.kill();
        return skip(&format!("needs a console, to press Ctrl-Break at: {error}"));
    }
    let ended = running.end().code(130).says(&["interrupted"]);
    assert_eq!(ended.report()["outcome"], "interrupted");
    assert!(scene.has("copy.pcopy-part") && !scene.has("copy"), "{:?}", scene.names());
    scene.run("--resume source copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
}
