//! A file system that keeps the bad news for the close, as those behind a
//! network do: what cannot be written is told by close(2) alone.

use crate::common::{Scene, pattern};
use crate::odd::Odd;

const REFUSED: &[&str] = &["refuse=flush:EIO"];

#[test]
fn what_a_close_tells_is_a_failure_in_every_form() {
    let scene = Scene::new();
    let Some(mut odd) = Odd::new(&scene, "odd", &[]) else { return };
    scene.source("source", 300_000);
    scene.write("list", b"name,start,len\na,0,4096\nb,4096,200000\n");
    std::fs::write(odd.below("place"), pattern(2, 300_000)).unwrap();
    for options in ["", "--no-sync"] {
        odd.remount(REFUSED);
        let told = |line: &str, code| {
            scene.run(&format!("{options} {line}")).code(code).says(&["Input/output error"]);
        };
        told("source odd/copy", 5);
        told("--also here source odd/copy2", 5);
        told("--in-place source odd/place", 5);
        scene.run(&format!("batch {options} list --source source --into odd")).code(1);
        for name in ["copy", "copy2", "a", "b"] {
            assert!(!odd.below(name).exists(), "{options}: {name} has its final name");
        }
        odd.remount(&[]);
        for entry in std::fs::read_dir(odd.folder()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name != "place") {
                std::fs::remove_file(path).unwrap();
            }
        }
        let _ = std::fs::remove_file(scene.path("here"));
    }
}
