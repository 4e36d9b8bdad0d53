//! Uploads that a service may have begun although it is not known what it calls them:
//! the answer was lost, or the process was ended before it could record that.
//!
//! Before an upload begins, the time is recorded. A run that finds that record without
//! a name asks which uploads of this very object began then and have no part. Where
//! there is one such upload, it is the one. Of several, one may be of another program
//! that still sends its first part: all of them stay, and the user is told.

use jiff::Timestamp;
use rusty_s3::Method;

use super::message::Element;
use super::requests::Requests;
use super::service::Call;
use crate::address;
use crate::endpoint::http::fault::Fault;

/// By how much the clock of a service may run behind itself, in seconds: it rounds.
const TOLERANCE: i64 = 2;

/// For how long a run tries to begin an upload, at most, in seconds. What began later
/// is of another one.
const LONGEST: i64 = 3600;

/// What may be left at a service, and how to find it.
#[derive(Debug, thiserror::Error)]
#[error("{fault}; {left}")]
pub struct MayHaveBegun {
    pub fault: Fault,
    pub left: String,
}

impl Requests {
    /// Uploads of the object that began at `begun` or soon after it, and have no part.
    ///
    /// # Errors
    ///
    /// Of a request, also where it is not allowed to ask.
    pub fn unheard(&self, begun: &str) -> Result<Vec<String>, Fault> {
        let Ok(begun) = begun.parse::<Timestamp>() else { return Ok(Vec::new()) };
        let begun = begun.as_second();
        let key = self.service.key();
        let call = Call::of_bucket(Method::Get).query("uploads", "").query("prefix", key);
        let root = self.look(&call, "ListMultipartUploads")?;
        let is_ours = |upload: &Element| {
            let when = upload.text_of("Initiated").and_then(|text| text.parse::<Timestamp>().ok());
            let after = when.map(|when| when.as_second() - begun);
            let is_same = upload.child("Key").is_some_and(|child| child.text == key);
            is_same && after.is_some_and(|after| (-TOLERANCE..=LONGEST).contains(&after))
        };
        let mut found = Vec::new();
        for upload in root.children.iter().filter(|child| child.name == "Upload") {
            let Some(id) = upload.text_of("UploadId").filter(|_| is_ours(upload)) else { continue };
            if self.list(id)?.is_empty() {
                found.push(id.to_owned());
            }
        }
        Ok(found)
    }

    /// What is said of uploads that may be left of a run that began at `begun`, besides
    /// `known`; nothing if there are none.
    pub fn note_of_unheard(&self, begun: &str, known: &str) -> Option<String> {
        match self.unheard(begun) {
            Ok(mut found) => {
                found.retain(|id| id != known);
                (!found.is_empty()).then(|| self.left_behind(Some(found.len())))
            }
            // Who may write need not be allowed to ask.
            Err(_) => Some(self.left_behind(None)),
        }
    }

    /// What is said of `count` uploads without a part; `None` where that is not known.
    pub fn left_behind(&self, count: Option<usize>) -> String {
        let what = match count {
            None => {
                "the service may have begun an upload of which nothing is known here".to_owned()
            }
            Some(1) => "the service has an upload of this object that has no part, and that this \
                        copy or another program has begun"
                .to_owned(),
            Some(count) => format!(
                "the service has {count} uploads of this object that have no part, and that this \
                 copy or another program has begun"
            ),
        };
        let (bucket, key) = (self.service.bucket(), word(self.service.key()));
        let list = format!("aws s3api list-multipart-uploads --bucket {bucket} --prefix {key}");
        let (at, abort) = (self.at_endpoint(), self.how_to_abort("ID"));
        format!("{what}; to list them: {list}{at}; to abort one: {abort}")
    }

    /// The command that aborts the upload `id`.
    pub fn how_to_abort(&self, id: &str) -> String {
        let (bucket, key, id) = (self.service.bucket(), word(self.service.key()), word(id));
        let command = format!(
            "aws s3api abort-multipart-upload --bucket {bucket} --key {key} --upload-id {id}"
        );
        command + &self.at_endpoint()
    }

    fn at_endpoint(&self) -> String {
        let endpoint = self.client.remote().s3.endpoint.as_deref();
        let endpoint = endpoint.map(|at| word(&address::without_credentials(at)));
        endpoint.map(|at| format!(" --endpoint-url {at}")).unwrap_or_default()
    }
}

/// `text` as one word of a shell.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
