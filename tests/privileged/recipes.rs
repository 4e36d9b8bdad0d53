//! The recipe of the book for a mounted XFS.

use std::io::{Seek, SeekFrom, Write};

use crate::book::{recipe, run};
use crate::common::{Scene, assert_same, pattern};
use crate::devices::{Mount, possible};

#[test]
fn by_xfs_bmap() {
    if !possible(&["mkfs.xfs", "xfs_bmap", "fallocate", "sed"]) {
        return;
    }
    let scene = Scene::new();
    run(&scene, "truncate -s 320M disk.img\nmkfs.xfs -q disk.img");
    let image = scene.path("disk.img");
    let image = image.to_str().expect("a plain path");
    let mount = Mount::new(&scene, "mnt", &["-o", "loop", image]);
    let (film, other) = (pattern(3, 140_000), pattern(4, 100_000));
    let make = |name: &str| std::fs::File::create(scene.path(name)).expect("a file");
    let (mut one, mut two) = (make("mnt/film.mp4"), make("mnt/other"));
    // In turns, so that both are in pieces.
    for (a, b) in film.chunks(7000).zip(other.chunks(5000)) {
        one.write_all(a).and_then(|()| one.sync_all()).expect("it is written");
        two.write_all(b).and_then(|()| two.sync_all()).expect("it is written");
    }
    one.seek(SeekFrom::Start(400_000)).and_then(|_| one.write_all(b"behind a hole")).expect("more");
    one.sync_all().expect("it is on the disk");
    drop((one, two));
    // Reserved, and never written: what is there is of somebody else.
    run(&scene, "fallocate -o 600000 -l 100000 mnt/film.mp4\nsync -f mnt");
    let film = scene.read("mnt/film.mp4");
    run(&scene, &recipe("xfs_bmap"));
    assert_same(&scene.read("out/film.mp4"), &film, "by xfs_bmap");
    drop(mount);
}
