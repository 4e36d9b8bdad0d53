//! Which service of S3 is asked, and by whom: by the words of the command, the
//! environment, and the files that the tools of AWS have for that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use pcopy::options::{S3, S3Access, S3Keys, S3Style, Secret};

/// Objects of S3.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Servers")]
pub struct S3Args {
    /// Address of the S3 service [default: as configured for the AWS tools, or AWS itself]
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,

    /// Region of the bucket [default: as configured for the AWS tools, or us-east-1]
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,

    /// Profile of the AWS tools that holds the credentials [default: AWS_PROFILE, or default]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// Do not sign requests to S3: enough for public objects
    #[arg(long)]
    pub no_sign_request: bool,
}

/// What was asked for, by words, environment and files.
pub fn options(args: &S3Args) -> S3 {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    Told::new(args, &variable, &read).options()
}

/// What the tools of AWS are told.
struct Told<'a> {
    args: &'a S3Args,
    variable: &'a dyn Fn(&str) -> Option<String>,
    profile: String,
    /// Keys, in a file of their own.
    credentials: Sections,
    config: Sections,
}

impl<'a> Told<'a> {
    fn new(
        args: &'a S3Args,
        variable: &'a dyn Fn(&str) -> Option<String>,
        read: &dyn Fn(&Path) -> Option<String>,
    ) -> Told<'a> {
        let of_environment = || variable("AWS_PROFILE").or_else(|| variable("AWS_DEFAULT_PROFILE"));
        let profile = args.profile.clone().or_else(of_environment);
        let file = |name: &str, usual: &str| {
            let path = place(variable(name), usual, variable)?;
            Some(sections(&read(&path)?))
        };
        Told {
            args,
            variable,
            profile: profile.unwrap_or_else(|| "default".to_owned()),
            credentials: file("AWS_SHARED_CREDENTIALS_FILE", "credentials").unwrap_or_default(),
            config: file("AWS_CONFIG_FILE", "config").unwrap_or_default(),
        }
    }

    fn options(&self) -> S3 {
        let mut s3 = S3::default();
        s3.endpoint = self.args.endpoint_url.clone().or_else(|| self.endpoint());
        let either =
            || (self.variable)("AWS_REGION").or_else(|| (self.variable)("AWS_DEFAULT_REGION"));
        s3.region = self.args.region.clone().or_else(either).or_else(|| self.setting("region"));
        let style = self.setting("s3.addressing_style").and_then(|word| word.parse().ok());
        s3.style = style.unwrap_or(S3Style::Auto);
        s3.access = match self.args.no_sign_request {
            true => S3Access::Anonymous,
            false => self.access(),
        };
        s3
    }

    /// What the profile says, in whichever file.
    fn setting(&self, name: &str) -> Option<String> {
        self.of_config(name).or_else(|| self.credentials.get(&self.profile)?.get(name).cloned())
    }

    fn of_config(&self, name: &str) -> Option<String> {
        let named = format!("profile {}", self.profile);
        let section = self.config.get(&named);
        // The usual one has its name with or without that word.
        let usual = || self.config.get("default").filter(|_| self.profile == "default");
        section.or_else(usual)?.get(name).cloned()
    }

    fn endpoint(&self) -> Option<String> {
        let ignored = (self.variable)("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
        if ignored.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let of_services = || {
            let services = self.of_config("services")?;
            self.config.get(&format!("services {services}"))?.get("s3.endpoint_url").cloned()
        };
        (self.variable)("AWS_ENDPOINT_URL_S3")
            .or_else(|| (self.variable)("AWS_ENDPOINT_URL"))
            .or_else(of_services)
            .or_else(|| self.setting("endpoint_url"))
    }

    /// Who asks: keys in the environment, unless the command names a profile; or
    /// those of the profile.
    fn access(&self) -> S3Access {
        let of_environment =
            |name: &str| (self.variable)(name).filter(|_| self.args.profile.is_none());
        let found = keys(&|name| of_environment(&format!("AWS_{}", name.to_ascii_uppercase())))
            .or_else(|| keys(&|name| self.credentials.get(&self.profile)?.get(name).cloned()))
            .or_else(|| keys(&|name| self.of_config(name)));
        found.map_or_else(|| S3Access::Unknown { reason: self.why_unknown() }, S3Access::Keys)
    }

    fn why_unknown(&self) -> String {
        const OTHER_WAYS: [&str; 5] = [
            "credential_process",
            "role_arn",
            "sso_session",
            "sso_start_url",
            "web_identity_token_file",
        ];
        let profile = &self.profile;
        if let Some(way) = OTHER_WAYS.into_iter().find(|way| self.setting(way).is_some()) {
            return format!(
                "profile {profile} has them by {way}, which only the AWS tools know: \
                 eval \"$(aws configure export-credentials --format env)\" hands them over"
            );
        }
        let is_there = self.credentials.contains_key(profile)
            || self.config.contains_key(&format!("profile {profile}"));
        match is_there || profile == "default" {
            true => format!("none in the environment, and none in profile {profile}"),
            false => format!("there is no profile {profile}"),
        }
    }
}

/// Keys, if both of them are there.
fn keys(named: &dyn Fn(&str) -> Option<String>) -> Option<S3Keys> {
    let (id, secret) = (named("access_key_id"), named("secret_access_key"));
    let aws = |name: &str| named(&format!("aws_{name}"));
    let id = id.or_else(|| aws("access_key_id"))?;
    let secret = Secret::new(secret.or_else(|| aws("secret_access_key"))?);
    let token = named("session_token").or_else(|| aws("session_token")).map(Secret::new);
    Some(S3Keys { id, secret, token })
}

/// Where a file of the tools is: where a variable says, or else among the others.
fn place(
    named: Option<String>,
    usual: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Option<PathBuf> {
    let home = || variable("HOME").or_else(|| variable("USERPROFILE")).map(PathBuf::from);
    match named {
        None => Some(home()?.join(".aws").join(usual)),
        Some(path) => match path.strip_prefix("~/") {
            Some(rest) => Some(home()?.join(rest)),
            None => Some(PathBuf::from(path)),
        },
    }
}

/// Settings by section; one that belongs to another is called `OTHER.NAME`.
type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// What stands in a file of the tools of AWS.
fn sections(text: &str) -> Sections {
    let mut found = Sections::new();
    let (mut section, mut above) = (None, String::new());
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let words: Vec<&str> = name.split_whitespace().collect();
            let name = words.join(" ").replace(['"', '\''], "");
            section = Some(name);
            above.clear();
            continue;
        }
        let (Some(section), Some((name, value))) = (&section, bare.split_once('=')) else {
            continue;
        };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        let is_below = line.starts_with([' ', '\t']) && !above.is_empty();
        let full = if is_below { format!("{above}.{name}") } else { name.clone() };
        if !is_below {
            above = if value.is_empty() { name } else { String::new() };
        }
        found.entry(section.clone()).or_default().insert(full, value);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "[default]\nregion = eu-west-1\n[profile work]\n\
        region=eu-central-1\nendpoint_url = https://work.example\ns3 =\n  addressing_style = path\n  \
        max_concurrent_requests = 20\noutput = json\n[profile \"by sso\"]\nsso_session = x\n\
        [profile shop]\nservices = of-shop\naws_access_key_id = SHOP\naws_secret_access_key = sh/+=\n\
        [services of-shop]\ns3 =\n  endpoint_url = https://shop.example\n";
    const CREDENTIALS: &str = "# mine\n[default]\naws_access_key_id=AKID\n\
        aws_secret_access_key = secret\n\n[work]\naws_access_key_id = WORK\n\
        aws_secret_access_key = word\naws_session_token = token\n";

    fn told(args: &S3Args, set: &[(&str, &str)]) -> S3 {
        let variable = |name: &str| {
            let homes = [("HOME", "/home/me"), ("USERPROFILE", "/home/me")];
            set.iter().chain(&homes).find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned())
        };
        let read = |path: &Path| match &*path.to_str()?.replace('\\', "/") {
            "/home/me/.aws/config" => Some(CONFIG.to_owned()),
            "/home/me/.aws/credentials" => Some(CREDENTIALS.to_owned()),
            "/home/me/elsewhere" => {
                Some("[default]\naws_access_key_id=E\naws_secret_access_key=e".into())
            }
            _ => None,
        };
        Told::new(args, &variable, &read).options()
    }

    fn id(s3: &S3) -> String {
        match &s3.access {
            S3Access::Keys(keys) => keys.id.clone(),
            S3Access::Anonymous => "nobody".to_owned(),
            S3Access::Unknown { reason } => reason.clone(),
        }
    }

    #[test]
    fn who_asks_is_found_as_the_tools_of_aws_find_it() {
        let profile = |name: &str| S3Args { profile: Some(name.to_owned()), ..S3Args::default() };
        let check = |args: &S3Args, set: &[(&str, &str)], want: &str| {
            assert_eq!(id(&told(args, set)), want, "{args:?} {set:?}");
        };
        let none = S3Args::default();
        let environment = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "x")];
        check(&none, &[], "AKID");
        check(&none, &environment, "ENV");
        check(&none, &environment[..1], "AKID");
        check(&profile("work"), &environment, "WORK");
        check(&none, &[("AWS_PROFILE", "work")], "WORK");
        check(&none, &[("AWS_PROFILE", "shop")], "SHOP");
        check(&none, &[("AWS_SHARED_CREDENTIALS_FILE", "~/elsewhere")], "E");
        check(
            &none,
            &[("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")],
            "none in the environment, and none in profile default",
        );
        check(&profile("none"), &environment, "there is no profile none");
        assert!(id(&told(&profile("by sso"), &[])).contains("sso_session"));
        check(&S3Args { no_sign_request: true, ..none }, &environment, "nobody");
        let work = told(&profile("work"), &[]);
        let S3Access::Keys(keys) = &work.access else { panic!("{work:?}") };
        assert_eq!(keys.token.as_ref().map(Secret::reveal), Some("token"));
        assert!(!format!("{work:?}").contains("token\"") && !format!("{work:?}").contains("word"));
    }

    #[test]
    fn where_to_ask_is_found_likewise() {
        let check = |set: &[(&str, &str)], endpoint: Option<&str>, region: &str, style| {
            let s3 = told(&S3Args::default(), set);
            assert_eq!(s3.endpoint.as_deref(), endpoint, "{set:?}");
            assert_eq!((s3.region.as_deref(), s3.style), (Some(region), style), "{set:?}");
        };
        let (work, auto) = (("AWS_PROFILE", "work"), S3Style::Auto);
        check(&[], None, "eu-west-1", auto);
        check(&[work], Some("https://work.example"), "eu-central-1", S3Style::Path);
        check(
            &[("AWS_PROFILE", "shop"), ("AWS_REGION", "x")],
            Some("https://shop.example"),
            "x",
            auto,
        );
        let both = [("AWS_ENDPOINT_URL", "http://a"), ("AWS_ENDPOINT_URL_S3", "http://b")];
        check(&both, Some("http://b"), "eu-west-1", auto);
        check(&both[..1], Some("http://a"), "eu-west-1", auto);
        let ignored = [("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"), work];
        check(&ignored, None, "eu-central-1", S3Style::Path);
        check(&[("AWS_DEFAULT_REGION", "y"), ("AWS_REGION", "z")], None, "z", auto);
        let mut args = S3Args { region: Some("r".into()), ..S3Args::default() };
        args.endpoint_url = Some("http://c".into());
        let s3 = told(&args, &both);
        assert_eq!((s3.endpoint.as_deref(), s3.region.as_deref()), (Some("http://c"), Some("r")));
    }
}
