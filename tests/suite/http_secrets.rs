//! Credentials in places where they do not belong, or are written wrongly: no
//! message repeats them.

use crate::common::{Ended, Scene};
use crate::server::{Reply, Server};

const SECRET: &str = "topsecret";

#[track_caller]
fn keeps_the_secret(ended: &Ended) {
    let all = format!("{}{}", ended.stderr, ended.out());
    assert!(!all.contains(SECRET), "{all}");
}

#[test]
fn a_header_that_cannot_be_one_is_not_repeated() {
    let scene = Scene::new();
    for header in ["Authorization Bearer topsecret", "X-Key: topsecret\u{7}", "topsecret"] {
        let words = ["--json", "--header", header, "https://host/x", "copy"];
        let ended = scene.pcopy(words).run().code(2).says(&["--header"]);
        keeps_the_secret(&ended);
        let joined = format!("--header={header}");
        keeps_the_secret(&scene.pcopy(["batch", &joined, "list"]).run().code(2));
    }
}

#[test]
fn the_way_to_resume_shows_no_address_behind_an_option() {
    let scene = Scene::new();
    scene.write("list.csv", b"name,start,end\na,0,10\nb,20,30\n");
    let server = Server::start(|_| Reply::status(403));
    let url = server.url("x").replace("//", "//me:topsecret@");
    let source = format!("--source={url}");
    let words = ["batch", "--max-retries", "0", &source, "--into", "to", "list.csv"];
    let ended = scene.pcopy(words).run();
    assert_ne!(ended.status.code(), Some(0));
    keeps_the_secret(&ended);
}

#[test]
fn an_address_in_the_column_of_a_number_is_shown_without_its_password() {
    let scene = Scene::new();
    scene.write("list.csv", b"name,start,end\na,https://me:topsecret@host/x,10\n");
    scene.write("source", b"source");
    let words = ["batch", "--source", "source", "--into", "to", "list.csv"];
    let ended = scene.pcopy(words).run().code(2).says(&["line 2", "https://host/x"]);
    keeps_the_secret(&ended);
}

#[test]
fn a_password_that_should_have_been_encoded_is_not_shown() {
    let scene = Scene::new();
    for password in ["top/topsecret", "to?topsecret", "to#topsecret", "top@/topsecret"] {
        let url = format!("http://me:{password}@127.0.0.1:1/x");
        let ended = scene.pcopy(["--max-retries", "0", &url, "copy"]).run();
        assert_ne!(ended.status.code(), Some(0));
        keeps_the_secret(&ended);
    }
}

#[test]
fn a_patience_that_no_clock_can_tell_is_refused() {
    let scene = Scene::new();
    for seconds in ["1e19", "inf", "-1", "nan", "0"] {
        let patience = format!("--timeout={seconds}");
        let words = [&patience, "http://127.0.0.1:1/x", "copy"];
        scene.pcopy(words).run().code(2).says(&["--timeout"]);
    }
}
