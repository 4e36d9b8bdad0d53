//! Headers of the user: each goes to the end that it is for, with the requests that it
//! is for, and nowhere else.

use crate::common::{Scene, assert_same, pattern};
use crate::s3_upload::{PART, copy};
use crate::server::s3::S3;
use crate::server::{Request, Server};

const KEY: &str = "x-amz-server-side-encryption-customer-key";

/// Of a source with a token, to a service that has not asked for it.
#[test]
fn what_is_for_the_source_is_not_told_to_the_service() {
    let (scene, service) = (Scene::new(), S3::new());
    for (name, len) in [("parts", 2 * PART + 5), ("whole", 1000)] {
        let bytes = pattern(1, len);
        let source = Server::of(&bytes);
        let key = format!("{KEY}: hidden");
        let mut words = vec![];
        for header in [
            "Authorization: Bearer token",
            "Cookie: session=1",
            "Proxy-Authorization: Basic x",
            "X-Key: mine",
            "x-amz-storage-class: GLACIER_IR",
            "Content-Type: image/raw",
            &key,
        ] {
            words.extend(["--header", header]);
        }
        let (url, address) =
            (source.url("x?X-Amz-SignedHeaders=host%3Bother"), format!("s3://b/{name}"));
        words.extend([&*url, &*address]);
        let before = service.server.log().len();
        copy(&scene, &service, &words).code(0);
        assert_same(&service.get(&format!("/b/{name}")).unwrap(), &bytes, name);
        let asked = &service.server.log()[before..];
        for secret in ["authorization", "cookie", "proxy-authorization", "x-key"] {
            assert!(asked.iter().all(|one| one.header(secret).is_none()), "{secret}: {name}");
            assert!(source.log().iter().all(|one| one.header(secret).is_some()), "{secret}");
        }
        for request in source.log() {
            assert!(request.headers.keys().all(|name| !name.starts_with("x-amz-")), "{request:?}");
        }
        let makes = |one: &&Request| {
            one.method == "POST" && one.target.contains("uploads")
                || one.method == "PUT" && !one.target.contains("partNumber")
        };
        let (made, others): (Vec<_>, Vec<_>) = asked.iter().partition(makes);
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].header("x-amz-storage-class"), Some("GLACIER_IR"));
        assert_eq!(made[0].header("content-type"), Some("image/raw"));
        for one in others {
            assert_eq!(one.header("x-amz-storage-class"), None, "{one:?}");
            assert_eq!(one.header("content-type"), None, "{one:?}");
        }
        // The key is for all that reads or writes bytes.
        assert!(asked.iter().all(|one| one.header(KEY) == Some("hidden")), "{name}");
    }
}

/// A header that was part of the signature of an address goes with it.
#[test]
fn a_signed_address_gets_the_headers_that_it_was_signed_with() {
    let (scene, bytes) = (Scene::new(), pattern(1, 1000));
    let source = Server::of(&bytes);
    let url = source.url("x?X-Amz-Signature=1&X-Amz-SignedHeaders=host%3Bx-amz-request-payer");
    let words = ["--header", "X-Amz-Request-Payer: requester", "--header", "x-amz-acl: private"];
    scene.pcopy(words.iter().chain(&[&*url, "copy"])).run().code(0);
    for request in source.log() {
        assert_eq!(request.header("x-amz-request-payer"), Some("requester"));
        assert_eq!(request.header("x-amz-acl"), None);
    }
}
