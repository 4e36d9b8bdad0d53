//! What answers in the place of a service, or says nothing: nothing counts as done before
//! the service itself says so, or the object is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::common::{Scene, assert_same, pattern};
use crate::s3_upload::{PART, came, copy, maps, open};
use crate::server::s3::{Fate, Manners, S3};
use crate::server::{Reply, Request};

/// What gateways, services that break in the middle of a word, and echoes say.
const ODD: [&str; 5] = [
    "",
    "<html><body>please log in</body></html>",
    "<?xml version=\"1.0\"?>\n<Err",
    "well",
    "<CompleteMultipartUpload><Part/></CompleteMultipartUpload>",
];

fn said(body: &str) -> Fate {
    Fate::Refused(Reply { body: body.as_bytes().to_vec(), ..Reply::status(200) })
}

fn is_end(request: &Request, query: &crate::server::s3::Query) -> bool {
    request.method == "POST" && query.contains_key("uploadId")
}

#[test]
fn an_answer_that_is_not_of_the_service_completes_nothing() {
    for odd in ODD {
        let scene = Scene::new();
        let source = scene.source("source", 2 * PART + 1);
        let phase = Arc::new(AtomicUsize::new(0));
        let now = Arc::clone(&phase);
        let service = S3::with(Manners::default(), move |request, query| {
            match is_end(request, query) && now.load(SeqCst) == 0 {
                true => said(odd),
                false => Fate::Done,
            }
        });
        let words = ["source", "s3://b/x"];
        let ended = copy(&scene, &service, &[&["--max-retries", "1"][..], &words].concat());
        ended.code(5).says(&["CompleteMultipartUploadResult", "--resume"]);
        assert_eq!((service.get("/b/x"), open(&service), maps(&scene).len()), (None, 1, 1));
        phase.store(1, SeqCst);
        copy(&scene, &service, &[&["--resume"], &words[..]].concat()).code(0);
        assert_same(&service.get("/b/x").unwrap(), &source, odd);
        assert_eq!((came(&service).len(), open(&service), maps(&scene).len()), (3, 0, 0));
    }
}

/// The request arrives, and what comes back is not the answer to it.
#[test]
fn an_object_that_is_there_is_complete_whatever_was_answered() {
    let scene = Scene::new();
    let source = scene.source("source", 2 * PART + 1);
    let service =
        S3::with(
            Manners::default(),
            |request, query| {
                if is_end(request, query) { Fate::Lost } else { Fate::Done }
            },
        );
    copy(&scene, &service, &["--max-retries", "0", "source", "s3://b/x"]).code(0);
    assert_same(&service.get("/b/x").unwrap(), &source, "the object");
    assert_eq!((open(&service), maps(&scene).len()), (0, 0));
}

#[test]
fn a_small_object_is_sent_if_the_service_names_it() {
    for odd in ODD {
        let scene = Scene::new();
        let source = scene.source("source", 1000);
        let service = S3::with(Manners::default(), move |request, _| {
            if request.method == "PUT" { said(odd) } else { Fate::Done }
        });
        let words = ["--max-retries", "1", "source", "s3://b/x"];
        copy(&scene, &service, &words).code(5).says(&["what it calls the object"]);
        assert_eq!(service.get("/b/x"), None, "{odd}");
        // It is there, and nobody is told.
        let lost = S3::with(Manners::default(), |request, _| match &*request.method {
            "PUT" => Fate::Lost,
            _ => Fate::Done,
        });
        copy(&scene, &lost, &["--max-retries", "0", "source", "s3://b/x"]).code(0);
        assert_same(&lost.get("/b/x").unwrap(), &source, odd);
    }
}

#[test]
fn other_requests_are_made_again_until_the_service_answers() {
    for odd in ODD {
        let scene = Scene::new();
        let source = scene.source("source", 2 * PART + 1);
        let count = Arc::new(AtomicUsize::new(0));
        let service = S3::with(Manners::default(), move |request, query| {
            let begins = request.method == "POST" && query.contains_key("uploads");
            let sends = query.contains_key("partNumber");
            let is_first = (begins || sends) && count.fetch_add(1, SeqCst).is_multiple_of(2);
            if is_first { said(odd) } else { Fate::Done }
        });
        copy(&scene, &service, &["--threads", "1", "source", "s3://b/x"]).code(0);
        assert_same(&service.get("/b/x").unwrap(), &source, odd);
        assert_eq!((open(&service), maps(&scene).len()), (0, 0), "{odd}");
    }
}

/// A list that is none is not a list of nothing, and what is not aborted is not gone.
#[test]
fn an_upload_that_cannot_be_listed_or_aborted_stays() {
    let scene = Scene::new();
    let bytes = pattern(1, 2 * PART + 1);
    scene.write("source", &bytes);
    let phase = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&phase);
    let service = S3::with(Manners::default(), move |request, query| {
        let lists = request.method == "GET" && query.contains_key("uploadId");
        match now.load(SeqCst) {
            0 if is_end(request, query) => Fate::Refused(Reply::status(403)),
            1 if lists || request.method == "DELETE" => said(ODD[1]),
            _ => Fate::Done,
        }
    });
    let words = ["--max-retries", "1", "source", "s3://b/x"];
    copy(&scene, &service, &words).code(5);
    phase.store(1, SeqCst);
    for word in ["--resume", "--restart"] {
        copy(&scene, &service, &[&[word], &words[..]].concat()).code(3);
        assert_eq!((open(&service), maps(&scene).len()), (1, 1), "{word}");
    }
    phase.store(2, SeqCst);
    copy(&scene, &service, &[&["--resume"], &words[..]].concat()).code(0);
    assert_same(&service.get("/b/x").unwrap(), &bytes, "the object");
    assert_eq!((came(&service).len(), open(&service)), (3, 0));
}
