//! Promise: `pcopy map` shows any map or report of pcopy, maps of ddrescue and
//! block maps, and says of what it cannot show why not.

use serde_json::Value;

use crate::common::{Scene, pattern};

const RESCUE: &str = "# Mapfile. Created by GNU ddrescue version 1.27\n\
    0x00000200     ?               1\n\
    0x00000000  0x00000200  +\n0x00000200  0x00000400  -\n0x00000600  0x00000200  *\n\
    0x00000800  0x00001800  ?\n";

#[test]
fn a_map_of_ddrescue_is_shown_as_text() {
    let scene = Scene::new();
    scene.write("rescue.map", RESCUE.as_bytes());
    let out = scene.run("map rescue.map").code(0).out();
    let rows: Vec<&str> = out.lines().collect();
    assert_eq!(rows[0], "rescue.map");
    assert_eq!(rows[1], "map of GNU ddrescue: bytes 0..8192, 8 KiB");
    for expected in [
        "X unreadable                   1024        1 KiB   12.50%         1",
        "* not trimmed                   512        512 B    6.25%         1",
        "█ read                          512        512 B    6.25%         1",
        ". not tried                    6144        6 KiB   75.00%         1",
        "2 damaged areas:",
        "X 512..1536, 1 KiB, sectors 1-2",
        "* 1536..2048, 512 B, sectors 3-3",
    ] {
        assert!(rows.contains(&expected), "{expected}\n{out}");
    }
    assert!(rows.iter().all(|row| row.chars().count() <= 80), "{out}");
    let picture: Vec<&str> = rows.iter().filter(|row| row.contains('█')).copied().collect();
    assert!(picture[0].contains(&"X".repeat(6)), "{out}");
}

/// What an interrupted copy left, and what came of it.
#[cfg(unix)]
#[test]
fn our_own_map_and_a_later_one_are_compared() {
    let scene = Scene::new();
    scene.source("source", 8 << 20);
    let line = "--limit-rate 2MiB --stripe-size 1MiB --io-size 64KiB --progress json -t 2 \
                --checkpoint-every 0.1 source copy";
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copied(2 << 20);
    running.signal(rustix::process::Signal::INT);
    running.end();
    let out = scene.run("map copy.pcopy-map").code(0).out();
    assert!(out.contains("map of pcopy: bytes 0..8388608, 8 MiB"), "{out}");
    assert!(out.contains("█ read ") && out.contains(". not tried"), "{out}");
    scene.write("later.map", b"0 ? 1\n0 0x800000 +\n");
    let out = scene.run("map copy.pcopy-map later.map").code(0).out();
    assert!(out.contains("not tried    → read"), "{out}");
    // One that was changed by hand is shown, with a warning.
    let text = String::from_utf8(scene.read("copy.pcopy-map")).unwrap();
    scene.write("edited", text.replace("  ?\n", "  +\n").as_bytes());
    let out = scene.run("map edited").code(0).out();
    assert!(out.contains("would not be resumed") && out.contains("checksum"), "{out}");
}

#[test]
fn reports_are_shown() {
    let scene = Scene::new();
    let bytes = scene.source("source", 100_000);
    let run = |scene: &Scene, name: &str, line: &str| {
        let ended = scene.pcopy(line.split_whitespace()).run();
        scene.write(name, &ended.stdout);
    };
    run(&scene, "report", "--json -r 512..90000 source copy");
    let out = scene.run("map report").code(0).out();
    assert!(out.starts_with("source\nreport, complete: bytes 512..90000"), "{out}");
    assert!(out.contains("100%"), "{out}");

    let mut other = bytes.clone();
    other[5000] ^= 1;
    scene.write("other", &other);
    run(&scene, "report", "verify --json source other");
    let out = scene.run("map report").code(0).out();
    assert!(out.contains("! 4608..5120, 512 B, sectors 9-9"), "{out}");

    run(&scene, "report", "--json source copy");
    let out = scene.run("map report").code(0).out();
    assert!(out.contains("does not say which bytes") && out.contains("exists"), "{out}");
}

#[test]
fn a_batch_is_shown_by_files_and_by_sources() {
    let scene = Scene::new();
    scene.source("source", 100_000);
    scene.write("list.csv", b"name,start,end\na,0,512\nb,4096,8192\n");
    let line = "batch list.csv --source source --into out --report done.jsonl --json -q";
    let ended = scene.run(line).code(0);
    scene.write("sum.json", &ended.stdout);
    let out = scene.run("map done.jsonl").code(0).out();
    assert!(out.contains("report of a batch, 4.50 KiB copied: 2 files"), "{out}");
    assert!(out.contains("ranges of a batch: bytes 0..8192, 8 KiB"), "{out}");
    assert!(out.contains("_ outside"), "{out}");
    let out = scene.run("map sum.json").code(0).out();
    assert!(out.contains("report of a batch, complete, 4.50 KiB copied: 2 files"), "{out}");
}

#[test]
fn a_block_map_is_shown() {
    let scene = Scene::new();
    let map = "<?xml version=\"1.0\" ?>\n<bmap version=\"1.2\">\n<ImageSize> 40960 </ImageSize>\n\
               <BlockSize> 4096 </BlockSize>\n<BlocksCount> 10 </BlocksCount>\n\
               <MappedBlocksCount> 3 </MappedBlocksCount>\n<BlockMap>\n<Range> 0-1 </Range>\n\
               <Range> 5 </Range>\n</BlockMap>\n</bmap>\n";
    scene.write("image.bmap", map.as_bytes());
    let out = scene.run("map image.bmap").code(0).out();
    assert!(out.contains("block map: bytes 0..40960, 40 KiB"), "{out}");
    assert!(
        out.contains("# data                        12288       12 KiB   30.00%         2"),
        "{out}"
    );
}

#[test]
fn damaged_files_are_named() {
    let scene = Scene::new();
    scene.write("rescue.map", RESCUE.as_bytes());
    scene.write("files.csv", b"name,start,end\nfine.jpg,0,512\n<bad>.jpg,512,4096\n");
    let out = scene.run("map --names files.csv rescue.map").code(0).out();
    assert!(out.contains("\n    <bad>.jpg\n") && !out.contains("fine.jpg"), "{out}");
    let page = scene.run("map --names files.csv --html - rescue.map").code(0).out();
    assert!(page.contains("<td>&lt;bad&gt;.jpg</td>") && page.ends_with("</html>\n"), "{page}");
    let wide = scene.run("map --sector-size 4KiB rescue.map").code(0).out();
    assert!(wide.contains("X 512..1536, 1 KiB, sectors 0-0"), "{wide}");
}

#[test]
fn pictures_are_written_where_they_are_wanted_and_replace_nothing_that_is_read() {
    let scene = Scene::new();
    scene.write("rescue.map", RESCUE.as_bytes());
    let ended = scene.run("map rescue.map --svg a.svg --html a.html").code(0);
    assert!(ended.out().starts_with("rescue.map"), "{}", ended.out());
    assert!(
        scene.read("a.svg").starts_with(b"<svg ") && scene.read("a.html").starts_with(b"<!DOC")
    );
    let alone = scene.run("map rescue.map --svg -").code(0);
    assert_eq!(alone.stdout, scene.read("a.svg"));
    scene
        .run("map rescue.map --svg rescue.map")
        .code(2)
        .says(&["it would replace", "'rescue.map'"]);
    scene.run("map rescue.map --svg same --html same").code(2).says(&["it would replace"]);
    scene.run("map rescue.map --svg - --html -").code(2).says(&["only one of"]);
    scene.run("map - -").code(2).says(&["only one file"]);
    scene.run("map rescue.map --svg no/folder.svg").code(3).says(&["no/folder.svg"]);
    assert_eq!(scene.read("rescue.map"), RESCUE.as_bytes());
    let piped = scene.pcopy(["map", "-"]).with_input(RESCUE.as_bytes()).code(0);
    assert!(piped.out().contains("map of GNU ddrescue"), "{}", piped.out());
}

#[test]
fn what_cannot_be_shown_says_why() {
    let scene = Scene::new();
    scene.run("map missing").code(3).says(&["missing"]);
    let check = |content: &[u8], says: &[&str]| {
        scene.write("file", content);
        scene.run("map file").code(2).says(&["'file' cannot be shown"]).says(says);
    };
    check(b"", &["it is empty"]);
    check(b"hello", &["line 1", "maps of ddrescue"]);
    check(&pattern(9, 100_000), &[]);
    check(b"0 ? 1\n0 5 +\n9 5 +\n", &["line 3"]);
    check(b"{\"a\": 1}", &["not a report of pcopy"]);
    check(b"{\"schema\": \"pcopy.report/1\"}", &["damaged"]);
    check(b"{\"schema\": \"pcopy.bench/1\"}", &["pcopy.bench/1"]);
    check(b"{\"name\": \"a\", \"status\": \"complete\"}\n{", &["item 2"]);
    check(b"<bmap", &["bmap"]);
    scene.run("map --names missing file").code(2);
    scene.write("good", RESCUE.as_bytes());
    scene.run("map --names missing good").code(3).says(&["missing"]);
}

/// A picture that is asked for twice is the same: it can be kept beside a map.
#[test]
fn pictures_are_the_same_each_time() {
    let scene = Scene::new();
    scene.write("rescue.map", RESCUE.as_bytes());
    let page = || scene.run("map rescue.map --html -").code(0).stdout;
    assert_eq!(page(), page());
    assert!(serde_json::from_slice::<Value>(&page()).is_err());
}

/// A page is well formed, stands alone, and has these texts.
#[track_caller]
fn check_page(page: &[u8], texts: &[&str]) {
    let page = String::from_utf8(page.to_vec()).expect("a page is text");
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
    for from_elsewhere in ["<script", "<link", " href=", " src=", "@import", "url(http"] {
        assert!(!page.contains(from_elsewhere), "{from_elsewhere}: {page}");
    }
    for text in texts {
        assert!(page.contains(text), "{text}: {page}");
    }
    let tags = |open: &str| page.matches(open).count();
    for tag in ["table", "tr", "td", "svg", "div", "p", "pre", "figure"] {
        let opened = tags(&format!("<{tag}>")) + tags(&format!("<{tag} "));
        assert_eq!(opened, tags(&format!("</{tag}>")), "{tag}: {page}");
    }
    assert!(page.len() < 200 << 10, "it can be sent by mail: {}", page.len());
}

#[test]
fn a_batch_writes_a_page_of_its_files_and_of_what_it_read() {
    let scene = Scene::new();
    scene.source("source", 100_000);
    let digest = "00000000000000000000000000000000";
    // Windows has no such names.
    let odd = if cfg!(windows) { "b & i" } else { "b <i>" };
    let list =
        format!("name,start,end,md5\na,0,512,\n{odd},4096,8192,\nwrong,8192,9000,{digest}\n");
    scene.write("list.csv", list.as_bytes());
    let line = "batch list.csv --source source --into out --report r.jsonl --html page.html";
    scene.run(line).code(1);
    let page = scene.read("page.html");
    let texts = ["<h1>Batch</h1>", "3 files", "wrong: ", "the source of the batch", "differs"];
    check_page(&page, &texts);
    // From the report, the picture is the same; a heading says where it is from.
    let later = scene.run("map r.jsonl --html -").code(0).out();
    let figures = |page: &str| -> Vec<String> {
        page.split("<figure")
            .skip(1)
            .map(|rest| rest.split("</figure>").next().unwrap().to_owned())
            .collect()
    };
    let page = String::from_utf8(page).expect("text");
    assert_eq!(figures(&page).len(), 2);
    assert_eq!(figures(&page)[1], figures(&later)[1]);

    scene.run("batch list.csv --source source --into out --compare --html compared.html").code(4);
    check_page(&scene.read("compared.html"), &["<h1>Batch</h1>", "3 files"]);
    scene.run("batch list.csv --source source --into new -n --html none.html").code(0);
    scene.run("batch list.csv --source source --into out --html none.html").code(3);
    scene.run("batch list.csv --source source --into-file f --html none.html").code(2);
    assert!(!scene.has("none.html"), "nothing was done");
    for taken in ["list.csv", "source", "r.jsonl"] {
        let line =
            format!("batch list.csv --source source --into new --report r.jsonl --html {taken}");
        scene.run(&line).code(2).says(&["it would replace"]);
    }
    scene.run("batch list.csv --source source --into new --html no/page").code(3);
}

#[test]
fn a_bench_writes_a_page_with_its_chart_and_every_setting() {
    let scene = Scene::new();
    scene.source("a & b", 1 << 20);
    let line = "bench --rounds 1 --engine positioned,mmap -t 1,2 --io-size 64KiB --svg c.svg \
                --html page.html";
    let mut words: Vec<&str> = line.split_whitespace().collect();
    words.extend(["a & b", "null:"]);
    scene.pcopy(words).run().code(0);
    let page = scene.read("page.html");
    check_page(
        &page,
        &[
            "Bench: a &amp; b to null:",
            "Recommended",
            "positioned",
            "64 KiB",
            "<tr class=\"best\">",
        ],
    );
    let chart = String::from_utf8(scene.read("c.svg")).expect("text");
    assert!(String::from_utf8_lossy(&page).contains(chart.trim_end()), "the chart is in it");
    scene.run("bench --html list --svg list zero: null:").code(2).says(&["it would replace"]);
    scene.run("bench --rounds 1 --html no/page zero: null:").code(3).says(&["no/page"]);
}
