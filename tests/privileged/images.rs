//! Whole disk images of file systems that were used: each live file, carved by
//! the list of fiwalk, is what icat prints, or absent with a reason. This is the
//! short tier of `scripts/corpus`, over the images that it makes.

use std::path::Path;

use crate::common::{Scene, program, skip};
use crate::devices::possible;

#[test]
fn every_live_file_is_what_icat_prints() {
    if !possible(&["fiwalk", "icat", "python3", "mkfs.ext4"]) {
        return;
    }
    let scene = Scene::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/corpus");
    let mut run = scene.tool("python3", [script.as_os_str(), "--made".as_ref()]);
    run.command.arg(scene.path("corpus")).env("PCOPY", program());
    let ended = run.run();
    let out = ended.out();
    assert!(ended.status.success(), "{out}\n{}", ended.stderr);
    for line in out.lines().filter_map(|line| line.strip_prefix("skipped: ")) {
        skip(line);
    }
    // | version | images | not read | read | taken | equal | not empty | differ | absent |
    let row = out.lines().rfind(|line| line.starts_with("| ") && !line.contains("Sleuth"));
    let cells: Vec<&str> = row.expect("a row").split('|').map(str::trim).collect();
    let number = |column: usize| cells[column].parse::<u32>().expect("a number");
    assert!(number(4) > 0 && number(7) > 0, "{out}");
    assert_eq!(number(8), 0, "{out}");
}
