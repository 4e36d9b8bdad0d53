//! What can be asked of S3 and what speaks like it: which server, which region,
//! who asks. Keys are never shown, and never stored with the other options.

use serde::{Deserialize, Serialize};

use super::Secret;
use crate::words::words;

/// Region of a server that has none of its own, and of those that do not say.
pub const DEFAULT_REGION: &str = "us-east-1";

words! {
    /// Where in an address the name of a bucket stands.
    #[derive(Default)]
    pub enum S3Style {
        /// In the name of the server at AWS, and in the path everywhere else.
        #[default]
        Auto = "auto",
        /// In the path.
        Path = "path",
        /// In the name of the server.
        Virtual = "virtual",
    }
}

/// Which server of S3 is asked, and by whom.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct S3 {
    /// Address of the server, as `https://storage.example`. Default: that of AWS in
    /// the region.
    pub endpoint: Option<String>,
    /// Default: [`DEFAULT_REGION`].
    pub region: Option<String>,
    /// Where the name of a bucket stands.
    pub style: S3Style,
    /// Who asks. Default: nobody knows, and nothing is asked.
    #[serde(skip)]
    pub access: S3Access,
}

/// Who asks a server of S3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum S3Access {
    /// Nobody has said so.
    Unknown {
        /// Why not, in words that follow "no credentials for S3: ".
        reason: String,
    },
    /// Nobody in particular: requests are not signed, and get what is public.
    Anonymous,
    /// The owner of these keys.
    Keys(S3Keys),
}

impl Default for S3Access {
    fn default() -> S3Access {
        S3Access::Unknown { reason: "none were given".to_owned() }
    }
}

/// What requests are signed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct S3Keys {
    /// The name of the key, which every request says.
    pub id: String,
    /// The key itself, which none says.
    pub secret: Secret,
    /// What belongs to keys that hold for a while.
    pub token: Option<Secret>,
}
