//! Which of the headers that the user wants to be said go with which request to a
//! service of S3. The others are for servers of HTTP: a token of the source is nothing
//! for the service that the copy goes to.

use rusty_s3::Method;

use super::service::Call;
use crate::options::Header;

/// What a service of S3 is told of who asks and how, whatever is asked.
pub const PREFIX: &str = "x-amz-";

/// What says how an object is to be: for requests that make one. Where a name ends
/// in a hyphen, all that begin so.
const OF_AN_OBJECT: [&str; 14] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-acl",
    "x-amz-grant-",
    "x-amz-meta-",
    "x-amz-object-lock-",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
];

/// More of them.
const OF_ITS_ENCRYPTION: &str = "x-amz-server-side-encryption-";

/// The key that an object is encrypted by: for whatever reads or writes its bytes.
const OF_A_KEY: &str = "x-amz-server-side-encryption-customer-";

/// Whether `name` says something to a service of S3, and to no other server.
pub fn is_of_s3(name: &str) -> bool {
    begins(name, PREFIX)
}

/// What is said of those of `headers` that no service of S3 is told.
pub fn note(headers: &[Header]) -> Option<String> {
    let others = headers.iter().filter(|header| !is_for_service(header));
    let names: Vec<&str> = others.map(|header| &*header.name).collect();
    let what = "is not told to a service of S3, which knows names with x-amz- and those that \
                describe an object";
    (!names.is_empty()).then(|| format!("header {} {what}", names.join(", ")))
}

fn is_for_service(header: &Header) -> bool {
    is_of_s3(&header.name) || is_of_object(&header.name)
}

/// Whether `header` goes with `call`.
pub fn goes_with(header: &Header, call: &Call) -> bool {
    let name = &*header.name;
    match is_of_object(name) {
        true if begins(name, OF_A_KEY) => !call.of_bucket && call.method != Method::Delete,
        true => makes_object(call),
        false => is_of_s3(name),
    }
}

/// Whether `call` says how an object is to be: it begins an upload, or is all of one.
fn makes_object(call: &Call) -> bool {
    let asks = |name: &str| call.query.iter().any(|(known, _)| *known == name);
    match call.method {
        Method::Post => asks("uploads"),
        Method::Put => !asks("partNumber"),
        _ => false,
    }
}

fn is_of_object(name: &str) -> bool {
    let is_one = |one: &&str| match one.ends_with('-') {
        true => begins(name, one),
        false => name.eq_ignore_ascii_case(one),
    };
    begins(name, OF_ITS_ENCRYPTION) || OF_AN_OBJECT.iter().any(is_one)
}

fn begins(name: &str, with: &str) -> bool {
    name.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_header_goes_with_the_requests_that_it_is_for() {
        let create = Call::new(Method::Post).query("uploads", "");
        let put = Call::new(Method::Put);
        let part = Call::new(Method::Put).query("partNumber", "1").query("uploadId", "x");
        let end = Call::new(Method::Post).query("uploadId", "x");
        let list = Call::new(Method::Get).query("uploadId", "x");
        let read = Call::new(Method::Get);
        let abort = Call::new(Method::Delete).query("uploadId", "x");
        let uploads = Call::of_bucket(Method::Get).query("uploads", "");
        let all = [&create, &put, &part, &end, &list, &read, &abort, &uploads];
        let check = |header: &str, wanted: [bool; 8]| {
            let header: Header = header.parse().unwrap();
            assert_eq!(all.map(|call| goes_with(&header, call)), wanted, "{}", header.name);
            assert_eq!(is_for_service(&header), wanted[0], "{}", header.name);
        };
        let (t, f) = (true, false);
        for header in ["X-Amz-Acl: a", "x-amz-meta-a: b", "Content-Type: a/b", "x-amz-tagging: a"] {
            check(header, [t, t, f, f, f, f, f, f]);
        }
        check("x-amz-server-side-encryption: aws:kms", [t, t, f, f, f, f, f, f]);
        check("x-amz-server-side-encryption-aws-kms-key-id: k", [t, t, f, f, f, f, f, f]);
        check("X-Amz-Server-Side-Encryption-Customer-Key: k", [t, t, t, t, t, t, f, f]);
        check("x-amz-request-payer: requester", [t; 8]);
        check("x-amz-expected-bucket-owner: 1", [t; 8]);
        for header in ["Authorization: a", "Cookie: a", "Proxy-Authorization: a", "X-Key: a"] {
            check(header, [f; 8]);
        }
    }
}
