//! What is wrong with a list is said at once, all of it, each with its line.

use crate::batch::scene;

/// Runs a CSV that is to be refused, and returns what was said, line by line.
#[track_caller]
fn errors(rows: &str, options: &str, code: i32) -> Vec<String> {
    let (scene, _) = scene();
    scene.write("list.csv", format!("name,start,len,source\n{rows}").as_bytes());
    let ended = scene.run(&format!("batch list.csv --into out {options}")).code(code);
    assert_eq!(scene.names(), ["image", "list.csv"], "nothing was created");
    let text = ended.stderr.strip_prefix("pcopy: ").expect("it says who speaks");
    // What comes after the errors is advice.
    text.lines().take_while(|line| !line.starts_with("pcopy: ")).map(str::to_owned).collect()
}

#[track_caller]
fn assert_lines(found: &[String], expected: &[(&str, &str)]) {
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (line, (begin, says)) in found.iter().zip(expected) {
        assert!(line.starts_with(begin) && line.contains(says), "{line:?}: {begin} {says}");
    }
}

#[test]
fn syntax_names_ranges_and_sources_are_told_together() {
    let rows = "fine,0,9,\nnumber,zero,1,\n../name,0,1,\nfirst,0,9,nowhere\nagain,0,9,nowhere\n\
                second,0,9,no/where\nrange,4194300,5,\nfine,0,9,\n";
    let found = errors(rows, "--source image", 2);
    let expected = [
        ("line 3: ", "zero"),
        ("line 4: ", "`..`"),
        ("line 5: ", "nowhere"),
        ("line 7: ", "no/where"),
        ("line 8: ", "4194304"),
        ("line 9: ", "line 2"),
    ];
    assert_lines(&found, &expected);
    // The number of "no such file" on every system.
    let missing = std::io::Error::from_raw_os_error(2).to_string();
    let missing = missing.split(" (os error").next().expect("split gives a first part");
    assert!(found[2].contains(missing), "{}", found[2]);
}

#[test]
fn a_source_that_is_missing_or_not_named_has_its_line() {
    let found = errors("a,0,9,image\nb,0,9,nowhere\nc,0,9,image\nd,0,9,elsewhere\n", "", 3);
    assert_lines(&found, &[("line 3: ", "nowhere"), ("line 5: ", "elsewhere")]);
    let found = errors("a,0,9,image\nb,0,9,\nc,0,9,nowhere\nd,0,9,\n", "", 2);
    assert_lines(&found, &[("line 3: ", "no source"), ("line 4: ", "nowhere")]);
    let found = errors("a,0,9,\n", "--source nowhere", 3);
    assert_lines(&found, &[("line 2: ", "nowhere")]);
}
