//! Commands of the book, to be run as they stand there.

use crate::common::{Scene, program};

/// The block of `docs/carving.md` that runs `tool` first.
pub fn recipe(tool: &str) -> String {
    recipe_of("docs/carving.md", tool)
}

/// The block of `page` whose first line names `tool`.
pub fn recipe_of(page: &str, tool: &str) -> String {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = std::fs::read_to_string(page).expect("the page is there");
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut found = blocks.filter(|block| block.lines().next().is_some_and(|l| l.contains(tool)));
    found.next().unwrap_or_else(|| panic!("no recipe for {tool}")).to_owned()
}

/// Runs `script` in the folder of `scene`, with the program under test as `pcopy`.
#[track_caller]
pub fn run(scene: &Scene, script: &str) {
    let program = program();
    let folder = program.parent().expect("it lies in a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = [folder].into_iter().chain(std::env::split_paths(&path));
    let all = all.chain(["/usr/sbin".into(), "/sbin".into()]);
    let script = format!("set -e -o pipefail\n{script}");
    let mut run = scene.tool("bash", ["-c", &script]);
    run.command.env("PATH", std::env::join_paths(all).expect("a path of paths")).env("LC_ALL", "C");
    run.run().code(0);
}
