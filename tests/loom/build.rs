//! Chooses the side of `loom` of what threads share (`src/sync.rs`).

fn main() {
    println!("cargo::rustc-cfg=pcopy_loom");
    println!("cargo::rerun-if-changed=build.rs");
}
